//! The directories that configs may write to.

use std::path::{Component, Path, PathBuf};

use anyhow::ensure;
use common::rpc::config::{Config, LOG_FILE};

/// The directories that configs may write to. `/` allows any path.
#[derive(Clone, Debug)]
pub(crate) struct OutputRoots {
    dirs: Vec<PathBuf>,
    /// Who allows them, for the client: the daemon, or a rule.
    source: String,
    /// Where they are written.
    option: String,
}

impl OutputRoots {
    /// `option` names where the directories come from.
    ///
    /// # Errors
    /// A directory is not an absolute path, or has `..` in it.
    pub(crate) fn new(roots: Vec<PathBuf>, option: &str) -> anyhow::Result<Self> {
        for root in &roots {
            ensure!(
                is_absolute_without_parent(root),
                "{option} {}: not an absolute path without `..`",
                root.display()
            );
        }
        Ok(Self { dirs: roots, source: "this daemon".to_owned(), option: option.to_owned() })
    }

    /// Names the access rule that the directories are from.
    pub(crate) fn of_rule(self, name: &str) -> Self {
        Self { source: format!("access rule {name}"), option: "output, profd-rules(5)".to_owned(), ..self }
    }

    /// Any path.
    #[cfg(test)]
    pub(crate) fn any() -> Self {
        Self { dirs: vec!["/".into()], source: String::new(), option: String::new() }
    }

    /// Checks that a config names outputs below these directories only.
    ///
    /// # Errors
    /// The reason, for the client.
    pub(crate) fn check_config(&self, config: &Config) -> Result<(), String> {
        if self.dirs.iter().any(|root| root == Path::new("/")) {
            return Ok(());
        }
        if records_trace(config) && config.get(LOG_FILE).is_none_or(str::is_empty) {
            return Err(format!("config has no {LOG_FILE}; {}", self.explain_allowed()));
        }
        // Every key that names a file or an address to write to, also of the profilers that are not known here.
        let is_output = |key: &str| key.ends_with("LOG_FILE") || key.ends_with("LOG_URL");
        let outputs = config.pairs().iter().filter(|(k, v)| is_output(k) && !v.is_empty());
        for (key, value) in outputs {
            if !self.contains_path(Path::new(value)) {
                return Err(format!("config key {key} names a path elsewhere; {}", self.explain_allowed()));
            }
        }
        Ok(())
    }

    fn explain_allowed(&self) -> String {
        let roots: Vec<_> = self.dirs.iter().map(|root| root.display().to_string()).collect();
        let (who, option) = (&self.source, &self.option);
        match roots.as_slice() {
            [] => format!("{who} lets processes write nowhere ({option})"),
            _ => format!("{who} lets processes write below {} only ({option})", roots.join(", ")),
        }
    }

    fn contains_path(&self, path: &Path) -> bool {
        is_absolute_without_parent(path) && self.dirs.iter().any(|root| path.starts_with(root))
    }
}

/// Returns whether a process may record a trace for a config: libkineto takes its own keys from a monitor command, too.
pub(crate) fn records_trace(config: &Config) -> bool {
    !config.is_monitor() || config.pairs().iter().any(|(key, _)| key.starts_with("ACTIVITIES_"))
}

/// Returns whether a path is absolute and has no `..`: apart from symlinks, it leads where it says.
fn is_absolute_without_parent(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|c| c == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_stay_below_the_roots() {
        let roots = OutputRoots::new(vec!["/data/prof".into()], "--output-root").unwrap();
        let check = |text: &str| roots.check_config(&Config::parse(text).unwrap());
        assert!(check("ACTIVITIES_LOG_FILE=/data/prof/a/b.json").is_ok());
        assert!(check("ACTIVITIES_LOG_FILE=/data/./prof//b.json").is_ok());
        assert!(check("NPU_MONITOR_START=true\nNPU_MONITOR_LOG_FILE=").is_ok());
        for bad in [
            "ACTIVITIES_LOG_FILE=/data/prof/../x.json",
            "ACTIVITIES_LOG_FILE=/data/profile/x.json",
            "ACTIVITIES_LOG_FILE=data/prof/x.json",
            "ACTIVITIES_LOG_FILE=/data/prof/x.json\nEVENTS_LOG_FILE=/etc/x",
            "ACTIVITIES_LOG_FILE=",
            "ACTIVITIES_ITERATIONS=5",
            "NPU_MONITOR_START=true\nNPU_MONITOR_LOG_FILE=/etc",
            // libkineto records for it, to a file of its own choice.
            "NPU_MONITOR_START=true\nACTIVITIES_DURATION_MSECS=500",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let e = check("ACTIVITIES_LOG_FILE=/etc/x").unwrap_err();
        assert!(e.contains("/data/prof") && e.contains("--output-root"), "{e}");
        assert!(OutputRoots::new(vec!["rel".into()], "--output-root").is_err());
        let of_rule = |dirs: &[&str]| {
            let dirs = dirs.iter().map(Into::into).collect();
            let roots = OutputRoots::new(dirs, "output").unwrap().of_rule("bob");
            roots.check_config(&Config::parse("ACTIVITIES_LOG_FILE=/etc/x").unwrap()).unwrap_err()
        };
        let e = of_rule(&["/out"]);
        assert!(
            e.ends_with("; access rule bob lets processes write below /out only (output, profd-rules(5))"),
            "{e}"
        );
        assert!(of_rule(&[]).contains(" lets processes write nowhere (output"));
        assert!(OutputRoots::any().check_config(&Config::parse("A=/x").unwrap()).is_ok());
    }
}
