//! Every file in `events/` gets the status that its name promises, through the binary under a Lambda Runtime API.

use serde_json::Value;

use crate::{
    app::binary,
    openapi,
    support::{
        database::Database,
        function::{Function, FunctionOptions},
        keys, mutations,
        postgres::Server,
        secrets::Secrets,
        seed,
    },
};

#[tokio::test]
async fn every_event_gets_the_status_that_its_name_promises() {
    let (function, _secrets) = demo_function().await;

    let events = mutations::events().unwrap();
    assert!(events.len() >= 20, "events/ is not where it should be");
    for (name, event) in events {
        let answer = function.invoke(event).await.unwrap().response().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_promise_is_kept(&name, &answer);
    }
}

/// The binary over the demo account. Its secrets go with the stand-in.
pub async fn demo_function() -> (Function, Secrets) {
    let secrets = Secrets::start().await.unwrap();
    secrets.put("keys", keys::json(&seed::demo_ring()).unwrap()).unwrap();
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(seed::DEMO_SQL).await.unwrap();
    let env = [
        ("API_KEYS_SECRET_ID", "keys"),
        ("DATABASE_URL", database.url()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
    ];
    let function = Function::start(FunctionOptions::new(binary(), &env)).await.unwrap();
    (function, secrets)
}

/// Checks the answer to a file's event, over the demo account.
pub fn assert_promise_is_kept(name: &str, answer: &Value) {
    let promised: u64 = name[..3].parse().unwrap_or_else(|_| panic!("{name} does not begin with a status"));
    assert_eq!(answer["statusCode"], promised, "{name}: {answer}");
    let body = answer["body"].as_str().unwrap();
    if body.starts_with('{') {
        assert_is_published(answer, body);
    }
    if name == "200-documented-request.json" {
        let page: Value = serde_json::from_str(body).unwrap();
        assert_eq!(page["total"], 24);
        assert_eq!(page["sessions"][0], documented_session());
    }
}

/// The session of the contract's example.
fn documented_session() -> Value {
    let contract = include_str!("../docs/contract.md");
    let (_, example) = contract.split_once("```json").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    serde_json::from_str::<Value>(example).unwrap()["sessions"][0].clone()
}

/// Asserts that an event's answer, which has this body, is one of those that openapi.yaml publishes.
pub fn assert_is_published(answer: &Value, body: &str) {
    let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
    // A REST API and a load balancer get each header as a list.
    let header = |name: &str| answer["headers"][name].as_str().or(answer["multiValueHeaders"][name][0].as_str());
    openapi::check(status, |name| header(name).map(ToOwned::to_owned), body);
}
