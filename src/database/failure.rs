//! What an error of PostgreSQL's means, and how the log says it.

use tokio_postgres::{Error as PgError, error::Severity};

use crate::error::{Error, display_chain};

/// Whether the session is over, and the statement therefore worth sending again on another connection: closed under
/// us, a connection exception (SQLSTATE class 08), a shutdown or a restart (57P01 to 57P03), anything `FATAL`.
pub(super) fn is_lost(error: &PgError) -> bool {
    let Some(refused) = error.as_db_error() else {
        return error.is_closed()
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    let code = refused.code().code();
    code.starts_with("08")
        || matches!(code, "57P01" | "57P02" | "57P03")
        || matches!(refused.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Whether the query may run on although its session is over. A server that says why it ends a session ends its query with
/// it. One that says nothing may not know that the connection is lost, and a query that waits looks after it only when it
/// has something to say.
pub(super) fn may_run_on(error: &PgError) -> bool {
    error.as_db_error().is_none()
}

/// What a statement's failure on a connection that is well means.
/// SQLSTATEs: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn refusal(error: &PgError) -> Error {
    let cause = describe(error);
    match error.code().map(tokio_postgres::error::SqlState::code) {
        None => Error::Internal(cause),
        // query_canceled, which is what statement_timeout does, and lock_not_available
        Some("57014" | "55P03") => Error::Timeout(cause),
        // transaction rollback (a conflict with recovery on a standby), insufficient resources, operator intervention
        Some(code) if ["40", "53", "57"].iter().any(|class| code.starts_with(class)) => Error::Unavailable(cause),
        Some(_) => Error::Query(cause),
    }
}

/// The classes of SQLSTATE whose messages speak of connections, rights, names and resources. Those of the others can
/// quote a row: `22P02 invalid input syntax for type integer: "…"`, or whatever a trigger or a view raises.
const CLASSES_WITHOUT_ROWS: [&str; 15] =
    ["08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"];

/// The error for the log. PostgreSQL's DETAIL and HINT stay out, and so does a message that can quote rows.
pub(super) fn describe(error: &PgError) -> String {
    let Some(refused) = error.as_db_error() else { return display_chain(error) };
    let (severity, code) = (refused.severity(), refused.code().code());
    if CLASSES_WITHOUT_ROWS.iter().any(|class| code.starts_with(class)) {
        format!("{severity} {code}: {}", refused.message())
    } else {
        format!("{severity} {code}")
    }
}
