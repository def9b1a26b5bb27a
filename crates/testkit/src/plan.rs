//! PostgreSQL's query plans for an account that shares its tables with another.

use list_chat_sessions::auth::{Authenticated, BearerToken, KeyRing};
use serde_json::Value;

use crate::{TOKEN, ring};

/// Rows of which a fifth are the account's, so that reading all of them costs more than any index.
pub const ROWS: &str = "
    INSERT INTO users SELECT v.id::uuid FROM (VALUES ('ACCOUNT'), ('22222222-2222-4222-8222-222222222222')) v (id);
    INSERT INTO chat_widgets (id, user_id)
      SELECT ('aaaaaaaa-aaaa-4aaa-8aaa-' || lpad(n::text, 12, '0'))::uuid, 'ACCOUNT' FROM generate_series(0, 9) n;
    INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, status, last_message_at, created_at)
      SELECT gen_random_uuid(), ('aaaaaaaa-aaaa-4aaa-8aaa-' || lpad((n / 5 % 10)::text, 12, '0'))::uuid,
             CASE WHEN n % 5 = 0 THEN 'ACCOUNT' ELSE '22222222-2222-4222-8222-222222222222' END::uuid, 'v' || n,
             CASE WHEN n % 25 = 0 THEN 'active' ELSE 'closed' END,
             timestamptz '2024-01-01' + n * interval '1 min', timestamptz '2024-01-01' + n * interval '1 min'
      FROM generate_series(1, 60000) n;
    INSERT INTO chat_messages (session_id, role, content)
      SELECT s.id, 'visitor', 'text' FROM chat_sessions s, generate_series(1, 3);";

/// Returns the plan in a row of `EXPLAIN (FORMAT JSON)`.
pub fn json_of(row: &tokio_postgres::Row) -> Value {
    let plan: Json = row.get(0);
    plan.0[0]["Plan"].clone()
}

pub fn caller() -> Authenticated {
    let headers = [("authorization", format!("Bearer {TOKEN}"))];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
    let hash = BearerToken::from_headers(&headers).unwrap().hash();
    KeyRing::parse(&ring(&[TOKEN])).unwrap().authenticate(&hash, jiff::Timestamp::now()).unwrap()
}

pub fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

struct Json(Value);

impl<'a> tokio_postgres::types::FromSql<'a> for Json {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    tokio_postgres::types::accepts!(JSON);
}
