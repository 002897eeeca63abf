//! Why a request failed: the reply of existing daemons, with a reason beside it.

use serde::{Deserialize, Serialize};

use crate::text::without_error_numbers;

/// A failure, as existing daemons word it, with our reason beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `failed`, or from existing daemons `failed with exception = …`.
    pub status: String,
    /// Why, from daemons of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureReason>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FailureReason {
    /// With a code.
    Coded {
        /// See [`ErrorCode`]; a newer daemon may have others.
        code: String,
        /// For people.
        message: String,
    },
    /// From older daemons of ours.
    Text(String),
}

impl FailureReason {
    /// The reason in words.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Coded { message, .. } | Self::Text(message) => message,
        }
    }
}

/// Stable words for what made a request fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A limit on connections or work is reached; the same request may succeed later.
    Busy,
    /// The client has used up its rate of requests.
    Rate,
    /// The client may not do this.
    Forbidden,
    /// The certificate of the client is no longer valid.
    Certificate,
    /// The config is malformed.
    Config,
    /// The config names a path that processes must not write to.
    OutputPath,
    /// The request is malformed.
    Request,
    /// The daemon does not have the function.
    Function,
    /// The frame is malformed.
    Frame,
    /// The daemon is stopping.
    Stopping,
    /// The audit trail cannot be written, so nothing is carried out.
    Audit,
    /// The connection is closed because of its age.
    Age,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Busy,
        Self::Rate,
        Self::Forbidden,
        Self::Certificate,
        Self::Config,
        Self::OutputPath,
        Self::Request,
        Self::Function,
        Self::Frame,
        Self::Stopping,
        Self::Audit,
        Self::Age,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Rate => "rate",
            Self::Forbidden => "forbidden",
            Self::Certificate => "certificate",
            Self::Config => "config",
            Self::OutputPath => "output_path",
            Self::Request => "request",
            Self::Function => "function",
            Self::Frame => "frame",
            Self::Stopping => "stopping",
            Self::Audit => "audit",
            Self::Age => "age",
        }
    }
}

impl Failure {
    /// Wraps a reason. The numbers of the system's errors are left out.
    #[must_use]
    pub fn new(code: ErrorCode, reason: impl std::fmt::Display) -> Self {
        let error = FailureReason::Coded {
            code: code.name().to_owned(),
            message: without_error_numbers(&reason.to_string()),
        };
        Self { status: "failed".to_owned(), error: Some(error) }
    }
}
