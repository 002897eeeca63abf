//! Profiles put together field by field, against what must come of them; damaged ones.

use super::super::perfetto::tests::{bytes, message, varint};
use super::super::testing::read_bytes as read;

fn entry(number: u64, key: u64, name: &str) -> Vec<u8> {
    message(number, &[varint(1, key), message(2, &[varint(1, key), bytes(2, name.as_bytes())])])
}

fn small() -> Vec<u8> {
    let event = message(
        4,
        &[
            varint(1, 7),
            varint(2, 2_500_500),
            varint(3, 1_499),
            message(4, &[varint(1, 1), varint(4, 33)]),
            message(4, &[varint(1, 2), varint(7, 3)]),
            message(4, &[varint(1, 4), varint(4, 1)]),
        ],
    );
    let sum = message(4, &[varint(1, 7), varint(5, 9)]);
    let line =
        message(3, &[varint(1, (1 << 32) | 20), bytes(2, b"Stream #20(Compute)"), varint(3, 10), event, sum]);
    let device = message(
        1,
        &[
            varint(1, 1),
            bytes(2, b"/device:GPU:0"),
            line,
            entry(4, 7, "fusion"),
            entry(5, 1, "correlation_id"),
            entry(5, 2, "hlo_op"),
            entry(5, 3, "dot.1"),
            entry(5, 4, "_pt"),
        ],
    );
    let task = message(
        1,
        &[
            bytes(2, b"Task Environment"),
            message(6, &[varint(1, 1), varint(3, 5000)]),
            entry(5, 1, "profile_start_time"),
        ],
    );
    [device, task, bytes(4, b"host")].concat()
}

#[test]
fn planes_become_processes() {
    let (lines, outcome) = read(&small());
    assert!(outcome.complete && outcome.meta.base_ns == Some(5000), "{:?}", outcome.error);
    let expected = [
        "M other 2/- process_name -+- {\"name\":\"/device:GPU:0\"}",
        "M other 2/20 thread_name -+- {\"name\":\"Stream #20(Compute)\"}",
        "X other 2/20 fusion 2511+1 {\"correlation_id\":33,\"hlo_op\":\"dot.1\"}",
    ];
    assert_eq!(lines, expected);
}

/// Planes of devices and others are numbered apart, and those whose events are not read are noted.
#[test]
fn planes_with_one_number_stay_apart() {
    let plane = |name: &str| {
        let line = message(3, &[varint(1, 2), message(4, &[varint(1, 7), varint(3, 1000)])]);
        message(1, &[bytes(2, name.as_bytes()), line, entry(4, 7, "e")])
    };
    let names = ["/device:TPU:0", "/device:CUSTOM:Megascale Trace", "/host:other"];
    let (lines, outcome) = read(&names.map(plane).concat());
    let events: Vec<&String> = lines.iter().filter(|line| line.starts_with('X')).collect();
    assert_eq!(events, ["X other 1/2 e 0+1 null", "X other 501/2 e 0+1 null"]);
    assert_eq!(outcome.unread_members, ["/host:other"]);
}

#[test]
fn damaged_profiles_end() {
    let file = small();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x81;
        let (_, outcome) = read(&damaged);
        assert_eq!(outcome.complete, outcome.error.is_none(), "{at}");
    }
    let cut = read(&file[..100]).1.error.unwrap().to_string();
    assert_eq!(cut, "the file ends inside a plane (byte 100)");
}

#[test]
fn impossible_durations_and_missing_names_are_counted() {
    let event = |name: u64, dur: u64| message(4, &[varint(1, name), varint(2, 1_000_000), varint(3, dur)]);
    let line = message(
        3,
        &[varint(1, 20), bytes(2, b"Stream #20(Compute)"), event(7, (-5_000i64) as u64), event(8, 3_000)],
    );
    let plane = message(1, &[varint(1, 1), bytes(2, b"/device:GPU:0"), line, entry(4, 7, "fusion")]);
    let (lines, outcome) = read(&plane);
    assert!(lines[2].contains(" fusion 1000+0 ") && lines[3].contains(" unknown 1000+3 "), "{lines:?}");
    assert_eq!(outcome.defects.repairs(), [("negative_dur".to_owned(), 1)].into());
    assert_eq!(outcome.defects.losses(), [("missing_name".to_owned(), 1)].into());
}
