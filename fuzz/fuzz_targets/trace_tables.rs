//! Any bytes as a trace that becomes a database, an Arrow file and a data set of Parquet files: reading the last gives every
//! event again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tracecv::fuzz_tables(bytes));
