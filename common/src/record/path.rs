//! Paths in records.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{hex, unhex};

/// The path of a record: `path`, and `path_hex` where JSON cannot hold it. A record flattens it into its own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RecordPath {
    /// The path; with `path_hex` it is an approximation.
    pub path: String,
    /// The bytes of the path in hexadecimal, if they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
}

impl RecordPath {
    /// The path in its bytes; `None` if `path_hex` is not hexadecimal.
    #[must_use]
    pub fn to_path(&self) -> Option<PathBuf> {
        let Some(digits) = &self.path_hex else { return Some(PathBuf::from(&self.path)) };
        unhex(digits.as_bytes()).map(|bytes| OsString::from_vec(bytes).into())
    }
}

impl From<&Path> for RecordPath {
    fn from(path: &Path) -> Self {
        let path_hex = path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes()));
        Self { path: path.to_string_lossy().into_owned(), path_hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_survives_a_record() {
        for bytes in [&b"/srv/a b"[..], b"/srv/\xff", b"\xc3\xa4", b""] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let record = RecordPath::from(&*path);
            assert_eq!(record.path_hex.is_some(), path.to_str().is_none());
            let line = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<RecordPath>(&line).unwrap().to_path(), Some(path));
        }
        let broken = RecordPath { path: "x".to_owned(), path_hex: Some("6".to_owned()) };
        assert_eq!(broken.to_path(), None);
    }
}
