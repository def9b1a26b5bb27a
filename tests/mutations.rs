//! Events with faults in them, through the binary under a Lambda Runtime API: none of them may cost more than itself.

use std::env;

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

/// How many, if `MUTATIONS` does not say.
const COUNT: usize = 1_000;

#[tokio::test]
async fn no_broken_event_costs_more_than_itself() {
    let count = env::var_os("MUTATIONS").map_or(COUNT, |count| count.to_str().unwrap().parse().unwrap());
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
    let report =
        mutations::run(&function, count, 4, assert_is_an_answer).await.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{count} events: {report:?}");
    for status in [200, 400, 401, 405, 413] {
        assert!(count < COUNT || report.statuses.contains_key(&status), "no event came to {status}: {report:?}");
    }
    assert!(!function.log().iter().any(|line| line.contains("panic")), "{}", function.log().join("\n"));
}

/// Asserts that an answer is one of those that openapi.yaml publishes, or the short text of a preflight or a warm-up.
fn assert_is_an_answer(event: &str, answer: &Value) {
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("{event}: {answer}"));
    if !["ok", "warm"].contains(&body) {
        let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
        let header = |name: &str| {
            let value = &answer["headers"][name];
            let value = if value.is_null() { &answer["multiValueHeaders"][name][0] } else { value };
            value.as_str().map(ToOwned::to_owned)
        };
        openapi::check(status, header, body);
    }
}
