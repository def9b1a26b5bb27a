//! The Runtime API and the function's process.

use std::time::Duration;

use axum::http::{Method, Request};
use serde_json::json;
use testkit::{
    Function, FunctionOptions, Outcome, RuntimeApi, client,
    keys::{self, Entry, Ring},
};

#[tokio::test]
async fn the_runtime_api_serves_events_and_accepts_outcomes() -> anyhow::Result<()> {
    let api = RuntimeApi::start().await?;
    let runtime = async |path: &str, body: Option<&'static str>| {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let request =
            Request::builder().method(method).uri(format!("http://{}/2018-06-01/runtime/{path}", api.address()));
        client::send(request.body(body.unwrap_or_default().into())?).await
    };
    let function = async {
        for (path, body) in [("response", r#"{"statusCode":200}"#), ("error", r#"{"errorType":"E"}"#)] {
            let event = runtime("invocation/next", None).await?;
            assert_eq!(event.body(), "{}");
            let id = event.headers()["lambda-runtime-aws-request-id"].to_str()?;
            assert_eq!(runtime(&format!("invocation/{id}/{path}"), Some(body)).await?.status(), 202);
        }
        anyhow::Ok(())
    };
    let caller = async {
        api.initialized().await;
        let limit = Duration::from_secs(5);
        let outcomes = (api.invoke("{}", limit).await?, api.invoke("{}", limit).await?);
        anyhow::Ok(outcomes)
    };
    let ((), outcomes) = tokio::try_join!(function, caller)?;
    assert_eq!(outcomes.0, Outcome::Response(json!({ "statusCode": 200 })));
    assert_eq!(outcomes.1, Outcome::Error(json!({ "errorType": "E" })));
    assert!(api.invoke("{}", Duration::from_millis(10)).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_binary_that_ends_during_init_is_an_error_with_its_log() {
    let error = Function::start(FunctionOptions::new("/bin/ls", &[("LC_ALL", "C")])).await.err();
    let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("ended with exit status: 0 during init"), "{error}");
    assert!(error.contains("Cargo.toml"), "{error}");
}

#[test]
fn a_key_ring_is_serialized_as_the_contracts_json() -> anyhow::Result<()> {
    let ring = Ring { api_keys: vec![Entry::new("test", "u", "n")] };
    insta::assert_snapshot!(keys::json(&ring)?, @r#"
    {
      "api_keys": [
        {
          "key_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
          "user_id": "u",
          "name": "n",
          "is_active": true
        }
      ]
    }
    "#);
    Ok(())
}
