//! Requests and replies: what a frame's JSON means.
//!
//! Existing clients (dynolog c3a231a, msMonitor b942bf5) break on reply fields that they do not know, so everything that we
//! add to a reply is sent only to a client that asked with `"extended": true`; existing daemons ignore that field.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use super::failure::{ErrorCode, Failure, FailureReason};
pub use super::metrics::{HostSample, MetricListReply, MetricSeries};
pub use super::on_demand::{
    Busy, CommandStatus, JobCount, OnDemand, OnDemandDetail, OnDemandReply, RejectedSenders, Triggered,
};
use super::progress::MAX_TRACE_IDS;
use super::selection::ProcessSelection;
pub use super::status::{
    CertificateStatus, CertificateSummary, CrlStatus, FunctionState, HealthProblem, HealthReply, LastRequest,
    ProcessListReply, ProcessStatus, ReloadFailure, StatusDetail, StatusReply,
};

/// Most pids that one request may list.
pub const MAX_PIDS: usize = 4096;
/// How many processes a request triggers when it does not say.
pub const DEFAULT_PROCESS_LIMIT: u32 = 1000;
/// How long `dcgmProfPause` pauses when it does not say, seconds.
pub const DEFAULT_PAUSE_S: u32 = 300;

/// How many entries a page of `listProcesses` or `getMetrics` has, if the request does not say.
pub const DEFAULT_PAGE: u32 = 1000;

/// A request to a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `getStatus`.
    Status {
        /// The client understands [`StatusDetail`].
        extended: bool,
    },
    /// `getVersion`.
    Version,
    /// `setKinetOnDemandRequest`.
    OnDemand(OnDemand),
    /// `getConfigStates`: what became of the configs of these ids.
    ConfigStates {
        /// The ids of the requests, one for each process.
        trace_ids: Vec<u64>,
        /// How long to hold the reply back unless one of the configs has come to its end, in milliseconds. Older daemons
        /// ignore it.
        wait_ms: u32,
    },
    /// `getClock`.
    Clock,
    /// `dcgmProfPause`, or `dcgmPause` from older clients.
    DcgmPause {
        /// Seconds.
        duration_s: u32,
    },
    /// `dcgmProfResume`, or `dcgmResume` from older clients.
    DcgmResume,
    /// `listProcesses`, which only daemons of ours have.
    Processes(ListPage),
    /// `getHealth`, which only daemons of ours have.
    Health,
    /// `getMetrics`, which only daemons of ours have: what processes have sent lately, and the last samples of the host.
    Metrics(ListPage),
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// The number of bytes before it.
    pub offset: u64,
    /// The maximum number of entries in it; a daemon may send fewer.
    pub limit: u64,
}

/// Why a frame's content is not a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not UTF-8 or not JSON. Where, never what: the text is the peer's.
    #[error("request is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Not an object.
    #[error("request is not a JSON object")]
    NotObject,
    /// No `fn`, or not a string.
    #[error("request has no function name `fn`")]
    NoFunction,
    /// A function that this daemon does not have.
    #[error("request names an unknown function")]
    UnknownFunction,
    /// A required field is absent.
    #[error("request field `{0}` is missing")]
    Missing(&'static str),
    /// A field has the wrong type, or a number is out of range.
    #[error("request field `{field}` is not {expected}")]
    BadField {
        /// Its name.
        field: &'static str,
        /// The type that is expected.
        expected: &'static str,
    },
}

impl Request {
    /// What [`Self::name`] returns.
    pub const NAMES: [&'static str; 10] = [
        "getStatus",
        "getVersion",
        "setKinetOnDemandRequest",
        "getConfigStates",
        "getClock",
        "dcgmProfPause",
        "dcgmProfResume",
        "listProcesses",
        "getHealth",
        "getMetrics",
    ];

    /// Reads a frame's body.
    ///
    /// # Errors
    /// See [`RequestError`]. Numbers are never narrowed in silence.
    pub fn decode(body: &[u8]) -> Result<Self, RequestError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| RequestError::NotJson { line: e.line(), column: e.column() })?;
        let fields = Fields(value.as_object().ok_or(RequestError::NotObject)?);
        match fields.0.get("fn").and_then(Value::as_str).ok_or(RequestError::NoFunction)? {
            "getStatus" => Ok(Self::Status { extended: fields.flag("extended")? }),
            "getVersion" => Ok(Self::Version),
            "setKinetOnDemandRequest" => fields.on_demand().map(Self::OnDemand),
            "getConfigStates" => Ok(Self::ConfigStates {
                trace_ids: fields.trace_ids()?,
                wait_ms: fields.count("wait_ms", 0)?,
            }),
            "getClock" => Ok(Self::Clock),
            "dcgmProfPause" | "dcgmPause" => {
                let duration_s = fields.count("duration_s", DEFAULT_PAUSE_S)?;
                Ok(Self::DcgmPause { duration_s })
            }
            "dcgmProfResume" | "dcgmResume" => Ok(Self::DcgmResume),
            "listProcesses" => Ok(Self::Processes(fields.page()?)),
            "getMetrics" => Ok(Self::Metrics(fields.page()?)),
            "getHealth" => Ok(Self::Health),
            _ => Err(RequestError::UnknownFunction),
        }
    }

    /// Writes a frame's body. The field `extended` is sent wherever it has a meaning.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let value = match self {
            Self::Status { extended: true } => json!({"fn": "getStatus", "extended": true}),
            Self::Status { extended: false } => json!({"fn": "getStatus"}),
            Self::Version => json!({"fn": "getVersion"}),
            Self::OnDemand(r) => r.encode(),
            Self::ConfigStates { trace_ids, wait_ms } => {
                let ids: Vec<String> = trace_ids.iter().map(ToString::to_string).collect();
                json!({"fn": "getConfigStates", "trace_ids": ids, "wait_ms": wait_ms})
            }
            Self::Clock => json!({"fn": "getClock"}),
            Self::DcgmPause { duration_s } => json!({"fn": "dcgmProfPause", "duration_s": duration_s}),
            Self::DcgmResume => json!({"fn": "dcgmProfResume"}),
            Self::Processes(page) => {
                json!({"fn": "listProcesses", "offset": page.offset, "limit": page.limit})
            }
            Self::Health => json!({"fn": "getHealth"}),
            Self::Metrics(page) => {
                json!({"fn": "getMetrics", "offset": page.offset, "limit": page.limit})
            }
        };
        value.to_string().into_bytes()
    }

    /// The function's name on the wire; what logs call the request.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "getStatus",
            Self::Version => "getVersion",
            Self::OnDemand(_) => "setKinetOnDemandRequest",
            Self::ConfigStates { .. } => "getConfigStates",
            Self::Clock => "getClock",
            Self::DcgmPause { .. } => "dcgmProfPause",
            Self::DcgmResume => "dcgmProfResume",
            Self::Processes(_) => "listProcesses",
            Self::Health => "getHealth",
            Self::Metrics(_) => "getMetrics",
        }
    }
}

/// Typed access to a request's fields.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn on_demand(&self) -> Result<OnDemand, RequestError> {
        let config = self.0.get("config").ok_or(RequestError::Missing("config"))?;
        let config =
            config.as_str().ok_or(RequestError::BadField { field: "config", expected: "a string" })?;
        let bad = RequestError::BadField {
            field: "select",
            expected: "an object of at most 4096 pids, 4096 ranks and 64 names",
        };
        let selection = self.0.get("select").map(|v| ProcessSelection::decode(v).ok_or(bad)).transpose()?;
        let pids = self.pids()?;
        Ok(OnDemand {
            config: config.to_owned(),
            job_id: self.integer("job_id", 0, "a 64-bit integer")?,
            pids: selection.as_ref().map_or(pids, |selection| selection.pids.clone()),
            selection,
            process_limit: self.count("process_limit", DEFAULT_PROCESS_LIMIT)?,
            user: self.text("user")?,
            expand: self.flag("expand")?,
            extended: self.flag("extended")?,
        })
    }

    fn page(&self) -> Result<ListPage, RequestError> {
        Ok(ListPage {
            offset: self.count("offset", 0)?.into(),
            limit: self.count("limit", DEFAULT_PAGE)?.into(),
        })
    }

    fn pids(&self) -> Result<Vec<i32>, RequestError> {
        let bad = RequestError::BadField { field: "pids", expected: "an array of at most 4096 process ids" };
        let pids = self.0.get("pids").ok_or(RequestError::Missing("pids"))?;
        let pids = pids.as_array().filter(|a| a.len() <= MAX_PIDS).ok_or_else(|| bad.clone())?;
        let pid = |v: &Value| v.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0);
        pids.iter().map(pid).collect::<Option<_>>().ok_or(bad)
    }

    fn trace_ids(&self) -> Result<Vec<u64>, RequestError> {
        let bad = RequestError::BadField { field: "trace_ids", expected: "an array of at most 4096 ids" };
        let ids = self.0.get("trace_ids").ok_or(RequestError::Missing("trace_ids"))?;
        let ids = ids.as_array().filter(|a| a.len() <= MAX_TRACE_IDS).ok_or_else(|| bad.clone())?;
        ids.iter().map(|v| v.as_str().and_then(|id| id.parse().ok())).collect::<Option<_>>().ok_or(bad)
    }

    fn count(&self, field: &'static str, default: u32) -> Result<u32, RequestError> {
        let n = self.integer(field, default.into(), "a non-negative 32-bit integer")?;
        u32::try_from(n)
            .map_err(|_| RequestError::BadField { field, expected: "a non-negative 32-bit integer" })
    }

    fn integer(
        &self,
        field: &'static str,
        default: i64,
        expected: &'static str,
    ) -> Result<i64, RequestError> {
        match self.0.get(field) {
            None => Ok(default),
            Some(v) => v.as_i64().ok_or(RequestError::BadField { field, expected }),
        }
    }

    fn text(&self, field: &'static str) -> Result<Option<String>, RequestError> {
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let bad = RequestError::BadField { field, expected: "a string" };
        self.0.get(field).map(|v| text(v).ok_or(bad)).transpose()
    }

    fn flag(&self, field: &'static str) -> Result<bool, RequestError> {
        match self.0.get(field) {
            None => Ok(false),
            Some(v) => v.as_bool().ok_or(RequestError::BadField { field, expected: "true or false" }),
        }
    }
}

/// Reply to `getVersion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReply {
    /// Free text.
    pub version: String,
}

/// Reply to the dcgm functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DcgmReply {
    /// Whether it was done.
    pub status: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn err(body: &str) -> String {
        Request::decode(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn existing_clients_requests_are_understood() {
        let body = b"\n{\n \"fn\": \"setKinetOnDemandRequest\",\n \"config\": \"A=1\\nB=2\",\n \"job_id\": 0,\n \"pids\": [0],\n \"process_limit\": 3\n}";
        let Request::OnDemand(r) = Request::decode(body).unwrap() else { panic!() };
        assert_eq!(r.config, "A=1\nB=2");
        assert!(r.all_pids() && !r.extended);
        assert_eq!(r.process_limit, 3);
        assert_eq!(Request::decode(b"{\"fn\":\"dcgmPause\"}"), Ok(Request::DcgmPause { duration_s: 300 }));
    }

    #[test]
    fn requests_survive_the_round_trip() {
        let on_demand = OnDemand {
            config: "LOG=/a\"b\\c".into(),
            job_id: 7,
            pids: vec![1, 2],
            process_limit: 3,
            user: Some("ann".into()),
            selection: None,
            expand: true,
            extended: true,
        };
        for r in [
            Request::Status { extended: true },
            Request::Status { extended: false },
            Request::Version,
            Request::Clock,
            Request::ConfigStates { trace_ids: vec![1, u64::MAX], wait_ms: 2000 },
            Request::OnDemand(on_demand),
            Request::DcgmPause { duration_s: 9 },
            Request::DcgmResume,
            Request::Processes(ListPage { offset: 4096, limit: 7 }),
            Request::Health,
            Request::Metrics(ListPage { offset: 1, limit: 2 }),
        ] {
            assert!(Request::NAMES.contains(&r.name()), "{}", r.name());
            assert_eq!(Request::decode(&r.encode()), Ok(r));
        }
    }

    #[test]
    fn errors_name_the_field_and_never_quote_the_peer() {
        assert_eq!(err("{"), "request is not valid JSON (line 1, column 1)");
        assert_eq!(err("[]"), "request is not a JSON object");
        assert_eq!(err("{}"), "request has no function name `fn`");
        assert_eq!(err(r#"{"fn":"evil\nline"}"#), "request names an unknown function");
        assert_eq!(err(r#"{"fn":"setKinetOnDemandRequest"}"#), "request field `config` is missing");
        assert_eq!(err(r#"{"fn":"setKinetOnDemandRequest","config":""}"#), "request field `pids` is missing");
        let pids = r#"{"fn":"setKinetOnDemandRequest","config":"","pids":[99999999999]}"#;
        assert_eq!(err(pids), "request field `pids` is not an array of at most 4096 process ids");
        let limit = r#"{"fn":"setKinetOnDemandRequest","config":"","pids":[],"process_limit":-1}"#;
        assert_eq!(err(limit), "request field `process_limit` is not a non-negative 32-bit integer");
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_stack_overflow() {
        assert!(err(&"[".repeat(60_000)).contains("not valid JSON"));
    }

    #[test]
    fn replies_of_every_daemon_are_read() {
        let upstream: StatusReply = serde_json::from_str(r#"{"status":1,"new":{}}"#).unwrap();
        assert_eq!(upstream.status, Some(1));
        let ms: StatusReply = serde_json::from_str(
            r#"{"nputrace":"Ready","npumonitor":"unknown","current_step":4,"start_step":5,"stop_step":7}"#,
        )
        .unwrap();
        assert_eq!((ms.nputrace, ms.stop_step), (Some(FunctionState::Ready), Some(7)));
        let newer: StatusReply =
            serde_json::from_str(r#"{"nputrace":"Paused","npumonitor":"Idle"}"#).unwrap();
        assert_eq!(newer.nputrace, Some(FunctionState::Unknown));
        assert_eq!(serde_json::to_string(&FunctionState::Unknown).unwrap(), r#""unknown""#);
        let refused: OnDemandReply = serde_json::from_str(r#"{"commandStatus":"ineffective"}"#).unwrap();
        assert_eq!(refused.command_status, Some(CommandStatus::Ineffective));
        assert_eq!(refused.processes_matched, None);
    }
}
