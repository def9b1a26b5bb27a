//! The old host: the edge function that moves, and others that stay.

use anyhow::Result;
use axum::routing::any;
use testkit::edge_function;
use tokio::{net::TcpListener, task::JoinSet};

/// The path of a function that stays, and the header that only the old host sets.
pub const OTHER_PATH: &str = "/functions/v1/list-agents";
pub const HEADER: &str = "x-old-host";

/// A running host; dropping it stops it.
pub struct OldHost {
    base: String,
    _server: JoinSet<()>,
}

impl OldHost {
    pub async fn start(admin_url: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let agents = any(async || ([("content-type", "application/json"), (HEADER, "yes")], r#"{"agents":[]}"#));
        let router = edge_function::router(admin_url).route(OTHER_PATH, agents);
        let server = JoinSet::from_iter([async move { drop(axum::serve(listener, router).await) }]);
        Ok(Self { base, _server: server })
    }

    /// `http://127.0.0.1:<port>`
    pub fn base(&self) -> &str {
        &self.base
    }
}
