//! The check of a connection: whether it is alive, which form of a statement fits, and whether it sees all rows.
//!
//! A new connection is checked before its first statement. One whose last check is older than
//! [`CHECK_INTERVAL`](super::CHECK_INTERVAL) is checked again, in the packet of the next statement: the schema can change
//! while it lives. The check takes no lock on a table, so a table that is locked does not delay it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::Error as PgError;

use super::{connector::Connection, failure::refusal};
use crate::{error::Error, sessions::Form};

/// Whether the kept form would find what it reads, and whether row level security applies to this role on any table.
///
/// Trying the kept form would tell as well, but would log an error on the server for every connection where the set is not
/// installed. Policies are left to [`POLICIES`], because reading them costs a new connection 0.6 ms.
const FEATURES: &str = "-- list-chat-sessions: what the schema has
SELECT coalesce(has_table_privilege(to_regclass('chat_session_counts'), 'SELECT')
            AND has_table_privilege(to_regclass('chat_session_counted'), 'SELECT')
            AND has_table_privilege(to_regclass('chat_session_totals'), 'SELECT')
            AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('chat_sessions')
                         AND attname = 'message_count' AND NOT attisdropped), false),
       coalesce(row_security_active(to_regclass('chat_widgets')), false)
       OR coalesce(row_security_active(to_regclass('chat_sessions')), false)
       OR coalesce(row_security_active(to_regclass('chat_messages')), false)
       OR coalesce(row_security_active(to_regclass('chat_session_counts')), false)
       OR coalesce(row_security_active(to_regclass('chat_session_counted')), false)
       OR coalesce(row_security_active(to_regclass('chat_session_totals')), false)";

/// The same where row level security applies: whether the kept form fits, and the tables that may hide rows, if any.
///
/// A table hides none if a permissive policy for SELECT names this role, or a role whose rights it has; what such a policy
/// says is the operator's decision. Policies for PUBLIC are not meant for this role: a permissive one does not count, and
/// a restrictive one hides rows. The kept form is for a role that sees everything, because its totals are not filtered.
const POLICIES: &str = "-- list-chat-sessions: what row level security leaves
SELECT count(*) FILTER (WHERE is_count AND sees_all AND has_table_privilege(read, 'SELECT')) = 3
       AND coalesce(bool_and(sees_all) FILTER (WHERE NOT is_count), false)
       AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('chat_sessions')
                    AND attname = 'message_count' AND NOT attisdropped),
       string_agg(name || coalesce(' (restrictive policy ' || culprit || ' is for PUBLIC)', ''), ', ' ORDER BY name)
         FILTER (WHERE NOT is_count AND is_active AND (culprit IS NOT NULL OR NOT is_permitted))
FROM (VALUES ('chat_widgets', false), ('chat_sessions', false), ('chat_messages', false),
             ('chat_session_counts', true), ('chat_session_counted', true), ('chat_session_totals', true))
       tables (name, is_count),
     to_regclass(name) read, row_security_active(read) is_active,
     LATERAL (SELECT coalesce(bool_or(polpermissive AND is_named), false) AS is_permitted,
                     min(quote_ident(polname)) FILTER (WHERE NOT polpermissive AND 0 = ANY (polroles)) AS culprit,
                     NOT is_active
                     OR coalesce(bool_or(polpermissive AND is_named AND pg_get_expr(polqual, polrelid) = 'true'), false)
                        AND NOT coalesce(bool_or(NOT polpermissive AND (is_named OR 0 = ANY (polroles))), false)
                       AS sees_all
              FROM pg_policy, LATERAL (SELECT EXISTS (SELECT FROM unnest(polroles) named
                                                       WHERE named <> 0 AND pg_has_role(named, 'USAGE'))) n (is_named)
              WHERE polrelid = read AND polcmd IN ('r', '*')) policies";

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
        let mut checked = self.check().await;
        if let Err(CheckError::RowSecurityEnabled) = checked {
            self.features.row_security.store(true, Ordering::Relaxed);
            checked = self.check().await;
        }
        if !matches!(&checked, Err(CheckError::Postgres(error)) if super::failure::may_run_on(error)) {
            cancel.0 = None;
        }
        checked
    }

    /// Checks the connection in one round trip.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub(super) async fn check(&self) -> Result<(), CheckError> {
        let filtered = self.features.row_security.load(Ordering::Relaxed);
        let row = self.query_typed_one(if filtered { POLICIES } else { FEATURES }, &[]).await?;
        let hidden: Option<String> = if filtered {
            row.try_get(1)?
        } else if row.try_get(1)? {
            return Err(CheckError::RowSecurityEnabled);
        } else {
            None
        };
        self.features.materialized_counts.store(row.try_get(0)?, Ordering::Relaxed);
        hidden.map_or(Ok(()), |tables| Err(CheckError::RowsHidden(tables)))
    }
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
