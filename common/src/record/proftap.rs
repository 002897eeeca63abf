//! Records of `proftap`: what it writes, and the two that it reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};
use crate::ipc::message::State as WireState;

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<Registered>(),
    entry::<Config>(),
    entry::<Status>(),
    entry::<Metric>(),
    entry::<Trace>(),
    entry::<Summary>(),
];

/// `proftap.registered`: a daemon knows this process. Written again when another daemon takes its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// Job id.
    pub job_id: i64,
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
    const SAMPLE: &'static str = r#"{"type":"proftap.registered","v":1,"job_id":0,"device":0,"pid":4242,"processes":1,"socket":"@dynolog"}"#;
}

/// `proftap.config`: a request that the daemon handed to this process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// Job id.
    pub job_id: i64,
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
    const SAMPLE: &'static str = r#"{"type":"proftap.config","v":1,"job_id":0,"pid":4242,"trace_id":"7331","settings":[{"key":"ACTIVITIES_ITERATIONS","value":"5"}]}"#;
}

/// `proftap.status`: read by `proftap run`; what a profiling function of this process does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The function.
    pub function: Function,
    /// Its state.
    pub state: State,
    /// Current step; -1 while unknown.
    #[serde(default = "unknown")]
    pub current_step: i32,
    /// First step of the trace that is running or ready; -1 without one.
    #[serde(default = "unknown")]
    pub start_step: i32,
    /// The step before which it stops; -1 without one.
    #[serde(default = "unknown")]
    pub stop_step: i32,
}

fn unknown() -> i32 {
    -1
}

/// A profiling function of a process. The two share the hardware and exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Traces on demand.
    Nputrace,
    /// Continuous monitoring.
    Npumonitor,
}

/// The state of a profiling function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not set up; takes no commands.
    Uninitialized,
    /// Waits for a command.
    Idle,
    /// Records.
    Running,
    /// Will record from a later step on.
    Ready,
}

impl From<State> for WireState {
    fn from(state: State) -> Self {
        match state {
            State::Uninitialized => Self::Uninitialized,
            State::Idle => Self::Idle,
            State::Running => Self::Running,
            State::Ready => Self::Ready,
        }
    }
}

impl Record for Status {
    const TYPE: &'static str = "proftap.status";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"proftap.status","v":1,"function":"nputrace","state":"running","current_step":7,"start_step":7,"stop_step":9}"#;
}

/// `proftap.metric`: read by `proftap run`; the sum of the durations of one kind of activity on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Marker, Kernel, Hccl, Communication, Memory, MemSet, MemCpy, API, AclAPI, NodeAPI or RuntimeAPI.
    pub kind: String,
    /// Device index; -1 for the host.
    pub device: i64,
    /// Sum of the durations in the interval.
    pub duration_ns: u64,
    /// When it was summed up, nanoseconds since the epoch.
    pub timestamp_ns: u64,
    /// The domain, with kind Marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The name, with kind Marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Record for Metric {
    const TYPE: &'static str = "proftap.metric";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"proftap.metric","v":1,"kind":"Kernel","device":0,"duration_ns":81000,"timestamp_ns":1763892000000000000}"#;
}

/// `proftap.trace`: the demo wrote a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// Job id.
    pub job_id: i64,
    /// Process id.
    pub pid: i32,
    /// The daemon's id of the request, where it sent one; the file carries it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The file.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Events in it, metadata aside.
    pub events: u64,
    /// Whole training steps in it.
    pub steps: u64,
    /// From the start of the recording to its end.
    pub dur_ns: u64,
    /// Events that did not fit into the memory set aside for a recording.
    pub dropped: u64,
}

impl Record for Trace {
    const TYPE: &'static str = "proftap.trace";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"proftap.trace","v":1,"job_id":0,"pid":4242,"trace_id":"7331","path":"/data/prof/t_4242.json","size_bytes":123456,"events":400,"steps":5,"dur_ns":251000000,"dropped":0}"#;
}

summary!(Summary, "proftap.summary", r#"{"type":"proftap.summary","v":1,"configs":1,"sent":2,"errors":0}"#, {
    /// Configs received.
    configs: u64,
    /// Status and metric messages sent to the daemon.
    sent: u64,
});
