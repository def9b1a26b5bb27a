//! Rotation of the database's password while the function serves: by Amazon's rotation functions, by RDS for a secret that
//! it manages, and by hand as in docs/deploy.md.

mod steps;

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use list_chat_sessions::database::REJECTED_CREDENTIALS_INTERVAL;
use serde_json::{Value, json};
use testkit::{
    API_KEYS, Database, Function, FunctionOptions, Secrets, Server, TOKEN,
    app::{aws, secrets},
    binary, end_connections, request, role,
};
use tokio::task::yield_now;
use tokio_postgres::Client;

use self::steps::{RotationFunction, Step, Strategy};

/// The rotated secret.
const SECRET: &str = "database";

/// The secret of the login that may create roles and set their passwords.
const SUPERUSER: &str = "superuser";

const OK: (u16, &str) = (200, "ok");
const UNAVAILABLE: (u16, &str) = (503, "service_unavailable");

/// A function with its credentials from a secret, and its services. Each rotation has its own server, because the role of
/// docs/role.sql belongs to the whole server.
struct Rotation {
    function: Function,
    admin: Client,
    database: Database,
    secrets: Secrets,
    server: Server,
    served: Cell<u32>,
}

impl Rotation {
    async fn start(variables: impl AsyncFnOnce(&Server, &Database, &Secrets) -> Vec<(&'static str, String)>) -> Self {
        let server = Server::start().unwrap();
        let database = Database::create(&server).await.unwrap();
        let secrets = secrets().await;
        let variables = variables(&server, &database, &secrets).await;
        let function = start(&secrets, &variables).await;
        let admin = database.client().await.unwrap();
        Self { function, admin, database, secrets, server, served: Cell::default() }
    }

    /// Starts with the secret that Amazon's functions rotate.
    async fn start_for(strategy: Strategy) -> Self {
        let superuser = (strategy == Strategy::AlternatingUsers).then_some(SUPERUSER);
        Self::start(async |server, database, secrets| {
            let secret = |login| steps::secret(login, server.port(), database.name(), superuser);
            secrets.put(SECRET, secret((role::NAME, role::PASSWORD))).unwrap();
            if superuser.is_some() {
                secrets.put(SUPERUSER, secret(("rotator", "the rotator's password"))).unwrap();
                // The minimum privileges, also for PostgreSQL 16, where `CREATEROLE` is not enough.
                let sql = "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'the rotator''s password';
                           GRANT list_chat_sessions TO rotator WITH ADMIN OPTION";
                database.client().await.unwrap().batch_execute(sql).await.unwrap();
            }
            // Otherwise new connections would use the user that was current up to five minutes ago.
            superuser.map(|_| ("SECRET_MAX_AGE_SECONDS", "1".to_owned())).into_iter().collect()
        })
        .await
    }

    fn rotation_function(&self, strategy: Strategy) -> RotationFunction {
        let secrets = aws_sdk_secretsmanager::Client::new(&aws(&self.secrets));
        RotationFunction { secrets, secret_id: SECRET, strategy }
    }

    async fn outcome(&self) -> (u16, String) {
        outcome(&self.function).await
    }

    /// Sends requests while `steps` run, and asserts that all of them succeed.
    async fn under_load(&self, steps: impl Future<Output = ()>) {
        let done = Cell::new(false);
        let load = async {
            while !done.get() {
                let outcome = self.outcome().await;
                let log = self.function.log();
                assert_eq!(outcome, expected(OK), "after {} requests: {:?}", self.served.get(), log.last());
                self.served.update(|served| served + 1);
                yield_now().await;
            }
        };
        let steps = async {
            steps.await;
            done.set(true);
        };
        tokio::join!(load, steps);
        assert!(self.served.get() > 0);
    }

    /// Ends the function's connections under load and waits until a whole request has succeeded, so that no request
    /// meets two faults.
    async fn reconnect(&self) {
        end_connections(&self.admin).await.unwrap();
        let before = self.served.get();
        while self.served.get() < before + 2 {
            yield_now().await;
        }
    }

    fn fetches(&self) -> usize {
        self.secrets.calls(SECRET)
    }

    /// The user of the function's connection.
    async fn user(&self) -> String {
        let sql = "SELECT usename::text FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'list-chat-sessions'";
        self.admin.query_typed_one(sql, &[]).await.unwrap().get(0)
    }
}

async fn start(secrets: &Secrets, variables: &[(&'static str, String)]) -> Function {
    let mut env = vec![
        ("API_KEYS_SECRET_ID", API_KEYS),
        ("DATABASE_SECRET_ID", SECRET),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
    ];
    env.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
    Function::start(FunctionOptions::new(binary(), &env)).await.unwrap()
}

/// The status of a response, and an error's code.
async fn outcome(function: &Function) -> (u16, String) {
    let response = function.invoke(request::post(TOKEN, "{}").to_string()).await.unwrap().response().unwrap();
    let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    let code = body["error"]["code"].as_str().unwrap_or("ok");
    (response["statusCode"].as_u64().unwrap().try_into().unwrap(), code.to_owned())
}

fn expected((status, code): (u16, &str)) -> (u16, String) {
    (status, code.to_owned())
}

/// Rotates three times with every step twice, and ends the function's connections after each.
async fn assert_no_request_is_lost(rotation: &Rotation, strategy: Strategy) {
    let function = rotation.rotation_function(strategy);
    rotation
        .under_load(async {
            for _ in 0..3 {
                let token = rotation.secrets.begin_rotation(SECRET);
                for step in Step::ALL {
                    for _ in 0..2 {
                        function.run(step, &token).await.unwrap();
                        rotation.reconnect().await;
                    }
                }
                // In AWS the next rotation is hours away, so the new version is in use before it.
                tokio::time::sleep(REJECTED_CREDENTIALS_INTERVAL).await;
                rotation.reconnect().await;
                tokio::time::sleep(REJECTED_CREDENTIALS_INTERVAL).await;
            }
        })
        .await;
}

#[tokio::test]
async fn a_single_user_rotation_fails_no_request() {
    let rotation = Rotation::start_for(Strategy::SingleUser).await;
    assert_no_request_is_lost(&rotation, Strategy::SingleUser).await;
}

#[tokio::test]
async fn an_alternating_users_rotation_fails_no_request() {
    let rotation = Rotation::start_for(Strategy::AlternatingUsers).await;
    // Policies and grants of the role apply to its members too.
    let policies = ["chat_widgets", "chat_sessions", "chat_messages"].map(|table| {
        format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY for_the_first_role ON {table} FOR SELECT TO list_chat_sessions USING (true);"
        )
    });
    rotation.admin.batch_execute(&policies.concat()).await.unwrap();
    assert_no_request_is_lost(&rotation, Strategy::AlternatingUsers).await;
    assert_eq!(rotation.user().await, "list_chat_sessions_clone", "after an odd number of rotations");
    assert_eq!(settings(&rotation, "list_chat_sessions_clone").await, "", "the function's clone has no limits");
}

/// A role's settings and its connection limit, if it has any.
async fn settings(rotation: &Rotation, role: &str) -> String {
    let sql = format!("SELECT coalesce(rolconfig::text || rolconnlimit, '') FROM pg_roles WHERE rolname = '{role}'");
    rotation.admin.query_typed_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_documented_second_role_has_the_limits_of_the_first() {
    let rotation = Rotation::start_for(Strategy::AlternatingUsers).await;
    let documentation = include_str!("../../docs/deploy.md");
    let (_, sql) = documentation.split_once("```sql\nCREATE ROLE list_chat_sessions_clone").unwrap();
    let (sql, _) = sql.split_once("```").unwrap();
    let rotator = rotator(&rotation).await;
    rotator.batch_execute(&format!("CREATE ROLE list_chat_sessions_clone{sql}")).await.unwrap();
    let limit = "ALTER ROLE list_chat_sessions CONNECTION LIMIT 50";
    rotation.admin.batch_execute(limit).await.unwrap();
    let first = settings(&rotation, role::NAME).await;
    assert!(first.contains("statement_timeout=4500ms") && first.ends_with("50"), "{first}");
    assert_eq!(settings(&rotation, "list_chat_sessions_clone").await, first);

    let function = rotation.rotation_function(Strategy::AlternatingUsers);
    let token = rotation.secrets.begin_rotation(SECRET);
    for step in Step::ALL {
        function.run(step, &token).await.unwrap();
    }
    assert_eq!(outcome(&start(&rotation.secrets, &[]).await).await, expected(OK));
}

async fn rotator(rotation: &Rotation) -> Client {
    let login =
        steps::secret(("rotator", "the rotator's password"), rotation.server.port(), rotation.database.name(), None);
    steps::connect(&serde_json::from_str(&login).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_rotation_interrupted_after_any_step_leaves_old_and_new_environments_serving() {
    for strategy in [Strategy::SingleUser, Strategy::AlternatingUsers] {
        let rotation = Rotation::start_for(strategy).await;
        let function = rotation.rotation_function(strategy);
        for last in 0..=Step::ALL.len() {
            let old = start(&rotation.secrets, &[]).await;
            let token = rotation.secrets.begin_rotation(SECRET);
            for step in &Step::ALL[..last] {
                function.run(*step, &token).await.unwrap();
            }
            let case = format!("{strategy:?} after {last} steps");
            assert_eq!(outcome(&start(&rotation.secrets, &[]).await).await, expected(OK), "{case}: a new environment");
            end_connections(&rotation.admin).await.unwrap();
            assert_eq!(outcome(&old).await, expected(OK), "{case}: an old environment");

            // Secrets Manager retries the same version.
            for step in Step::ALL {
                function.run(step, &token).await.unwrap();
            }
            end_connections(&rotation.admin).await.unwrap();
            assert_eq!(outcome(&old).await, expected(OK), "{case}, and then repeated");
        }
    }
}

#[tokio::test]
async fn a_new_password_fails_no_request_and_costs_one_fetch_per_new_connection() {
    let rotation = Rotation::start_for(Strategy::SingleUser).await;
    rotation
        .under_load(async {
            for (password, fetches) in [("by-hand-2f8c", 1), ("by-hand-91aa", 2)] {
                let login = (role::NAME, password);
                let secret = steps::secret(login, rotation.server.port(), rotation.database.name(), None);
                rotation.secrets.put(SECRET, secret).unwrap();
                let sql = format!("ALTER ROLE list_chat_sessions PASSWORD '{password}'");
                rotation.admin.batch_execute(&sql).await.unwrap();
                assert_eq!(rotation.fetches(), fetches, "an open connection needs no password");
                rotation.reconnect().await;
                assert_eq!(rotation.fetches(), fetches + 1);
                tokio::time::sleep(REJECTED_CREDENTIALS_INTERVAL).await;
            }
        })
        .await;
}

#[tokio::test]
async fn a_secret_without_an_address_rotates_with_the_address_in_variables() {
    const USER: &str = "master_user";
    let secret = |password| json!({ "username": USER, "password": password }).to_string();
    let rotation = Rotation::start(async |server, database, secrets| {
        secrets.put(SECRET, secret("managed-1d07")).unwrap();
        let sql = format!("CREATE ROLE {USER} LOGIN PASSWORD 'managed-1d07' IN ROLE list_chat_sessions");
        database.client().await.unwrap().batch_execute(&sql).await.unwrap();
        vec![
            ("DATABASE_HOST", "127.0.0.1".to_owned()),
            ("DATABASE_PORT", server.port().to_string()),
            ("DATABASE_NAME", database.name().to_owned()),
        ]
    })
    .await;
    assert_eq!(rotation.outcome().await, expected(OK));
    // PostgreSQL has the new password, but no version of the secret does: no credentials work.
    rotation.admin.batch_execute(&format!("ALTER ROLE {USER} PASSWORD 'managed-6be3'")).await.unwrap();
    assert_eq!(rotation.outcome().await, expected(OK), "an open connection needs no password");
    end_connections(&rotation.admin).await.unwrap();
    let rejected_since = Instant::now();
    for _ in 0..5 {
        assert_eq!(rotation.outcome().await, expected(UNAVAILABLE));
    }
    // One at init, and then one per version and interval.
    let intervals = 1 + rejected_since.elapsed().as_millis() / REJECTED_CREDENTIALS_INTERVAL.as_millis();
    assert!(rotation.fetches() as u128 <= 1 + 2 * intervals, "rejected credentials do not cause more calls");
    rotation.secrets.put(SECRET, secret("managed-6be3")).unwrap();
    let changed_at = Instant::now();
    while rotation.outcome().await != expected(OK) {
        assert!(changed_at.elapsed() < Duration::from_secs(10), "the new password is not used");
    }
    assert_eq!(rotation.user().await, USER);
}
