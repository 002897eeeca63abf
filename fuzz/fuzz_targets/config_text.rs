//! The text of a config, as a daemon receives it from a client and a process from a daemon.
#![no_main]

use common::rpc::config::{Config, MAX_TEXT};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(text) else { return };
    assert!(text.len() <= MAX_TEXT && !config.pairs().is_empty());
    // What was read is written in a form that reads as the same: nothing can be smuggled through.
    assert_eq!(Config::parse(&config.to_string()).as_ref(), Ok(&config));
    for (key, value) in config.pairs() {
        assert_eq!(config.get(key), Some(value.as_str()));
        assert!(!value.chars().any(char::is_control));
    }
    let _ = (config.is_monitor(), config.output());
});
