//! Directories judged per second and core, in one process: `cargo bench -p certck`. Prints one JSON line for each
//! measurement.
//!
//! The time of a whole process is measured from outside:
//! `time (for i in $(seq 100); do certck check DIR >/dev/null; done)`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Parser;
use common::cli::Tool;
use common::out::{Out, Verbosity};
use common::pki::{LoadOptions, Role, inspect};

/// How long one measurement takes.
const SPAN: Duration = Duration::from_secs(2);

fn main() {
    for algo in ["ecdsa-p256", "ed25519", "rsa-3072"] {
        let dir = tempfile::tempdir().unwrap();
        let cli = certck::Cli::parse_from(["certck", "mint", "--algo", algo, dir.path().to_str().unwrap()]);
        cli.run(&mut Out::to(Box::new(std::io::sink()), "certck", false, Verbosity::Quiet)).unwrap();
        let server = dir.path().join("server_certs");
        let (begin, mut n) = (Instant::now(), 0u32);
        while begin.elapsed() < SPAN {
            black_box(inspect(&server, Role::Server, &LoadOptions::now()));
            n += 1;
        }
        let rate = f64::from(n) / begin.elapsed().as_secs_f64();
        println!("{{\"bench\":\"certck.check\",\"algo\":\"{algo}\",\"directories_per_second\":{rate:.0}}}");
    }
}
