//! Which phase of PostgreSQL's protocol a connection is in, as far as its bytes tell: types of messages in plain text,
//! direction and length of records in TLS.

/// The codes of `SSLRequest` and `CancelRequest`, which stand where a start-up message has its version.
const SSL_REQUEST: &[u8] = &80_877_103_u32.to_be_bytes();
const CANCEL_REQUEST: &[u8] = &80_877_102_u32.to_be_bytes();

/// A TLS record of a handshake in plain text.
const HANDSHAKE: u8 = 22;

/// What a Sync is at most, in bytes: the message, the record's header, its inner type and tag.
const SYNC_MAX: usize = 5 + 5 + 1 + 16;

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
    /// It asks whether the connection is alive.
    Check,
    /// The server has the query, and its answer does not get through.
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
            _ if self.ready && bytes.len() <= SYNC_MAX => Phase::Check,
            _ if self.ready => Phase::Query,
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

    /// Whether the function has sent a query and nothing has come back.
    pub fn waits_for_answer(&self) -> bool {
        self.at == Some(Phase::Query)
    }

    /// What the server's bytes show.
    pub fn received(&mut self, bytes: &[u8]) -> Option<Phase> {
        match self.at? {
            // In plain text ReadyForQuery ends the start; in TLS whatever follows the last of the handshake does, for
            // where no password is asked for it is one flight.
            Phase::Authentication => self.ready |= self.encrypted || bytes.ends_with(b"Z\0\0\0\x05I"),
            Phase::Query => {
                self.at = Some(Phase::Rows);
                return Some(Phase::Rows);
            }
            _ => {}
        }
        None
    }
}
