//! One connection through the proxy.

use std::{future::pending, io, sync::atomic::Ordering, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::yield_now,
    time::sleep,
};

use super::{Network, NetworkFault, NetworkState, Phase, phase::Watch};

/// The share of 1,000 bytes per second for a tenth of a second.
const NARROW_BYTES: usize = 100;
const NARROW_PAUSE: Duration = Duration::from_millis(100);

/// Relays bytes and injects faults. Returns when the connection is closed.
pub async fn run(mut client: TcpStream, network: &Network) -> io::Result<()> {
    let mut state = network.state.subscribe();
    client.set_nodelay(true)?;
    let mut slow = network.fault_at(Some(Phase::Accept));
    if let Some(fault) = slow
        && !fault.is_slow()
    {
        return end(client, None, fault, network).await;
    }
    let mut server = TcpStream::connect(("127.0.0.1", network.upstream)).await?;
    server.set_nodelay(true)?;
    let mut watch = Watch::default();
    let (mut from_client, mut from_server) = ([0; 16_384], [0; 16_384]);
    loop {
        let read_max = watch.read_max().min(from_server.len());
        let (bytes, sent) = tokio::select! {
            length = client.read(&mut from_client) => (&from_client[..length?], true),
            length = server.read(&mut from_server[..read_max]) => (&from_server[..length?], false),
            fault = injected(&mut state, watch.waits_for_result()) => {
                network.count(fault);
                if !fault.is_slow() {
                    return end(client, Some(server), fault, network).await;
                }
                slow = Some(fault);
                continue;
            }
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let phase = if sent { watch.sent(bytes) } else { watch.received(bytes) };
        let to = if sent { &mut server } else { &mut client };
        match network.fault_at(phase) {
            Some(fault) if fault.is_slow() => slow = Some(fault),
            Some(fault) => {
                // The server receives the query, but its result is lost, or half of it.
                match phase {
                    Some(Phase::Check | Phase::Query) => to.write_all(bytes).await?,
                    Some(Phase::Rows) => to.write_all(&bytes[..bytes.len() / 2]).await?,
                    _ => {}
                }
                return end(client, Some(server), fault, network).await;
            }
            None => {}
        }
        if *state.borrow() == NetworkState::Clear {
            slow = None;
        }
        pass(to, bytes, slow, &mut state).await?;
    }
}

impl NetworkFault {
    fn is_slow(self) -> bool {
        matches!(self, Self::Latency(_) | Self::Bytewise | Self::Narrow)
    }
}

impl Network {
    /// Returns the fault to inject at this phase, and counts it.
    fn fault_at(&self, phase: Option<Phase>) -> Option<NetworkFault> {
        let fault = match *self.state.borrow() {
            NetworkState::Armed(at, fault) if Some(at) == phase => fault,
            NetworkState::BlackHole if phase == Some(Phase::Accept) => NetworkFault::BlackHole,
            _ => return None,
        };
        self.count(fault);
        Some(fault)
    }

    /// Counts an injected fault. A black hole spreads to all connections.
    fn count(&self, fault: NetworkFault) {
        self.injected.fetch_add(1, Ordering::Relaxed);
        if fault == NetworkFault::BlackHole {
            let black_hole = NetworkState::BlackHole;
            let is_new = |state: &mut NetworkState| std::mem::replace(state, black_hole) != black_hole;
            self.state.send_if_modified(is_new);
        }
    }
}

/// Injects a fault that the connection does not survive, and holds what is left of it until the fault ends.
async fn end(
    mut client: TcpStream,
    server: Option<TcpStream>,
    fault: NetworkFault,
    network: &Network,
) -> io::Result<()> {
    let mut state = network.state.subscribe();
    let client = match fault {
        NetworkFault::Reset => {
            client.set_zero_linger()?;
            drop(client);
            None
        }
        NetworkFault::HalfClose => {
            client.shutdown().await?;
            Some(client)
        }
        _ => Some(client),
    };
    let _ = state.wait_for(|state| *state == NetworkState::Clear).await;
    drop((client, server));
    Ok(())
}

/// Writes as slowly as the fault says, or immediately once it has ended.
async fn pass(
    to: &mut TcpStream,
    bytes: &[u8],
    slow: Option<NetworkFault>,
    state: &mut watch::Receiver<NetworkState>,
) -> io::Result<()> {
    let size = match slow {
        Some(NetworkFault::Bytewise) => 1,
        Some(NetworkFault::Narrow) => NARROW_BYTES,
        _ => bytes.len(),
    };
    let pause = match slow {
        Some(NetworkFault::Latency(latency)) => latency,
        Some(NetworkFault::Narrow) => NARROW_PAUSE,
        _ => Duration::ZERO,
    };
    for part in bytes.chunks(size) {
        if pause.is_zero() {
            yield_now().await;
        } else {
            tokio::select! {
                () = sleep(pause) => {}
                _ = state.wait_for(|state| *state == NetworkState::Clear) => {}
            }
        }
        to.write_all(part).await?;
    }
    Ok(())
}

/// Returns the fault when one is injected into this connection.
async fn injected(state: &mut watch::Receiver<NetworkState>, is_waiting: bool) -> NetworkFault {
    loop {
        if *state.borrow() == NetworkState::BlackHole {
            return NetworkFault::BlackHole;
        }
        if state.changed().await.is_err() {
            return pending().await;
        }
        match *state.borrow_and_update() {
            NetworkState::Injected(fault) if is_waiting => return fault,
            _ => {}
        }
    }
}
