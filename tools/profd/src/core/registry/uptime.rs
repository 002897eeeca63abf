//! The clock of the registry.

use std::time::Duration;

/// Time on the daemon's clock, which begins some time before the daemon starts.
pub(crate) type Uptime = Duration;
