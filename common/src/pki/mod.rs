//! Certificate directories of a mutual-TLS deployment: read, judged, and turned into TLS configurations.
//!
//! One judgement serves everybody: `certck check` prints what [`inspect`] finds, and `profd` and `profctl` start
//! from [`MtlsDir::load`], which is the same inspection with its errors refused. A directory that passes the
//! check is one that serves. The clock, the passphrase and the names wanted are values in [`LoadOptions`].
//!
//! | module | holds |
//! |---|---|
//! | [`role`] | which files a server's or a client's directory has |
//! | [`rule`] | every rule: id, severity, what it demands |
//! | [`pem`] | PEM files taken apart |
//! | `read` | files opened with care below an open directory |
//! | `inspect` | a directory judged |
//! | `tls` | rustls configurations; the only place that chooses the cryptography |

pub mod pem;
pub mod role;
pub mod rule;

mod inspect;
mod read;
mod tls;

pub use inspect::{Inspection, LoadError, LoadOptions, MtlsDir, Passphrase, inspect};
pub use role::Role;
pub use tls::{MinVersion, provider};
