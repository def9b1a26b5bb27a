//! An address that does not respond.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Result, ensure};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// An address of this machine at which connections to one port are neither accepted nor refused: its queue is full, so
/// the kernel drops packets.
pub struct DeadAddress {
    address: Ipv4Addr,
    _queue: (TcpListener, Vec<TcpStream>),
}

impl DeadAddress {
    pub async fn hold(port: u16) -> Result<Self> {
        let address = near_address();
        let socket = TcpSocket::new_v4()?;
        socket.bind((address, port).into())?;
        let listener = socket.listen(1)?;
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect((address, port))).await {
            waiting.push(stream?);
            ensure!(waiting.len() < 100, "connections to {address} are not dropped");
        }
        Ok(Self { address, _queue: (listener, waiting) })
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

/// Returns a loopback address at which nothing listens. macOS has only 127.0.0.1.
pub fn near_address() -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, fastrand::u8(2..=254))
}
