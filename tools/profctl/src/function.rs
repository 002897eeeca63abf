//! The functions that a request starts or stops.

use std::fmt;

/// The function that a request is about. A record names it as the subcommand does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestedFunction {
    /// An on-demand trace of PyTorch processes (libkineto).
    GpuTrace,
    /// An on-demand trace of processes on Ascend devices.
    NpuTrace,
    /// Continuous monitoring of Ascend devices.
    NpuMonitor,
    /// Pausing the daemon's DCGM profiling.
    DcgmPause,
    /// Resuming the daemon's DCGM profiling.
    DcgmResume,
}

impl RequestedFunction {
    /// Returns the name of the subcommand.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GpuTrace => "gputrace",
            Self::NpuTrace => "nputrace",
            Self::NpuMonitor => "npu-monitor",
            Self::DcgmPause => "dcgm-pause",
            Self::DcgmResume => "dcgm-resume",
        }
    }
}

impl fmt::Display for RequestedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
