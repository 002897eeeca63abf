//! stub
use common::exit::Exit;
use common::out::Out;
/// Stub
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}
pub(crate) fn run(_args: &Args, _out: &mut Out) -> anyhow::Result<Exit> {
    Ok(Exit::Ok)
}
