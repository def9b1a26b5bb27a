//! A network that fails on command: a proxy before PostgreSQL that knows which phase of the protocol a connection is in,
//! and does to it there what networks do.

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

/// What happens to a connection that reaches a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// The whole network is gone: nothing passes on any connection, and new ones are accepted and heard no more.
    BlackHole,
    /// This connection alone falls silent, and neither side is told.
    Stall,
    /// The function's side is reset; PostgreSQL is not told.
    Reset,
    /// The function reads the end of the stream and can go on writing to nobody; PostgreSQL is not told.
    HalfClose,
    /// Everything takes so much longer.
    Latency(Duration),
    /// Everything arrives byte by byte.
    Bytewise,
    /// A thousand bytes in a second.
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

/// What the network does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NetworkState {
    Clear,
    /// Every connection that reaches the phase meets the fault.
    Armed(Phase, NetworkFault),
    /// Every connection that was waiting for a query's result has met the fault.
    Struck(NetworkFault),
    /// Nothing passes.
    Dark,
}

/// What all connections of a proxy share.
struct Network {
    upstream: u16,
    state: watch::Sender<NetworkState>,
    /// Counts up when all connections are to end.
    cut: watch::Sender<u32>,
    met: AtomicUsize,
}

/// A running proxy; it ends, with its connections, when this is dropped.
pub struct Chaos {
    port: u16,
    network: Arc<Network>,
    _accepting: JoinSet<()>,
}

impl Chaos {
    /// Starts before the PostgreSQL on this port of 127.0.0.1.
    pub async fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, cut) = (watch::Sender::new(NetworkState::Clear), watch::Sender::new(0));
        let network = Arc::new(Network { upstream, state, cut, met: AtomicUsize::new(0) });
        let shared = Arc::clone(&network);
        let accepting = JoinSet::from_iter([async move {
            while let Ok((client, _)) = listener.accept().await {
                let (network, mut cut) = (Arc::clone(&shared), shared.cut.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        // How a connection ends is the affair of its two sides.
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

    /// From now on every connection that reaches the phase meets the fault.
    pub fn cause(&self, phase: Phase, fault: NetworkFault) {
        self.network.met.store(0, Ordering::Relaxed);
        self.network.state.send_replace(NetworkState::Armed(phase, fault));
    }

    /// Connections that wait for a query's result meet the fault now, later ones do not.
    pub fn strike(&self, fault: NetworkFault) {
        self.network.met.store(0, Ordering::Relaxed);
        self.network.state.send_replace(NetworkState::Struck(fault));
    }

    /// How many connections have met the fault since it was caused.
    pub fn met(&self) -> usize {
        self.network.met.load(Ordering::Relaxed)
    }

    /// The network is well again. What it has swallowed is lost, so the connections that it swallowed it from end; those
    /// that were only slow go on.
    pub fn end(&self) {
        self.network.state.send_replace(NetworkState::Clear);
    }

    /// Ends every connection, so that the next request needs a new one.
    pub fn cut(&self) {
        self.network.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.cut();
    }
}
