//! Daemons that do what no daemon should: each gets one record that says what it did, and exit status 2.

use std::io::Write;
use std::net::TcpStream;

use common::exit::Exit;

use super::fake_daemon::{FakeDaemon, frame, wait_for_close};
use super::run_against;

/// Asks a daemon that answers with these bytes and closes, and returns the reason.
fn reason_for(bytes: &[u8]) -> String {
    let bytes = bytes.to_vec();
    let fake = FakeDaemon::with_handler(move |stream, _| stream.write_all(&bytes).unwrap());
    reason(fake.port)
}

fn reason(port: u16) -> String {
    let ran = run_against(port, &["--timeout", "5s", "status"]);
    assert_eq!(ran.exit, Exit::Failed, "{}", ran.stdout);
    assert_eq!(ran.only_record("profctl.summary")["failed"], 1);
    let record = ran.only_record("profctl.status");
    assert_eq!(record["outcome"], "failed");
    record["reason"].as_str().unwrap().to_owned()
}

#[test]
fn closing_without_a_reply_is_explained() {
    assert_eq!(reason_for(b""), "the daemon closed the connection without a reply");
    let unread = FakeDaemon::listen_with(|_: &mut TcpStream| {});
    let reason = reason(unread);
    assert!(reason.contains("closed the connection"), "{reason}");
}

#[test]
fn truncated_frames_report_the_bytes_received() {
    assert_eq!(
        reason_for(&[9, 0]),
        "the daemon closed the connection after 2 of the 4 bytes of the frame length"
    );
    let mut cut = frame(r#"{"status":1}"#);
    cut.truncate(9);
    assert_eq!(reason_for(&cut), "the daemon closed the connection after 5 of 12 bytes of the reply");
}

#[test]
fn invalid_frame_lengths_are_rejected() {
    assert_eq!(reason_for(&0_i32.to_ne_bytes()), "reply: frame length 0 is not positive");
    assert_eq!(reason_for(&(-7_i32).to_ne_bytes()), "reply: frame length -7 is not positive");
    let huge = reason_for(&i32::MAX.to_ne_bytes());
    assert_eq!(huge, "reply: frame length 2147483647 is beyond the limit of 4194304 bytes");
    let swapped = reason_for(&90_i32.swap_bytes().to_ne_bytes());
    assert!(swapped.contains("byte-swapped"), "{swapped}");
    let http = reason_for(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(http.starts_with("reply: frame length"), "{http}");
}

/// A claim of megabytes without the bytes: nothing is taken for it, and it is cut.
#[test]
fn memory_is_not_allocated_from_the_prefix_alone() {
    let mut claim = 4_000_000_i32.to_ne_bytes().to_vec();
    claim.extend_from_slice(b"{}");
    assert_eq!(reason_for(&claim), "the daemon closed the connection after 2 of 4000000 bytes of the reply");
}

#[test]
fn unexpected_replies_are_reported() {
    for (body, expected) in [
        ("hello", "reply is not valid JSON (line 1, column 1)"),
        ("[1]", "reply is not a JSON object"),
        (r#"{"nputrace":7}"#, "reply has an unexpected form: "),
        (r#"{"current_step":"x"}"#, "reply has an unexpected form: "),
        (r#"{"detail":{"processes":"none"}}"#, "reply has an unexpected form: "),
    ] {
        let reason = reason_for(&frame(body));
        assert!(reason.starts_with(expected), "{body}: {reason}");
    }
    assert!(reason_for(&frame(&"[".repeat(200_000))).starts_with("reply is not valid JSON"));
    assert!(reason_for(&frame("{\"a\":\"\u{0}\"}")).starts_with("reply is not valid JSON"));
}

#[test]
fn a_silent_daemon_costs_no_more_than_the_timeout() {
    let silent = FakeDaemon::with_handler(|stream, _| wait_for_close(stream));
    let ran = run_against(silent.port, &["--timeout", "300ms", "status"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.only_record("profctl.status")["reason"], "no complete reply after 300 ms");
}

#[test]
fn a_slow_daemon_costs_no_more_than_the_timeout() {
    let fake = FakeDaemon::with_handler(|stream, _| {
        let bytes = 1_000_i32.to_ne_bytes();
        for byte in bytes.iter().chain(std::iter::repeat(&b' ')) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    assert_eq!(
        run_against(fake.port, &["--timeout", "1s", "status"]).only_record("profctl.status")["reason"],
        "no complete reply after 1 s"
    );
}

#[test]
fn connection_refused_is_reported() {
    assert_eq!(reason(1), "cannot connect: connection refused");
}

#[test]
fn a_tls_daemon_is_recognized_by_its_alert() {
    assert_eq!(
        reason_for(&[0x15, 3, 3, 0, 2, 2, 50]),
        "the daemon expects TLS, but the request was sent over plain TCP"
    );
}
