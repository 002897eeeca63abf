//! Facts about traces that users know and the tables do not: classes of kernels, names of steps. From the command line and
//! a configuration file, the same for every tool that analyzes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use common::error::HintExt;
use serde::Deserialize;

use crate::analysis::collect::CollectOptions;
use crate::classifier::{ClassRules, parse_expression};
use crate::spool::MemoryLimit;
use crate::steps::StepNames;

/// The options of everything that analyzes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Analysis options")]
pub struct AnalysisOptions {
    /// Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore
    ///
    /// May be repeated; the first that matches counts, and all of them take precedence over the built-in table of kernel names.
    /// REGEX is looked for anywhere in the demangled name: `communication=^my_all_reduce`, `ignore=warm_?up`.
    #[arg(long, value_name = "CLASS=REGEX")]
    class: Vec<String>,
    /// Take ranges on the host whose name matches REGEX for the steps
    ///
    /// The number in the first group of REGEX, or at the end of the name if those grow with time, is the number of the
    /// step; otherwise steps are counted from 0. Known without this option: ProfilerStep#N of PyTorch and Ascend,
    /// step_num of JAX, the batches of vLLM and sglang, `iteration N` and `train_step` of Megatron and others.
    #[arg(long, value_name = "REGEX")]
    step_name: Vec<String>,
    /// Read more --class and --step-name from FILE (TOML)
    ///
    /// Its keys are `class` and `step-name`, lists of texts as for the options, and `max-memory`. The command line
    /// takes precedence.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]
    ///
    /// Data beyond it goes to unlinked files in TMPDIR. The results are the same.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ConfigFile {
    #[serde(default)]
    class: Vec<String>,
    #[serde(default)]
    step_name: Vec<String>,
    max_memory: Option<String>,
}

impl AnalysisOptions {
    /// The options as an analysis takes them.
    ///
    /// # Errors
    /// The file cannot be read; a class, an expression or a size is not valid.
    pub fn collect_options(&self) -> anyhow::Result<CollectOptions> {
        let mut classes = ClassRules::default();
        let mut steps = Vec::new();
        for text in &self.class {
            classes.push_text(text).context("--class")?;
        }
        for text in &self.step_name {
            steps.push(parse_expression(text).context("--step-name")?);
        }
        let mut bytes = self.max_memory;
        if let Some(path) = &self.config {
            let file = read_config(path)?;
            let label = || path.display().to_string();
            for text in &file.class {
                classes.push_text(text).context("class").with_context(label)?;
            }
            for text in &file.step_name {
                steps.push(parse_expression(text).context("step-name").with_context(label)?);
            }
            let size =
                file.max_memory.map(|text| parse_size(&text).map_err(|e| anyhow::anyhow!("max-memory: {e}")));
            bytes = bytes.or(size.transpose().with_context(label)?);
        }
        let memory = bytes.map_or_else(MemoryLimit::default, |bytes| MemoryLimit { bytes });
        Ok(CollectOptions { classes, steps: StepNames::new(steps), memory })
    }
}

fn read_config(path: &Path) -> anyhow::Result<ConfigFile> {
    let label = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| anyhow::anyhow!(common::error::io_reason(&e)))
        .with_context(label)?;
    toml::from_str(&text)
        .map_err(|e| {
            let line =
                e.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            anyhow::anyhow!("line {line}: {}", e.message().replace('\n', " "))
        })
        .with_context(label)
        .hint("keys: class = [\"communication=REGEX\"], step-name = [\"REGEX\"], max-memory = \"SIZE\"")
}

/// A size in bytes that is enough for an analysis: `20000000`, `512MiB`, `4G`.
fn parse_size(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 16 << 20;
    match common::size::parse_size(text.trim())? {
        bytes if bytes >= LEAST => Ok(bytes),
        _ => Err("at least 16MiB is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("4G"), Ok(4 << 30));
        assert_eq!(parse_size("2 GB"), Ok(2_000_000_000));
        assert_eq!(parse_size("20000000"), Ok(20_000_000));
        for bad in ["", "x", "1KiB", "-1G", "99999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_file_says_what_the_options_say() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("traceq.toml");
        let options = |text: &str| {
            std::fs::write(&path, text).unwrap();
            AnalysisOptions { config: Some(path.clone()), ..AnalysisOptions::default() }.collect_options()
        };
        let good = "class = [\"copy=^dma\", 'ignore=\\bwarm']\nstep-name = ['^batch (\\d+)']\nmax-memory = \"2GiB\"\n";
        let parsed = options(good).unwrap();
        assert_eq!(parsed.memory.bytes, 2 << 30);
        assert!(parsed.steps.has_user_names());
        let error = |text| format!("{:#}", options(text).unwrap_err());
        assert!(error("a = 1\n").contains("traceq.toml: line 1: unknown field `a`"), "{}", error("a = 1\n"));
        assert!(error("\nclass = [\"fast=x\"]").contains("traceq.toml: class: `fast` is not a class"));
        assert!(error("step-name = [\"(\"]").contains("step-name: `(` is not a regular expression"));
    }
}
