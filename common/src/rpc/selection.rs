//! The processes of a job that a request is for, beyond the pids that every daemon knows.
//!
//! A daemon that does not know the field `select` would ignore it and trigger every process of the job. So a request with
//! a selection names [`NO_PROCESS`] as its only pid, which no process has: such a daemon triggers nothing, and its reply
//! lacks `selected`, by which the client knows why.

use serde_json::{Map, Value, json};

/// A pid that no process has: above the largest `pid_max`, 2^22 (proc_sys_kernel(5)).
pub const NO_PROCESS: i32 = i32::MAX;

/// Most pids, and most ranks, that one request may list.
const MAX_NUMBERS: usize = 4096;
/// Most patterns for names that one request may list.
const MAX_NAMES: usize = 64;
/// Maximum length of such a pattern, in bytes.
const MAX_NAME: usize = 256;

/// The processes that a request is for: those that meet every condition that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSelection {
    /// These pids themselves, not those of descendants; empty for all.
    pub pids: Vec<i32>,
    /// Ranks in the job; empty for all.
    pub ranks: Vec<i64>,
    /// Patterns for the name of the script or program, with `*` and `?`; empty for all.
    pub names: Vec<String>,
}

impl ProcessSelection {
    pub(super) fn encode(&self) -> Value {
        json!({"pids": self.pids, "ranks": self.ranks, "names": self.names})
    }

    /// Reads a selection; `None` if it is malformed: a condition that is not understood must not be dropped.
    pub(super) fn decode(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let numbers = |key| list_of(fields, key, MAX_NUMBERS, Value::as_i64);
        let pid = |n: &i64| i32::try_from(*n).ok().filter(|pid| *pid >= 0);
        let name = |v: &Value| v.as_str().filter(|s| s.len() <= MAX_NAME).map(str::to_owned);
        Some(Self {
            pids: numbers("pids")?.iter().map(pid).collect::<Option<_>>()?,
            ranks: numbers("ranks")?,
            names: list_of(fields, "names", MAX_NAMES, name)?,
        })
    }
}

/// Returns a list of at most `max` items; an empty one if it is missing.
fn list_of<T>(
    fields: &Map<String, Value>,
    key: &str,
    max: usize,
    item: impl Fn(&Value) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(value) = fields.get(key) else { return Some(Vec::new()) };
    value.as_array().filter(|list| list.len() <= max)?.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::message::{OnDemand, Request};

    #[test]
    fn a_daemon_that_does_not_know_selections_selects_nothing() {
        let selection =
            ProcessSelection { pids: vec![7], ranks: vec![0, 8], names: vec!["train*".to_owned()] };
        let request = Request::OnDemand(OnDemand {
            config: "A=1".into(),
            pids: vec![7],
            selection: Some(selection),
            ..OnDemand::default()
        });
        let value: Value = serde_json::from_slice(&request.encode()).unwrap();
        assert_eq!(value["pids"], json!([NO_PROCESS]));
        assert_eq!(value["select"], json!({"pids": [7], "ranks": [0, 8], "names": ["train*"]}));
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn bad_selections_are_rejected_and_not_ignored() {
        for bad in [
            r"[]",
            r#"{"pids":[-1]}"#,
            r#"{"pids":7}"#,
            r#"{"ranks":["0"]}"#,
            r#"{"ranks":[1.5]}"#,
            r#"{"names":[7]}"#,
        ] {
            let body = format!(
                r#"{{"fn":"setKinetOnDemandRequest","config":"A=1","pids":[2147483647],"select":{bad}}}"#
            );
            assert!(Request::decode(body.as_bytes()).is_err(), "{bad}");
        }
        let names = json!({"names": vec!["x"; MAX_NAMES + 1]});
        assert_eq!(ProcessSelection::decode(&names), None);
        assert_eq!(ProcessSelection::decode(&json!({"names": ["x".repeat(MAX_NAME + 1)]})), None);
        assert_eq!(ProcessSelection::decode(&json!({"later": 1})), Some(ProcessSelection::default()));
    }
}
