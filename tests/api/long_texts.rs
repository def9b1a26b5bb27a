//! Pages with texts of any length are complete, take limited memory and fit into Lambda's response limit.

use std::fs;

use list_chat_sessions::response::MAX_RESPONSE_BYTES;
use serde_json::{Value, json};
use testkit::{
    ACCOUNT, Database, Function, FunctionOptions, Secrets, Server, TOKEN, WIDGET, binary,
    environment::{lines, secrets_with},
    request, ring,
};

/// The maximum resident memory of the function in bytes, by the largest `limit` of its requests. It includes the 10 MB that
/// a debug build takes more than the deployed one.
const MEMORY: [(i64, u64); 2] = [(100, 64_000_000), (1_000, 96_000_000)];

/// The template's memory size, as the limit of the address space, in KiB.
const ADDRESS_SPACE: u32 = 262_144;

/// An account with this many sessions, each with one message; the newest has the largest number.
async fn database_with(sessions: u32) -> Database {
    let database = Database::create(Server::shared()).await.unwrap();
    let sql = format!(
        "INSERT INTO users VALUES ('{ACCOUNT}', 'a@example.com');
         INSERT INTO chat_widgets VALUES ('{WIDGET}', '{ACCOUNT}', 'W');
         INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, last_message_at)
         SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, '{WIDGET}', '{ACCOUNT}', 'v',
                timestamptz '2024-01-01' + n * interval '1 s'
         FROM generate_series(1, {sessions}) n;
         ALTER TABLE chat_messages DISABLE TRIGGER USER;
         INSERT INTO chat_messages (session_id, role, content) SELECT id, 'visitor', 'short' FROM chat_sessions;
         ALTER TABLE chat_messages ENABLE TRIGGER USER;"
    );
    database.load(&sql).await.unwrap();
    database
}

/// Fills every text of the first sessions and of those from offset 1,000 on with a character: `message` bytes of it in last
/// messages, `other` bytes in the other texts.
async fn fill(database: &Database, sessions: i64, (char, message, other): (&str, usize, usize)) {
    let text = |bytes: usize| format!("repeat('{char}', {})", bytes / char.len());
    let sql = format!(
        "CREATE TEMPORARY TABLE filled ON COMMIT DROP AS
           (SELECT id FROM chat_sessions ORDER BY last_message_at DESC LIMIT {sessions})
           UNION (SELECT id FROM chat_sessions ORDER BY last_message_at DESC LIMIT {sessions} OFFSET 1000);
         UPDATE chat_widgets SET name = {0};
         UPDATE chat_sessions s
           SET visitor_id = t, visitor_name = t, visitor_email = t, status = t, page_url = t
           FROM (SELECT {0} OFFSET 0) other (t), filled WHERE s.id = filled.id;
         UPDATE chat_messages SET content = t FROM (SELECT {1} OFFSET 0) message (t), filled WHERE session_id = filled.id;",
        text(other),
        text(message)
    );
    database.load(&sql).await.unwrap();
}

async fn start(database: &Database, secrets: &Secrets) -> Function {
    let limited = format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\"");
    let env = [
        ("API_KEYS_SECRET_ID", "keys"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
        ("DATABASE_URL", database.url()),
        ("LIMIT_MAX", "1000"),
        ("QUERY_TIMEOUT_MS", "25000"),
    ];
    let mut options = FunctionOptions::new("/bin/sh", &env);
    options.arguments = vec!["-c".into(), limited.into(), binary()];
    Function::start(options).await.unwrap()
}

/// The sessions of a page, whose response is within Lambda's limit.
async fn page(function: &Function, body: Value) -> Vec<Value> {
    let process = function.pid();
    let response = function.invoke(request::post(TOKEN, &body.to_string()).to_string()).await.unwrap();
    let response = response.response().unwrap_or_else(|error| panic!("{body}: {error:#}\n{:?}", lines(function)));
    assert_eq!(response["statusCode"], 200, "{body}: {:?}", lines(function));
    assert_eq!(function.pid(), process, "{body}");
    assert!(response.to_string().len() <= MAX_RESPONSE_BYTES, "{body}");
    let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    body["sessions"].as_array().unwrap().clone()
}

/// The function's peak resident memory, in bytes.
fn peak(function: &Function) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", function.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

#[tokio::test]
async fn no_text_ends_the_environment_or_exceeds_its_memory() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = database_with(2_000).await;
    let function = start(&database, &secrets).await;
    for (limit, memory) in MEMORY {
        let sessions = usize::try_from(limit).unwrap();
        let (message, other) = (16_000_000 / sessions, 3_000_000 / sessions);
        // Texts as long as the read limit; longer, with a character across it; and longer than any response.
        for case in [
            ("x", message, other),
            ("😀", message, other),
            ("\u{1}", message, other),
            ("é", message + 2, other + 1),
            ("x", 50_000_000 / sessions, 2),
        ] {
            fill(&database, limit, case).await;
            for (limit, offset) in [(limit, 0), (limit, 1_000), (1, 1)] {
                let page = page(&function, json!({ "limit": limit, "offset": offset })).await;
                assert_eq!(page.len(), usize::try_from(limit).unwrap(), "{case:?}");
            }
        }
        assert!(peak(&function) <= memory, "{} bytes at limit {limit}", peak(&function));
        println!("limit {limit}: {} bytes resident at most", peak(&function));
    }
}
