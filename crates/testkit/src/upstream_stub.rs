//! The host of other functions: each shows one thing that must arrive unchanged through the gateway.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, Response, StatusCode, Uri, header, response::Builder},
};
use http_body_util::BodyExt;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{Certificate, lock};

/// A body that is not text: every byte once.
pub const BINARY: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = at.to_le_bytes()[0];
        at += 1;
    }
    bytes
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A running stub; dropping it stops it.
pub struct UpstreamStub {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    servers: JoinSet<()>,
}

impl UpstreamStub {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let router = Router::new().fallback(respond).with_state(Arc::clone(&received));
        let servers = JoinSet::from_iter([async move { drop(axum::serve(listener, router).await) }]);
        Ok(Self { address, received, servers })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves the stub with TLS too; returns that URL.
    pub async fn add_tls(&mut self, certificate: &Certificate) -> Result<String> {
        let (tls, behind) = (certificate.acceptor()?, self.address.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        self.servers.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, behind) = (tls.clone(), behind.clone());
                // The client reports errors of its connection.
                tokio::spawn(async move {
                    let (mut client, mut server) = (tls.accept(stream).await?, TcpStream::connect(behind).await?);
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Ok(url)
    }

    /// Returns the requests so far, in order.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }
}

async fn respond(State(received): State<Arc<Mutex<Vec<Received>>>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let name = parts.uri.path().rsplit_once("/functions/v1/").map_or("", |(_, name)| name).to_owned();
    lock(&received).push(Received { method: parts.method, uri: parts.uri, headers: parts.headers, body: body.clone() });
    let json = |status| Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    let response: Result<Response<Body>, _> = match name.as_str() {
        "list-agents" => json(StatusCode::OK)
            .header(header::SET_COOKIE, "a=1; Path=/")
            .header(header::SET_COOKIE, "b=2; Path=/")
            .header("x-request-id", "of-the-upstream")
            .body(r#"{"agents":[]}"#.into()),
        "update-agent" => json(StatusCode::UNPROCESSABLE_ENTITY)
            .header(header::RETRY_AFTER, "7")
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"old\"")
            .body(r#"{"error":"name is required"}"#.into()),
        "get-recording" => Builder::new().header(header::CONTENT_TYPE, "audio/mpeg").body(BINARY.to_vec().into()),
        "echo" => Builder::new().body(body.into()),
        "delete-agent" => Builder::new().status(StatusCode::NO_CONTENT).body(Body::empty()),
        "moved" => json(StatusCode::FOUND).header(header::LOCATION, "/elsewhere").body(Body::empty()),
        "slow" => std::future::pending().await,
        _ => Builder::new().status(StatusCode::NOT_FOUND).body("no such function".into()),
    };
    response.unwrap_or_default()
}
