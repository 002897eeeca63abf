//! The JSON lines that tools pipe to each other. One file per tool, one struct per record type.
//!
//! A line's first two keys are `type` (`tool.noun`) and `v` (its version). Adding a field keeps `v`; renaming,
//! removing or changing the meaning of one bumps it. Names are `snake_case` and carry their unit; a missing
//! value is a missing key; wall-clock times are RFC 3339 in UTC. Records are their own types, never a tool's
//! internal ones, so that refactoring cannot change the format.
//!
//! [`RECORDS`] lists them all: schemas, documentation and tests iterate it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub mod certck;
pub mod datack;
pub mod hostck;
mod path;
pub mod permck;
pub mod profctl;
pub mod profd;
pub mod proftap;
pub mod tracecv;
pub mod traceq;
pub mod tracewhy;

pub use path::RecordPath;

/// A line that some tool writes.
pub trait Record: Serialize + DeserializeOwned + JsonSchema {
    /// `tool.noun`.
    const TYPE: &'static str;
    /// Version of the meaning of its fields.
    const V: u32;
    /// One real line, which parses and is written again unchanged.
    const SAMPLE: &'static str;
}

/// A record as it is written: `type` and `v` first.
#[derive(Serialize)]
pub struct Line<'a, R> {
    r#type: &'static str,
    v: u32,
    #[serde(flatten)]
    record: &'a R,
}

impl<'a, R: Record> Line<'a, R> {
    /// Prepares a record for writing.
    #[must_use]
    pub fn new(record: &'a R) -> Self {
        Line { r#type: R::TYPE, v: R::V, record }
    }
}

/// Writes a record as one line.
///
/// # Errors
/// An I/O error of the stream.
pub fn write<R: Record>(to: &mut (impl std::io::Write + ?Sized), record: &R) -> std::io::Result<()> {
    let mut line = serde_json::Serializer::with_formatter(&mut *to, VisibleText);
    Line::new(record).serialize(&mut line).map_err(std::io::Error::from)?;
    to.write_all(b"\n")
}

/// Writes compact JSON, and what a terminal would not show or would obey as `\u` escapes: serde_json escapes control
/// characters below U+0020 only, as RFC 8259, section 7, demands.
struct VisibleText;

impl serde_json::ser::Formatter for VisibleText {
    fn write_string_fragment<W: std::io::Write + ?Sized>(
        &mut self,
        to: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        let mut rest = fragment;
        if rest.bytes().all(|b| b < 0x7f) {
            return to.write_all(rest.as_bytes());
        }
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| crate::text::is_invisible(*c)) {
            // All of them are in the basic multilingual plane.
            write!(to, "{}\\u{:04x}", &rest[..at], u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        to.write_all(rest.as_bytes())
    }
}

/// The head of every record: its type and version.
#[derive(Debug, Deserialize)]
pub struct Head {
    /// `tool.noun`.
    pub r#type: String,
    /// Version.
    pub v: u32,
}

/// Reads a line as an `R`, if it is one. Lines of other types and versions are `None`; unknown fields are
/// skipped.
///
/// # Errors
/// The line is not a JSON object with `type` and `v`, or is an `R` with a field missing or of the wrong type.
pub fn read<R: Record>(line: &str) -> serde_json::Result<Option<R>> {
    let head: Head = serde_json::from_str(line)?;
    if head.r#type != R::TYPE || head.v != R::V {
        return Ok(None);
    }
    serde_json::from_str(line).map(Some)
}

/// One row of [`RECORDS`].
pub struct Entry {
    /// `tool.noun`.
    pub name: &'static str,
    /// Version.
    pub v: u32,
    /// The sample line.
    pub sample: &'static str,
    /// The JSON Schema of the whole line.
    pub schema: fn() -> Schema,
    /// Reads the sample and writes it again.
    pub round_trip: fn(&str) -> serde_json::Result<String>,
}

const fn entry<R: Record>() -> Entry {
    Entry { name: R::TYPE, v: R::V, sample: R::SAMPLE, schema: schema::<R>, round_trip: round_trip::<R> }
}

fn round_trip<R: Record>(line: &str) -> serde_json::Result<String> {
    let record: R = serde_json::from_str(line)?;
    serde_json::to_string(&Line::new(&record))
}

/// The schema of a line: the struct's, plus `type` and `v`.
fn schema<R: Record>() -> Schema {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<R>();
    let object = schema.ensure_object();
    object.insert("title".into(), R::TYPE.into());
    if let Some(properties) =
        object.entry("properties").or_insert_with(|| serde_json::json!({})).as_object_mut()
    {
        properties.insert("type".into(), serde_json::json!({"const": R::TYPE}));
        properties.insert("v".into(), serde_json::json!({"const": R::V}));
    }
    if let Some(required) = object.entry("required").or_insert_with(|| serde_json::json!([])).as_array_mut() {
        required.insert(0, "v".into());
        required.insert(0, "type".into());
    }
    schema
}

/// Every record type of every tool.
pub const RECORDS: &[&[Entry]] = &[
    certck::ENTRIES,
    datack::ENTRIES,
    hostck::ENTRIES,
    permck::ENTRIES,
    profctl::ENTRIES,
    profd::ENTRIES,
    proftap::ENTRIES,
    tracecv::ENTRIES,
    traceq::ENTRIES,
    tracewhy::ENTRIES,
];

/// The last record of a run: without it, the output was cut off.
macro_rules! summary {
    ($name:ident, $type:literal, $sample:literal, { $($(#[$meta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        #[doc = concat!("`", $type, "`: the last record of a run.")]
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $name {
            $($(#[$meta])* pub $field: $ty,)*
            /// Inputs that failed; each has a line on standard error.
            pub errors: u64,
        }
        impl $crate::record::Record for $name {
            const TYPE: &'static str = $type;
            const V: u32 = 1;
            const SAMPLE: &'static str = $sample;
        }
    };
}
pub(crate) use summary;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Entry> {
        RECORDS.iter().flat_map(|e| e.iter())
    }

    #[test]
    fn text_cannot_drive_a_terminal() {
        #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        struct Named {
            name: String,
        }
        impl Record for Named {
            const TYPE: &'static str = "test.named";
            const V: u32 = 1;
            const SAMPLE: &'static str = "";
        }
        let named = Named { name: "é\u{9b}31m\u{202e}\x7f\n\"😀".to_owned() };
        let mut line = Vec::new();
        write(&mut line, &named).unwrap();
        let line = String::from_utf8(line).unwrap();
        let shown = r#"{"type":"test.named","v":1,"name":"é\u009b31m\u202e\u007f\n\"😀"}"#;
        assert_eq!(line, format!("{shown}\n"));
        assert_eq!(read::<Named>(&line).unwrap(), Some(named));
    }

    /// A module that is not listed has no schema and no entry in profguard-records(7).
    #[test]
    fn the_records_of_every_tool_are_listed() {
        let source = include_str!("mod.rs");
        let modules: Vec<_> =
            source.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
        assert!(modules.contains(&"hostck") && modules.len() == RECORDS.len(), "{modules:?}");
        for module in modules {
            let prefix = format!("{module}.");
            assert!(all().any(|entry| entry.name.starts_with(&prefix)), "{module}");
        }
    }

    #[test]
    fn every_sample_round_trips() {
        for e in all() {
            assert_eq!((e.round_trip)(e.sample).expect(e.name), e.sample, "{}", e.name);
        }
    }

    #[test]
    fn every_sample_starts_with_its_type_and_version() {
        for e in all() {
            let prefix = format!("{{\"type\":\"{}\",\"v\":{}", e.name, e.v);
            assert!(e.sample.starts_with(&prefix), "{}: {}", e.name, e.sample);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all().map(|e| (e.name, e.v)).collect();
        names.sort_unstable();
        let n = names.len();
        names.dedup();
        assert_eq!(names.len(), n);
    }

    #[test]
    fn readers_skip_unknown_fields_and_pass_unknown_types() {
        let line = r#"{"type":"proftap.summary","v":1,"added_later":[1],"configs":1,"sent":2,"errors":0}"#;
        assert_eq!(read::<proftap::Summary>(line).unwrap().map(|s| s.sent), Some(2));
        assert!(read::<proftap::Summary>(r#"{"type":"other.thing","v":1}"#).unwrap().is_none());
        assert!(read::<proftap::Summary>(r#"{"type":"proftap.summary","v":2}"#).unwrap().is_none());
    }
}
