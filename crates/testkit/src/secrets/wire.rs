//! A relay between the service and the SDK that delivers responses badly on demand.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, yield_now},
    time::sleep,
};

/// A fault of the delivery of a response, from the first byte of its status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// Byte by byte, each in its own packet.
    Bytewise,
    /// One byte per second: never complete.
    Trickle,
    /// 1,000 bytes per second.
    Narrow,
    /// Half of the response, then a reset.
    Reset,
    Truncated,
    /// A header section that never ends, as fast as it is read.
    EndlessHeaders,
    /// A body that never ends, as fast as it is read.
    EndlessBody,
}

impl WireFault {
    pub const ALL: [Self; 7] = [
        Self::Bytewise,
        Self::Trickle,
        Self::Narrow,
        Self::Reset,
        Self::Truncated,
        Self::EndlessHeaders,
        Self::EndlessBody,
    ];

    /// Returns the bytes that are written at a time, and the pause before each write.
    fn pace(self) -> (usize, Duration) {
        match self {
            Self::Bytewise => (1, Duration::ZERO),
            Self::Trickle => (1, Duration::from_secs(1)),
            Self::Narrow => (100, Duration::from_millis(100)),
            _ => (usize::MAX, Duration::ZERO),
        }
    }
}

/// A running relay; dropping it stops it and closes its connections.
pub struct Wire {
    fault: watch::Sender<Option<WireFault>>,
    /// Incremented to close all connections.
    hung_up: watch::Sender<u32>,
    _accepting: JoinSet<()>,
}

impl Wire {
    pub fn start(listener: TcpListener, service: SocketAddr) -> Self {
        let (fault, hung_up) = (watch::Sender::new(None), watch::Sender::new(0));
        let (faults, hang_ups) = (fault.subscribe(), hung_up.subscribe());
        let accepting = JoinSet::from_iter([async move {
            while let Ok((client, _)) = listener.accept().await {
                let (faults, mut hang_ups) = (faults.clone(), hang_ups.clone());
                hang_ups.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        // Errors concern only the two sides of a connection.
                        outcome = relay(client, service, faults) => drop(outcome),
                        _ = hang_ups.changed() => {}
                    }
                });
            }
        }]);
        Self { fault, hung_up, _accepting: accepting }
    }

    pub fn disturb(&self, fault: Option<WireFault>) {
        self.fault.send_replace(fault);
    }

    pub fn hang_up(&self) {
        self.hung_up.send_modify(|count| *count += 1);
    }
}

async fn relay(
    mut client: TcpStream,
    service: SocketAddr,
    mut fault: watch::Receiver<Option<WireFault>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(service).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut request, mut response) = (vec![0; 16_384], vec![0; 131_072]);
    loop {
        tokio::select! {
            length = client.read(&mut request) => match length? {
                0 => return Ok(()),
                length => server.write_all(&request[..length]).await?,
            },
            length = server.read(&mut response) => {
                let bytes = &response[..length?];
                let now = *fault.borrow_and_update();
                let goes_on = match now {
                    _ if bytes.is_empty() => false,
                    None => client.write_all(bytes).await.map(|()| true)?,
                    Some(now) => tokio::select! {
                        outcome = deliver(&mut client, bytes, now) => outcome?,
                        // The rest of the response is lost with its connection.
                        _ = fault.changed() => false,
                    },
                };
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }
}

/// Delivers a response with a fault; returns whether the connection continues.
async fn deliver(client: &mut TcpStream, bytes: &[u8], fault: WireFault) -> io::Result<bool> {
    match fault {
        WireFault::Bytewise | WireFault::Trickle | WireFault::Narrow => {
            let (size, pause) = fault.pace();
            for piece in bytes.chunks(size) {
                if pause.is_zero() {
                    yield_now().await;
                } else {
                    sleep(pause).await;
                }
                client.write_all(piece).await?;
            }
            Ok(true)
        }
        WireFault::Reset | WireFault::Truncated => {
            client.write_all(&bytes[..bytes.len() / 2]).await?;
            if fault == WireFault::Reset {
                // Waits, because a reset discards unread bytes.
                sleep(Duration::from_millis(20)).await;
                client.set_zero_linger()?;
            }
            Ok(false)
        }
        WireFault::EndlessHeaders => {
            client.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            repeat(client, &format!("x-more: {}\r\n", "x".repeat(4_000))).await
        }
        WireFault::EndlessBody => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ntransfer-encoding: chunked";
            client.write_all(format!("{head}\r\n\r\n").as_bytes()).await?;
            repeat(client, &format!("10000\r\n{}\r\n", " ".repeat(0x10000))).await
        }
    }
}

/// Writes until the peer closes the connection.
async fn repeat(client: &mut TcpStream, text: &str) -> io::Result<bool> {
    loop {
        client.write_all(text.as_bytes()).await?;
    }
}
