//! Which phase of PostgreSQL's protocol a connection is in, as far as its bytes tell: types of messages in plain text,
//! direction and length of records in TLS.

/// The codes of `SSLRequest` and `CancelRequest`, which stand where a start-up message has its version.
const SSL_REQUEST: &[u8] = &80_877_103_u32.to_be_bytes();
const CANCEL_REQUEST: &[u8] = &80_877_102_u32.to_be_bytes();

/// A TLS record of a handshake in plain text.
const HANDSHAKE: u8 = 22;

/// The answer to a Sync, `ReadyForQuery`; in TLS 1.3 it is a record of its own, with a header, an inner type and a tag.
const READY: &[u8] = b"Z\0\0\0\x05I";
const HEADER: usize = 5;
const READY_RECORD: usize = READY.len() + 1 + 16;

/// Where a connection can meet a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// TCP: before a byte has passed.
    Accept,
    /// The function asks for TLS.
    SslRequest,
    /// Its first message of TLS.
    Handshake,
    /// Who it is, and which database it wants.
    Authentication,
    /// The server has the query and, before it, the question whether the connection is alive, if it was idle; no answer
    /// gets through.
    Check,
    /// The connection is alive, and the query's answer does not get through.
    Query,
    /// Half of the first part of the rows has got through.
    Rows,
}

/// Reads along.
#[derive(Default)]
pub struct Watch {
    at: Option<Phase>,
    encrypted: bool,
    /// Past authentication.
    ready: bool,
}

impl Watch {
    /// What the function's bytes show, which come as it wrote them: a message or a batch of them at once.
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

    /// Whether the function has sent a query, and may wait for its answer: what came back may be that of the check alone.
    pub fn waits_for_answer(&self) -> bool {
        matches!(self.at, Some(Phase::Check | Phase::Query | Phase::Rows))
    }

    /// How much of the server's bytes to read at once: the answer to a Sync alone, though more may follow at its heels.
    pub fn answer_max(&self) -> usize {
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

    /// What the server's bytes show.
    pub fn received(&mut self, bytes: &[u8]) -> Option<Phase> {
        match self.at? {
            // In plain text ReadyForQuery ends the start; in TLS whatever follows the last of the handshake does, for
            // where no password is asked for it is one flight.
            Phase::Authentication => self.ready |= self.encrypted || bytes.ends_with(READY),
            Phase::Check if self.is_ready(bytes) => self.at = Some(Phase::Query),
            Phase::Check | Phase::Query => self.at = Some(Phase::Rows),
            _ => return None,
        }
        self.at.filter(|phase| matches!(phase, Phase::Query | Phase::Rows))
    }
}
