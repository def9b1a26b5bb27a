//! One host name for this function and for others: the gateway passes those to an upstream.

use std::{
    process::Stdio,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Result;
use axum::{
    body::Bytes,
    http::{HeaderMap, Request, Response, StatusCode, request::Builder},
};
use testkit::{
    Database, Gateway, Received, Secrets, TOKEN, Upstream, UpstreamStub, client,
    environment::{database, secrets_with, start},
    repository, ring,
    upstream_stub::BINARY,
};
use tokio::{net::TcpListener, process::Command, task::JoinSet};

const LIST: &str = "/functions/v1/list-chat-sessions";

struct App {
    url: String,
    _parts: (JoinSet<()>, Secrets, Database),
}

impl App {
    async fn start(upstream: Upstream) -> Result<Self> {
        let (secrets, database) = (secrets_with(ring(&[TOKEN])).await, database().await);
        let function = start(&secrets, &[("DATABASE_URL", database.url())]).await?;
        let gateway = Gateway::bind(0).await?.with_upstream(upstream);
        let url = gateway.url()?;
        Ok(Self { url, _parts: (gateway.serve(Arc::new(function)), secrets, database) })
    }

    async fn with_stub() -> Result<(Self, UpstreamStub)> {
        let stub = UpstreamStub::start().await?;
        Ok((Self::start(Upstream::new(&stub.url())?).await?, stub))
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.url))
    }

    async fn call(&self, method: &str, path: &str) -> Result<Response<Bytes>> {
        client::send(self.request(method, path).body(Bytes::new())?).await
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

#[tokio::test]
async fn method_path_query_headers_and_body_reach_the_upstream_unchanged() -> Result<()> {
    let (app, stub) = App::with_stub().await?;
    let path = "/functions/v1/echo/a%2Fb%20c?x=1&x=2&y=%7B%7D&z";
    for (method, body) in [("POST", &BINARY[..]), ("PUT", b"{}"), ("PATCH", b""), ("GET", b""), ("OPTIONS", b"")] {
        let request = app
            .request(method, path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("apikey", "anon")
            .header("content-type", "application/x-thing")
            .header("cookie", "a=1; b=2")
            .header("x-two", "1")
            .header("x-two", "2");
        client::send(request.body(Bytes::copy_from_slice(body))?).await?;
        let Some(Received { method: arrived, uri, headers, body: arrived_body }) = stub.received().pop() else {
            panic!("{method} did not arrive")
        };
        assert_eq!((arrived.as_str(), uri.to_string().as_str()), (method, path));
        assert_eq!(all(&headers, "authorization"), [format!("Bearer {TOKEN}")]);
        assert_eq!(all(&headers, "apikey"), ["anon"]);
        assert_eq!(all(&headers, "content-type"), ["application/x-thing"]);
        assert_eq!(all(&headers, "cookie"), ["a=1; b=2"]);
        assert_eq!(all(&headers, "x-two"), ["1", "2"]);
        assert_eq!(arrived_body, body, "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn the_upstream_gets_its_own_host_and_the_callers_in_forwarded() -> Result<()> {
    let (app, stub) = App::with_stub().await?;
    let request = app
        .request("POST", "/functions/v1/echo")
        .header("host", "api.example.com")
        .header("x-forwarded-for", "192.0.2.1, 192.0.2.2")
        .header("x-forwarded-proto", "https")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("upgrade", "websocket");
    client::send(request.body(Bytes::new())?).await?;
    let headers = stub.received().remove(0).headers;
    assert_eq!(format!("http://{}", all(&headers, "host").concat()), stub.url());
    assert_eq!(
        all(&headers, "forwarded"),
        ["for=192.0.2.1, for=192.0.2.2, by=127.0.0.1;for=127.0.0.1;host=api.example.com;proto=http"]
    );
    for name in ["x-forwarded-for", "x-forwarded-proto", "connection", "x-hop", "upgrade"] {
        assert_eq!(headers.get(name), None, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_upstreams_status_headers_and_body_arrive_unchanged() -> Result<()> {
    let (app, _stub) = App::with_stub().await?;
    let agents = app.call("GET", "/functions/v1/list-agents").await?;
    assert_eq!((agents.status(), agents.body().as_ref()), (StatusCode::OK, br#"{"agents":[]}"#.as_slice()));
    assert_eq!(all(agents.headers(), "set-cookie"), ["a=1; Path=/", "b=2; Path=/"]);
    assert_eq!(all(agents.headers(), "x-request-id"), ["of-the-upstream"]);
    assert_eq!(all(agents.headers(), "access-control-allow-origin"), [""; 0]);

    let error = app.call("POST", "/functions/v1/update-agent").await?;
    assert_eq!(
        (error.status(), error.body().as_ref()),
        (422.try_into()?, br#"{"error":"name is required"}"#.as_slice())
    );
    assert_eq!(all(error.headers(), "retry-after"), ["7"]);
    assert_eq!(all(error.headers(), "www-authenticate"), ["Bearer realm=\"old\""]);

    let recording = app.call("GET", "/functions/v1/get-recording").await?;
    assert_eq!(
        (recording.body().as_ref(), all(recording.headers(), "content-type")),
        (&BINARY[..], vec!["audio/mpeg".into()])
    );
    let head = app.call("HEAD", "/functions/v1/get-recording").await?;
    assert_eq!((head.body().len(), all(head.headers(), "content-length")), (0, vec!["256".into()]));

    let empty = app.call("DELETE", "/functions/v1/delete-agent").await?;
    assert_eq!((empty.status(), empty.body().len()), (StatusCode::NO_CONTENT, 0));
    let moved = app.call("GET", "/functions/v1/moved").await?;
    assert_eq!((moved.status(), all(moved.headers(), "location")), (StatusCode::FOUND, vec!["/elsewhere".into()]));
    let unknown = app.call("GET", "/functions/v1/unknown").await?;
    assert_eq!((unknown.status(), unknown.body().as_ref()), (StatusCode::NOT_FOUND, b"no such function".as_slice()));
    Ok(())
}

#[tokio::test]
async fn with_an_upstream_the_function_gets_every_method_on_its_route_and_below() -> Result<()> {
    let (app, stub) = App::with_stub().await?;
    for (method, path, status) in [
        ("POST", LIST.to_owned(), 200),
        ("POST", format!("{LIST}?limit=x"), 200),
        ("POST", format!("{LIST}/"), 200),
        ("POST", format!("{LIST}/a/b"), 200),
        ("OPTIONS", LIST.to_owned(), 200),
        ("GET", LIST.to_owned(), 405),
        ("DELETE", format!("{LIST}/a"), 405),
    ] {
        let request = app.request(method, &path).header("authorization", format!("Bearer {TOKEN}"));
        assert_eq!(client::send(request.body(Bytes::new())?).await?.status(), status, "{method} {path}");
    }
    assert!(stub.received().is_empty(), "{:?}", stub.received());
    assert_eq!(app.call("POST", &format!("{LIST}2")).await?.body(), "no such function");
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_serves_all_gets_this_function_too_until_it_serves_the_others_only() -> Result<()> {
    let stub = UpstreamStub::start().await?;
    let upstream = Upstream::new(&stub.url())?;
    let serves_all = upstream.serves_all();
    let app = App::start(upstream).await?;
    for (all, body) in [(true, "no such function"), (false, "ok"), (true, "no such function")] {
        serves_all.store(all, Ordering::Relaxed);
        for path in [LIST.to_owned(), format!("{LIST}/a")] {
            assert_eq!(app.call("OPTIONS", &path).await?.body(), body, "{path} with serves_all={all}");
        }
        assert_eq!(app.call("GET", "/functions/v1/list-agents").await?.status(), StatusCode::OK);
    }
    assert_eq!(stub.received().len(), 7);
    Ok(())
}

#[tokio::test]
async fn with_an_upstream_paths_outside_of_functions_still_get_api_gateways_404() -> Result<()> {
    let (app, stub) = App::with_stub().await?;
    for path in
        ["/", "/functions/v1", "/functions/v1/", "/functions/v2/list-agents", "/rest/v1/users", "/x/functions/v1/y"]
    {
        let response = app.call("GET", path).await?;
        assert_eq!(
            (response.status(), response.body().as_ref()),
            (StatusCode::NOT_FOUND, br#"{"message":"Not Found"}"#.as_slice()),
            "{path}"
        );
    }
    assert!(stub.received().is_empty(), "{:?}", stub.received());
    Ok(())
}

#[tokio::test]
async fn a_path_in_the_upstreams_url_precedes_the_requests_path() -> Result<()> {
    let stub = UpstreamStub::start().await?;
    let app = App::start(Upstream::new(&format!("{}/old/host", stub.url()))?).await?;
    assert_eq!(app.call("GET", "/functions/v1/list-agents?a=b").await?.status(), StatusCode::OK);
    assert_eq!(stub.received()[0].uri, "/old/host/functions/v1/list-agents?a=b");
    Ok(())
}

#[tokio::test]
async fn a_slow_or_unavailable_upstream_gives_api_gateways_503_and_the_function_still_responds() -> Result<()> {
    let stub = UpstreamStub::start().await?;
    let slow = App::start(Upstream::new(&stub.url())?.with_timeout(Duration::from_millis(100))).await?;
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let unavailable = App::start(Upstream::new(&format!("http://{closed}"))?).await?;
    for app in [slow, unavailable] {
        let response = app.call("POST", "/functions/v1/slow").await?;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.body(), r#"{"message":"Service Unavailable"}"#);
        assert_eq!(app.call("OPTIONS", LIST).await?.body(), "ok");
    }
    Ok(())
}

#[test]
fn an_upstreams_url_that_cannot_work_is_rejected_with_the_reason() {
    for (url, reason) in [
        ("old.example.com", "must begin with https:// or http://"),
        ("ftp://old.example.com", "must begin with https:// or http://"),
        ("https://", "is not a URL"),
        ("https://old.example.com/", "must not end with a slash"),
        ("https://old.example.com/functions/v1", "must not end with /functions/v1"),
        ("https://old.example.com?a=b", "must not have a query"),
        ("https://user:hidden-word@old.example.com", "must not contain a user or a password"),
    ] {
        let Err(error) = Upstream::new(url) else { panic!("{url} is accepted") };
        let error = format!("{error:#}");
        assert!(error.contains(reason) && !error.contains("hidden-word"), "{url}: {error}");
    }
    for url in ["https://old.example.com", "http://127.0.0.1:9", "https://old.example.com/base"] {
        assert_eq!(Upstream::new(url).map(|upstream| upstream.url().to_owned()).ok().as_deref(), Some(url));
    }
}

#[tokio::test]
#[ignore = "needs Node: .ci/clients runs it"]
async fn a_node_client_with_one_base_url_reaches_every_function() -> Result<()> {
    let stub = UpstreamStub::start().await?;
    let upstream = Upstream::new(&stub.url())?.with_timeout(Duration::from_millis(500));
    let app = App::start(upstream).await?;
    let mut node = Command::new("node");
    node.arg(repository().join("tests/clients/node/main.mjs")).args([&app.url, TOKEN]).stdin(Stdio::null());
    let output = node.output().await?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.trim(), "Node: 1 session, and 5 functions of the upstream");
    let names = |request: &Received| request.uri.path().replace("/functions/v1/", "");
    let received: Vec<String> = stub.received().iter().map(names).collect();
    assert_eq!(received, ["list-agents", "update-agent", "get-recording", "delete-agent", "slow"]);
    Ok(())
}
