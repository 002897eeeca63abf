//! Many silent connections, and more clients than the limits allow: other clients are served nevertheless.

use std::io::ErrorKind;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use serde_json::json;

use super::tls::MintedAuthority;
use super::*;

const SILENT: usize = 1000;
const DRIPPING: usize = 100;

/// Peers of one address that each hold a connection: some say nothing, some send a byte now and then. One whose
/// connection is closed opens another.
struct SilentPeers {
    stop: Arc<AtomicBool>,
    reconnects: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl SilentPeers {
    /// Opens all connections before it returns; `first` is what the dripping ones send, byte by byte.
    fn start(address: SocketAddr, first: &'static [u8]) -> Self {
        let (stop, reconnects): (Arc<AtomicBool>, Arc<AtomicU32>) = (Arc::default(), Arc::default());
        let mut peers: Vec<_> = (0..SILENT + DRIPPING).map(|_| (open(address), 0)).collect();
        let (stopped, counted) = (stop.clone(), reconnects.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (n, (stream, sent)) in peers.iter_mut().enumerate() {
                    let dripped = n >= SILENT && stream.write_all(&first[*sent..*sent + 1]).is_ok();
                    if dripped {
                        *sent = (*sent + 1).min(first.len() - 1);
                    }
                    if is_closed(stream) {
                        counted.fetch_add(1, Ordering::Relaxed);
                        (*stream, *sent) = (open(address), 0);
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, reconnects, thread: Some(thread) }
    }
}

impl Drop for SilentPeers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 64]), Err(e) if e.kind() == ErrorKind::WouldBlock)
}

/// Room for the peers' descriptors and the daemon's in this one process.
fn raise_limit_for_all_connections() {
    assert_eq!(crate::account::raise_descriptor_limit(2 * (SILENT + DRIPPING), 0), None);
}

#[test]
fn a_plain_client_is_served_beside_a_thousand_silent_ones_of_its_address() {
    raise_limit_for_all_connections();
    let daemon = TestDaemon::new();
    // A prefix that announces 64 bytes, and the beginning of a request.
    let peers = SilentPeers::start(daemon.address, b"\x40\0\0\0{\"fn\":\"getVersion\"       ");
    for _ in 0..200 {
        assert!(daemon.ask(&json!({"fn": "getVersion"}))["version"].is_string());
    }
    eventually("those beyond the limit are closed", || peers.reconnects.load(Ordering::Relaxed) >= 500);
    assert!(daemon.counter("rpc.closed.pending") >= 500);
}

#[test]
fn a_tls_client_is_served_beside_a_thousand_silent_ones_of_its_address() {
    raise_limit_for_all_connections();
    let minted = MintedAuthority::new();
    let daemon = minted.serve(&[]);
    // The header of a TLS record of 512 bytes, and the beginning of a ClientHello.
    let peers =
        SilentPeers::start(daemon.address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaa");
    let client = minted.client();
    for _ in 0..50 {
        super::tls::ask(&daemon, client.clone()).unwrap();
    }
    eventually("those beyond the limit are closed", || peers.reconnects.load(Ordering::Relaxed) >= 500);
}

/// Peers that send a complete ClientHello and nothing more fill the table; a client whose own ClientHello takes a moment
/// is served beside them, and beside silent newcomers.
#[test]
fn a_tls_client_is_served_beside_stalled_handshakes_of_its_address() {
    let minted = MintedAuthority::new();
    let daemon = minted.serve(&["--max-pending-connections-per-peer=64"]);
    let client = minted.client();
    let mut hello = Vec::new();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    rustls::ClientConnection::new(client.clone(), name).unwrap().write_tls(&mut hello).unwrap();
    let stalled: Vec<TcpStream> = (0..62)
        .map(|_| {
            let mut stream = TcpStream::connect(daemon.address).unwrap();
            stream.write_all(&hello).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(600));
    let stop = Arc::new(AtomicBool::new(false));
    let newcomers = std::thread::spawn({
        let (stop, address) = (stop.clone(), daemon.address);
        move || {
            let mut held = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                held.push(open(address));
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    for _ in 0..20 {
        let tcp = TcpStream::connect(daemon.address).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        super::tls::ask_over(tcp, client.clone()).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    newcomers.join().unwrap();
    drop(stalled);
}

#[test]
fn a_silent_connection_that_is_closed_for_another_gets_the_reason() {
    let daemon = TestDaemon::start_with(&["--max-pending-connections-per-peer=1"]);
    let mut silent = daemon.connect();
    let mut client = daemon.connect();
    assert_eq!(silent.read_rejection(), "busy: closed for a newer connection, because no request came");
    assert!(client.ask(&json!({"fn": "getVersion"}))["version"].is_string());
    assert_eq!(daemon.counter("rpc.closed.pending"), 1);
}

#[test]
fn when_the_table_is_full_the_connection_that_was_idle_longest_is_closed() {
    for limit in ["--max-connections=2", "--max-connections-per-peer=2"] {
        let daemon = TestDaemon::start_with(&[limit]);
        let mut clients: Vec<TestClient> = Vec::new();
        for _ in 0..3 {
            let mut client = daemon.connect();
            // The second reply comes when the connection is established: that follows the first reply.
            for _ in 0..2 {
                assert!(client.ask(&json!({"fn": "getVersion"}))["version"].is_string());
            }
            clients.push(client);
        }
        // Which of the first two was idle longer depends on when the daemon noticed the ends of their requests; that the
        // order counts is tested with the table.
        daemon.wait_for_counter("rpc.closed.idle", 1);
        let mut told = 0;
        for client in &mut clients[..2] {
            client.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            match client.read_reply() {
                Some(reply) => {
                    let reason = "busy: closed for a newer connection, after the longest silence";
                    assert_eq!(reply["error"]["message"], reason);
                    told += 1;
                }
                None => {
                    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
                    assert!(client.ask(&json!({"fn": "getVersion"}))["version"].is_string());
                }
            }
        }
        assert_eq!(told, 1);
        assert!(clients[2].ask(&json!({"fn": "getVersion"}))["version"].is_string());
        assert_eq!(daemon.counter("rpc.closed.idle"), 1);
    }
}

fn local_address(stream: &TcpStream) -> String {
    stream.local_addr().unwrap().to_string()
}

#[test]
fn an_idle_connection_that_is_closed_for_another_has_a_line() {
    let minted = MintedAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let trail = ["--audit-log", path.to_str().unwrap(), "--max-connections=1"];
    let lines = || super::audit::read_lines(&path);
    // With TLS also before the first request of a connection: its client is known.
    let daemon = minted.serve(&trail);
    let mut idle = super::tls::handshake(&daemon, minted.client());
    super::tls::ask_on(&mut idle).unwrap();
    let silent = super::tls::handshake(&daemon, minted.client());
    daemon.wait_for_counter("rpc.closed.idle", 1);
    super::tls::ask(&daemon, minted.client()).unwrap();
    eventually("both have a line", || lines().iter().filter(|l| l.function == "connection").count() == 2);
    let lines_of_connections: Vec<_> = lines().into_iter().filter(|l| l.function == "connection").collect();
    let [first, second] = &lines_of_connections[..] else { panic!("{lines_of_connections:?}") };
    assert_eq!((&first.address, first.code.as_deref()), (&local_address(&idle.sock), Some("busy")));
    assert!(first.subject.is_some() && first.fingerprint.is_some());
    assert!(first.reason.as_ref().unwrap().ends_with("after the longest silence"), "{first:?}");
    assert_eq!(second.address, local_address(&silent.sock));
    assert!(second.reason.as_ref().unwrap().ends_with("because no request came"), "{second:?}");
    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    // Over plain TCP a connection that never had a reply could be of anybody, any number of times.
    let trail = [&trail[..], &["--max-pending-connections-per-peer=1"]].concat();
    let daemon = TestDaemon::start_with(&trail);
    let _silent = daemon.connect();
    let mut clients = [daemon.connect(), daemon.connect()];
    daemon.wait_for_counter("rpc.closed.pending", 1);
    // The second reply comes when the connection is established.
    for _ in 0..2 {
        clients[1].ask(&json!({"fn": "getVersion"}));
    }
    let mut next = daemon.connect();
    next.ask(&json!({"fn": "getVersion"}));
    eventually("it has a line", || lines().iter().any(|l| l.function == "connection"));
    assert_eq!(lines().iter().filter(|l| l.function == "connection").count(), 1);
}

/// A client that asks on and on and takes no reply, until the daemon has to wait for it in the middle of one.
fn deaf_client(daemon: &TestDaemon) -> TestClient {
    let mut deaf = daemon.connect();
    deaf.ask(&json!({"fn": "getVersion"}));
    deaf.0.set_nonblocking(true).unwrap();
    let request = frame::encode(br#"{"fn":"getStatus","extended":true}"#).unwrap();
    for _ in 0..2000 {
        let _ = deaf.0.write_all(&request);
    }
    deaf
}

/// Clients that keep their connections do not make the daemon too busy for one that sends a single request.
#[test]
fn a_single_request_is_answered_beside_clients_that_take_no_replies() {
    let daemon = TestDaemon::start_with(&["--max-connections=4", "--write-timeout=600s"]);
    let deaf: Vec<TestClient> = (0..12).map(|_| deaf_client(&daemon)).collect();
    for _ in 0..100 {
        assert!(daemon.ask(&json!({"fn": "getVersion"}))["version"].is_string());
    }
    drop(deaf);
}

#[test]
fn a_client_gets_busy_when_its_connection_cannot_be_kept() {
    let daemon = TestDaemon::start_with(&["--max-connections=1", "--write-timeout=600s"]);
    let mut refused = String::new();
    eventually("no place is free, and the client that holds it is not idle", || {
        let deaf = deaf_client(&daemon);
        let mut client = daemon.connect();
        assert!(client.ask(&json!({"fn": "getVersion"}))["version"].is_string());
        client.send(br#"{"fn":"getVersion"}"#);
        let reply = client.read_reply().unwrap();
        drop(deaf);
        refused = reply["error"]["message"].as_str().unwrap_or_default().to_owned();
        reply["error"]["code"] == "busy"
    });
    assert_eq!(refused, "busy: the limit of 1 established connections is reached");
    assert!(daemon.counter("rpc.closed.idle") >= 1);
}
