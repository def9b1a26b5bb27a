//! Everything that the function needs, started in the right order, and the function on top of it.

use std::{fs, path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    build::build,
    steps::Steps,
    support::{
        database,
        function::{Function, FunctionOptions},
        keys, migrations,
        postgres::Server,
        secrets::Secrets,
        seed,
    },
};

const DATABASE_SECRET: &str = "list-chat-sessions/database";
const API_KEYS_SECRET: &str = "list-chat-sessions/api-keys";

// Several commands take these options, so they are no group with a name of its own.
#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Load these rows instead of the demo account (repeatable)
    #[arg(long = "seed", value_name = "FILE.sql")]
    pub seeds: Vec<PathBuf>,
    /// Use this key ring instead of the demo account's
    #[arg(long, value_name = "FILE.json")]
    pub keys: Option<PathBuf>,
    /// Use this database instead of a PostgreSQL of our own; it is migrated, and gets no rows but those of `--seed`
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Build the function optimised
    #[arg(long)]
    pub release: bool,
}

impl Options {
    /// Whether the demo account answers, so that its token can be shown.
    pub fn is_demo(&self) -> bool {
        self.keys.is_none() && self.seeds.is_empty()
    }
}

/// What the options name, read and checked before anything is started.
pub struct Input {
    seeds: Vec<(String, String)>,
    /// JSON.
    key_ring: String,
    database_url: Option<String>,
    release: bool,
}

impl Input {
    pub fn read(options: Options) -> Result<Self> {
        let text = |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let mut seeds = Vec::new();
        for path in &options.seeds {
            seeds.push((path.display().to_string(), text(path)?));
        }
        let key_ring = match &options.keys {
            None => keys::json(&seed::demo_ring())?,
            Some(path) => {
                let text = text(path)?;
                let ring: Value =
                    serde_json::from_str(&text).with_context(|| format!("--keys: {} is not JSON", path.display()))?;
                ensure!(ring["api_keys"].is_array(), "--keys: {} has no list \"api_keys\"", path.display());
                text
            }
        };
        if seeds.is_empty() && options.database_url.is_none() {
            seeds.push(("the demo account".to_owned(), seed::DEMO_SQL.to_owned()));
        }
        Ok(Self { seeds, key_ring, database_url: options.database_url, release: options.release })
    }
}

/// The function and all that it needs. Dropping it ends everything.
pub struct Stack {
    pub function: Arc<Function>,
    _secrets: Secrets,
    _server: Option<Server>,
}

impl Stack {
    /// Starts everything; what is independent, side by side.
    pub async fn start(input: Input, steps: Steps) -> Result<Self> {
        let binary = async {
            let begin = Instant::now();
            let binary = build(input.release).await?;
            let profile = if input.release { "release" } else { "dev" };
            steps.done(begin, "build", &format!("{profile} profile"));
            anyhow::Ok(binary)
        };
        let (binary, (server, url)) = tokio::try_join!(binary, prepare_database(&input, steps))?;

        let begin = Instant::now();
        let secrets = Secrets::start().await?;
        secrets.put(API_KEYS_SECRET, input.key_ring.clone())?;
        let mut env = vec![
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), secrets.url().to_owned()),
            ("API_KEYS_SECRET_ID".to_owned(), API_KEYS_SECRET.to_owned()),
        ];
        if let Some(server) = &server {
            secrets.put(DATABASE_SECRET, credentials(server).to_string())?;
            env.push(("DATABASE_SECRET_ID".to_owned(), DATABASE_SECRET.to_owned()));
        } else {
            env.push(("DATABASE_URL".to_owned(), url));
        }
        steps.done(begin, "secrets", &format!("a stand-in for Secrets Manager on {}", secrets.url()));

        let begin = Instant::now();
        let options = FunctionOptions { env, forward_log: true, ..FunctionOptions::new(binary, &[]) };
        let function = Function::start(options).await?;
        steps.done(begin, "function", &format!("initialized, process {}", function.pid().unwrap_or_default()));
        Ok(Self { function: Arc::new(function), _secrets: secrets, _server: server })
    }
}

/// The database's URL with migrations and rows in place, and the server if it is ours.
async fn prepare_database(input: &Input, steps: Steps) -> Result<(Option<Server>, String)> {
    let begin = Instant::now();
    let (server, url) = if let Some(url) = &input.database_url {
        (None, url.clone())
    } else {
        let server = tokio::task::spawn_blocking(Server::start).await??;
        let folder = server.folder().display();
        let place = format!("on port {}, data in {folder}", server.port());
        steps.done(begin, "postgres", &place);
        let url = server.url("postgres");
        (Some(server), url)
    };
    let begin = Instant::now();
    let mut client = database::connect(&url).await?;
    let applied = migrations::apply(&mut client).await?;
    let names = applied.join(", ");
    let names = if applied.is_empty() { "none is new" } else { &names };
    steps.done(begin, "migrations", names);
    for (name, sql) in &input.seeds {
        let begin = Instant::now();
        database::load(&mut client, sql).await.with_context(|| name.clone())?;
        steps.done(begin, "rows", name);
    }
    Ok((server, url))
}

/// The secret of a database as RDS keeps it.
fn credentials(server: &Server) -> Value {
    json!({
        "engine": "postgres", "host": "127.0.0.1", "port": server.port(),
        "username": "postgres", "password": "unused", "dbname": "postgres",
    })
}
