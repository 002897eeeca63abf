//! `profctl version`: which version a daemon is.

use clap::Args;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{Request, VersionReply};

use crate::reply::{declined, decode};
use crate::session::Session;

/// Print the version of the daemon
///
/// The version of profctl itself is `profctl --version`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  profctl version\n  profctl --hosts node1,node2 version")]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(&self, mut session: Session<'_>) -> anyhow::Result<Exit> {
        session.ask(&Request::Version, |session, mut answer, body| {
            let mut version = None;
            match body.and_then(|b| decode::<VersionReply>(&b)) {
                Ok(reply) => version = Some(reply.version),
                Err(refusal) => refusal.apply(&mut answer),
            }
            session.count(&answer);
            if session.json() {
                session.out.record(&record::Version { answer, version })?;
            } else if let Some(text) = version.or_else(|| declined(&answer)) {
                session.line(&answer, &text)?;
            }
            Ok(())
        })?;
        session.finish()
    }
}
