//! Records of `datack`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, RecordPath, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<FileDigest>(),
    entry::<ManifestDifference>(),
    entry::<ManifestSummary>(),
    entry::<Deletion>(),
    entry::<SparedFile>(),
    entry::<CleanSummary>(),
];

/// `datack.digest`: the SHA-256 of one file, in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDigest {
    /// The file.
    #[serde(flatten)]
    pub path: RecordPath,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Size of the file.
    pub size_bytes: u64,
}

impl Record for FileDigest {
    const TYPE: &'static str = "datack.digest";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"datack.digest","v":1,"path":"models/a.safetensors","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size_bytes":0}"#;
}

/// How a file differs from a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyStatus {
    /// Its content changed.
    Changed,
    /// It does not exist.
    Missing,
    /// The manifest does not name it.
    New,
    /// It changed while it was read.
    Unstable,
    /// The signature of the manifest is invalid.
    BadSignature,
}

impl std::fmt::Display for VerifyStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::New => "new",
            Self::Unstable => "changed while it was read",
            Self::BadSignature => "bad signature",
        })
    }
}

/// `datack.difference`: a file that differs from a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestDifference {
    /// The file.
    #[serde(flatten)]
    pub path: RecordPath,
    /// How it differs.
    pub status: VerifyStatus,
}

impl Record for ManifestDifference {
    const TYPE: &'static str = "datack.difference";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"datack.difference","v":1,"path":"models/a.safetensors","status":"changed"}"#;
}

summary!(ManifestSummary, "datack.manifest_summary", r#"{"type":"datack.manifest_summary","v":1,"files":12,"size_bytes":123456,"differences":0,"links":0,"errors":0}"#, {
    /// Files hashed.
    files: u64,
    /// Bytes in them.
    size_bytes: u64,
    /// Files that differ from the manifest.
    differences: u64,
    /// Symbolic links that were not followed.
    #[serde(default)]
    links: u64,
});

/// Why a file was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletionReason {
    /// It was older than `--older-than`.
    Age,
    /// It was the oldest, and all files took more than `--keep`.
    Size,
}

impl std::fmt::Display for DeletionReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Age => "age",
            Self::Size => "size",
        })
    }
}

/// `datack.deletion`: `datack clean` deletes a file, or would with `--dry-run`. It is written before the file is
/// deleted; a `datack.spared` of the same path after it means that the file could not be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deletion {
    /// The file.
    #[serde(flatten)]
    pub path: RecordPath,
    /// Its size.
    pub size_bytes: u64,
    /// Bytes that it takes on disk.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Modification time, RFC 3339 in UTC.
    pub changed: String,
    /// Why it is deleted.
    pub reason: DeletionReason,
    /// Whether this was a dry run: nothing was deleted.
    #[serde(default)]
    pub dry_run: bool,
}

impl Record for Deletion {
    const TYPE: &'static str = "datack.deletion";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"datack.deletion","v":1,"path":"/srv/traces/a_4242.json","size_bytes":1048576,"disk_bytes":1048576,"changed":"2026-11-01T12:00:00Z","reason":"age","dry_run":false}"#;
}

/// `datack.spared`: a file that was due for deletion and is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SparedFile {
    /// The file.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The reason.
    pub reason: String,
}

impl Record for SparedFile {
    const TYPE: &'static str = "datack.spared";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"datack.spared","v":1,"path":"/srv/traces/b","reason":"operation not permitted"}"#;
}

summary!(CleanSummary, "datack.clean_summary", r#"{"type":"datack.clean_summary","v":1,"files":12,"size_bytes":123456,"deleted":3,"deleted_bytes":1234,"recordings":2,"deleted_disk_bytes":12288,"left_disk_bytes":1232896,"spared":1,"errors":0}"#, {
    /// Files that may be deleted, before the run.
    files: u64,
    /// Bytes in them.
    size_bytes: u64,
    /// Files deleted, or that would be with `--dry-run`.
    deleted: u64,
    /// Bytes in these.
    deleted_bytes: u64,
    /// Recordings that they belong to.
    #[serde(default)]
    recordings: u64,
    /// Bytes on disk that this frees.
    #[serde(default)]
    deleted_disk_bytes: u64,
    /// Bytes on disk that the other files take.
    #[serde(default)]
    left_disk_bytes: u64,
    /// Files that were due and are in use, or were modified less than `--idle` ago.
    spared: u64,
});
