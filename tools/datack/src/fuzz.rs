//! Entry points for the fuzz targets; the tool does not use them.

use crate::manifest::text;

/// Parses a manifest; every entry must survive being written and parsed again.
pub fn check_manifest(bytes: &[u8]) {
    let Ok(entries) = text::parse_manifest(bytes) else { return };
    assert!(!entries.is_empty(), "an empty manifest is an error");
    for entry in entries {
        let mut line = Vec::new();
        assert!(text::write_line(&mut line, &entry.path, &entry.sha256).is_ok());
        let again = text::parse_line(line.strip_suffix(b"\n").unwrap_or(&line));
        assert_eq!(again, Ok(Some(entry)));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn mutated_seeds_do_no_harm() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/datack_manifest");
        testkit::mutate_seeds(&seeds, super::check_manifest);
    }
}
