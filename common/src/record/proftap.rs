//! Records of `proftap`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[entry::<Registered>(), entry::<Config>(), entry::<Summary>()];

/// `proftap.registered`: the daemon knows this process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// Job id.
    pub job: i64,
    /// Device index.
    pub device: i32,
    /// Process id, as reported to the daemon.
    pub pid: i32,
    /// How many processes the daemon counts on this job and device, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<i32>,
    /// The daemon's socket: a path, or `@name` for an abstract one.
    pub socket: String,
}

impl Record for Registered {
    const TYPE: &'static str = "proftap.registered";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"proftap.registered","v":1,"job":0,"device":0,"pid":4242,"processes":1,"socket":"@dynolog"}"#;
}

/// `proftap.config`: a request that the daemon handed to this process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// Job id.
    pub job: i64,
    /// Process id.
    pub pid: i32,
    /// The daemon's id of the request (`REQUEST_TRACE_ID`), where it sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The settings by key, in the order received.
    pub settings: Vec<Setting>,
}

/// One `KEY=VALUE` line of a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Everything after the first `=`.
    pub value: String,
}

impl Record for Config {
    const TYPE: &'static str = "proftap.config";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"proftap.config","v":1,"job":0,"pid":4242,"trace_id":"7331","settings":[{"key":"ACTIVITIES_ITERATIONS","value":"5"}]}"#;
}

summary!(Summary, "proftap.summary", r#"{"type":"proftap.summary","v":1,"configs":1,"sent":2,"errors":0}"#, {
    /// Configs received.
    configs: u64,
    /// Status and metric messages sent to the daemon.
    sent: u64,
});
