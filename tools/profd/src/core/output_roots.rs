//! The directories that configs may write to.

use std::path::{Component, Path, PathBuf};

use anyhow::ensure;
use common::rpc::config::{Config, LOG_FILE};

/// The directories that configs may write to; none means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputRoots(Vec<PathBuf>);

impl OutputRoots {
    pub(crate) fn new(roots: Vec<PathBuf>) -> anyhow::Result<Self> {
        for root in &roots {
            ensure!(is_plain(root), "--output-root {}: not an absolute path without `..`", root.display());
        }
        Ok(Self(roots))
    }

    /// Whether a config writes only below the roots.
    ///
    /// # Errors
    /// Why not, for the client.
    pub(crate) fn check(&self, config: &Config) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        if !config.is_monitor() && config.get(LOG_FILE).is_none_or(str::is_empty) {
            return Err(format!("config has no {LOG_FILE}, and this daemon allows only certain directories"));
        }
        // Every key that names a file or address to write to, those of other profilers included.
        let is_output = |key: &str| key.ends_with("LOG_FILE") || key.ends_with("LOG_URL");
        let outputs = config.pairs().iter().filter(|(k, v)| is_output(k) && !v.is_empty());
        for (key, value) in outputs {
            if !self.hold(Path::new(value)) {
                return Err(format!(
                    "config key {key} names a path outside the directories that this daemon allows"
                ));
            }
        }
        Ok(())
    }

    fn hold(&self, path: &Path) -> bool {
        is_plain(path) && self.0.iter().any(|root| path.starts_with(root))
    }
}

/// Absolute, and without steps back: what it says is where it leads, links aside.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|c| c == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_stay_below_the_roots() {
        let roots = OutputRoots::new(vec!["/data/prof".into()]).unwrap();
        let check = |text: &str| roots.check(&Config::parse(text).unwrap());
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
        assert!(OutputRoots::new(vec!["rel".into()]).is_err());
        assert!(OutputRoots::default().check(&Config::parse("A=/x").unwrap()).is_ok());
    }
}
