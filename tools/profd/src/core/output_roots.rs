//! The directories that configs may write to.

use std::path::{Component, Path, PathBuf};

use anyhow::ensure;
use common::rpc::config::{Config, LOG_FILE};

/// The directories that configs may write to. `/` allows any path.
#[derive(Clone, Debug)]
pub(crate) struct OutputRoots(Vec<PathBuf>);

impl OutputRoots {
    /// `option` names where the directories come from, for the error.
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
        Ok(Self(roots))
    }

    /// Any path.
    #[cfg(test)]
    pub(crate) fn any() -> Self {
        Self(vec!["/".into()])
    }

    /// Checks that a config names outputs below these directories only.
    ///
    /// # Errors
    /// The reason, for the client.
    pub(crate) fn check_config(&self, config: &Config) -> Result<(), String> {
        if self.0.iter().any(|root| root == Path::new("/")) {
            return Ok(());
        }
        if !config.is_monitor() && config.get(LOG_FILE).is_none_or(str::is_empty) {
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
        let roots: Vec<_> = self.0.iter().map(|root| root.display().to_string()).collect();
        format!("this daemon lets processes write below {} only (--output-root)", roots.join(", "))
    }

    fn contains_path(&self, path: &Path) -> bool {
        is_absolute_without_parent(path) && self.0.iter().any(|root| path.starts_with(root))
    }
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
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let e = check("ACTIVITIES_LOG_FILE=/etc/x").unwrap_err();
        assert!(e.contains("/data/prof") && e.contains("--output-root"), "{e}");
        assert!(OutputRoots::new(vec!["rel".into()], "--output-root").is_err());
        assert!(OutputRoots::any().check_config(&Config::parse("A=/x").unwrap()).is_ok());
    }
}
