//! The check of a connection: whether it is alive, which form of a statement fits, and whether it sees all rows.
//!
//! A new connection is checked before its first statement. One whose last check is older than
//! [`CHECK_INTERVAL`](super::CHECK_INTERVAL) is checked again, in the packet of the next statement: the schema can change
//! while it lives. The check takes no lock on a table, so a table that is locked does not delay it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::{Error as PgError, Row};

use super::{
    connector::Connection,
    failure::{may_run_on, refusal},
};
use crate::{error::Error, sessions::Form};

/// The tables that a statement reads. The first three are the product's, the others belong to the counts.
const TABLES: [&str; 6] = [
    "chat_widgets",
    "chat_sessions",
    "chat_messages",
    "chat_session_counts",
    "chat_session_counted",
    "chat_session_totals",
];
const PRODUCT_TABLES: usize = 3;

/// Whether the kept form would find what it reads, and for each of [`TABLES`] whether row level security applies to this
/// role. Trying the kept form would tell as well, but would log an error on the server for every connection where the set
/// is not installed.
const FEATURES: &str = "-- list-chat-sessions: what the schema has
SELECT coalesce(has_table_privilege(to_regclass('chat_session_counts'), 'SELECT')
            AND has_table_privilege(to_regclass('chat_session_counted'), 'SELECT')
            AND has_table_privilege(to_regclass('chat_session_totals'), 'SELECT')
            AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('chat_sessions')
                         AND attname = 'message_count' AND NOT attisdropped), false),
       coalesce(row_security_active(to_regclass('chat_widgets')), false),
       coalesce(row_security_active(to_regclass('chat_sessions')), false),
       coalesce(row_security_active(to_regclass('chat_messages')), false),
       coalesce(row_security_active(to_regclass('chat_session_counts')), false),
       coalesce(row_security_active(to_regclass('chat_session_counted')), false),
       coalesce(row_security_active(to_regclass('chat_session_totals')), false)";

/// The policies for SELECT: table, name, is it permissive, is it for PUBLIC, does it name this role or one whose rights it
/// has, does it show every row. Asked for only where row level security applies: it costs a new connection 1 ms.
const POLICIES: &str = "-- list-chat-sessions: which policies there are
SELECT name, polname::text, polpermissive, 0 = ANY (polroles),
       EXISTS (SELECT FROM unnest(polroles) named WHERE named <> 0 AND pg_has_role(named, 'USAGE')),
       coalesce(pg_get_expr(polqual, polrelid) = 'true', false)
FROM pg_policy
JOIN (VALUES ('chat_widgets'), ('chat_sessions'), ('chat_messages'), ('chat_session_counts'), ('chat_session_counted'),
             ('chat_session_totals')) tables (name) ON polrelid = to_regclass(name)
WHERE polcmd IN ('r', '*')";

/// What the last check found.
#[derive(Default)]
pub struct SchemaFeatures {
    materialized_counts: AtomicBool,
    row_security: AtomicBool,
}

impl SchemaFeatures {
    /// The form of a statement that fits.
    pub(super) fn form(&self) -> Form {
        if self.materialized_counts.load(Ordering::Relaxed) { Form::Kept } else { Form::Computed }
    }

    /// Notes that a statement in the kept form did not find what it reads.
    pub(super) fn lacks_counts(&self) {
        self.materialized_counts.store(false, Ordering::Relaxed);
    }
}

/// Why a connection cannot be used.
pub enum CheckError {
    /// The check itself failed: the connection is lost, or PostgreSQL rejected the query.
    Postgres(PgError),
    /// Row level security has come to apply since the connection was opened; a new one reads the policies.
    RowSecurityEnabled,
    /// Row level security may hide rows of these tables.
    RowsHidden(String),
}

impl Connection {
    /// Checks a new connection.
    ///
    /// # Errors
    ///
    /// As [`Connection::check`], but for [`CheckError::RowSecurityEnabled`].
    pub(super) async fn first_check(&self) -> Result<(), CheckError> {
        let mut cancel = CancelOnDrop(Some(self));
        let checked = async {
            let features = self.query_typed_one(FEATURES, &[]).await?;
            let filtered = has_row_security(&features)?;
            self.features.row_security.store(filtered, Ordering::Relaxed);
            let policies = if filtered { self.query_typed(POLICIES, &[]).await? } else { Vec::new() };
            self.judge(&features, &policies)
        }
        .await;
        if !matches!(&checked, Err(CheckError::Postgres(error)) if may_run_on(error)) {
            cancel.0 = None;
        }
        checked
    }

    /// Checks the connection again, in one round trip.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub(super) async fn check(&self) -> Result<(), CheckError> {
        let features = self.query_typed_one(FEATURES, &[]);
        if self.features.row_security.load(Ordering::Relaxed) {
            let (features, policies) = tokio::try_join!(biased; features, self.query_typed(POLICIES, &[]))?;
            return self.judge(&features, &policies);
        }
        let features = features.await?;
        if has_row_security(&features)? { Err(CheckError::RowSecurityEnabled) } else { self.judge(&features, &[]) }
    }

    fn judge(&self, features: &Row, policies: &[Row]) -> Result<(), CheckError> {
        let policies = policies.iter().map(Policy::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut has_counts: bool = features.try_get(0)?;
        let mut hidden = Vec::new();
        for (index, table) in TABLES.into_iter().enumerate() {
            if !features.try_get::<_, bool>(index + 1)? {
                continue;
            }
            let visibility = visibility(table, &policies);
            // Totals are not filtered, so they are for a role that sees every row.
            has_counts &= visibility == Visibility::All;
            if let (Visibility::Unknown(remark), true) = (visibility, index < PRODUCT_TABLES) {
                hidden.push(format!("{table}{remark}"));
            }
        }
        self.features.materialized_counts.store(has_counts, Ordering::Relaxed);
        if hidden.is_empty() { Ok(()) } else { Err(CheckError::RowsHidden(hidden.join(", "))) }
    }
}

/// Whether row level security applies to any of [`TABLES`].
fn has_row_security(features: &Row) -> Result<bool, PgError> {
    for column in 1..=TABLES.len() {
        if features.try_get(column)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A policy for SELECT on one of [`TABLES`].
#[expect(clippy::struct_excessive_bools, reason = "they are the columns of a row")]
struct Policy<'a> {
    table: &'a str,
    name: &'a str,
    is_permissive: bool,
    is_for_public: bool,
    names_role: bool,
    shows_all: bool,
}

impl<'a> TryFrom<&'a Row> for Policy<'a> {
    type Error = PgError;

    fn try_from(row: &'a Row) -> Result<Self, PgError> {
        Ok(Self {
            table: row.try_get(0)?,
            name: row.try_get(1)?,
            is_permissive: row.try_get(2)?,
            is_for_public: row.try_get(3)?,
            names_role: row.try_get(4)?,
            shows_all: row.try_get(5)?,
        })
    }
}

/// What the role sees of a table that row level security applies to.
#[derive(PartialEq, Eq)]
enum Visibility {
    All,
    /// What a policy for the role says, which is the operator's decision.
    Filtered,
    /// Rows may be hidden that nobody meant to hide from this role, and a remark for the log.
    Unknown(String),
}

/// Policies for PUBLIC are not written for this role: a permissive one does not count, and a restrictive one hides rows.
fn visibility(table: &str, policies: &[Policy<'_>]) -> Visibility {
    let (permissive, restrictive): (Vec<_>, Vec<_>) =
        policies.iter().filter(|policy| policy.table == table).partition(|policy| policy.is_permissive);
    if let Some(policy) = restrictive.iter().find(|policy| policy.is_for_public) {
        return Visibility::Unknown(format!(" (restrictive policy {} is for PUBLIC)", policy.name));
    }
    if !permissive.iter().any(|policy| policy.names_role) {
        return Visibility::Unknown(String::new());
    }
    let is_restricted = restrictive.iter().any(|policy| policy.names_role);
    let shows_all = permissive.iter().any(|policy| policy.names_role && policy.shows_all);
    if shows_all && !is_restricted { Visibility::All } else { Visibility::Filtered }
}

impl CheckError {
    /// What it means to the request.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Postgres(error) => refusal(&error),
            Self::RowSecurityEnabled => Error::Unavailable("row level security was enabled".into()),
            Self::RowsHidden(tables) => Error::Misconfigured(format!(
                "row level security may hide rows from the function's role: {tables}. Run docs/role.sql, which makes the \
                 policies that the role needs"
            )),
        }
    }
}

impl From<PgError> for CheckError {
    fn from(error: PgError) -> Self {
        Self::Postgres(error)
    }
}

/// Opening a connection that is given up, or lost, leaves no query running.
struct CancelOnDrop<'a>(Option<&'a Connection>);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            drop(connection.cancel());
        }
    }
}
