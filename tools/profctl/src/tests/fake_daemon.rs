//! Daemons made for one test each.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A daemon that treats every connection alike, until the test ends.
pub(super) struct FakeDaemon {
    pub(super) port: u16,
    requests: Receiver<Value>,
}

impl FakeDaemon {
    /// Reads each request, and lets `behave` do the rest.
    pub(super) fn with_handler(mut behave: impl FnMut(&mut TcpStream, &Value) + Send + 'static) -> Self {
        let (seen, requests) = channel();
        let port = Self::listen_with(move |stream| {
            let mut prefix = [0; 4];
            if stream.read_exact(&mut prefix).is_err() {
                return;
            }
            let mut body = vec![0; usize::try_from(i32::from_ne_bytes(prefix)).unwrap()];
            stream.read_exact(&mut body).unwrap();
            let request = serde_json::from_slice(&body).unwrap();
            behave(stream, &request);
            let _ = seen.send(request);
        });
        Self { port, requests }
    }

    /// Answers every request with a text.
    pub(super) fn replying(reply: &str) -> Self {
        let frame = frame(reply);
        Self::with_handler(move |stream, _| stream.write_all(&frame).unwrap())
    }

    /// Lets `behave` do everything; the port.
    pub(super) fn listen_with(mut behave: impl FnMut(&mut TcpStream) + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                behave(&mut stream);
            }
        });
        port
    }

    /// The next request that was answered.
    pub(super) fn next_request(&self) -> Value {
        self.requests.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

/// A frame around a text.
pub(super) fn frame(text: &str) -> Vec<u8> {
    let mut frame = i32::try_from(text.len()).unwrap().to_ne_bytes().to_vec();
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Waits until the client has gone.
pub(super) fn wait_for_close(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}
