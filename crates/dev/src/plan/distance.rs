//! A relay that puts PostgreSQL at a distance: every byte arrives later, however many are on the way.

use std::time::Duration;

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// A running relay; dropping it stops it.
pub struct Distance {
    pub port: u16,
    _accepting: JoinSet<()>,
}

impl Distance {
    /// Starts a relay in front of this port of 127.0.0.1 that adds `each_way` to both directions.
    pub async fn start(upstream: u16, each_way: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let accepting = JoinSet::from_iter([async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { continue };
                // A relay without TCP_NODELAY would add its own delay.
                if client.set_nodelay(true).is_ok() && server.set_nodelay(true).is_ok() {
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::spawn(relay(from_client, to_server, each_way));
                    tokio::spawn(relay(from_server, to_client, each_way));
                }
            }
        }]);
        Ok(Self { port, _accepting: accepting })
    }
}

/// Copies one direction until either side closes it.
async fn relay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin + Send + 'static, delay: Duration) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = receiver.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}
