//! Traces put together field by field, as the three writers do it, against what must come of them.

use prost::Message;

use super::super::testing::read_bytes as read;

/// A field that is a number.
pub(in super::super) fn varint(number: u64, mut value: u64) -> Vec<u8> {
    let mut out = key(number, 0);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return out;
        }
    }
}

fn key(number: u64, wire: u64) -> Vec<u8> {
    let mut out = varint_of(number << 3 | wire);
    out.shrink_to_fit();
    out
}

fn varint_of(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field that has a length: a text, or a message of fields.
pub(in super::super) fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
    [key(number, 2), varint_of(value.len() as u64), value.to_vec()].concat()
}

pub(in super::super) fn message(number: u64, fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(number, &fields.concat())
}

fn fixed64(number: u64, value: u64) -> Vec<u8> {
    [key(number, 1), value.to_le_bytes().to_vec()].concat()
}

fn packet(fields: &[Vec<u8>]) -> Vec<u8> {
    message(1, fields)
}

/// A process with one thread, and a track of the process.
fn tracks() -> Vec<u8> {
    [
        packet(&[message(60, &[varint(1, 1), message(3, &[varint(1, 40), bytes(6, b"python")])])]),
        packet(&[message(
            60,
            &[varint(1, 2), message(4, &[varint(1, 40), varint(2, 41), bytes(5, b"main")]), varint(5, 1)],
        )]),
        packet(&[message(60, &[varint(1, 3), bytes(2, b"stream 7"), varint(5, 1)])]),
    ]
    .concat()
}

/// PyTorch's first form: inline annotation names, epoch times, a sequence of its own, all begins and then all ends.
#[test]
fn the_first_form_of_pytorch() {
    const START: u64 = 1_760_000_000_000_000_000;
    let interned = message(
        12,
        &[message(1, &[varint(1, 1), bytes(2, b"kernel")]), message(2, &[varint(1, 9), bytes(2, b"gemm")])],
    );
    let annotation = |name: &str, n: u64| message(4, &[bytes(10, name.as_bytes()), varint(4, n)]);
    let event = |kind: u64, at: u64, track: u64, more: &[Vec<u8>]| {
        let fields = [&[varint(9, kind), varint(11, track)], more].concat();
        packet(&[varint(8, START + at), varint(10, 1), varint(13, 2), message(11, &fields)])
    };
    let clear = packet(&[varint(10, 1), varint(13, 1), interned]);
    let kernel = [
        varint(3, 1),
        varint(10, 9),
        annotation("correlation", 5),
        annotation("stream", 7),
        annotation("device", 0),
        fixed64(47, 77),
    ];
    let host = [
        bytes(22, b"cuda_runtime"),
        bytes(23, b"cudaLaunchKernel"),
        annotation("correlation", 5),
        fixed64(47, 77),
    ];
    let file = [
        tracks(),
        clear,
        event(1, 100, 2, &host),
        event(1, 300, 3, &kernel),
        event(2, 150, 2, &[]),
        event(2, 400, 3, &[]),
    ]
    .concat();
    let (lines, outcome) = read(&file);
    assert!(outcome.complete, "{:?}", outcome.error);
    assert_eq!(outcome.defects.repairs().len() + outcome.defects.losses().len(), 0);
    let own = 1i64 << 40;
    let expected = [
        "M other 40/- process_name -+- {\"name\":\"python\"}".to_owned(),
        "M other 40/41 thread_name -+- {\"name\":\"main\"}".to_owned(),
        format!("s flow 40/41 flow {}+- null", START + 100),
        format!("M other 40/{own} thread_name -+- {{\"name\":\"stream 7\"}}"),
        format!("t flow 40/{own} flow {}+- null", START + 300),
        format!("X runtime 40/41 cudaLaunchKernel {}+50 {{\"correlation\":5}}", START + 100),
        format!("X kernel 40/{own} gemm {}+100 {{\"correlation\":5,\"device\":0,\"stream\":7}}", START + 300),
    ];
    assert_eq!(lines, expected);
}

/// What the kinds, times and names of some events on a track of their own become, one after the other.
fn slices_of(events: &[(u64, u64, &str)]) -> Vec<String> {
    let event = |&(kind, at, name): &(u64, u64, &str)| {
        packet(&[
            varint(8, at),
            varint(10, 1),
            message(11, &[varint(9, kind), varint(11, 2), bytes(23, name.as_bytes())]),
        ])
    };
    let file = [tracks(), events.iter().flat_map(event).collect()].concat();
    let (lines, outcome) = read(&file);
    assert!(outcome.complete, "{:?}", outcome.error);
    let shown = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0] != "M").then(|| format!("{} {} {}", words[0], words[3], words[4]))
    };
    lines.iter().filter_map(shown).collect()
}

/// Slices come in the order in which they began, each as one event; what has no partner stays what it is.
#[test]
fn begins_and_ends_become_slices() {
    const BEGIN: u64 = 1;
    const END: u64 = 2;
    let nested =
        [(BEGIN, 10, "a"), (BEGIN, 10, "b"), (END, 15, ""), (BEGIN, 16, "b"), (END, 17, "b"), (END, 20, "")];
    assert_eq!(slices_of(&nested), ["X a 10+10", "X b 10+5", "X b 16+1"]);
    let unmatched = [(END, 1, "x"), (BEGIN, 2, "a"), (BEGIN, 3, "b"), (END, 4, "b")];
    assert_eq!(slices_of(&unmatched), ["E x 1+-", "B a 2+-", "X b 3+1"]);
    // Another name is not the end of this slice alone, and times that go back show that the order says nothing.
    assert_eq!(slices_of(&[(BEGIN, 2, "a"), (END, 4, "c")]), ["B a 2+-", "E c 4+-"]);
    let unordered =
        [(BEGIN, 10, "a"), (BEGIN, 15, "b"), (END, 40, ""), (END, 17, ""), (BEGIN, 50, "c"), (END, 51, "c")];
    assert_eq!(slices_of(&unordered), ["B a 10+-", "B b 15+-", "E  40+-", "E  17+-", "B c 50+-", "E c 51+-"]);
}

/// Slices that overlap without nesting stand on further tracks, and keep their times in one thread.
#[test]
fn overlapping_slices_of_one_name_keep_their_ends() {
    let lane = packet(&[message(
        60,
        &[varint(1, 9), bytes(2, b"main"), varint(5, 1), bytes(14, b"lane 2 of pid 40, tid 41")],
    )]);
    let event = |kind: u64, at: u64, track: u64| {
        packet(&[
            varint(8, at),
            varint(10, 1),
            message(11, &[varint(9, kind), varint(11, track), bytes(23, b"copy")]),
        ])
    };
    let file = [tracks(), lane, event(1, 10, 2), event(1, 15, 9), event(2, 20, 2), event(2, 30, 9)].concat();
    let (lines, _) = read(&file);
    let slices: Vec<&String> = lines.iter().filter(|line| !line.starts_with('M')).collect();
    assert_eq!(slices, ["X other 40/41 copy 10+10 null", "X other 40/41 copy 15+15 null"]);
}

/// A track that `tracecv` describes as one of async spans holds those, with their id.
#[test]
fn async_spans_come_back() {
    let track = packet(&[message(
        60,
        &[varint(1, 9), bytes(2, b"net 0x7"), varint(5, 1), bytes(14, b"async 0x7 of pid 40")],
    )]);
    let event = |kind: u64, at: u64| {
        packet(&[
            varint(8, at),
            varint(10, 1),
            message(11, &[varint(9, kind), varint(11, 9), bytes(23, b"get")]),
        ])
    };
    let (lines, _) = read(&[tracks(), track, event(1, 10), event(3, 15), event(2, 20)].concat());
    let spans: Vec<&String> = lines.iter().filter(|line| !line.starts_with('M')).collect();
    assert_eq!(
        spans,
        ["b other 40/- get 10+- null", "n marker 40/- get 15+- null", "e other 40/- get 20+- null"]
    );
}

/// PyTorch's newer form: a snapshot of clocks, and work on the GPU as render stages.
#[test]
fn the_newer_form_of_pytorch() {
    let spec = |id: u64, name: &str| message(24, &[varint(1, id), bytes(2, name.as_bytes()), varint(4, 2)]);
    let extra =
        |name: &str, value: &str| message(6, &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())]);
    let clock = |id: u64, at: u64| message(1, &[varint(1, id), varint(2, at)]);
    let file = [
        packet(&[message(6, &[clock(6, 1000), clock(1, 5000)])]),
        packet(&[
            varint(10, 3),
            varint(13, 1),
            message(
                12,
                &[
                    spec(1, "[007] stream 7"),
                    spec(2, "Kernel"),
                    spec(3, "Annotation"),
                    message(1000, &[varint(1, 5), bytes(2, b"_Z1k"), bytes(3, b"k()")]),
                ],
            ),
        ]),
        packet(&[
            varint(8, 2000),
            varint(10, 3),
            varint(13, 2),
            message(
                53,
                &[
                    varint(1, 12),
                    varint(2, 250),
                    varint(11, 1),
                    varint(13, 1),
                    varint(14, 2),
                    varint(19, 5),
                    extra("stream id", "7"),
                    extra("correlation", "91"),
                    extra("priority", "high"),
                ],
            ),
        ]),
        packet(&[
            varint(8, 2000),
            varint(10, 3),
            message(
                52,
                &[
                    message(1, &[message(1, &[varint(1, 4), bytes(2, b"Power (W)")])]),
                    message(2, &[varint(1, 4), varint(2, 300)]),
                ],
            ),
        ]),
    ]
    .concat();
    let (lines, outcome) = read(&file);
    assert!(outcome.complete && outcome.meta.base_ns == Some(4000));
    let gpu = (1i64 << 41) + 1;
    let expected = [
        format!("M other {gpu}/- process_name -+- {{\"name\":\"GPU 1\"}}"),
        format!("M other {gpu}/1 thread_name -+- {{\"name\":\"[007] stream 7\"}}"),
        format!(
            "X kernel {gpu}/1 k() 2000+250 {{\"correlation\":91,\"event_id\":12,\"priority\":\"high\",\"stage\":\"Kernel\",\"stream id\":7}}"
        ),
        format!("C counter {}/- Power (W) 2000+- {{\"value\":300}}", gpu - 1),
    ];
    assert_eq!(lines, expected);
}

/// The SDK: defaults of a sequence, an incremental clock, counters, compressed packets, nested annotations.
#[test]
fn the_forms_of_the_sdk() {
    let clock = |fields: &[Vec<u8>]| message(1, fields);
    let defaults = message(59, &[varint(58, 64), message(11, &[varint(11, 2)])]);
    let inner = [
        packet(&[varint(8, 10), varint(10, 5), message(11, &[varint(9, 3), bytes(23, b"mark")])]),
        packet(&[varint(8, 10), varint(10, 5), message(11, &[varint(9, 4), varint(11, 8), varint(30, 3)])]),
        packet(&[varint(8, 10), varint(10, 5), message(11, &[varint(9, 4), varint(11, 8), varint(30, 4)])]),
    ]
    .concat();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &inner).unwrap();
    let nested = message(
        4,
        &[
            bytes(10, b"d"),
            message(11, &[bytes(10, b"a"), varint(2, 1)]),
            message(11, &[bytes(10, b"l"), message(12, &[bytes(6, b"x\xff")]), message(12, &[varint(3, 7)])]),
        ],
    );
    let legacy = message(6, &[varint(2, u64::from(b'X')), varint(3, 2), varint(18, 7), varint(19, 8)]);
    let file = [
        tracks(),
        packet(&[message(
            60,
            &[varint(1, 8), bytes(2, b"bytes"), message(8, &[varint(4, 1024), varint(5, 1)])],
        )]),
        packet(&[
            varint(10, 5),
            varint(13, 1),
            defaults,
            message(
                6,
                &[
                    clock(&[varint(1, 64), varint(2, 0), varint(3, 1), varint(4, 1000)]),
                    clock(&[varint(1, 6), varint(2, 500)]),
                ],
            ),
        ]),
        packet(&[bytes(50, &encoder.finish().unwrap())]),
        packet(&[varint(8, 10), varint(10, 5), message(11, &[bytes(23, b"old"), legacy, nested])]),
    ]
    .concat();
    let (lines, outcome) = read(&file);
    assert!(outcome.complete, "{:?}", outcome.error);
    let own = 1i64 << 40;
    let expected = [
        "M other 40/- process_name -+- {\"name\":\"python\"}".to_owned(),
        "M other 40/41 thread_name -+- {\"name\":\"main\"}".to_owned(),
        "i marker 40/41 mark 10500+- null".to_owned(),
        format!("M other 0/{own} thread_name -+- {{\"name\":\"bytes\"}}"),
        format!("C counter 0/{own} bytes 20500+- {{\"value\":3072}}"),
        format!("C counter 0/{own} bytes 30500+- {{\"value\":7168}}"),
        "X other 7/8 old 40500+2000 {\"d\":{\"a\":true,\"l\":[\"x\u{fffd}\",7]}}".to_owned(),
    ];
    assert_eq!(lines, expected);
}

/// What was lost is said, and costs what needs it; a cut file gives what came before.
#[test]
fn losses_are_counted() {
    let event = |flags: u64| {
        packet(&[varint(8, 5), varint(10, 1), varint(13, flags), message(11, &[varint(9, 3), varint(10, 1)])])
    };
    let named =
        packet(&[varint(10, 1), varint(13, 1), message(12, &[message(2, &[varint(1, 1), bytes(2, b"n")])])]);
    let dropped = packet(&[varint(10, 1), varint(42, 1)]);
    let bad = packet(&[vec![0x0a, 50]]);
    let file = [event(2), named.clone(), event(2), dropped, event(2), named, event(2), bad].concat();
    let (lines, outcome) = read(&file);
    assert_eq!(lines.iter().filter(|l| l.starts_with("i marker 0/")).count(), 2);
    let losses = outcome.defects.losses();
    assert_eq!((losses["packet_without_state"], losses["data_lost"], losses["unreadable_event"]), (2, 1, 1));
    let (lines, outcome) = read(&file[..file.len() - 30]);
    assert!(!outcome.complete && !lines.is_empty());
    assert!(outcome.error.unwrap().to_string().contains("the file ends inside a packet"));
}

/// Any damage to a trace ends in events or a reason.
#[test]
fn damaged_traces_end() {
    let file =
        [tracks(), packet(&[varint(8, 5), varint(10, 1), message(11, &[varint(9, 3), bytes(23, b"n")])])]
            .concat();
    for at in 0..file.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[at] ^= flip;
            let (_, outcome) = read(&damaged);
            assert_eq!(outcome.complete, outcome.error.is_none(), "{at}");
        }
    }
}

/// The structs read what the same library writes: the numbers of fields are those of the test's own writer.
#[test]
fn fields_have_their_numbers() {
    let event = super::messages::TrackEvent {
        kind: Some(1),
        track: Some(3),
        name: Some(b"n".to_vec()),
        ..Default::default()
    };
    assert_eq!(event.encode_to_vec(), [varint(9, 1), varint(11, 3), bytes(23, b"n")].concat());
}

/// A line end and a bracket are the key and the length of a packet; the text behind them is none.
#[test]
fn text_is_no_packet() {
    for text in [
        "\n{\n    \"schemaVersion\": 1, \"traceEvents\": [{\"ph\":\"i\",\"ts\":1}]}",
        "\n[{\"ph\":\"i\",\"ts\":1,\"name\":\"some long name\"}]",
    ] {
        assert!(!super::recognize(text.as_bytes()));
        assert_eq!(read(text.as_bytes()).1.events, 1);
    }
}

/// Texts inside others that are not UTF-8 are counted as those outside, and what is called JSON and is none is a text.
#[test]
fn texts_of_annotations_are_kept() {
    let nested = [
        message(11, &[bytes(10, b"k\xff"), bytes(6, b"a")]),
        message(11, &[bytes(10, b"l"), message(12, &[bytes(6, b"b\xfe")]), message(12, &[varint(4, 7)])]),
    ]
    .concat();
    let event = |annotations: &[Vec<u8>]| {
        let fields = [&[varint(9, 3), varint(11, 2), bytes(23, b"e")], annotations].concat();
        packet(&[varint(8, 5), varint(10, 1), message(11, &fields)])
    };
    let whole = [message(4, &[bytes(10, b"j"), bytes(9, b"[1.0, {\"b\": 1, \"a\": 2}]")])];
    let broken = [message(4, &[bytes(10, b"j"), bytes(9, b"[1")])];
    // Dictionaries and arrays of their old form.
    let list = message(3, &[message(4, &[varint(5, 1)]), message(4, &[bytes(8, b"x")])]);
    let old = [message(
        4,
        &[bytes(10, b"n"), message(8, &[bytes(2, b"a"), bytes(2, b"b"), list, message(3, &[varint(7, 1)])])],
    )];
    let nested = [message(4, &[bytes(10, b"d"), nested])];
    let file = [tracks(), event(&nested), event(&whole), event(&broken), event(&old)].concat();
    let (lines, outcome) = read(&file);
    let args: Vec<&str> =
        lines.iter().filter(|l| l.starts_with('i')).map(|l| l.split_once("+- ").unwrap().1).collect();
    let expected = [
        "{\"d\":{\"k\u{fffd}\":\"a\",\"l\":[\"b\u{fffd}\",7]}}",
        "{\"j\":[1.0,{\"a\":2,\"b\":1}]}",
        "{\"j\":\"[1\"}",
        "{\"n\":{\"a\":[1,\"x\"],\"b\":true}}",
    ];
    assert_eq!(args, expected);
    assert_eq!(outcome.defects.repairs(), [("invalid_utf8".to_owned(), 1)].into());
}

/// Packets of events that are not read are counted by their kind, and those that describe the trace are not. The file has
/// no fault: strict reading takes it.
#[test]
fn packets_of_other_kinds_are_counted() {
    let of = |number: u64| packet(&[varint(8, 5), message(number, &[varint(1, 0)])]);
    let chrome = packet(&[message(5, &[message(1, &[bytes(1, b"old")])])]);
    // A configuration, statistics, a synchronization marker; events of the kernel, samples, measurements, logs, an extension.
    let known = [33, 35, 36].map(of).concat();
    let others = [1, 1, 95, 66, 7, 39, 1500].map(of).concat();
    let file = [tracks(), known, others, chrome].concat();
    for strict in [false, true] {
        let mut lines = super::super::testing::Lines::default();
        let options = super::super::ReadOptions { strict, ..Default::default() };
        let source = Box::new(std::io::Cursor::new(file.clone()));
        let outcome = super::super::read_trace(source, &options, &mut lines).unwrap();
        assert!(outcome.complete, "{:?}", outcome.error);
        let expected = [
            ("unread_kernel_events", 3),
            ("unread_samples", 1),
            ("unread_measurements", 1),
            ("unread_packet", 3),
        ];
        assert_eq!(outcome.defects.losses(), expected.map(|(name, n)| (name.to_owned(), n)).into());
    }
}

/// Arguments of types that are not read are counted, and so are numbers that JSON does not have.
#[test]
fn arguments_that_are_lost_are_counted() {
    let nan = |name: &str| message(4, &[bytes(10, name.as_bytes()), fixed64(5, f64::NAN.to_bits())]);
    let proto = message(4, &[bytes(10, b"p"), bytes(16, b"Other"), message(14, &[varint(1, 1)])]);
    let typed = [message(5, &[varint(1, 1)]), varint(56, 3), message(1004, &[varint(1, 1)])];
    let event = |kind: u64, at: u64, more: &[Vec<u8>]| {
        let fields = [&[varint(9, kind), varint(11, 2), bytes(23, b"n")], more].concat();
        packet(&[varint(8, at), varint(10, 1), message(11, &fields)])
    };
    let stage = packet(&[varint(8, 9), message(53, &[varint(2, 5), message(21, &[varint(1, 1)])])]);
    let file = [
        tracks(),
        event(1, 5, &[nan("x"), nan("y"), proto]),
        event(2, 6, &typed),
        event(3, 7, &[fixed64(47, 3)]),
        stage,
    ];
    let (lines, outcome) = read(&file.concat());
    assert!(outcome.complete, "{:?}", outcome.error);
    assert!(lines.iter().any(|line| line.ends_with(r#"n 5+1 {"p":null,"x":null,"y":null}"#)), "{lines:?}");
    assert_eq!(outcome.defects.losses(), [("unread_argument".to_owned(), 5)].into());
    assert_eq!(outcome.defects.repairs(), [("missing_number".to_owned(), 1)].into());
}

/// Values of counters that no track is named for are lost, and counted; those with one are read.
#[test]
fn counters_without_a_track_are_counted() {
    let counter = packet(&[message(60, &[varint(1, 8), bytes(2, b"bytes"), message(8, &[])])]);
    let event = |more: &[Vec<u8>]| {
        let fields = [&[varint(9, 3), varint(11, 2), bytes(23, b"e")], more].concat();
        packet(&[varint(8, 5), varint(10, 1), message(11, &fields)])
    };
    let file = [
        tracks(),
        counter,
        event(&[varint(12, 3), varint(12, 4), varint(31, 8)]),
        event(&[fixed64(46, 1.5_f64.to_bits())]),
        packet(&[varint(8, 6), varint(10, 1), message(11, &[varint(9, 4), varint(30, 7)])]),
        packet(&[varint(8, 6), varint(10, 1), message(11, &[varint(9, 4), varint(11, 8), varint(30, 7)])]),
    ];
    let (lines, outcome) = read(&file.concat());
    assert!(outcome.complete, "{:?}", outcome.error);
    let values: Vec<&str> =
        lines.iter().filter(|l| l.starts_with('C')).map(|l| l.split_once(" bytes ").unwrap().1).collect();
    assert_eq!(values, [r#"5+- {"value":3}"#, r#"6+- {"value":7}"#]);
    assert_eq!(outcome.defects.losses(), [("counter_without_track".to_owned(), 3)].into());
}

/// The old form of arrows: an id and a direction. One without a direction leads nowhere.
#[test]
fn flows_of_the_old_form_are_read() {
    let event = |at: u64, legacy: &[Vec<u8>]| {
        let fields = [varint(9, 3), varint(11, 2), bytes(23, b"e"), message(6, legacy)];
        packet(&[varint(8, at), varint(10, 1), message(11, &fields)])
    };
    let bound = |at: u64, direction: u64| event(at, &[varint(8, 77), varint(13, direction)]);
    let file =
        [tracks(), bound(5, 2), bound(6, 3), bound(7, 1), event(8, &[varint(8, 77)]), bound(9, 0)].concat();
    let (lines, outcome) = read(&file);
    let flows: Vec<&String> = lines.iter().filter(|l| l.contains(" flow ")).collect();
    assert_eq!(
        flows,
        ["s flow 40/41 flow 5+- null", "t flow 40/41 flow 6+- null", "f flow 40/41 flow 7+- null"]
    );
    assert_eq!(outcome.defects.losses(), [("unread_argument".to_owned(), 2)].into());
}
