//! Servers of others, as small as they can be: one that has a file, and the OCSP responder of `openssl`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::{Guard, finish};

/// Answers every request by HTTP with these bytes, as long as the program lives. Returns the address.
pub(crate) fn serve_bytes(content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = answer(stream, &content);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, content: &[u8]) -> std::io::Result<()> {
    let request = BufReader::new(stream.try_clone()?);
    // Up to the empty line; a GET has no body.
    for line in request.lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    stream.write_all(content)
}

/// Starts `openssl ocsp` for the authority in `ca`, which has issued `leaf`. Returns it with its address; `None` if there is
/// no openssl here.
pub(crate) fn start_ocsp_responder(ca: &Path, leaf: &Path, dir: &Path) -> Option<(Guard, String)> {
    let openssl = testkit::find("openssl").ok()?;
    let serial =
        finish(Command::new(&openssl).args(["x509", "-noout", "-serial", "-in"]).arg(leaf)).expect(0);
    let serial = serial.stdout.trim().trim_start_matches("serial=").to_owned();
    // The database of openssl-ca(1): status, expiry, no time of revocation, serial number, no file, subject.
    let index = dir.join("index");
    std::fs::write(&index, format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=profguard server\n"))
        .expect("written");
    let mut responder = Command::new(openssl);
    responder.args(["ocsp", "-port", "0", "-timeout", "60", "-ndays", "1", "-index"]).arg(index);
    for (option, file) in [("-CA", "ca.crt"), ("-rsigner", "ca.crt"), ("-rkey", "ca.key")] {
        responder.arg(option).arg(ca.join(file));
    }
    responder.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut responder = Guard(responder.spawn().expect("openssl starts"));
    // `ACCEPT [::]:PORT PID=…`
    let stdout = BufReader::new(responder.0.stdout.take().expect("piped"));
    let line = stdout.lines().map_while(Result::ok).find(|line| line.starts_with("ACCEPT "))?;
    let port = line.split(' ').nth(1)?.rsplit(':').next()?.to_owned();
    Some((responder, format!("http://localhost:{port}/")))
}
