//! The candidates that are measured.

/// A program or statement that serves the requests. The others are compared with the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Candidate {
    Ours,
    Materialized,
    Node,
    Bundle,
    Python,
    Postgrest,
    Statement,
    Empty,
}

impl Candidate {
    pub const ALL: [Self; 8] = [
        Self::Ours,
        Self::Materialized,
        Self::Node,
        Self::Bundle,
        Self::Python,
        Self::Postgrest,
        Self::Statement,
        Self::Empty,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Materialized => "ours, materialized counts",
            Self::Node => "Node",
            Self::Bundle => "Node, bundled",
            Self::Python => "Python",
            Self::Postgrest => "PostgREST's statement",
            Self::Statement => "our statement alone",
            Self::Empty => "empty function",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::Ours => "this function's release binary",
            Self::Materialized => "the same on a database with migrations/materialized_counts",
            Self::Node => "crates/dev/bench/peers/node: `pg` and the AWS SDK from node_modules, our SQL",
            Self::Bundle => "the same in one file made by esbuild",
            Self::Python => "crates/dev/bench/peers/python: psycopg and boto3, our SQL",
            Self::Postgrest => {
                "crates/dev/bench/peers/postgrest.sql: the edge function's query without PostgREST, HTTP and the edge function"
            }
            Self::Statement => "our SQL without a function: what the database and one round trip take",
            Self::Empty => "crates/dev/bench/peers/empty: only lambda_runtime, no secrets, no database",
        }
    }

    /// Returns whether it is a process under the Runtime API; the others are statements that this program sends.
    pub fn is_function(self) -> bool {
        !matches!(self, Self::Postgrest | Self::Statement)
    }

    pub fn database(self) -> &'static str {
        if self == Self::Materialized { super::data::MATERIALIZED } else { super::data::PLAIN }
    }

    /// The colour in plots, of a palette that is safe for colour blindness.
    pub fn colour(self) -> &'static str {
        match self {
            Self::Ours => "#0072b2",
            Self::Materialized => "#009e73",
            Self::Node => "#e69f00",
            Self::Bundle => "#b07700",
            Self::Python => "#cc79a7",
            Self::Postgrest => "#d55e00",
            Self::Statement => "#222222",
            Self::Empty => "#777777",
        }
    }
}
