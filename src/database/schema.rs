//! The schema as a connection's role sees it: which of the preferred relations it can read, and whether row level security
//! may hide rows.
//!
//! A new connection is checked before its first statement. A connection whose last check is older than
//! [`CHECK_INTERVAL`](super::CHECK_INTERVAL) is checked again in the packet of the next statement, because the schema can
//! change during its life. The check locks no table, so a locked table does not delay it.

use tokio_postgres::{
    Client, Error as PgError, Row,
    types::{ToSql, Type},
};

use crate::error::Error;

/// The relations that statements read.
#[derive(Debug)]
pub struct Schema {
    /// Required. If row level security may hide rows of them, every query fails.
    pub tables: &'static [&'static str],
    /// Read only by [`Statement::preferred`](super::Statement::preferred).
    pub preferred_tables: &'static [&'static str],
    /// A required table, and a column that it has if the preferred tables exist.
    pub preferred_column: (&'static str, &'static str),
    /// The file that creates the role with its policies, for errors.
    pub role_script: &'static str,
}

/// For each relation of `$1`: whether [`Statement::preferred`](super::Statement::preferred) can use it, and whether row
/// level security applies to the role. Also the id of the server's process. Trying that statement instead would log an error on the server for each connection
/// to a database without the preferred tables.
const RELATIONS: &str = "-- list-chat-sessions: what the role can read
SELECT CASE WHEN name = ANY ($2) THEN coalesce(has_table_privilege(oid, 'SELECT'), false)
            ELSE name <> $3 OR EXISTS (SELECT FROM pg_attribute
                                        WHERE attrelid = oid AND attname = $4 AND NOT attisdropped) END,
       coalesce(row_security_active(oid), false),
       pg_backend_pid()
FROM unnest($1) WITH ORDINALITY relations (name, place), to_regclass(name) oid
ORDER BY place";

/// The policies for SELECT on the relations of `$1`: table, name, and whether it is permissive, is for PUBLIC, names this
/// role or one whose rights it has, and shows every row. Read only if row level security applies, because it costs a new
/// connection 1 ms.
const POLICIES: &str = "-- list-chat-sessions: which policies there are
SELECT name, polname::text, polpermissive, 0 = ANY (polroles),
       EXISTS (SELECT FROM unnest(polroles) named WHERE named <> 0 AND pg_has_role(named, 'USAGE')),
       coalesce(pg_get_expr(polqual, polrelid) = 'true', false)
FROM pg_policy JOIN unnest($1) relations (name) ON polrelid = to_regclass(name)
WHERE polcmd IN ('r', '*')";

/// The result of a check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// Whether every preferred relation exists, is readable, and shows the role all of its rows.
    pub(super) has_preferred: bool,
    /// The server's process that ran the check.
    pub(super) process_id: i32,
    row_security: bool,
}

pub enum CheckError {
    /// The connection is lost, or PostgreSQL rejected the check.
    Postgres(PgError),
    /// Row level security was enabled since the last check; a new connection reads the policies.
    RowSecurityEnabled,
    /// Row level security may hide rows of these tables.
    RowsHidden(String),
}

impl Schema {
    /// Checks a new connection, in one round trip, or in two if row level security applies.
    pub(super) async fn check(&self, client: &Client) -> Result<Features, CheckError> {
        let relations = self.relations(client).await?;
        let policies = if relations.iter().any(|relation| relation.row_security) {
            self.policies(client).await?
        } else {
            Vec::new()
        };
        self.judge(&relations, &policies)
    }

    /// Checks a connection again, in one round trip.
    pub(super) async fn check_again(&self, client: &Client, before: Features) -> Result<Features, CheckError> {
        if before.row_security {
            let (relations, policies) = tokio::try_join!(biased; self.relations(client), self.policies(client))?;
            return self.judge(&relations, &policies);
        }
        let relations = self.relations(client).await?;
        if relations.iter().any(|relation| relation.row_security) {
            return Err(CheckError::RowSecurityEnabled);
        }
        self.judge(&relations, &[])
    }

    fn names(&self) -> Vec<&'static str> {
        [self.tables, self.preferred_tables].concat()
    }

    async fn relations(&self, client: &Client) -> Result<Vec<Relation>, PgError> {
        let (names, (table, column)) = (self.names(), self.preferred_column);
        let parameters = [
            (&names as &(dyn ToSql + Sync), Type::TEXT_ARRAY),
            (&self.preferred_tables, Type::TEXT_ARRAY),
            (&table, Type::TEXT),
            (&column, Type::TEXT),
        ];
        let rows = client.query_typed(RELATIONS, &parameters).await?;
        rows.iter().map(Relation::try_from).collect()
    }

    async fn policies(&self, client: &Client) -> Result<Vec<Policy>, PgError> {
        let rows = client.query_typed(POLICIES, &[(&self.names(), Type::TEXT_ARRAY)]).await?;
        rows.iter().map(Policy::try_from).collect()
    }

    fn judge(&self, relations: &[Relation], policies: &[Policy]) -> Result<Features, CheckError> {
        let (mut has_preferred, mut hidden) = (true, Vec::new());
        for (index, (name, relation)) in self.names().into_iter().zip(relations).enumerate() {
            let is_required = index < self.tables.len();
            has_preferred &= relation.suits_preferred;
            if !relation.row_security {
                continue;
            }
            let visibility = visibility(name, policies);
            // Sums over the preferred tables are not filtered, so they are for a role that sees every row.
            has_preferred &= visibility == Visibility::All;
            if let (Visibility::Unknown(remark), true) = (visibility, is_required) {
                hidden.push(format!("{name}{remark}"));
            }
        }
        if !hidden.is_empty() {
            return Err(CheckError::RowsHidden(hidden.join(", ")));
        }
        Ok(Features {
            has_preferred,
            process_id: relations.first().map_or(0, |relation| relation.process_id),
            row_security: relations.iter().any(|relation| relation.row_security),
        })
    }
}

struct Relation {
    suits_preferred: bool,
    row_security: bool,
    process_id: i32,
}

impl TryFrom<&Row> for Relation {
    type Error = PgError;

    fn try_from(row: &Row) -> Result<Self, PgError> {
        Ok(Self { suits_preferred: row.try_get(0)?, row_security: row.try_get(1)?, process_id: row.try_get(2)? })
    }
}

#[expect(clippy::struct_excessive_bools, reason = "they are the columns of a row")]
struct Policy {
    table: String,
    name: String,
    is_permissive: bool,
    is_for_public: bool,
    names_role: bool,
    shows_all: bool,
}

impl TryFrom<&Row> for Policy {
    type Error = PgError;

    fn try_from(row: &Row) -> Result<Self, PgError> {
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

/// The rows that the role sees of a table to which row level security applies.
#[derive(PartialEq, Eq)]
enum Visibility {
    All,
    /// Those that a policy for the role selects, as the operator decided.
    Filtered,
    /// Rows may be hidden unintentionally; with a remark for the log.
    Unknown(String),
}

/// Policies for PUBLIC are not written for this role: a permissive one does not count, and a restrictive one hides rows.
fn visibility(table: &str, policies: &[Policy]) -> Visibility {
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

/// The error for a request when row level security may hide rows of these tables.
pub(super) fn rows_hidden(tables: &str, schema: &Schema) -> Error {
    Error::Misconfigured(format!(
        "row level security may hide rows from the function's role: {tables}. Run {}, which makes the policies that the role \
         needs",
        schema.role_script
    ))
}

impl From<PgError> for CheckError {
    fn from(error: PgError) -> Self {
        Self::Postgres(error)
    }
}
