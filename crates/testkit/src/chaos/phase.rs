//! Tracks the phase of PostgreSQL's protocol from a connection's bytes: message types in plain text, direction and
//! length of records in TLS.

/// The codes of `SSLRequest` and `CancelRequest`, in the place of a start-up message's version.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
const SSL_REQUEST: &[u8] = &80_877_103_u32.to_be_bytes();
const CANCEL_REQUEST: &[u8] = &80_877_102_u32.to_be_bytes();

const HANDSHAKE: u8 = 22;

/// The response to a Sync, `ReadyForQuery`; in TLS 1.3 it is a separate record with a header, an inner type and a tag.
const READY: &[u8] = b"Z\0\0\0\x05I";
const HEADER: usize = 5;
const READY_RECORD: usize = READY.len() + 1 + 16;

/// A phase at which a fault can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, before the first byte.
    Accept,
    SslRequest,
    Handshake,
    Authentication,
    /// The server has the query and, if the connection was idle, the check before it; no response gets through.
    Check,
    /// The check has passed; the response to the query does not get through.
    Query,
    /// Half of the first rows have got through.
    Rows,
}

/// Tracks the phase of one connection.
#[derive(Default)]
pub struct Watch {
    at: Option<Phase>,
    encrypted: bool,
    ready: bool,
}

impl Watch {
    /// Returns the phase after bytes of the function, which arrive as written: one message or a batch.
    pub fn sent(&mut self, bytes: &[u8]) -> Option<Phase> {
        let phase = match self.at {
            _ if self.ready => Phase::Check,
            None if bytes.get(4..8) == Some(CANCEL_REQUEST) => return None,
            None if bytes.get(4..8) == Some(SSL_REQUEST) => Phase::SslRequest,
            Some(Phase::SslRequest) if bytes[0] == HANDSHAKE => {
                self.encrypted = true;
                Phase::Handshake
            }
            _ => Phase::Authentication,
        };
        self.at = Some(phase);
        Some(phase)
    }

    /// Returns whether the function may wait for a query's result; it may have received only the response to the check.
    pub fn waits_for_result(&self) -> bool {
        matches!(self.at, Some(Phase::Check | Phase::Query | Phase::Rows))
    }

    /// Returns how many of the server's bytes to read, so that the response to a Sync is read separately from what
    /// follows it.
    pub fn read_max(&self) -> usize {
        match self.at {
            Some(Phase::Check) if self.encrypted => HEADER + READY_RECORD,
            Some(Phase::Check) => READY.len(),
            _ => usize::MAX,
        }
    }

    fn is_ready(&self, bytes: &[u8]) -> bool {
        let length = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        if self.encrypted { bytes.len() > HEADER && length(bytes) == READY_RECORD } else { bytes == READY }
    }

    /// Returns the phase after bytes of the server.
    pub fn received(&mut self, bytes: &[u8]) -> Option<Phase> {
        match self.at? {
            // In plain text, ReadyForQuery ends the start-up. In TLS, any bytes after the handshake do, because without
            // a password they come in one flight.
            Phase::Authentication => self.ready |= self.encrypted || bytes.ends_with(READY),
            Phase::Check if self.is_ready(bytes) => self.at = Some(Phase::Query),
            Phase::Check | Phase::Query => self.at = Some(Phase::Rows),
            _ => return None,
        }
        self.at.filter(|phase| matches!(phase, Phase::Query | Phase::Rows))
    }
}
