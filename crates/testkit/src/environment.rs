//! Starts the binary with the usual variables, for tests of its environment.

use anyhow::Result;
use serde_json::Value;

use crate::{ACCOUNT, Database, Function, FunctionOptions, Secrets, Server, binary};

/// Personal data in the rows of [`database`].
pub const VISITOR: [&str; 3] = ["visitor@example.com", "A visitor's name", "What the visitor wrote"];

/// Starts a function with these variables in addition to the usual ones.
pub async fn start(secrets: &Secrets, variables: &[(&str, &str)]) -> Result<Function> {
    let mut env = vec![("API_KEYS_SECRET_ID", "keys"), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url())];
    env.extend(variables);
    Function::start(FunctionOptions::new(binary(), &env)).await
}

pub async fn secrets_with(ring: impl Into<String>) -> Secrets {
    let secrets = Secrets::start().await.unwrap();
    secrets.put("keys", ring).unwrap();
    secrets
}

pub async fn database() -> Database {
    let database = Database::create(Server::shared()).await.unwrap();
    let [email, name, message] = VISITOR.map(|text| text.replace('\'', "''"));
    let widget = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
    let sql = format!(
        "INSERT INTO users VALUES ('{ACCOUNT}', 'a@example.com');
         INSERT INTO chat_widgets VALUES ('{widget}', '{ACCOUNT}', 'W');
         INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, visitor_email, visitor_name)
         VALUES ('{widget}', '{widget}', '{ACCOUNT}', 'v', '{email}', '{name}');
         INSERT INTO chat_messages (session_id, role, content) VALUES ('{widget}', 'visitor', '{message}');"
    );
    database.load(&sql).await.unwrap();
    database
}

pub async fn status(function: &Function, event: &Value) -> u64 {
    let response = function.invoke(event.to_string()).await.unwrap().response().unwrap();
    response["statusCode"].as_u64().unwrap()
}

/// Parses the lines of the log, all of which are JSON.
pub fn lines(function: &Function) -> Vec<Value> {
    let log = function.log();
    log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
