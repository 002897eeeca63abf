//! Recognizes generated traces and logs. A file that is recognized is deleted, so doubtful ones are not.
//!
//! Where other programs use such names, too (`config_2.json`, `redo.log`), the beginning of the content decides. Names
//! decide alone only where no other program writes them.

use std::io::Read;

use memchr::memmem;

/// Bytes of content that are read.
pub(super) const HEAD_SIZE: usize = 1 << 10;

/// How a file is recognized as generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GeneratedKind {
    /// By its location or name alone.
    Certain,
    /// A trace, if its content confirms it.
    Trace { gzip: bool },
    /// A log, if its content confirms it.
    Log,
    /// A database of msMonitor, if its content confirms it.
    Database,
    /// Records of msMonitor or profd, if the content confirms it.
    Records,
}

/// Returns how a file is recognized, from its path; `None` if it is not generated.
pub(super) fn classify_path(path: &[u8]) -> Option<GeneratedKind> {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    let journals = [&b".db-wal"[..], b".db-shm", b".db-journal"];
    let is_journal = journals.iter().any(|end| is_msmonitor_file(name, end));
    if is_in_profile(path) || is_rotated_log(name) || is_journal {
        return Some(GeneratedKind::Certain);
    }
    Some(match () {
        () if name.ends_with(b".json") => GeneratedKind::Trace { gzip: false },
        () if name.ends_with(b".json.gz") => GeneratedKind::Trace { gzip: true },
        () if name.ends_with(b".log") => GeneratedKind::Log,
        () if is_msmonitor_file(name, b".db") => GeneratedKind::Database,
        () if is_msmonitor_file(name, b".jsonl") || is_metrics_file(name) => GeneratedKind::Records,
        () => return None,
    })
}

/// Returns whether the beginning of a file confirms its kind.
pub(super) fn confirms_content(kind: GeneratedKind, head: &[u8]) -> bool {
    match kind {
        GeneratedKind::Certain => true,
        GeneratedKind::Trace { gzip: false } => is_trace(head),
        GeneratedKind::Trace { gzip: true } => {
            // Only the beginning was read, so the compressed data is truncated.
            let mut plain = Vec::new();
            let _ = flate2::read::GzDecoder::new(head).take(HEAD_SIZE as u64).read_to_end(&mut plain);
            is_trace(&plain)
        }
        GeneratedKind::Log => is_log(head),
        // The header string of the SQLite file format, section 1.3.1.
        GeneratedKind::Database => head.starts_with(b"SQLite format 3\0"),
        GeneratedKind::Records => head.starts_with(b"{\""),
    }
}

/// Returns whether a file was written by an Ascend profiler: below a directory with the complete name of a profile, in one
/// of the parts that the profiler creates there, and with a name as the profiler gives it. Other files there are kept.
fn is_in_profile(path: &[u8]) -> bool {
    let names: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|n| !n.is_empty()).collect();
    names.windows(2).enumerate().any(|(i, pair)| {
        let last = i + 2 == names.len();
        let is_part = (is_torch_profile(pair[0]) && is_torch_part(pair[1], last))
            || (is_cann_profile(pair[0]) && is_cann_part(pair[1], last));
        is_part && (last || has_profiler_name(&names[i + 1..]))
    })
}

/// Returns whether the last of these names is one that a profiler gives to a file in the directories before it, the first
/// of which is a part of a profile. Raw data has many names, results have the endings of tables (torch_npu 2.14.0,
/// `profiler/analysis`; Ascend/msprof, `docs/en/user_guide/profile_data_file_references.md`); what people write beside them
/// has neither.
fn has_profiler_name(names: &[&[u8]]) -> bool {
    const ENDINGS: [&[u8]; 11] = [
        b"csv",
        b"json",
        b"db",
        b"db-wal",
        b"db-shm",
        b"db-journal",
        b"log",
        b"done",
        b"complete",
        b"bin",
        b"data",
    ];
    let [.., dir, name] = names else { return false };
    let Some(dot) = memchr::memrchr(b'.', name) else {
        // `start_info`, and records by their names alone.
        return matches!(*name, b"start_info" | b"end_info")
            || matches!(*dir, b"data" | b"sqlite" | b"FRAMEWORK");
    };
    let (stem, ending) = (&name[..dot], &name[dot + 1..]);
    if dir.starts_with(b"PROF_") {
        // Tables do not stand directly in it.
        return is_cann_part(name, true) || matches!(ending, b"bin" | b"done" | b"complete");
    }
    match ending {
        ending if ENDINGS.contains(&ending) => true,
        // `info.json.0`, `start_info.0`, `host_start.log.1`.
        number if is_digits(number) => has_profiler_name(&[names[0], *dir, stem]),
        part if part.strip_prefix(b"slice_").is_some_and(is_digits) => true,
        // `torch.op_range`.
        tag if *dir == b"FRAMEWORK" => {
            matches!(stem, b"torch" | b"mindspore")
                && tag.iter().all(|b| b.is_ascii_lowercase() || *b == b'_')
        }
        _ => *name == b"README.txt" && *dir == b"mindstudio_profiler_output",
    }
}

/// `{worker}_{pid}_{time}_ascend_pt` of PyTorch, `…_ascend_ms` of MindSpore; the time has 14 or 17 digits (torch_npu 2.14.0,
/// `profiler/_profiler_path_creator.py`).
pub(super) fn is_torch_profile(name: &[u8]) -> bool {
    let stem = name.strip_suffix(b"_ascend_pt").or_else(|| name.strip_suffix(b"_ascend_ms"));
    let mut fields = stem.unwrap_or_default().rsplitn(3, |&b| b == b'_');
    let time = fields.next().is_some_and(|t| matches!(t.len(), 14 | 17) && is_digits(t));
    time && fields.next().is_some_and(is_digits) && fields.next().is_some_and(|worker| !worker.is_empty())
}

/// The parts of such a profile (torch_npu 2.14.0, `profiler/profiler_interface.py` and `profiler/analysis`).
fn is_torch_part(name: &[u8], is_file: bool) -> bool {
    match is_file {
        true => {
            let rank = name.strip_prefix(b"profiler_info").and_then(|n| n.strip_suffix(b".json"));
            rank.is_some_and(|r| r.is_empty() || r.strip_prefix(b"_").is_some_and(is_digits))
                || matches!(name, b"profiler_metadata.json" | b"analyse.done")
        }
        false => {
            matches!(name, b"ASCEND_PROFILER_OUTPUT" | b"FRAMEWORK" | b"logs")
                || name.starts_with(b"PROF_")
                || name.strip_prefix(b"PLATFORM_").is_some_and(is_digits)
        }
    }
}

/// `PROF_{number}_{time}_{letters}` of CANN (Ascend/msprof, `docs/en/user_guide/profile_data_file_references.md`).
pub(super) fn is_cann_profile(name: &[u8]) -> bool {
    let fields: Vec<&[u8]> = name.split(|&b| b == b'_').collect();
    matches!(fields[..], [b"PROF", number, time, id]
        if is_digits(number) && is_digits(time) && !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric))
}

/// The parts of such a profile (same source).
fn is_cann_part(name: &[u8], is_file: bool) -> bool {
    match is_file {
        true => {
            name == b"README.txt"
                || name.strip_prefix(b"msprof_").and_then(|n| n.strip_suffix(b".db")).is_some_and(is_digits)
        }
        false => {
            matches!(name, b"host" | b"analyze" | b"mindstudio_profiler_output" | b"mindstudio_profiler_log")
                || name.strip_prefix(b"device_").is_some_and(is_digits)
        }
    }
}

/// A rotated log: `x.log.7`, or `x.log-20260131` and `x.log-2026013112` (logrotate(8), dateext), or `x.log.2026-01-31`
/// (Python, `logging.handlers.TimedRotatingFileHandler`), compressed or not.
fn is_rotated_log(name: &[u8]) -> bool {
    let packed = [&b".gz"[..], b".xz", b".zst", b".bz2"];
    let plain = packed.iter().find_map(|end| name.strip_suffix(*end)).unwrap_or(name);
    let Some(at) = memmem::rfind(plain, b".log").filter(|at| *at > 0) else { return false };
    match &plain[at + 4..] {
        [b'.', number @ ..] if number.len() <= 3 && is_digits(number) => true,
        [b'-', day @ ..] => matches!(day.len(), 8 | 10) && is_digits(day) && is_date(&day[..8]),
        [b'.', y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] => {
            is_date(&[*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2])
        }
        _ => false,
    }
}

/// `YYYYMMDD`.
fn is_date(text: &[u8]) -> bool {
    let number = |part: &[u8]| part.iter().fold(0, |n, b| n * 10 + u32::from(b.wrapping_sub(b'0')));
    text.len() == 8
        && is_digits(text)
        && (1970..2200).contains(&number(&text[..4]))
        && (1..=12).contains(&number(&text[4..6]))
        && (1..=31).contains(&number(&text[6..]))
}

/// `msmonitor_{pid}_{time}_{rank}`; the rank may be -1 (Ascend/msmonitor, `plugin/ipc_monitor/db` and `jsonl`).
fn is_msmonitor_file(name: &[u8], end: &[u8]) -> bool {
    let stem = name.strip_prefix(b"msmonitor_").and_then(|n| n.strip_suffix(end)).unwrap_or_default();
    let fields: Vec<&[u8]> = stem.split(|&b| b == b'_').collect();
    let rank = |r: &[u8]| is_digits(r.strip_prefix(b"-").unwrap_or(r));
    matches!(fields[..], [pid, time, r] if is_digits(pid) && time.len() == 17 && is_digits(time) && rank(r))
}

/// `metrics-20260301T120000Z-812-0001.jsonl` of profd.
fn is_metrics_file(name: &[u8]) -> bool {
    name.ends_with(b".jsonl") && metric_log_prefix(name).is_some()
}

/// The part of the name that all files of a metric log share, `metrics-20260301T120000Z-812-`: profd gives each file a
/// number, and the start and process id of one run of the daemon to all of them (`FileNaming` of profd).
pub(super) fn metric_log_prefix(name: &[u8]) -> Option<&[u8]> {
    let stem = name.strip_suffix(b".jsonl").or_else(|| name.strip_suffix(b".csv"))?;
    let fields: Vec<&[u8]> = stem.strip_prefix(b"metrics-")?.split(|&b| b == b'-').collect();
    let [time, pid, number] = fields[..] else { return None };
    let started = time.len() == 16 && is_date(&time[..8]) && time[8] == b'T' && time[15] == b'Z';
    (started && is_digits(pid) && is_digits(number)).then(|| &stem[..stem.len() - number.len()])
}

/// The JSON of a trace: an object with `traceEvents` or an array of events (Trace Event Format, "JSON Object Format" and
/// "JSON Array Format"), or an object that begins like those of PyTorch (libkineto, `output_json.cpp`).
fn is_trace(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let has = |key: &[u8], value: fn(&[u8]) -> bool| has_key(head, key, value);
    match head.first() {
        Some(b'{') => {
            has(b"\"traceEvents\"", |v| v.starts_with(b"["))
                || has(b"\"schemaVersion\"", |v| v.first().is_some_and(u8::is_ascii_digit))
                    && (has(b"\"deviceProperties\"", |v| v.starts_with(b"["))
                        || has(b"\"computeProperties\"", |v| v.starts_with(b"[")))
        }
        Some(b'[') => {
            has(b"\"ph\"", |v| matches!(v, [b'"', phase, b'"', ..] if phase.is_ascii_alphabetic()))
                && has(b"\"pid\"", |_| true)
        }
        _ => false,
    }
}

/// Returns whether the text contains a key with a value that passes the test.
fn has_key(text: &[u8], key: &[u8], value: fn(&[u8]) -> bool) -> bool {
    memmem::find_iter(text, key).any(|at| {
        let rest = text[at + key.len()..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|v| value(v.trim_ascii_start()))
    })
}

/// Text whose first line begins with a timestamp or a level.
fn is_log(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|&b| b == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii_start();
    !head.contains(&0)
        && (starts_with_level(line) || starts_with_time(line.strip_prefix(b"[").unwrap_or(line)))
}

fn starts_with_level(line: &[u8]) -> bool {
    const LEVELS: [&[u8]; 9] =
        [b"TRACE", b"DEBUG", b"INFO", b"NOTICE", b"WARN", b"WARNING", b"ERROR", b"FATAL", b"CRITICAL"];
    let line = line.strip_prefix(b"[").or_else(|| line.strip_prefix(b"<")).unwrap_or(line);
    LEVELS
        .iter()
        .any(|l| line.strip_prefix(*l).is_some_and(|rest| rest.first().is_some_and(|b| b"]>: ".contains(b))))
}

/// A timestamp at the beginning of a line: `2026-01-31…`, `2026/01/31…`, `I0131 12:00:00` (glog), `Jan 31 12:00:00` (syslog,
/// RFC 3164, section 4.1.2).
fn starts_with_time(line: &[u8]) -> bool {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    match line {
        [y1, y2, y3, y4, a @ (b'-' | b'/'), m1, m2, b, d1, d2, ..] if a == b => {
            is_date(&[*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2])
        }
        [b'I' | b'W' | b'E' | b'F', a, b, c, d, b' ', e, f, b':', ..] => is_digits(&[*a, *b, *c, *d, *e, *f]),
        month if month.len() >= 15 && MONTHS.iter().any(|m| month.starts_with(*m)) => {
            month[3] == b' ' && month[9] == b':' && month[12] == b':'
        }
        _ => false,
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(path: &str, head: &[u8]) -> bool {
        classify_path(path.as_bytes()).is_some_and(|k| confirms_content(k, head))
    }

    #[test]
    fn ordinary_files_are_left_alone_whatever_they_are_called() {
        for name in [
            "config_2.json",
            "layer_12_config.json",
            "tokenizer_32000.json",
            "model_00001.json",
            "vocab_50257.json",
            "notes.log.md",
            "changelog.log-notes",
            "000003.log",
            "redo.log",
            "x86_64.snapshot.json",
            "x.log.old.txt",
            "app.log.2026",
            "app.log-20261399",
            "app.log.1234",
            ".log.1",
            "x.json",
            "trace.json",
            "a_1_20260101000000_ascend_pt.tar",
            "PROF_notes/host/x",
            "my_ascend_pt/logs/x",
            "h_1_20260101000000000_ascend_pt/notes.txt",
            "PROF_1_2_A/paper.md",
            "h_1_20260101000000000_ascend_pt/mine/x",
            // Beside what the profiler wrote.
            "h_5_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/my_report.xlsx",
            "h_5_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/notes",
            "h_5_20260101000000000_ascend_pt/FRAMEWORK/notes.txt",
            "h_5_20260101000000000_ascend_pt/FRAMEWORK/mine.op_range",
            "h_5_20260101000000000_ascend_pt/PROF_000001_20260101000000000_AB/paper.tex",
            "h_5_20260101000000000_ascend_pt/PROF_000001_20260101000000000_AB/mine.csv",
            "h_5_20260101000000000_ascend_pt/PROF_000001_20260101000000000_AB/host/mine.md",
            "h_5_20260101000000000_ascend_pt/logs/why.docx",
            "h_5_20260101000000000_ascend_ms/ASCEND_PROFILER_OUTPUT/plot.png",
            "PROF_000001_20260101000000000_AB/host/mine.txt",
            "PROF_000001_20260101000000000_AB/device_0/data/notes.1.txt",
            "PROF_000001_20260101000000000_AB/mindstudio_profiler_output/summary.xlsx",
            "msmonitor_x.db",
            "msmonitor_1_20260101000000000_0.db",
        ] {
            for head in [
                &b""[..],
                b"x",
                b"{\"schemaVersion\": 2, \"mediaType\": \"x\"}",
                b"{\"a\": [1]}",
                b"[]",
                b"[{\"pid\": 1}]",
                b"\x00\x01\x02",
                b"{\"about\": \"traceEvents\"}",
                b"2026 was a year",
            ] {
                assert!(!taken(name, head), "{name} {}", String::from_utf8_lossy(head));
            }
        }
    }

    #[test]
    fn traces_are_recognized_by_content() {
        let torch = br#"{ "schemaVersion": 1, "deviceProperties": [ ], "traceEvents": [ "#;
        for head in [
            &torch[..],
            b"{\"traceEvents\":[]}",
            b"[\n{\"name\": \"process_name\", \"pid\": 1, \"args\": {}, \"ph\": \"M\"}",
            b"\xef\xbb\xbf {\"displayTimeUnit\":\"ms\", \"traceEvents\" : [",
        ] {
            assert!(taken("any_4242.json", head), "{}", String::from_utf8_lossy(head));
        }
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packed, torch).unwrap();
        let packed = packed.finish().unwrap();
        assert!(taken("a.pt.trace.json.gz", &packed));
        // Cut short, as the beginning of a large file is.
        assert!(taken("a.pt.trace.json.gz", &packed[..packed.len() - 9]));
        assert!(!taken("a.json.gz", torch) && !taken("a.txt", torch));
    }

    #[test]
    fn profiles_logs_and_records_are_recognized_by_location_name_and_content() {
        for path in [
            "h_1_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/kernel_details.csv",
            "a.b_c_77_20260101000000_ascend_ms/FRAMEWORK/torch.op_range",
            "h_1_20260101000000000_ascend_pt/profiler_info_3.json",
            "x/PROF_000001_20260101000000000_ABCDEF/device_0/data/x.bin",
            "PROF_1_20260101_AB/msprof_20260101000000.db",
            "PROF_1_20260101_AB/README.txt",
            "PROF_1_20260101_AB/mindstudio_profiler_output/README.txt",
            "PROF_1_20260101_AB/host/start_info",
            "PROF_1_20260101_AB/device_3/end_info.0",
            "PROF_1_20260101_AB/device_3/info.json.3",
            "PROF_1_20260101_AB/device_3/data/stars_soc.data.0.slice_0",
            "PROF_1_20260101_AB/device_3/data/stars_soc.data.0.slice_0.done",
            "PROF_1_20260101_AB/host/data/unaging.api_event.data.slice_12",
            "PROF_1_20260101_AB/host/sqlite/ge_info.db",
            "PROF_1_20260101_AB/mindstudio_profiler_output/op_summary_slice_0_20260101000000.csv",
            "h_1_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/ascend_pytorch_profiler_3.db",
            "h_1_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/analyse.done",
            "h_1_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json",
            "h_1_20260101000000000_ascend_pt/logs/parser_1.log",
            "x.log.1",
            "x.log.12.gz",
            "x.log-20260131",
            "x.log-2026013123.zst",
            "x.log.2026-01-31",
        ] {
            assert!(taken(path, b""), "{path}");
        }
        for head in [
            "2026-01-31T00:00:00Z x",
            "[2026-01-31 00:00] x",
            "I0131 12:00:00.1 1 x.cc",
            "[INFO] RUNTIME(1)",
            "Jan 31 12:00:00 host x",
            "WARNING: x",
            "\n2026/01/31 x",
        ] {
            assert!(taken("x.log", head.as_bytes()), "{head}");
        }
        assert!(taken("msmonitor_12_20260131120000123_-1.db", b"SQLite format 3\0"));
        assert!(taken("msmonitor_12_20260131120000123_0.jsonl", b"{\"a\":1}"));
        assert!(taken("metrics-20260301T120000Z-812-0001.jsonl", b"{\"type\":\"profd.metric\""));
    }
}
