//! The mappings and the routes of API Gateway.

use std::sync::Arc;

use axum::{body::Bytes, http::Request};
use serde_json::json;
use testkit::{
    Arrival, Gateway, TOKEN, client,
    environment::{database, secrets_with, start},
    gateway, ring,
};

#[test]
fn a_request_becomes_an_api_gateway_event() -> anyhow::Result<()> {
    let request = Request::post("/functions/v1/list%20it?a=1&a=2%20x&b=%zz+&c")
        .header("Host", "localhost:9000")
        .header("X-Two", "1")
        .header("X-Two", "2")
        .header("Cookie", "a=1; b=2")
        .header("User-Agent", "tests")
        .body(())?;
    let arrival =
        Arrival { source: [127, 0, 0, 1].into(), request_id: "r".into(), at: "2024-01-15T10:30:00Z".parse()? };
    let (parts, ()) = request.into_parts();
    insta::assert_json_snapshot!(gateway::event(&parts, b"{}", &arrival), @r#"
    {
      "body": "{}",
      "cookies": [
        "a=1",
        "b=2"
      ],
      "headers": {
        "host": "localhost:9000",
        "user-agent": "tests",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-two": "1,2"
      },
      "isBase64Encoded": false,
      "queryStringParameters": {
        "a": "1,2 x",
        "b": "%zz ",
        "c": ""
      },
      "rawPath": "/functions/v1/list%20it",
      "rawQueryString": "a=1&a=2%20x&b=%zz+&c",
      "requestContext": {
        "accountId": "123456789012",
        "apiId": "localhost",
        "domainName": "localhost",
        "domainPrefix": "localhost",
        "http": {
          "method": "POST",
          "path": "/functions/v1/list%20it",
          "protocol": "HTTP/1.1",
          "sourceIp": "127.0.0.1",
          "userAgent": "tests"
        },
        "requestId": "r",
        "routeKey": "$default",
        "stage": "$default",
        "time": "15/Jan/2024:10:30:00 +0000",
        "timeEpoch": 1705314600000
      },
      "routeKey": "$default",
      "version": "2.0"
    }
    "#);

    let bytes = gateway::event(&parts, b"\xff", &arrival);
    assert_eq!((&bytes["body"], &bytes["isBase64Encoded"]), (&json!("/w=="), &json!(true)));
    assert_eq!(gateway::event(&parts, b"", &arrival).get("body"), None);
    Ok(())
}

#[tokio::test]
async fn a_functions_response_becomes_an_http_response() -> anyhow::Result<()> {
    use http_body_util::BodyExt;
    let answer = json!({
        "statusCode": 201, "headers": { "a": "1", "b": "2" }, "multiValueHeaders": { "A": ["1", "3"] },
        "cookies": ["c=1", "d=2"], "body": "/w==", "isBase64Encoded": true,
    });
    let response = gateway::to_http_response(&answer)?;
    assert_eq!(response.status(), 201);
    let all = |name| response.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        (all("a"), all("b"), all("set-cookie")),
        (vec!["1".parse()?, "3".parse()?], vec!["2".parse()?], vec!["c=1".parse()?, "d=2".parse()?],)
    );
    assert_eq!(response.into_body().collect().await?.to_bytes(), Bytes::from_static(b"\xff"));
    Ok(())
}

#[tokio::test]
async fn the_function_gets_every_method_on_its_route_and_below_and_other_paths_get_api_gateways_404()
-> anyhow::Result<()> {
    let (secrets, database) = (secrets_with(ring(&[TOKEN])).await, database().await);
    let function = start(&secrets, &[("DATABASE_URL", database.url())]).await?;
    let gateway = Gateway::bind(0).await?;
    let url = gateway.url()?;
    let _serving = gateway.serve(Arc::new(function));
    let call = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(format!("{url}{path}"));
        client::send(request.header("authorization", format!("Bearer {TOKEN}")).body(Bytes::new())?).await
    };
    for (method, path, status) in [
        ("POST", "/functions/v1/list-chat-sessions", 200),
        ("POST", "/functions/v1/list-chat-sessions?limit=x", 200),
        ("POST", "/functions/v1/list-chat-sessions/", 200),
        ("POST", "/functions/v1/list-chat-sessions/a/b", 200),
        ("OPTIONS", "/functions/v1/list-chat-sessions", 200),
        ("GET", "/functions/v1/list-chat-sessions", 405),
        ("DELETE", "/functions/v1/list-chat-sessions/a", 405),
    ] {
        let response = call(method, path).await?;
        assert_eq!(response.status(), status, "{method} {path}");
        assert!(response.headers().contains_key("x-request-id"), "{method} {path}");
    }
    for path in
        ["/", "/functions/v1", "/functions/v1/list-chat-sessions2", "/functions/v1/list-calls", "/x/functions/v1"]
    {
        for method in ["POST", "GET", "OPTIONS"] {
            let response = call(method, path).await?;
            assert_eq!(response.status(), 404, "{method} {path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(response.headers().get("access-control-allow-origin"), None);
            assert_eq!(response.body(), r#"{"message":"Not Found"}"#);
        }
    }
    Ok(())
}
