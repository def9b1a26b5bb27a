//! Starts the services that the function needs, and the function.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    Function, FunctionOptions, Secrets, Server, ServerOptions, database, keys, migrations, role, seed,
    terminal::LogFormat,
};

use crate::{build::build, steps::Steps};

const DATABASE_SECRET: &str = "list-chat-sessions/database";
const API_KEYS_SECRET: &str = "list-chat-sessions/api-keys";

/// Log lines that are stored; all are shown.
const LOG_MAX: usize = 1_000;

// Several commands take these options, so they must not be a named group.
#[derive(clap::Args)]
#[group(skip)]
pub struct ServiceOptions {
    /// Load these rows instead of the demo account's (repeatable)
    #[arg(long = "seed", value_name = "FILE.sql")]
    pub seeds: Vec<PathBuf>,
    /// Use this key ring instead of the demo account's
    #[arg(long, value_name = "FILE.json")]
    pub keys: Option<PathBuf>,
    /// Use this database on this machine instead; it is migrated and gets only the rows of `--seed`
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

#[derive(clap::Args)]
#[group(skip)]
pub struct RunOptions {
    /// Build the function optimised, which takes some minutes more
    #[arg(long)]
    release: bool,
    /// Run this binary instead of building the function
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    binary: Option<PathBuf>,
    /// Show the function's log as it is, one JSON line per request, instead of one short line
    #[arg(long)]
    json: bool,
}

impl ServiceOptions {
    /// Returns whether the demo account is served, so that its token can be shown.
    pub fn is_demo(&self) -> bool {
        self.keys.is_none() && self.seeds.is_empty()
    }
}

/// The files that the options name, read and checked before anything is started.
pub struct Input {
    seeds: Vec<(String, String)>,
    key_ring: String,
    database_url: Option<String>,
}

impl Input {
    pub fn read(options: ServiceOptions) -> Result<Self> {
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
        Ok(Self { seeds, key_ring, database_url: options.database_url })
    }
}

/// The database and the secrets that the function needs. Dropping it stops them.
pub struct Services {
    variables: Vec<(String, String)>,
    secrets: Secrets,
    server: Option<OwnServer>,
}

/// A PostgreSQL server that this program has started.
struct OwnServer {
    server: Server,
    /// For the function's role.
    role_url: String,
}

impl Services {
    /// Starts them on an address of this machine, which the function reaches as `host`.
    pub async fn start(input: &Input, bind: IpAddr, host: &str, steps: Steps) -> Result<Self> {
        let (server, url) = prepare_database(input, bind, steps).await?;
        let begin = Instant::now();
        let secrets = Secrets::start_on(bind).await?;
        secrets.put(API_KEYS_SECRET, input.key_ring.clone())?;
        let endpoint = secrets.url_at(host);
        let mut variables = vec![
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.clone()),
            ("API_KEYS_SECRET_ID", API_KEYS_SECRET.to_owned()),
        ];
        let server = if let Some(server) = server {
            let password = keys::hex(&fastrand::u128(..).to_be_bytes());
            secrets.put(DATABASE_SECRET, credentials(&server, host, &password).await?)?;
            variables.push(("DATABASE_SECRET_ID", DATABASE_SECRET.to_owned()));
            let role_url = format!("postgres://{}:{password}@127.0.0.1:{}/postgres", role::NAME, server.port());
            Some(OwnServer { server, role_url })
        } else {
            variables.push(("DATABASE_URL", url));
            None
        };
        if !is_loopback(host) {
            // The network between this machine and its containers.
            variables.push(("DATABASE_ALLOW_PLAINTEXT", "true".to_owned()));
        }
        steps.done(begin, "secrets", &format!("a stand-in for Secrets Manager on {endpoint}"));
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Self { variables, secrets, server })
    }

    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    pub fn secrets_url(&self) -> &str {
        self.secrets.url()
    }

    /// Returns lines to paste into a shell: our database, as its superuser and as the function's role.
    pub fn psql(&self) -> Option<String> {
        let OwnServer { server, role_url } = self.server.as_ref()?;
        let url = server.url("postgres");
        Some(format!("PostgreSQL, as superuser and as the function's role:\npsql {url}\npsql {role_url}"))
    }
}

/// The function and its services. Dropping it stops everything.
pub struct LocalFunction {
    pub function: Arc<Function>,
    pub services: Services,
}

impl LocalFunction {
    /// Starts everything, building the function while the services start.
    pub async fn start(input: Input, run: RunOptions, steps: Steps) -> Result<Self> {
        let binary = async {
            if let Some(binary) = run.binary {
                return Ok(binary);
            }
            let begin = Instant::now();
            let binary = build(run.release).await?;
            let profile = if run.release { "release" } else { "dev" };
            steps.done(begin, "build", &format!("{profile} profile"));
            anyhow::Ok(binary)
        };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let services = Services::start(&input, loopback, "127.0.0.1", steps);
        let (binary, services) = tokio::try_join!(binary, services)?;

        let begin = Instant::now();
        let env = services.variables().to_vec();
        let forward_log = Some(if run.json { LogFormat::Json } else { LogFormat::Short });
        let options = FunctionOptions { env, forward_log, log_max: LOG_MAX, ..FunctionOptions::new(binary, &[]) };
        let function = Function::start(options).await?;
        steps.done(begin, "function", &format!("initialized, process {}", function.pid().unwrap_or_default()));
        Ok(Self { function: Arc::new(function), services })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Migrates and fills the database; returns its URL, and the server if it is ours.
async fn prepare_database(input: &Input, bind: IpAddr, steps: Steps) -> Result<(Option<Server>, String)> {
    let begin = Instant::now();
    let (server, url) = if let Some(url) = &input.database_url {
        (None, url.clone())
    } else {
        // For our connection as well as for the function's.
        let listen =
            if bind.is_loopback() || bind.is_unspecified() { bind.to_string() } else { format!("127.0.0.1,{bind}") };
        let settings = vec![format!("listen_addresses={listen}")];
        let options = ServerOptions { settings, ..ServerOptions::default() };
        let server = tokio::task::spawn_blocking(|| Server::start_with(options)).await??;
        let here = env::current_dir().unwrap_or_default();
        let folder = server.folder().strip_prefix(here).unwrap_or(server.folder());
        let place = format!("on port {}, data in {}", server.port(), folder.display());
        steps.done(begin, "postgres", &place);
        let url = server.url("postgres");
        (Some(server), url)
    };
    let begin = Instant::now();
    let mut client = database::connect(&url).await?;
    let applied = migrations::apply(&mut client).await?;
    let names = applied.join(", ");
    let names = if applied.is_empty() { "up to date" } else { &names };
    steps.done(begin, "migrations", names);
    for (name, sql) in &input.seeds {
        let begin = Instant::now();
        database::load(&mut client, sql).await.with_context(|| name.clone())?;
        steps.done(begin, "rows", name);
    }
    Ok((server, url))
}

/// Creates the role of docs/role.sql with this password and returns its secret in the form that RDS uses.
async fn credentials(server: &Server, host: &str, password: &str) -> Result<String> {
    role::create(&database::connect(&server.url("postgres")).await?, password).await?;
    let secret = json!({
        "engine": "postgres", "host": host, "port": server.port(), "dbname": "postgres",
        "username": role::NAME, "password": password, "sslmode": "disable",
    });
    Ok(secret.to_string())
}

/// Formats a URL as a word for the shell, with `$PASSWORD` in place of its password.
pub fn shell_word(url: &str) -> String {
    let credentials = url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    match credentials.map(|(scheme, (user, host))| (scheme, user.split_once(':'), host)) {
        Some((scheme, Some((user, _)), host)) => format!("\"{scheme}://{user}:$PASSWORD@{host}\""),
        _ => format!("'{url}'"),
    }
}
