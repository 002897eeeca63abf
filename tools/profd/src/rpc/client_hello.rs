//! The first message of a TLS client, read to its end before anything is computed for it. Who it comes from is not known,
//! so its length has a limit.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::net::TcpStream;
use tokio_rustls::server::StartHandshake;

/// Maximum number of bytes up to the end of a ClientHello. It fits into one TLS record of 16 KiB (RFC 8446, section 5.1);
/// rustls 0.23 and OpenSSL 3.5 send less than 2 KiB. Without a limit of ours, rustls keeps 64 KiB for each connection.
const MAX_HELLO: usize = 16 * 1024 + 5;

/// Reads a ClientHello. The stream is taken when it is complete, so that what is left in it after an error can be rejected.
///
/// # Errors
/// The client has closed the connection, speaks no TLS, or sends too much.
pub(crate) async fn read_client_hello(
    stream: &mut Option<TcpStream>,
) -> io::Result<StartHandshake<TcpStream>> {
    let accepted = match stream {
        Some(stream) => read_accepted(stream).await?,
        None => return Err(io::ErrorKind::NotConnected.into()),
    };
    let stream = stream.take().ok_or(io::ErrorKind::NotConnected)?;
    Ok(StartHandshake::from_parts(accepted, stream))
}

async fn read_accepted(stream: &TcpStream) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    let mut buffer = [0; 2048];
    let mut total = 0;
    loop {
        stream.readable().await?;
        let mut bytes = match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => &buffer[..n],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        total += bytes.len();
        while !bytes.is_empty() {
            // After an alert that closes the connection nothing is taken any more.
            if acceptor.read_tls(&mut bytes)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) if total >= MAX_HELLO => {
                let reason = format!("the ClientHello is longer than {MAX_HELLO} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Ok(None) => {}
            Err((e, mut alert)) => {
                let mut record = Vec::new();
                alert.write_all(&mut record)?;
                // The buffer of a new socket is empty.
                let _ = stream.try_write(&record);
                return Err(io::Error::new(io::ErrorKind::InvalidData, e));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A ClientHello of this length, whose extensions are nonsense, in records of 4 KiB, without its last byte.
    fn unfinished_hello(length: usize) -> Vec<u8> {
        let mut message = vec![1];
        message.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        message.resize(length + 3, 3);
        let record = |part: &[u8]| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[0x16, 3, 1][..], &length, part].concat()
        };
        message.chunks(4096).flat_map(record).collect()
    }

    async fn read_from(bytes: Vec<u8>) -> (io::Result<StartHandshake<TcpStream>>, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut stream = Some(stream);
        (read_client_hello(&mut stream).await, client)
    }

    #[tokio::test]
    async fn a_hello_has_a_longest_length() {
        let (read, _) = read_from(unfinished_hello(60_000)).await;
        assert!(read.err().unwrap().to_string().starts_with("the ClientHello is longer than 16389 bytes"));
        let (read, _) = read_from(unfinished_hello(8000)).await;
        assert_eq!(read.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn bytes_after_an_alert_that_closes_are_not_waited_for() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Some(listener.accept().await.unwrap().0);
        let sending = async {
            client.write_all(&[0x15, 3, 3, 0, 2, 1, 0]).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            client.write_all(b"more").await.unwrap();
        };
        let (read, ()) = tokio::join!(read_client_hello(&mut stream), sending);
        assert!(read.is_err());
    }

    #[tokio::test]
    async fn who_speaks_no_tls_gets_an_alert() {
        let (read, mut client) = read_from(b"GET / HTTP/1.0\r\n\r\n".to_vec()).await;
        let reason = read.err().unwrap().to_string();
        assert!(reason.contains("corrupt message"), "{reason}");
        let mut alert = Vec::new();
        client.read_to_end(&mut alert).await.unwrap();
        assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
    }
}
