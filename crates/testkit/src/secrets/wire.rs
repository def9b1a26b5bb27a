//! The way of the service's responses to the SDK: a relay in front of the service that delivers them badly on command.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, yield_now},
    time::sleep,
};

/// How a response is delivered, from the first byte of its status line on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// Byte by byte, each in a packet of its own.
    Bytewise,
    /// One byte a second: never complete.
    Trickle,
    /// A thousand bytes a second.
    Narrow,
    /// Half of it, then a reset.
    Reset,
    /// Half of it, then the end of the stream.
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

    /// How many bytes are written at a time, and the pause before each such piece.
    fn pace(self) -> (usize, Duration) {
        match self {
            Self::Bytewise => (1, Duration::ZERO),
            Self::Trickle => (1, Duration::from_secs(1)),
            Self::Narrow => (100, Duration::from_millis(100)),
            _ => (usize::MAX, Duration::ZERO),
        }
    }
}

/// The relay; it ends, with its connections, when this is dropped.
pub struct Wire {
    fault: watch::Sender<Option<WireFault>>,
    /// Counts up when all connections are to close.
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
                        // A connection ends as its two sides decide.
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
                        // What was on its way is lost with its connection.
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

/// Delivers a response as the fault says; gives whether the connection goes on.
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
                // A reset discards what is not read yet.
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

/// Writes until the other side closes the connection.
async fn repeat(client: &mut TcpStream, text: &str) -> io::Result<bool> {
    loop {
        client.write_all(text.as_bytes()).await?;
    }
}
