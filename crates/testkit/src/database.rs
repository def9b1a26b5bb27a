//! A separate database for every test: a copy of one that is migrated once per server.

use anyhow::{Context, Result, anyhow};
use tokio_postgres::{Client, NoTls, error::ErrorPosition};

use crate::{Server, migrations, role};

const TEMPLATE: &str = "migrated";

/// A migrated database without rows. It is removed with its server.
#[derive(Clone)]
pub struct Database {
    url: String,
    admin_url: String,
}

impl Database {
    /// Copies the migrated database under a new name; tests may do so concurrently.
    pub async fn create(server: &Server) -> Result<Self> {
        server.template.get_or_try_init(|| make_template(server)).await?;
        Self::create_from(server, TEMPLATE).await
    }

    /// Creates a database without tables, on a server that may not have the role yet.
    pub async fn create_empty(server: &Server) -> Result<Self> {
        Self::create_from(server, "template0").await
    }

    async fn create_from(server: &Server, template: &str) -> Result<Self> {
        let name = format!("test_{:016x}", fastrand::u64(..));
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        connect(&server.url("postgres")).await?.batch_execute(&create).await?;
        Ok(Self { url: role::url(server.port(), &name), admin_url: server.url(&name) })
    }

    /// Creates a migrated database whose encoding accepts any bytes.
    pub async fn create_sql_ascii(server: &Server) -> Result<Self> {
        let name = format!("test_{:016x}", fastrand::u64(..));
        let create = format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'");
        // The role belongs to the server and is created with the template.
        server.template.get_or_try_init(|| make_template(server)).await?;
        connect(&server.url("postgres")).await?.batch_execute(&create).await?;
        let mut client = connect(&server.url(&name)).await?;
        migrations::apply(&mut client).await?;
        role::create(&client, role::PASSWORD).await?;
        Ok(Self { url: role::url(server.port(), &name), admin_url: server.url(&name) })
    }

    /// Returns the URL for the function, as the role of docs/role.sql.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn name(&self) -> &str {
        self.url.rsplit_once('/').map_or("", |(_, name)| name)
    }

    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Opens a connection of the superuser, which closes when the client is dropped.
    pub async fn client(&self) -> Result<Client> {
        connect(&self.admin_url).await
    }

    /// Runs SQL text of any number of statements in one transaction.
    pub async fn load(&self, sql: &str) -> Result<()> {
        crate::secrecy::keep_rows(sql);
        load(&mut self.client().await?, sql).await
    }
}

/// Creates the template. It allows no connections afterwards, because it cannot be copied while it has one.
async fn make_template(server: &Server) -> Result<()> {
    let admin = connect(&server.url("postgres")).await?;
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {TEMPLATE} (FORCE)")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).await?;
    let mut template = connect(&server.url(TEMPLATE)).await?;
    migrations::apply(&mut template).await?;
    role::create(&template, role::PASSWORD).await?;
    drop(template);
    admin.batch_execute(&format!("ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")).await?;
    Ok(())
}

/// Connects in plain text to a database on this machine. Fails if the URL does not parse or names another machine, or
/// with PostgreSQL's error.
pub async fn connect(url: &str) -> Result<Client> {
    use tokio_postgres::config::Host;
    let config: tokio_postgres::Config = url.parse().context("the database URL is malformed")?;
    let is_here = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    };
    if !config.get_hosts().iter().all(is_here) {
        return Err(anyhow!(
            "the database URL must name this machine, because TLS is not supported; use a tunnel for another one"
        ));
    }
    let (client, connection) =
        config.connect(NoTls).await.map_err(|error| anyhow!("cannot connect: {}", root(&error)))?;
    tokio::spawn(connection);
    Ok(client)
}

/// Returns the innermost error, which has the cause.
fn root(error: &dyn std::error::Error) -> &dyn std::error::Error {
    error.source().map_or(error, root)
}

/// Runs SQL text of any number of statements in one transaction.
/// The error has PostgreSQL's message and the line number; the transaction is rolled back.
pub async fn load(client: &mut Client, sql: &str) -> Result<()> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(sql).await.map_err(|error| explain(&error, sql))?;
    transaction.commit().await.map_err(|error| explain(&error, sql))
}

/// Formats PostgreSQL's error in one line: line number, message, detail and hint.
pub fn explain(error: &tokio_postgres::Error, sql: &str) -> anyhow::Error {
    let Some(db) = error.as_db_error() else {
        return anyhow!("{}", root(error));
    };
    let line = match db.position() {
        Some(ErrorPosition::Original(position)) => {
            let before = sql.chars().take(*position as usize - 1);
            format!("line {}: ", before.filter(|c| *c == '\n').count() + 1)
        }
        _ => String::new(),
    };
    let more = |text: Option<&str>| text.map_or(String::new(), |text| format!(" ({text})"));
    anyhow!("{line}{}{}{}", db.message(), more(db.detail()), more(db.hint()))
}
