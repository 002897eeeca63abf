//! The `tracewhy` binary; everything is in the library of the same name.
fn main() -> std::process::ExitCode {
    common::cli::main::<tracewhy::Cli>()
}
