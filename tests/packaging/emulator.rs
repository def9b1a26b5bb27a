//! The packaged function under AWS's own Runtime Interface Emulator, as `sam local invoke` runs it.
//!
//! `.ci/package` builds the package, fetches the emulator and runs this; see there for the two variables.

use std::{
    env,
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use axum::http::Request;
use serde_json::Value;
use testkit::{Database, Secrets, Server, binary, client, faults::events, keys, seed};
use tokio::process::{Child, Command};

/// The time that the emulator has to start listening.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// One environment serves a cold invocation and then warm ones.
#[tokio::test]
#[ignore = "needs AWS's emulator and the package: .ci/package runs it"]
async fn every_event_gets_the_status_in_its_name_under_the_emulator() {
    let secrets = Secrets::start().await.unwrap();
    secrets.put("keys", keys::json(&seed::demo_ring()).unwrap()).unwrap();
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(seed::DEMO_SQL).await.unwrap();
    let emulator = Emulator::start(&[
        ("API_KEYS_SECRET_ID", "keys"),
        ("DATABASE_URL", database.url()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
    ])
    .await;
    for (name, event) in events::files().unwrap() {
        events::assert_documented_response(&name, &emulator.invoke(event).await);
    }
    assert_eq!(secrets.calls("keys"), 2, "one at init, and one for the event with the unknown token");
}

struct Emulator {
    url: String,
    _process: Child,
}

impl Emulator {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let program = env::var_os("LAMBDA_RIE").expect("LAMBDA_RIE must be the path of aws-lambda-rie");
        let [address, runtime_api] = [free_address(), free_address()];
        let process = Command::new(program)
            .args(["--runtime-interface-emulator-address", &address, "--runtime-api-address", &runtime_api])
            .arg(binary().canonicalize().unwrap())
            .envs(variables.iter().copied())
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let started = Instant::now();
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            assert!(started.elapsed() < START_TIMEOUT, "the emulator does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let url = format!("http://{address}/2015-03-31/functions/function/invocations");
        Self { url, _process: process }
    }

    async fn invoke(&self, event: String) -> Value {
        let response = client::send(Request::post(&self.url).body(event.into()).unwrap()).await.unwrap();
        serde_json::from_slice(response.body()).unwrap()
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
