//! Whether a server speaks TLS 1.1 or older, which rustls does not: sends a ClientHello and reads the version in the
//! ServerHello. No handshake is completed.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::Context;

use crate::handshake::TimedStream;

const TLS11: [u8; 2] = [3, 2];
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;

/// The version that a server selects when it is offered TLS 1.1 at most; `None` if it rejects that.
///
/// # Errors
/// It cannot be reached, or says nothing in time.
pub(crate) fn probe_obsolete_version(
    address: &str,
    timeout: Duration,
) -> anyhow::Result<Option<&'static str>> {
    let mut tcp = TimedStream::connect(address, timeout)?;
    let mut answer = [0; 11];
    let asked = tcp.write_all(&build_client_hello()?).and_then(|()| tcp.read_exact(&mut answer));
    match asked {
        Ok(()) => Ok(parse_version(&answer)),
        // An alert is shorter than a ServerHello; closing or resetting is a rejection too.
        Err(e) if is_closed(e.kind()) => Ok(None),
        Err(e) => Err(e).context("TLS 1.1"),
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// The record's header is 5 bytes, the message's 4; the version follows.
fn parse_version(answer: &[u8; 11]) -> Option<&'static str> {
    if (answer[0], answer[5]) != (HANDSHAKE, SERVER_HELLO) {
        return None;
    }
    match [answer[9], answer[10]] {
        [3, 0] => Some("SSLv3"),
        [3, 1] => Some("TLSv1_0"),
        TLS11 => Some("TLSv1_1"),
        _ => None,
    }
}

/// A ClientHello (RFC 4346, 7.4.1.2) with the suites that any server of that time knew.
fn build_client_hello() -> anyhow::Result<Vec<u8>> {
    const SUITES: [[u8; 2]; 9] = [
        [0xc0, 0x0a],
        [0xc0, 0x09],
        [0xc0, 0x14],
        [0xc0, 0x13],
        [0x00, 0x39],
        [0x00, 0x33],
        [0x00, 0x35],
        [0x00, 0x2f],
        [0x00, 0x0a],
    ];
    // supported_groups P-256, P-384, X25519; ec_point_formats uncompressed; an empty renegotiation_info.
    const EXTENSIONS: [u8; 23] =
        [0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 29, 0, 11, 0, 2, 1, 0, 0xff, 1, 0, 1, 0];
    let mut random = [0; 32];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .context("no random numbers")?;
    let mut body = [&TLS11[..], &random, &[0], &[0, 2 * SUITES.len() as u8]].concat();
    body.extend(SUITES.iter().flatten());
    body.extend([1, 0, 0, EXTENSIONS.len() as u8]);
    body.extend(EXTENSIONS);
    let length = |n: usize| (n as u16).to_be_bytes();
    let message = [&[1, 0][..], &length(body.len()), &body].concat();
    Ok([&[HANDSHAKE, 3, 1][..], &length(message.len()), &message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_the_hello_are_right_and_versions_are_read() {
        let hello = build_client_hello().unwrap();
        assert_eq!(usize::from(hello[3]) << 8 | usize::from(hello[4]), hello.len() - 5);
        assert_eq!(usize::from(hello[7]) << 8 | usize::from(hello[8]), hello.len() - 9);
        let answer = |kind, minor| parse_version(&[kind, 3, 1, 0, 9, 2, 0, 0, 5, 3, minor]);
        assert_eq!((answer(HANDSHAKE, 1), answer(HANDSHAKE, 2)), (Some("TLSv1_0"), Some("TLSv1_1")));
        assert_eq!((answer(21, 1), answer(HANDSHAKE, 3)), (None, None));
    }
}
