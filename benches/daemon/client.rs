//! Clients, one or many.

use std::time::{Duration, Instant};

use common::rpc::frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::SPAN;
use crate::server::Daemon;

/// A server to connect to, at a port of 127.0.0.1.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) tls: Option<TlsConnector>,
}

/// Asks again and again over a number of connections at a time: the same ones, or one for each request.
pub(crate) async fn load(target: &Target, connections: usize, keep: bool) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + SPAN;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        tasks.spawn(async move { client(&target, keep, end).await });
    }
    let mut all = Vec::new();
    while let Some(latencies) = tasks.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}

async fn client(target: &Target, keep: bool, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let connect = || connect_to(target.port, target.tls.as_ref());
    let mut kept = if keep { Some(connect().await?) } else { None };
    while Instant::now() < end {
        let start = Instant::now();
        match &mut kept {
            Some(stream) => ask(stream, br#"{"fn":"getStatus"}"#).await?,
            None => ask(&mut connect().await?, br#"{"fn":"getStatus"}"#).await?,
        };
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) async fn connect(daemon: &Daemon) -> anyhow::Result<Box<dyn Stream>> {
    connect_to(daemon.port, daemon.tls.as_ref()).await
}

pub(crate) async fn connect_to(port: u16, tls: Option<&TlsConnector>) -> anyhow::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
    })
}

pub(crate) async fn ask(stream: &mut Box<dyn Stream>, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    stream.write_all(&frame::encode(request)?).await?;
    stream.flush().await?;
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).await?;
    let mut body = vec![0; frame::length(prefix, frame::MAX_REPLY)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
