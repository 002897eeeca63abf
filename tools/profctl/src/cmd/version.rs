//! `profctl version`: the version of a daemon.

use clap::Args;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{Request, VersionReply};

use crate::reply::{decode_reply, format_decline};
use crate::session::DaemonSession;

/// Print the version of the daemon
///
/// `profctl --version` prints the version of profctl itself.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Print the version of the daemon on this machine:\n    profctl version\n\n  Print the versions of two daemons:\n    profctl --hosts node1,node2 version"
)]
pub(crate) struct VersionArgs {}

impl VersionArgs {
    pub(crate) fn run(&self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        session.query_daemons(&Request::Version, |session, mut answer, body| {
            let mut version = None;
            match body.and_then(|b| decode_reply::<VersionReply>(&b)) {
                Ok(reply) => version = Some(reply.version),
                Err(failure) => failure.apply_to(&mut answer),
            }
            session.count_answer(&answer);
            if session.writes_records() {
                session.out.record(&record::Version { answer, version })?;
            } else if let Some(text) = version.or_else(|| format_decline(&answer)) {
                session.print_line(&answer, &text)?;
            }
            Ok(())
        })?;
        session.finish_run()
    }
}
