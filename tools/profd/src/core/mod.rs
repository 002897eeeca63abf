//! The core: what messages and requests mean. It does no I/O, reads no clock and writes no log.
//!
//! A handler takes a request, the facts that were looked up for it and the registry, and returns a reply and a list of
//! effects. [`crate::rpc::dispatch`] looks up the facts, encodes the reply and performs the effects. Messages of
//! processes are handled by the [`registry`] directly.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod handler;
pub(crate) mod health;
pub(crate) mod outcome;
pub(crate) mod output_roots;
pub(crate) mod process_scope;
pub(crate) mod registry;
pub(crate) mod user_shares;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// Words that would mean I/O, a clock or a log.
    const FORBIDDEN: [&str; 15] = [
        "std::fs",
        "std::net",
        "std::io",
        "std::os",
        "std::thread",
        "std::process",
        "std::env",
        "Instant",
        "SystemTime",
        "OffsetDateTime",
        "tokio",
        "rustix",
        "Mutex",
        "crate::log",
        "async fn",
    ];

    fn rust_files(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        entries.flat_map(|p| if p.is_dir() { rust_files(&p) } else { vec![p] }).collect()
    }

    /// The invariant of ARCHITECTURE.md, as far as the text of the modules shows it.
    #[test]
    fn the_core_has_no_io_no_clock_and_no_log() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
        let files = rust_files(&dir);
        assert!(files.len() > 10, "{files:?}");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
                let found = FORBIDDEN.iter().find(|word| line.contains(*word));
                assert_eq!(found, None, "{}: {line}", file.display());
            }
            let imports = code.lines().filter_map(|l| l.strip_prefix("use crate::"));
            assert!(
                imports.clone().all(|i| i.starts_with("core::")),
                "{}: {:?}",
                file.display(),
                imports.collect::<Vec<_>>()
            );
        }
    }
}
