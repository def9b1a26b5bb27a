//! A measured request, in the forms that the candidates take.

use anyhow::{Context, Result};
use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::{
    auth::{Authenticated, BearerToken},
    request::ListRequest,
    sessions::{Reading, page_statement},
};
use serde_json::Value;
use testkit::{faults::accounts, request};
use tokio_postgres::Client;

use super::services;

const POSTGREST: &str = include_str!("../../bench/peers/postgrest.sql");

/// At least the `limit` of every request of the bench.
const LIMIT_MAX: i64 = 100;

pub struct MeasuredRequest {
    /// The event of API Gateway, in JSON.
    pub event: String,
    caller: Authenticated,
    request: ListRequest,
}

/// A statement that is sent without a function.
#[derive(Clone, Copy)]
pub enum StatementKind {
    Ours,
    Postgrest,
}

impl MeasuredRequest {
    pub fn new(account: u32, body: &Value) -> Result<Self> {
        let token = accounts::token(account);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?)]);
        let hash = BearerToken::from_headers(&headers).ok().context("a token")?.hash();
        let caller = services::key_ring()?.authenticate(&hash, Timestamp::now()).context("the token is in the ring")?;
        let body = body.to_string();
        let request =
            ListRequest::parse(body.as_bytes(), LIMIT_MAX).map_err(|_| anyhow::anyhow!("{body} is rejected"))?;
        Ok(Self { event: request::post(&token, &body).to_string(), caller, request })
    }

    /// Returns the statement's text, which is composed before the measurement starts.
    pub fn statement(&self, kind: StatementKind) -> String {
        match kind {
            StatementKind::Ours => page_statement(&self.caller, &self.request, Reading::default()).fallback(),
            StatementKind::Postgrest => {
                let ListRequest { limit, offset, .. } = self.request;
                let limit = format!("LIMIT {limit} OFFSET {offset}");
                POSTGREST.replace("/* filters */", &self.filters()).replace("/* limit */", &limit)
            }
        }
    }

    /// Executes the statement unnamed and returns the total: 0 without rows.
    pub async fn execute(&self, client: &Client, statement: &str) -> Result<i64> {
        let parameters = page_statement(&self.caller, &self.request, Reading::default()).parameters;
        let rows = client.query_typed(statement, &parameters).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("total")).context("no total")
    }

    /// Composes the filters as our statement has them: the status in the text, other values as parameters.
    fn filters(&self) -> String {
        let ListRequest { widget_id, status, from_date, .. } = &self.request;
        let widget_id = widget_id.map(|_| "AND chat_sessions.widget_id = $2 ".to_owned());
        let status = status.map(|status| format!("AND chat_sessions.status = '{}' ", status.as_str()));
        let from_date =
            from_date.map(|_| format!("AND chat_sessions.created_at >= ${} ", 2 + usize::from(widget_id.is_some())));
        [widget_id, status, from_date].into_iter().flatten().collect()
    }
}
