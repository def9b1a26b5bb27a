//! `cargo dev parity`: shows that a new endpoint answers as the old one does.

mod answer;
mod class;
mod compare;
mod departure;
mod mask;
mod report;
mod requests;

use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::{
    body::Bytes,
    http::{HeaderValue, Request, Uri},
};
use indicatif::{ProgressBar, ProgressStyle};
use testkit::{
    client,
    request::PATH,
    terminal::{err, out},
};
use tokio::time::{Interval, MissedTickBehavior, interval};

use answer::Answer;
use mask::Mask;
use report::Row;
pub use report::{Run, Verdict};
use requests::{Account, ParityRequest};

/// Pages of the old endpoint that are read for the account's widgets and dates.
const PAGES: usize = 3;
const PAGE: usize = 100;

/// The largest `--rps`.
const RPS_MAX: f64 = 100.0;

pub const EXIT_CODES: &str = "Exit codes:
  0    equal, except for documented departures
  1    an unexplained difference, or invalid options
  2    undecided, for example because an endpoint is unreachable or rejects the token
  130  interrupted before a difference was found; what was compared is printed and in the report";

/// The exit code of a comparison that shows nothing.
const UNDECIDED: u8 = 2;

#[derive(clap::Args)]
#[group(skip)]
pub struct ParityOptions {
    /// The old endpoint; without a path, /functions/v1/list-chat-sessions is added
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    old: Uri,
    /// The new endpoint
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    new: Uri,
    /// The environment variable that has the token of the account
    #[arg(long, value_name = "VAR")]
    token_env: String,
    /// Send these requests instead of the default ones. Each line is a JSON object with `method` (POST if omitted),
    /// `headers` (an object; null omits a header), and `body` (any JSON) or `body_text` (a text that is sent as it is).
    /// `Authorization` with the token and `Content-Type: application/json` are added unless the line has them
    #[arg(long, value_name = "FILE.jsonl")]
    requests: Option<PathBuf>,
    /// Send at most N requests a second, to both endpoints together
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = rate)]
    rps: f64,
    /// Write what was found to this file, without texts of the account
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Allow no departures: for two deployments of this project, instead of the edge function and one
    #[arg(long)]
    strict: bool,
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    let authority = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
    let authority = authority.ok_or("it must begin with https:// or http://")?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err("it must have neither credentials nor a query".into());
    }
    let path = if uri.path() == "/" { PATH } else { uri.path() };
    let parts = Uri::builder().scheme(uri.scheme_str().unwrap_or("https")).authority(authority.as_str());
    parts.path_and_query(path).build().map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| (0.1..=RPS_MAX).contains(rate)).ok_or_else(|| "it must be 0.1 to 100".to_owned())
}

/// Compares, prints and writes the report; an interrupted run reports what it has compared. Every error is "undecided".
pub async fn parity(options: ParityOptions) -> Result<ExitCode> {
    let mut run = Run::default();
    let urls = [options.old.to_string(), options.new.to_string()];
    let urls = urls.each_ref().map(String::as_str);
    if let Some(path) = &options.report {
        // Fails before any request rather than after all of them.
        if let Err(error) = run.write(path, urls) {
            err(format_args!("error: {error:#}"));
            return Ok(UNDECIDED.into());
        }
    }
    let bar = ProgressBar::new(0);
    let result = tokio::select! {
        // Before `main` sees the same signal and ends this.
        biased;
        result = measure(&options, &mut run, &bar) => result,
        signal = crate::interrupted() => signal,
    };
    bar.finish_and_clear();
    if let Err(error) = result {
        run.reason = Some(format!("{error:#}"));
    }
    out(run.summary());
    let code = match run.verdict() {
        Verdict::Equal => 0,
        Verdict::Differs => 1,
        Verdict::Undecided => UNDECIDED,
        Verdict::Interrupted => crate::INTERRUPTED,
    };
    if let Some(path) = &options.report {
        run.write(path, urls)?;
    }
    Ok(code.into())
}

async fn measure(options: &ParityOptions, run: &mut Run, bar: &ProgressBar) -> Result<()> {
    let token = token(&options.token_env)?;
    let given = options.requests.as_ref().map(|path| requests::read(path, &token)).transpose()?;
    let mut endpoints = Endpoints::new(&options.old, &options.new, options.rps);
    let account = endpoints.account(&token).await?;
    let is_default = given.is_none();
    let requests = given.unwrap_or_else(|| requests::defaults(&token, &account));
    out(format_args!("{:<38}  {:<9}  {}", "request", "result", "departures, noise"));
    let show = |row: &Row| bar.suspend(|| out(row.text(options.strict)));
    endpoints.compare_all(&requests, options.strict, run, bar, show).await?;
    if is_default && !options.strict { ensure_departures(run) } else { Ok(()) }
}

/// Fails if the new endpoint answers exactly as the edge function does: then it is the edge function.
fn ensure_departures(run: &Run) -> Result<()> {
    const PASSES: &str = "no request departs as documented, so the new endpoint seems to pass requests to the old one: deploy                           without UpstreamServes=all. For two deployments of this project, add --strict";
    ensure!(run.has_departures() || run.verdict() != Verdict::Equal, PASSES);
    Ok(())
}

/// Sends the default requests to two endpoints, as often as the endpoints allow, and prints nothing.
pub async fn compare(old: &str, new: &str, token: &str, bar: &ProgressBar) -> Result<Run> {
    let [old, new] = [old, new].map(|url| endpoint(url).map_err(anyhow::Error::msg));
    let mut endpoints = Endpoints::new(&old?, &new?, RPS_MAX);
    let account = endpoints.account(token).await?;
    let mut run = Run::default();
    endpoints.compare_all(&requests::defaults(token, &account), false, &mut run, bar, |_| ()).await?;
    ensure_departures(&run)?;
    Ok(run)
}

fn token(name: &str) -> Result<String> {
    let token = env::var_os(name).with_context(|| format!("--token-env: the variable {name} is not set"))?;
    let token = token.to_str().map(str::trim).unwrap_or_default().to_owned();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(is_one, "--token-env: the variable {name} must have one token, without \"Bearer\" and white space");
    Ok(token)
}

struct Endpoints {
    old: Uri,
    new: Uri,
    pace: Interval,
}

impl Endpoints {
    fn new(old: &Uri, new: &Uri, rps: f64) -> Self {
        let mut pace = interval(Duration::from_secs_f64(1.0 / rps));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { old: old.clone(), new: new.clone(), pace }
    }

    /// Reads the account's first pages from the old endpoint. Fails if one of the endpoints is unreachable or rejects the
    /// token, because then nothing can be compared.
    async fn account(&mut self, token: &str) -> Result<Account> {
        let (old, new) = (self.old.clone(), self.new.clone());
        let mut account = Account::default();
        for (name, uri) in [("old", &old), ("new", &new)] {
            for number in 0..if name == "new" { 1 } else { PAGES } {
                let answer = self.send(uri, &requests::page(token, number * PAGE)).await;
                let answer = answer.with_context(|| format!("the {name} endpoint {uri}"))?;
                if answer.status == 401 {
                    bail!("the {name} endpoint {uri} rejects the token: 401");
                }
                // The old endpoint rejects an offset past the end.
                let Some(page) = answer.page() else {
                    ensure!(number > 0, "the {name} endpoint {uri} does not list sessions: {}", answer.outcome());
                    break;
                };
                if name == "old" {
                    account.add(page);
                }
                if page.sessions.len() < PAGE {
                    break;
                }
            }
        }
        Ok(account)
    }

    async fn compare_all(
        &mut self,
        requests: &[ParityRequest],
        strict: bool,
        run: &mut Run,
        bar: &ProgressBar,
        show: impl Fn(&Row),
    ) -> Result<()> {
        run.planned = requests.len();
        bar.set_length(requests.len().try_into()?);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left")?);
        let mask = Mask::new();
        for request in requests {
            let row = self.compare(request, &mask, strict).await;
            show(&row);
            run.rows.push(row);
            bar.inc(1);
        }
        Ok(())
    }

    /// Asks the old endpoint, the new one, and the old one again. Nothing is retried: a failure is a finding.
    async fn compare(&mut self, request: &ParityRequest, mask: &Mask, strict: bool) -> Row {
        let (old, new) = (self.old.clone(), self.new.clone());
        let first = self.send(&old, request).await;
        let answer = self.send(&new, request).await;
        let last = self.send(&old, request).await;
        let [first, last] = [first, last].map(|answer| match answer {
            Ok(answer) if answer.is_failure() => Err(format!("the old endpoint failed: {}", answer.outcome())),
            Ok(answer) => Ok(answer),
            Err(error) => Err(format!("the old endpoint: {error:#}")),
        });
        let (before, after) = match (&first, &last) {
            (Ok(before), Ok(after)) => (before, after),
            (Ok(answer), Err(_)) | (Err(_), Ok(answer)) => (answer, answer),
            (Err(reason), Err(_)) => return Row::undecided(&request.name, reason.clone()),
        };
        let (findings, answer) = match answer {
            Ok(answer) => (compare::compare(request, [before, after], &answer, mask), Some(answer)),
            Err(error) => {
                let (old, new) = (before.outcome().into(), format!("{error:#}").into());
                let class = class::Class::Difference;
                (vec![compare::Finding { class, place: "response".into(), old, new }], None)
            }
        };
        Row::new(&request.name, findings, [first.as_ref().ok(), last.as_ref().ok(), answer.as_ref()], strict)
    }

    async fn send(&mut self, uri: &Uri, request: &ParityRequest) -> Result<Answer> {
        self.pace.tick().await;
        let mut message = Request::builder().method(request.method.as_str()).uri(uri);
        message = message.header("user-agent", concat!("cargo-dev-parity/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &request.headers {
            let mut value = HeaderValue::from_str(value)?;
            value.set_sensitive(name == "authorization");
            message = message.header(name, value);
        }
        let begin = Instant::now();
        let response = client::send(message.body(Bytes::from(request.body.clone()))?).await?;
        Ok(Answer::read(&response, begin.elapsed()))
    }
}
