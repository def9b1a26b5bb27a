//! Classifies PostgreSQL's errors and formats them for the log.

use tokio_postgres::{
    Error as PgError,
    error::{Severity, SqlState},
};

use crate::error::{Error, display_chain};

/// Whether the connection is lost, so that the statement can be retried on another one: it was closed, or failed with a
/// connection exception (SQLSTATE class 08), a shutdown or a restart (57P01 to 57P03), or with anything `FATAL`.
pub(super) fn is_lost(error: &PgError) -> bool {
    let Some(rejection) = error.as_db_error() else {
        return error.is_closed()
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    let code = rejection.code().code();
    code.starts_with("08")
        || matches!(code, "57P01" | "57P02" | "57P03")
        || matches!(rejection.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Whether the server may still be running the query of a lost connection. A server that reports why it ends a session ends
/// its query too. Otherwise it may not know yet that the connection is lost: a backend waiting for a lock notices a lost
/// client only when it next writes.
pub(super) fn may_still_be_running(error: &PgError) -> bool {
    error.as_db_error().is_none()
}

/// The error of a request whose statement PostgreSQL rejected on a working connection.
/// SQLSTATEs: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn classify(error: &PgError) -> Error {
    let cause = log_text(error);
    match error.code().map(SqlState::code) {
        None => Error::Internal(cause),
        // query_canceled, which is what statement_timeout causes, and lock_not_available
        Some("57014" | "55P03") => Error::Timeout(cause),
        // character_not_in_repertoire
        Some("22021") => Error::InvalidText(cause),
        // transaction rollback (a conflict with recovery on a standby), insufficient resources, operator intervention
        Some(code) if ["40", "53", "57"].iter().any(|class| code.starts_with(class)) => Error::Unavailable(cause),
        Some(_) => Error::Query(cause),
    }
}

/// The classes of SQLSTATE whose messages name connections, rights, identifiers and resources. Messages of the others can
/// quote a row: `22P02 invalid input syntax for type integer: "…"`, or whatever a trigger or a view raises.
const CLASSES_WITHOUT_ROWS: [&str; 15] =
    ["08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"];

/// The error for the log, without PostgreSQL's DETAIL and HINT, and without a message that can quote rows.
pub(super) fn log_text(error: &PgError) -> String {
    let Some(rejection) = error.as_db_error() else { return display_chain(error) };
    let (severity, code) = (rejection.severity(), rejection.code().code());
    if CLASSES_WITHOUT_ROWS.iter().any(|class| code.starts_with(class)) {
        format!("{severity} {code}: {}", rejection.message())
    } else {
        format!("{severity} {code}")
    }
}
