//! `cargo dev rehearse`: the afternoon of docs/moving.md on this machine, in its order, with the project's own files and
//! binaries. Nothing is simulated but the product, AWS and the DNS record:
//!
//! | of the afternoon | here |
//! | --- | --- |
//! | the product's database | PostgreSQL with its row level security, default privileges and publication, and rows |
//! | the old host | a stand-in for the edge function, and a function that stays |
//! | callers | requests at one host name, and messages of a visitor, from the first step to the last |
//! | the host name's DNS record | the base URL that the callers read before each request |
//! | API Gateway, Lambda, EventBridge, Secrets Manager | the stand-ins of `cargo dev` |

mod callers;
mod old_host;
mod schedule;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::{body::Bytes, http::Request};
use indicatif::ProgressBar;
use testkit::{
    Function, FunctionOptions, Gateway, Secrets, Server, Upstream, client, database,
    edge_function::add_keys,
    keys, migrations, product_database, role,
    seed::{self, Volume},
    terminal::out,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use crate::{
    build::build_all,
    parity::{self, Verdict},
    steps::Steps,
    token,
};
use callers::{Callers, Endpoint, call};
use old_host::{HEADER, OTHER_PATH, OldHost};
use schedule::Schedule;

/// The schedule of `sync-keys`, which is a minute by default in the template.
const SCHEDULE: Duration = Duration::from_secs(1);

/// Time in addition to the schedule after which a key that was made works, and a revoked one does not.
const KEYS_MARGIN: Duration = Duration::from_secs(2);

/// Pause between two calls with a key that should soon work, or stop.
const KEY_PAUSE: Duration = Duration::from_millis(50);

/// The rows of the product.
const VOLUME: Volume = Volume { accounts: 3, sessions: 300, messages: 4 };

const RING: &str = "list-chat-sessions/api-keys";
const DOCTOR: &str = include_str!("../../../docs/doctor.sql");

#[derive(clap::Args)]
#[group(skip)]
pub struct RehearseOptions {
    /// Build the functions optimised, which takes some minutes more
    #[arg(long)]
    release: bool,
    /// Run this binary of the function instead of building it
    #[arg(long, value_name = "FILE", conflicts_with = "release", requires = "sync_keys_binary")]
    binary: Option<PathBuf>,
    /// Run this binary of sync-keys instead of building it
    #[arg(long, value_name = "FILE", requires = "binary")]
    sync_keys_binary: Option<PathBuf>,
}

/// The product before the move.
struct Product {
    server: Server,
    admin: Client,
    old: OldHost,
    /// Of the largest account.
    token: String,
    account: Uuid,
    callers: Callers,
}

/// Rehearses every step; the first that fails ends it with an error that has the step's name.
pub async fn rehearse(options: RehearseOptions) -> Result<()> {
    let begin = Instant::now();
    let binaries = if let (Some(binary), Some(sync_keys)) = (options.binary, options.sync_keys_binary) {
        [binary, sync_keys]
    } else {
        let profile = if options.release { "release" } else { "dev" };
        let build = async |_: &ProgressBar| {
            let binaries = build_all([testkit::function::NAME, "sync-keys"], options.release).await?;
            Ok((binaries, format!("{profile} profile")))
        };
        step("build", None, build).await?
    };
    let total = steps(binaries).await?;
    Steps::Output.done(begin, "total", &total);
    Ok(())
}

async fn steps([binary, sync_keys]: [PathBuf; 2]) -> Result<String> {
    let start = Instant::now();
    let product = step("product", None, async |_| product().await).await?;
    let Product { server, admin, old, token, account, callers } = &product;
    step("indexes", Some(callers), async |_| indexes(admin, callers).await).await?;
    step("role", Some(callers), async |_| {
        role::create(admin, role::PASSWORD).await?;
        Ok(((), format!("{}, by docs/role.sql", role::NAME)))
    })
    .await?;
    step("doctor", Some(callers), async |_| Ok(((), doctor(admin).await?))).await?;

    let secrets = Secrets::start().await?;
    secrets.put(RING, r#"{"api_keys": []}"#)?;
    let variables = |user| {
        vec![
            ("API_KEYS_SECRET_ID".to_owned(), RING.to_owned()),
            ("API_KEYS_MAX_AGE_SECONDS".to_owned(), "1".to_owned()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), secrets.url().to_owned()),
            ("DATABASE_URL".to_owned(), role::url_of(user, server.port(), "postgres")),
        ]
    };
    let gateway = Gateway::bind(0).await?.without_log();
    let api = gateway.url()?;
    let upstream = Upstream::new(old.base())?;
    let serves_all = upstream.serves_all();
    let _serving = step("deploy", Some(callers), async |_| {
        let options = FunctionOptions { env: variables(role::NAME), ..FunctionOptions::new(binary, &[]) };
        let function = Function::start(options).await?;
        let serving = gateway.with_upstream(upstream).serve(Arc::new(function));
        let (status, _) = call(&api, token).await?;
        ensure!(status == 401, "without keys in the ring, a call should get 401, not {status}");
        other_function(&api).await?;
        Ok((serving, "the function is up; other paths go to the old host".to_owned()))
    })
    .await?;
    let schedule = step("keys", Some(callers), async |_| {
        role::create_sync_keys(admin).await?;
        let options = FunctionOptions { env: variables(role::SYNC_KEYS), ..FunctionOptions::new(sync_keys, &[]) };
        let mut schedule = Schedule::start(Function::start(options).await?, SCHEDULE);
        let summary = schedule.first_run().await?;
        let time = until(200, &api, token, &schedule).await?;
        let (added, time, said) = (&summary["added"], seconds(time), doctor(admin).await?);
        let seen = format!("sync-keys added {added}; 200 after {time}; doctor: {said}");
        Ok((schedule, seen))
    })
    .await?;
    step("parity", Some(callers), async |bar| compare(old.base(), &api, token, bar).await).await?;

    step("all", Some(callers), async |_| {
        serves_all.store(true, Ordering::Relaxed);
        let (status, by) = call(&api, token).await?;
        ensure!((status, by) == (200, Endpoint::Old), "API Gateway should pass the call to the old endpoint");
        callers.point_to(&api);
        callers.see(Endpoint::Old).await?;
        Ok(((), "the host name moves to API Gateway; the old one answers".to_owned()))
    })
    .await?;
    step("others", Some(callers), async |_| {
        let begin = Instant::now();
        serves_all.store(false, Ordering::Relaxed);
        callers.see(Endpoint::New).await?;
        other_function(&callers.host()).await?;
        let seen = callers.seen_since(begin);
        Ok(((), format!("the new one answers, 0 of {} calls failed; other paths: old", seen.calls)))
    })
    .await?;
    let key = token::random()?;
    step("new key", Some(callers), async |_| made(admin, callers, &key, *account, &schedule).await).await?;
    step("revoked", Some(callers), async |_| revoked(admin, callers, &key, &schedule).await).await?;
    step("back", Some(callers), async |_| {
        let begin = Instant::now();
        serves_all.store(true, Ordering::Relaxed);
        callers.see(Endpoint::Old).await?;
        let (status, _) = call(&callers.host(), &key).await?;
        ensure!(status == 401, "the old endpoint should reject the revoked key with 401, not {status}");
        let seen = callers.seen_since(begin);
        Ok(((), format!("the old endpoint answers; 0 of {} calls failed", seen.calls)))
    })
    .await?;
    schedule.check()?;
    let seen = callers.seen_since(start);
    Ok(format!("0 of {} calls and 0 of {} messages failed", seen.calls, seen.messages))
}

/// Runs a step with a spinner and prints its line; its error gets its name. Fails if a caller has got an error.
async fn step<T>(
    name: &str,
    callers: Option<&Callers>,
    run: impl AsyncFnOnce(&ProgressBar) -> Result<(T, String)>,
) -> Result<T> {
    let begin = Instant::now();
    let bar = ProgressBar::new_spinner().with_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let result = run(&bar).await.and_then(|result| callers.map_or(Ok(()), Callers::check).map(|()| result));
    bar.finish_and_clear();
    let (value, seen) = result.with_context(|| format!("step \"{name}\""))?;
    Steps::Output.done(begin, name, &seen);
    Ok(value)
}

/// Starts the product: its database with rows and keys, the old host, and its callers.
async fn product() -> Result<(Product, String)> {
    let server = spawn_blocking(Server::start).await??;
    let url = server.url("postgres");
    let mut admin = database::connect(&url).await?;
    product_database::create_tables(&mut admin).await?;
    let seeded = seed::fill(&mut admin, VOLUME).await?;
    add_keys(&admin, &keys::json(&seeded.key_ring)?).await?;
    let (token, _) = seeded.largest;
    let accounts: Vec<Uuid> =
        seeded.key_ring.api_keys.iter().map(|key| key.user_id.parse()).collect::<Result<_, _>>()?;
    let [account, neighbour, ..] = accounts[..] else { bail!("the product needs two accounts") };
    let old = OldHost::start(&url).await?;
    let callers = Callers::start(old.base(), &token, &url, neighbour).await?;
    callers.see(Endpoint::Old).await?;
    let seen = format!("{} sessions, {} keys; the old endpoint answers", VOLUME.sessions, accounts.len());
    Ok((Product { server, admin, old, token, account, callers }, seen))
}

/// Runs each migration as psql does, while callers call.
async fn indexes(admin: &Client, callers: &Callers) -> Result<((), String)> {
    let begin = Instant::now();
    for (name, sql) in migrations::files()? {
        for statement in migrations::statements(&sql) {
            admin
                .batch_execute(statement)
                .await
                .map_err(|error| database::explain(&error, statement))
                .context(name.clone())?;
        }
    }
    callers.see(Endpoint::Old).await?;
    let seen = callers.seen_since(begin);
    let text =
        format!("during {} calls and {} messages; slowest {} ms", seen.calls, seen.messages, seen.slowest.as_millis());
    Ok(((), text))
}

/// Returns the names of what docs/doctor.sql says. Fails if anything needs a repair.
async fn doctor(admin: &Client) -> Result<String> {
    let mut names = Vec::new();
    for message in admin.simple_query(DOCTOR).await.map_err(|error| database::explain(&error, DOCTOR))? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let [name, level, wrong] = ["name", "level", "what_is_wrong"].map(|column| row.get(column).unwrap_or_default());
        ensure!(level == "info", "docs/doctor.sql: {level}: {name}: {wrong}");
        names.push(name.to_owned());
    }
    Ok(names.join(", "))
}

async fn compare(old: &str, new: &str, token: &str, bar: &ProgressBar) -> Result<((), String)> {
    let run = parity::compare(old, new, token, bar).await?;
    if run.verdict() != Verdict::Equal {
        bar.suspend(|| run.unequal().for_each(out));
        bail!("{}", run.counts());
    }
    Ok(((), run.counts()))
}

/// Calls a function that stays at the old host.
async fn other_function(base: &str) -> Result<()> {
    let response = client::send(Request::get(format!("{base}{OTHER_PATH}")).body(Bytes::new())?).await?;
    let is_old = response.headers().contains_key(HEADER);
    ensure!(
        response.status() == 200 && is_old,
        "{OTHER_PATH} should reach the old host, but got {}",
        response.status()
    );
    Ok(())
}

/// Makes a key as the dashboard does, and waits until it works.
async fn made(
    admin: &Client,
    callers: &Callers,
    key: &str,
    account: Uuid,
    schedule: &Schedule,
) -> Result<((), String)> {
    let (status, _) = call(&callers.host(), key).await?;
    ensure!(status == 401, "a key that does not exist should get 401, not {status}");
    let make = "INSERT INTO api_keys (user_id, name, key_prefix, key_hash) VALUES ($1, 'rehearsal', 'mgp_', $2)";
    admin.execute(make, &[&account, &keys::hash(key)]).await?;
    let time = until(200, &callers.host(), key, schedule).await?;
    Ok(((), format!("made in the table; a call with it gets 200 after {}", seconds(time))))
}

async fn revoked(admin: &Client, callers: &Callers, key: &str, schedule: &Schedule) -> Result<((), String)> {
    let revoke = "UPDATE api_keys SET is_active = false WHERE key_hash = $1";
    admin.execute(revoke, &[&keys::hash(key)]).await?;
    let time = until(401, &callers.host(), key, schedule).await?;
    Ok(((), format!("revoked in the table; a call with it gets 401 after {}", seconds(time))))
}

/// Calls with a key until a status arrives; returns how long that took. Fails after the schedule and its margin.
async fn until(status: u16, base: &str, key: &str, schedule: &Schedule) -> Result<Duration> {
    let begin = Instant::now();
    loop {
        schedule.check()?;
        let (found, _) = call(base, key).await?;
        let time = begin.elapsed();
        if found == status {
            return Ok(time);
        }
        let allowed = SCHEDULE + KEYS_MARGIN;
        ensure!(time < allowed, "after {} a call with the key still gets {found}, not {status}", seconds(allowed));
        sleep(KEY_PAUSE).await;
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
