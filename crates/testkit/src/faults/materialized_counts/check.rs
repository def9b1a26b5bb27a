//! Compares the materialized counts with the tables.

use anyhow::{Context, Result};
use list_chat_sessions::{
    auth::{Authenticated, BearerToken, KeyRing},
    request::ListRequest,
    sessions::{Reading, page_statement},
};
use serde_json::{Value, json};
use tokio_postgres::{Client, error::SqlState};

use super::{ACCOUNTS, writer};
use crate::{
    keys::{Entry, Ring, json as ring_json},
    migrations,
};

/// Returns the first difference, all in one snapshot: by reconcile.sql, and by both variants of the function's
/// statement for every combination of filters.
pub async fn in_one_snapshot(client: &Client, is_backfilled: bool) -> Result<Option<String>> {
    // Locks first: a snapshot from before a TRUNCATE does not see the rows that it removed.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                 LOCK TABLE chat_sessions, chat_messages IN ACCESS SHARE MODE";
    while let Err(error) = client.batch_execute(begin).await {
        // Two TRUNCATEs in one transaction can take the same two locks in either order.
        anyhow::ensure!(error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error:?}");
        client.batch_execute("ROLLBACK").await?;
    }
    let is_installed = "SELECT to_regclass('chat_session_counted') IS NOT NULL";
    let is_installed: bool = client.query_typed_one(is_installed, &[]).await?.get(0);
    let wrong = if is_installed { compare(client, is_backfilled).await? } else { None };
    client.batch_execute("COMMIT").await?;
    Ok(wrong)
}

async fn compare(client: &Client, is_backfilled: bool) -> Result<Option<String>> {
    let rows = migrations::reconcile(client).await?;
    if !rows.is_empty() {
        let columns = rows.iter().map(|row| (0..4).map(|column| row.get(column)).collect::<Vec<Option<String>>>());
        return Ok(Some(format!("reconcile.sql: {:?}", columns.collect::<Vec<_>>())));
    }
    for account in 0..ACCOUNTS {
        let caller = caller(&writer::account(account))?;
        for request in requests(account) {
            let list = ListRequest::parse(request.to_string().as_bytes(), 100).context("a request of this test")?;
            let statement = page_statement(&caller, &list, Reading::default());
            let mut pages = Vec::new();
            for text in [&statement.preferred(), &statement.fallback()] {
                let text = format!(
                    "SELECT array_agg(page::text), coalesce(bool_and(total + message_count IS NOT NULL), true) FROM ({text}) page"
                );
                let page = client.query_typed_one(&text, &statement.parameters).await?;
                pages.push((page.get::<_, Option<Vec<String>>>(0), page.get::<_, bool>(1)));
            }
            let [(materialized, is_complete), (computed, _)] = &pages[..] else { unreachable!("two variants") };
            // The function uses the computed variant where the backfill is incomplete.
            if materialized != computed && (*is_complete || is_backfilled) {
                return Ok(Some(format!("{request}: materialized {materialized:?}, computed {computed:?}")));
            }
        }
    }
    Ok(None)
}

/// Returns every combination of filters. The dates are the beginning of a day, of a month, and neither.
fn requests(account: u64) -> Vec<Value> {
    let mut requests = Vec::new();
    for widget_id in [None, Some(writer::widget(account, 0))] {
        for status in [None, Some("active"), Some("closed")] {
            for from_date in
                [None, Some("2026-02-28"), Some("2026-03-01"), Some("2026-03-15T13:30:00.000001Z"), Some("9999-01-01")]
            {
                requests
                    .push(json!({ "limit": 100, "widget_id": widget_id, "status": status, "from_date": from_date }));
            }
        }
    }
    requests
}

fn caller(account: &str) -> Result<Authenticated> {
    let ring = ring_json(&Ring { api_keys: vec![Entry::new("token", account, "test")] })?;
    let headers = [("authorization".parse()?, "Bearer token".parse()?)].into_iter().collect();
    let hash = BearerToken::from_headers(&headers).map_err(|error| anyhow::anyhow!("{error}"))?.hash();
    let ring = KeyRing::parse(&ring).map_err(|error| anyhow::anyhow!("{error}"))?;
    ring.authenticate(&hash, jiff::Timestamp::now()).context("the token is in the ring")
}
