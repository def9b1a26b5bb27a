//! A DNS server (RFC 1035) for IPv4 addresses, on an address of this machine, with faults on demand.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::UdpSocket, task::JoinSet, time::sleep};

use crate::lock;

const PORT: u16 = 53;

/// The only question type with records here: `A`.
const TYPE_A: [u8; 2] = [0, 1];

/// The response for a name.
#[derive(Clone, Debug, Default)]
pub enum Resolution {
    /// These addresses, after a delay.
    After(Duration, Vec<Ipv4Addr>),
    /// NXDOMAIN
    #[default]
    Unknown,
    /// SERVFAIL
    Failing,
    /// No response.
    Silent,
}

/// The response for a name, and the number of queries.
#[derive(Default)]
struct Name {
    resolution: Resolution,
    queries: usize,
}

type Names = Arc<Mutex<HashMap<String, Name>>>;

/// A running DNS server; dropping it stops it. A name is unknown until it is set.
pub struct NameServer {
    address: Ipv4Addr,
    names: Names,
    _serving: JoinSet<()>,
}

impl NameServer {
    pub async fn start() -> Result<Self> {
        // A random address, so that no other server uses it.
        let address = Ipv4Addr::new(127, fastrand::u8(1..100), fastrand::u8(..), fastrand::u8(1..=254));
        let socket = UdpSocket::bind((address, PORT)).await;
        let socket = socket.with_context(|| format!("cannot listen on {address}:{PORT}; run as root"))?;
        let (socket, names) = (Arc::new(socket), Names::default());
        let shared = Arc::clone(&names);
        let serving = JoinSet::from_iter([async move {
            let mut buffer = [0; 512];
            while let Ok((length, caller)) = socket.recv_from(&mut buffer).await {
                let Some(query) = Query::read(&buffer[..length]) else { continue };
                let resolution = {
                    let mut names = lock(&shared);
                    let name = names.entry(query.name.clone()).or_default();
                    name.queries += 1;
                    name.resolution.clone()
                };
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    if let Resolution::After(time, _) = &resolution {
                        sleep(*time).await;
                    }
                    if let Some(response) = query.response(&resolution) {
                        // A client that no longer waits sends the query again.
                        drop(socket.send_to(&response, caller).await);
                    }
                });
            }
        }]);
        Ok(Self { address, names, _serving: serving })
    }

    /// Returns the address for a `nameserver` line.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub fn set(&self, name: &str, resolution: Resolution) {
        lock(&self.names).entry(name.to_owned()).or_default().resolution = resolution;
    }

    pub fn queries(&self, name: &str) -> usize {
        lock(&self.names).get(name).map_or(0, |name| name.queries)
    }
}

struct Query {
    id: [u8; 2],
    name: String,
    /// The question section as received: name, type, class.
    question: Vec<u8>,
    is_for_a: bool,
}

impl Query {
    /// Reads a query of one question.
    fn read(packet: &[u8]) -> Option<Self> {
        let id = [*packet.first()?, *packet.get(1)?];
        let (mut labels, mut at) = (Vec::new(), 12);
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let question = packet.get(12..at + 4)?.to_vec();
        Some(Self { id, name: labels.join("."), is_for_a: packet[at..at + 2] == TYPE_A, question })
    }

    fn response(&self, resolution: &Resolution) -> Option<Vec<u8>> {
        let (code, addresses) = match resolution {
            Resolution::After(_, addresses) if self.is_for_a => (0, addresses.as_slice()),
            Resolution::After(..) => (0, [].as_slice()),
            Resolution::Failing => (2, [].as_slice()),
            Resolution::Unknown => (3, [].as_slice()),
            Resolution::Silent => return None,
        };
        // A response, recursion desired and available; one question, the answers, no further sections.
        let mut packet =
            [self.id, [0x81, 0x80 | code], [0, 1], [0, u8::try_from(addresses.len()).ok()?], [0; 2], [0; 2]].concat();
        packet.extend(&self.question);
        for address in addresses {
            // The question's name, type A, class IN, valid for 0 s, four bytes.
            packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            packet.extend(address.octets());
        }
        Some(packet)
    }
}
