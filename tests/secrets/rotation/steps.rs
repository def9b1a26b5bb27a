//! The steps of Amazon's rotation functions for PostgreSQL, with the real SDK and the same users:
//! <https://github.com/aws-samples/aws-secrets-manager-rotation-lambdas>,
//! `SecretsManagerRDSPostgreSQLRotationSingleUser` and `…MultiUser`.

use anyhow::{Context, Result, ensure};
use aws_sdk_secretsmanager::Client as SecretsManager;
use serde_json::{Value, json};
use testkit::{random_id, secrecy};
use tokio_postgres::{Client, Config, NoTls};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// Which role's password changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The role changes its own password.
    SingleUser,
    /// Two roles alternate; the login that `masterarn` names changes the one that is not in use.
    AlternatingUsers,
}

/// Secrets Manager calls a rotation function once for each step, in this order, and may repeat any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Set,
    Test,
    Finish,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Create, Self::Set, Self::Test, Self::Finish];
}

/// A rotation function for one secret.
pub struct RotationFunction {
    pub secrets: SecretsManager,
    pub secret_id: &'static str,
    pub strategy: Strategy,
}

impl RotationFunction {
    /// Does one step for the version `token`.
    ///
    /// # Errors
    ///
    /// Wherever Amazon's functions raise one: then Secrets Manager stops the rotation and retries it later.
    pub async fn run(&self, step: Step, token: &str) -> Result<()> {
        // The SDK's futures are large.
        Box::pin(self.step(step, token)).await
    }

    async fn step(&self, step: Step, token: &str) -> Result<()> {
        let versions = self.secrets.describe_secret().secret_id(self.secret_id).send().await?;
        let versions = versions.version_ids_to_stages.unwrap_or_default();
        let labels = versions.get(token).context("the version is not to be rotated")?;
        if labels.iter().any(|label| label == CURRENT) {
            return Ok(());
        }
        ensure!(labels.iter().any(|label| label == PENDING), "the version is not pending");
        match step {
            Step::Create => self.create_secret(token).await,
            Step::Set => self.set_secret(token).await,
            Step::Test => {
                let client = connect(&self.login(PENDING, Some(token)).await?).await?;
                client.simple_query("SELECT now()").await?;
                Ok(())
            }
            Step::Finish => {
                let current = versions.iter().find(|(_, labels)| labels.iter().any(|label| label == CURRENT));
                let move_label = self.secrets.update_secret_version_stage().secret_id(self.secret_id);
                let move_label = move_label.version_stage(CURRENT).move_to_version_id(token);
                move_label.set_remove_from_version_id(current.map(|(id, _)| id.clone())).send().await?;
                Ok(())
            }
        }
    }

    async fn create_secret(&self, token: &str) -> Result<()> {
        let mut login = self.login(CURRENT, None).await?;
        if self.login(PENDING, Some(token)).await.is_ok() {
            return Ok(());
        }
        if self.strategy == Strategy::AlternatingUsers {
            login["username"] = alternate(text(&login, "username")).into();
        }
        let password = random_id();
        secrecy::keep(&password);
        login["password"] = password.into();
        let put = self.secrets.put_secret_value().secret_id(self.secret_id).client_request_token(token);
        put.secret_string(login.to_string()).version_stages(PENDING).send().await?;
        Ok(())
    }

    async fn set_secret(&self, token: &str) -> Result<()> {
        let current = self.login(CURRENT, None).await?;
        let pending = self.login(PENDING, Some(token)).await?;
        if connect(&pending).await.is_ok() {
            return Ok(());
        }
        let (user, password) = (text(&pending, "username"), text(&pending, "password"));
        match self.strategy {
            Strategy::SingleUser => {
                let client = match connect(&current).await {
                    Ok(client) => client,
                    Err(_) => connect(&self.login(PREVIOUS, None).await?).await?,
                };
                client.batch_execute(&format!("ALTER USER {user} WITH PASSWORD '{password}'")).await?;
            }
            Strategy::AlternatingUsers => {
                let origin = text(&current, "username");
                ensure!(alternate(origin) == user, "the pending user is not the other one");
                drop(connect(&current).await?);
                let superuser = self.superuser(&current).await?;
                let exists = format!("SELECT 1 FROM pg_roles WHERE rolname = '{user}'");
                let exists = superuser.query_typed(&exists, &[]).await?;
                let sql = if exists.is_empty() {
                    format!("CREATE ROLE {user} WITH LOGIN PASSWORD '{password}'; GRANT {origin} TO {user}")
                } else {
                    format!("ALTER USER {user} WITH PASSWORD '{password}'")
                };
                superuser.batch_execute(&sql).await?;
            }
        }
        Ok(())
    }

    async fn superuser(&self, current: &Value) -> Result<Client> {
        let mut login = self.value(text(current, "masterarn"), CURRENT, None).await?;
        ensure!(login["host"] == current["host"], "the superuser's secret is for another host");
        login["dbname"] = current["dbname"].clone();
        connect(&login).await
    }

    /// The rotated secret, checked for the fields that these functions require.
    async fn login(&self, stage: &str, token: Option<&str>) -> Result<Value> {
        let login = self.value(self.secret_id, stage, token).await?;
        for field in ["host", "username", "password"] {
            ensure!(login[field].is_string(), "{field} key is missing from secret JSON");
        }
        ensure!(login["engine"] == "postgres", "Database engine must be set to 'postgres'");
        Ok(login)
    }

    async fn value(&self, id: &str, stage: &str, token: Option<&str>) -> Result<Value> {
        let value = self.secrets.get_secret_value().secret_id(id).version_stage(stage);
        let value = value.set_version_id(token.map(Into::into)).send().await?;
        Ok(serde_json::from_str(value.secret_string().context("it has no text")?)?)
    }
}

fn text<'a>(login: &'a Value, field: &str) -> &'a str {
    login[field].as_str().unwrap_or_default()
}

/// The user's other name.
fn alternate(user: &str) -> String {
    user.strip_suffix("_clone").map_or_else(|| format!("{user}_clone"), ToOwned::to_owned)
}

/// Connects with the credentials of a secret.
pub async fn connect(login: &Value) -> Result<Client> {
    let port = login["port"].as_u64().map_or(Ok(5432), TryInto::try_into)?;
    let mut config = Config::new();
    config.user(text(login, "username")).password(text(login, "password")).host(text(login, "host")).port(port);
    let (client, connection) = config.dbname(text(login, "dbname")).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A secret of the form that these functions require.
pub fn secret(login: (&str, &str), port: u16, database: &str, superuser: Option<&str>) -> String {
    let (username, password) = login;
    let mut secret = json!({
        "engine": "postgres", "username": username, "password": password, "host": "127.0.0.1", "port": port,
        "dbname": database,
    });
    if let Some(superuser) = superuser {
        secret["masterarn"] = superuser.into();
    }
    secret.to_string()
}
