//! A proxy in front of PostgreSQL that injects network faults in a chosen phase of the protocol.

mod dead_address;
mod link;
mod phase;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub use dead_address::{DeadAddress, near_address};
pub use phase::Phase;

/// A fault of a connection that reaches a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// No bytes pass on any connection. New ones are accepted, but nothing passes on them either.
    BlackHole,
    /// No more bytes pass on this connection; neither side is told.
    Stall,
    /// The function's side is reset; PostgreSQL's side stays open.
    Reset,
    /// The function reads the end of the stream, and what it writes is discarded; PostgreSQL's side stays open.
    HalfClose,
    /// Every piece is delayed by this.
    Latency(Duration),
    Bytewise,
    /// 1,000 bytes per second.
    Narrow,
}

impl NetworkFault {
    pub const ALL: [Self; 7] = [
        Self::BlackHole,
        Self::Stall,
        Self::Reset,
        Self::HalfClose,
        Self::Latency(Duration::from_millis(150)),
        Self::Bytewise,
        Self::Narrow,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NetworkState {
    Clear,
    /// The fault is injected into every connection that reaches the phase.
    Armed(Phase, NetworkFault),
    /// The fault was injected into the connections that were waiting for a query's result.
    Injected(NetworkFault),
    /// Nothing passes on any connection.
    BlackHole,
}

/// State that all connections of a proxy share.
struct Network {
    upstream: u16,
    state: watch::Sender<NetworkState>,
    /// Incremented to close all connections.
    cut: watch::Sender<u32>,
    injected: AtomicUsize,
}

/// A running proxy; dropping it stops it and closes its connections.
pub struct Chaos {
    port: u16,
    network: Arc<Network>,
    _accepting: JoinSet<()>,
}

impl Chaos {
    /// Starts in front of the PostgreSQL on this port of 127.0.0.1.
    pub async fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, cut) = (watch::Sender::new(NetworkState::Clear), watch::Sender::new(0));
        let network = Arc::new(Network { upstream, state, cut, injected: AtomicUsize::new(0) });
        let shared = Arc::clone(&network);
        let accepting = JoinSet::from_iter([async move {
            while let Ok((client, _)) = listener.accept().await {
                let (network, mut cut) = (Arc::clone(&shared), shared.cut.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        // Errors concern only the two sides of a connection.
                        outcome = link::run(client, &network) => drop(outcome),
                        _ = cut.changed() => {}
                    }
                });
            }
        }]);
        Ok(Self { port, network, _accepting: accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Injects the fault into every connection that reaches the phase from now on.
    pub fn inject_at(&self, phase: Phase, fault: NetworkFault) {
        self.network.injected.store(0, Ordering::Relaxed);
        self.network.state.send_replace(NetworkState::Armed(phase, fault));
    }

    /// Injects the fault into the connections that wait for a query's result now, and into no later ones.
    pub fn inject_now(&self, fault: NetworkFault) {
        self.network.injected.store(0, Ordering::Relaxed);
        self.network.state.send_replace(NetworkState::Injected(fault));
    }

    /// Returns how many connections the fault was injected into.
    pub fn injected(&self) -> usize {
        self.network.injected.load(Ordering::Relaxed)
    }

    /// Ends the fault. Connections that lost bytes are closed; slow ones continue.
    pub fn end(&self) {
        self.network.state.send_replace(NetworkState::Clear);
    }

    /// Closes every connection, so that the next request needs a new one.
    pub fn cut(&self) {
        self.network.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.cut();
    }
}
