//! The database's password rotated while requests run.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use list_chat_sessions::{config::DatabaseSource, database::REFUSED_LOGIN_INTERVAL};
use serde_json::json;
use tokio::task::yield_now;
use tokio_postgres::Client;

use crate::{
    app::{TestApp, secrets},
    outages::end_connections,
    support::{database::Database, postgres::Server},
};

/// An app that has its login from a secret, and whoever rotates it.
struct Rotation {
    test: TestApp,
    admin: Client,
    served: Cell<u32>,
}

impl Rotation {
    /// Starts with a role of this test's own as the login.
    async fn start(role: &str) -> Self {
        let secrets = secrets().await;
        let database = Database::create(Server::shared()).await.unwrap();
        let admin = database.client().await.unwrap();
        create(&admin, role).await;
        secrets.put("database", secret(&database, role, "first")).unwrap();
        let source = DatabaseSource::Secret("database".into());
        Self {
            test: TestApp::start_on(database, secrets, |config| config.database = source).await,
            admin,
            served: Cell::default(),
        }
    }

    async fn outcome(&self) -> (u16, String) {
        self.test.list(json!({})).await.outcome()
    }

    /// What the rotation does to PostgreSQL.
    async fn set_password(&self, role: &str, password: &str) {
        self.admin.batch_execute(&format!("ALTER ROLE {role} PASSWORD '{password}'")).await.unwrap();
    }

    /// What the rotation does to Secrets Manager.
    fn set_secret(&self, role: &str, password: &str) {
        self.test.secrets.put("database", secret(&self.test.database, role, password)).unwrap();
    }

    async fn end_connections(&self) {
        end_connections(&self.admin).await;
    }

    /// Runs requests for as long as `steps` take, and asserts that none of them fails.
    async fn under_load(&self, steps: impl Future<Output = ()>) {
        let done = Cell::new(false);
        let load = async {
            while !done.get() {
                assert_eq!(self.outcome().await, (200, "ok".into()), "after {} requests", self.served.get());
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

    /// Until a request has begun and been served: two faults never meet in one.
    async fn until_one_is_served(&self) {
        let before = self.served.get();
        while self.served.get() < before + 2 {
            yield_now().await;
        }
    }

    fn fetches(&self) -> usize {
        self.test.secrets.calls("database")
    }

    /// As whom the app is connected.
    async fn user(&self) -> String {
        let sql = "SELECT usename::text FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'list-chat-sessions'";
        self.admin.query_typed_one(sql, &[]).await.unwrap().get(0)
    }
}

fn role() -> String {
    format!("rotated_{:016x}", fastrand::u64(..))
}

async fn create(admin: &Client, role: &str) {
    let sql =
        format!("CREATE ROLE {role} LOGIN PASSWORD 'first'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    admin.batch_execute(&sql).await.unwrap();
}

fn secret(database: &Database, role: &str, password: &str) -> String {
    let name = database.url().rsplit_once('/').unwrap().1;
    let port = Server::shared().port();
    json!({ "username": role, "password": password, "host": "127.0.0.1", "port": port, "dbname": name }).to_string()
}

#[tokio::test]
async fn a_new_password_of_the_one_user_costs_no_request() {
    let role = role();
    let rotation = Rotation::start(&role).await;
    rotation
        .under_load(async {
            for (password, fetches) in [("second", 1), ("third", 2)] {
                rotation.set_password(&role, password).await;
                rotation.set_secret(&role, password);
                assert_eq!(rotation.fetches(), fetches, "a connection that is open needs no password");
                rotation.end_connections().await;
                while rotation.fetches() == fetches {
                    yield_now().await;
                }
                tokio::time::sleep(REFUSED_LOGIN_INTERVAL).await;
            }
        })
        .await;
    assert_eq!(rotation.fetches(), 3, "one at init and one for each new password");
}

#[tokio::test]
async fn users_that_alternate_cost_no_request() {
    let [blue, green] = [role(), role()];
    let rotation = Rotation::start(&blue).await;
    create(&rotation.admin, &green).await;
    rotation
        .under_load(async {
            for (user, password) in [(&green, "second"), (&blue, "third")] {
                rotation.set_password(user, password).await;
                rotation.set_secret(user, password);
                rotation.end_connections().await;
                rotation.until_one_is_served().await;
            }
        })
        .await;
    assert_eq!(rotation.user().await, blue);
}

#[tokio::test]
async fn a_connection_that_is_needed_in_mid_rotation_is_had_soon_after_it() {
    let role = role();
    let rotation = Rotation::start(&role).await;
    // PostgreSQL has the new password, and Secrets Manager still calls the old one current.
    rotation.set_password(&role, "second").await;
    rotation.end_connections().await;
    for _ in 0..5 {
        assert_eq!(rotation.outcome().await, (503, "service_unavailable".into()));
    }
    assert!(rotation.fetches() <= 3, "refused logins do not drive calls");
    rotation.set_secret(&role, "second");
    let moved = Instant::now();
    while rotation.outcome().await.0 != 200 {
        assert!(moved.elapsed() < Duration::from_secs(2), "the new password is not used");
    }
}
