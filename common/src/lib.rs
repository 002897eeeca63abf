//! The code that two or more of the tools share, and nothing else.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the one `main`, and the flags that every tool has |
//! | [`out`] | standard output and the diagnostics on standard error |
//! | [`exit`] | what the exit statuses mean |
//! | [`error`] | errors that carry a hint for the user |
//! | [`progress`] | progress bars, hidden where stderr is not a terminal |
//! | [`record`] | the JSON lines that tools pipe to each other |
//! | [`finding`] | a rule's verdict on a subject, as audits and start-up checks report it |
//! | [`report`] | findings as SARIF, JUnit XML, Prometheus and Nagios |
//! | [`inputs`], [`input_lines`] | paths as arguments and in lists; inputs read line by line, bounded |
//! | [`duration`], [`size`] | durations and sizes as options take them |
//! | [`accounts`], [`system_root`] | users and groups of a system, live or an image; files below its root |
//! | [`policy`] | the table of maximum permissions |
//! | [`walk`], [`glob`] | file trees walked through descriptors; patterns of their paths |
//! | [`writers`], [`system_paths`] | files that a process has open for writing; paths that belong to the system |
//! | [`program`] | other programs, run bounded in time and output |
//! | [`held_signals`] | signals that wait until an operation is done |
//! | [`file_id`] | which file it is, whatever its path |
//! | [`fsat`] | files written atomically with their final mode, and inputs opened with care |
//! | [`rpc`] | the client-daemon protocol: frames, messages, config text |
//! | [`ipc`] | the daemon-process protocol: datagrams and socket addresses |
//! | `pki` | certificate directories and TLS configurations (feature `tls`) |

pub mod accounts;
pub mod cli;
pub mod duration;
pub mod error;
pub mod exit;
pub mod file_id;
pub mod finding;
pub mod fsat;
pub mod glob;
pub mod held_signals;
pub mod input_lines;
pub mod inputs;
pub mod ipc;
pub mod out;
pub mod passwd;
#[cfg(feature = "tls")]
pub mod pki;
pub mod policy;
pub mod program;
pub mod progress;
pub mod record;
pub mod report;
pub mod rpc;
pub mod rule;
pub mod size;
pub mod system_paths;
pub mod system_root;
pub mod text;
pub mod walk;
pub mod writers;
