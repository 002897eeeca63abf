//! The one limit of CRL files, as an option of every program that reads them.

use super::MAX_CRL_BYTES;
use crate::size::parse_size;

/// The option for the largest CRL file.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct CrlLimitArgs {
    /// Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = parse_size)]
    pub max_crl_bytes: u64,
}

impl Default for CrlLimitArgs {
    fn default() -> Self {
        Self { max_crl_bytes: MAX_CRL_BYTES }
    }
}
