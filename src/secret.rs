//! A secret of AWS Secrets Manager: parsed once, cached, refreshed, and kept while the service is unavailable.
//!
//! AWS's own `aws_secretsmanager_caching` adds 2.8 MB and a second TLS stack, has no single flight, does not retry when it
//! is throttled, and prints secrets in `Debug`.

mod update;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
pub use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::{
    Config,
    config::Builder,
    error::{ProvideErrorMetadata, SdkError},
};
use tokio::time::timeout;

pub use self::update::{Change, SecretVersion, WritableSecret};
use crate::{
    clock::FreezeProofInstant,
    error::{Error, display_chain},
    jwks::{JwksServer, JwksUrl},
    log,
};

/// The largest secret that is read, in bytes: Secrets Manager's own limit.
pub const MAX_SECRET_BYTES: usize = 65_536;

/// The timeout of a secret's first fetch, in init or in the request that needs it.
const FIRST_FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// The timeout of a refresh, which delays a request that has a good value already.
pub const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// The minimum time between a failed refresh and the next one, so that an outage does not delay every request; and between
/// two log lines about failed fetches.
const REFRESH_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The timeout for connecting to Secrets Manager, TLS included. It leaves a third of [`FIRST_FETCH_TIMEOUT`] for a retry.
const SECRETS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest pause before the first retry of a call. During the SDK's own pause of a second, a refresh would reach its
/// timeout, and the log would not show what Secrets Manager returned.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// The client for Secrets Manager. Its attempts have no timeout except for connecting: [`Secret::fetch`] limits the whole
/// fetch, so that a slow response has all of that time and retries have the rest.
#[must_use]
pub fn client(aws: &SdkConfig) -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(SECRETS_CONNECT_TIMEOUT);
    let retries = RetryConfig::standard().with_initial_backoff(RETRY_BACKOFF);
    Client::from_conf(Builder::from(aws).timeout_config(timeouts.build()).retry_config(retries).build())
}

/// How long a fetched value is used.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// The age at which a value is refreshed before it is used; up to 10 % less at random, so that environments that
    /// started together do not refresh together.
    pub max_age: Duration,
    /// The age up to which a value is used if it cannot be refreshed.
    pub max_stale: Duration,
}

type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// A cached secret, parsed into a `T`. The raw text is not kept.
pub struct Secret<T> {
    source: Source,
    /// The label of the version, `AWSCURRENT` if `None`.
    label: Option<&'static str>,
    parse: Parse<T>,
    /// Never locked during a fetch, so that requests can use the cached value.
    cache: Mutex<Cache<T>>,
    /// Single flight: locked during a fetch, for which concurrent callers wait.
    fetching: tokio::sync::Mutex<()>,
}

enum Source {
    SecretsManager {
        client: Client,
        id: String,
    },
    /// Public keys, which are cached by the same rules.
    Jwks(Box<JwksServer>),
}

#[derive(Clone, Copy)]
enum Retry {
    /// The SDK's retries.
    Standard,
    /// Once, and only after a lost connection, which may have been idle: any response ends the fetch.
    LostConnection,
}

impl<T> Secret<T> {
    /// The secret with this name or ARN. Nothing is fetched yet.
    ///
    /// `parse` reads the secret's text. Its errors must not quote that text.
    pub fn new(
        client: Client,
        id: String,
        lifetime: Lifetime,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self::from_source(Source::SecretsManager { client, id }, lifetime, parse)
    }

    /// The key set at this URL. Nothing is fetched yet.
    pub(crate) fn from_jwks_url(
        url: JwksUrl,
        lifetime: Lifetime,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self::from_source(Source::Jwks(Box::new(JwksServer::new(url))), lifetime, parse)
    }

    fn from_source(
        source: Source,
        lifetime: Lifetime,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            source,
            label: None,
            parse: Box::new(parse),
            cache: Mutex::new(Cache::new(lifetime)),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// The version with another label. It need not exist, so a failed fetch is not logged.
    #[must_use]
    pub fn with_label(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// The value, refreshed if it has reached its maximum age. If that fails, the last good value is used until its
    /// maximum stale age.
    ///
    /// # Errors
    ///
    /// If there is no good value: [`Error::Unavailable`] if it cannot be fetched, [`Error::Internal`] if it cannot be
    /// parsed.
    pub async fn current(&self) -> Result<Arc<T>, Error> {
        let need = self.cache().need();
        match need {
            Need::Nothing => {}
            Need::Refresh => {
                // If another request is refreshing it, the cached value is good enough.
                if let Ok(_flight) = self.fetching.try_lock() {
                    self.refresh(Retry::Standard).await;
                }
            }
            Need::Fetch => {
                let started = FreezeProofInstant::now();
                let _flight = self.fetching.lock().await;
                let is_needed = self.cache().needs_fetch_since(started);
                if is_needed {
                    self.refresh(Retry::Standard).await;
                }
            }
        }
        self.cache().value()
    }

    /// The value that Secrets Manager has now, or had less than `interval` ago.
    ///
    /// Calls of this function fetch at most once per `interval`, which begins with the start of a fetch that succeeds and
    /// with the end of one that fails. If `interval` is [`REFRESH_TIMEOUT`], fetches take at most half of the environment's
    /// time during an outage, and a new value is found within the sum of the two after it.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`], and if the last fetch failed: the cached value may be outdated.
    pub async fn newest(&self, interval: Duration) -> Result<Arc<T>, Error> {
        let _flight = self.fetching.lock().await;
        let started = self.cache().try_start_forced_refresh(interval);
        if started {
            self.refresh(Retry::LostConnection).await;
        }
        self.cache().value_of_last_fetch()
    }

    /// Whether the last fetch failed, so that the value, if there is one, is older than it should be.
    pub(crate) fn is_stale(&self) -> bool {
        self.cache().is_stale()
    }

    fn cache(&self) -> MutexGuard<'_, Cache<T>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self, retry: Retry) {
        let timeout = if self.cache().value().is_ok() { REFRESH_TIMEOUT } else { FIRST_FETCH_TIMEOUT };
        let fetched = Box::pin(self.fetch(timeout, retry)).await;
        let mut cache = self.cache();
        if let (Err(error), None) = (&fetched, self.label)
            && cache.try_start_report()
        {
            log::line(error.warn_or_error(), "secret not fetched", error);
        }
        cache.store(fetched);
    }

    async fn fetch(&self, fetch_timeout: Duration, retry: Retry) -> Result<T, Error> {
        let text = match &self.source {
            Source::SecretsManager { client, id } => self.fetch_secret(client, id, fetch_timeout, retry).await?,
            Source::Jwks(server) => match timeout(fetch_timeout, server.fetch()).await {
                Ok(fetched) => fetched.map_err(|cause| self.unavailable(&cause))?,
                Err(_) => return Err(self.unavailable(&format!("no complete response within {fetch_timeout:?}"))),
            },
        };
        (self.parse)(&text).map_err(|cause| self.invalid(&cause))
    }

    async fn fetch_secret(
        &self,
        client: &Client,
        id: &str,
        fetch_timeout: Duration,
        retry: Retry,
    ) -> Result<String, Error> {
        let request = || client.get_secret_value().secret_id(id).set_version_stage(self.label.map(Into::into));
        let once = || {
            let config = Config::builder().retry_config(RetryConfig::disabled());
            request().customize().config_override(config).send()
        };
        let call = async {
            match retry {
                Retry::Standard => request().send().await,
                Retry::LostConnection => match once().await {
                    Err(SdkError::DispatchFailure(_)) => once().await,
                    outcome => outcome,
                },
            }
        };
        let output = timeout(fetch_timeout, call)
            .await
            .map_err(|_| self.unavailable(&format!("no response from Secrets Manager within {fetch_timeout:?}")))?
            .map_err(|error| self.unavailable(&cause(&error)))?;
        let text = output.secret_string.ok_or_else(|| self.invalid("it has no SecretString"))?;
        if text.len() > MAX_SECRET_BYTES {
            return Err(self.invalid(&format!("it has more than {MAX_SECRET_BYTES} bytes")));
        }
        Ok(text)
    }

    fn unavailable(&self, cause: &str) -> Error {
        Error::Unavailable(format!("{}: {cause}", self.source))
    }

    /// An invalid secret is for the operator to repair; an invalid JWKS is a failure of another service.
    fn invalid(&self, cause: &str) -> Error {
        match self.source {
            Source::SecretsManager { .. } => Error::Internal(format!("{}: {cause}", self.source)),
            Source::Jwks(_) => self.unavailable(cause),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager { id, .. } => write!(f, "secret {id}"),
            Self::Jwks(_) => f.write_str("JWKS_URL"),
        }
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.source)
    }
}

/// The cause of a failed call, without the response's body, which may contain the secret.
fn cause<E: ProvideErrorMetadata + std::error::Error + 'static, R: fmt::Debug>(error: &SdkError<E, R>) -> String {
    if let Some(code) = error.code() {
        return format!("Secrets Manager returned {code}");
    }
    display_chain(error)
}

/// The last good value, and the failure of the last fetch.
struct Cache<T> {
    lifetime: Lifetime,
    value: Option<Fetched<T>>,
    failure: Option<(FreezeProofInstant, Error)>,
    /// The start of the last forced refresh.
    forced_at: Option<FreezeProofInstant>,
    /// The time of the last log line about a failed fetch.
    reported_at: Option<FreezeProofInstant>,
}

/// The step that is necessary before the value can be used.
enum Need {
    Nothing,
    /// The value is past its maximum age.
    Refresh,
    /// There is no value.
    Fetch,
}

struct Fetched<T> {
    value: Arc<T>,
    at: FreezeProofInstant,
    max_age: Duration,
}

impl<T> Cache<T> {
    fn new(lifetime: Lifetime) -> Self {
        Self { lifetime, value: None, failure: None, forced_at: None, reported_at: None }
    }

    /// A failed refresh is not repeated before [`REFRESH_RETRY_INTERVAL`] as long as there is a good value.
    fn need(&self) -> Need {
        match self.good() {
            Some(fetched) if fetched.at.elapsed() < fetched.max_age || self.failed_within(REFRESH_RETRY_INTERVAL) => {
                Need::Nothing
            }
            Some(_) => Need::Refresh,
            None => Need::Fetch,
        }
    }

    /// Whether there is no good value, and no fetch has failed since `started`.
    fn needs_fetch_since(&self, started: FreezeProofInstant) -> bool {
        let waited = started.elapsed();
        self.good().is_none() && !self.failed_within(waited)
    }

    /// Notes the start of a forced refresh, unless one started or a fetch failed within `interval`.
    fn try_start_forced_refresh(&mut self, interval: Duration) -> bool {
        !self.failed_within(interval) && try_start(&mut self.forced_at, interval)
    }

    /// Notes a log line about a failed fetch, unless there was one within [`REFRESH_RETRY_INTERVAL`].
    fn try_start_report(&mut self) -> bool {
        try_start(&mut self.reported_at, REFRESH_RETRY_INTERVAL)
    }

    fn is_stale(&self) -> bool {
        self.failure.is_some()
    }

    /// Stores the outcome of a fetch. After a failure, the last good value stays.
    fn store(&mut self, fetched: Result<T, Error>) {
        match fetched {
            Ok(value) => {
                let max_age = self.lifetime.max_age.mul_f64(1.0 - 0.1 * fastrand::f64());
                self.value = Some(Fetched { value: Arc::new(value), at: FreezeProofInstant::now(), max_age });
                self.failure = None;
            }
            Err(error) => self.failure = Some((FreezeProofInstant::now(), error)),
        }
    }

    fn value(&self) -> Result<Arc<T>, Error> {
        match (self.good(), &self.failure) {
            (Some(fetched), _) => Ok(fetched.value.clone()),
            (None, Some((_, error))) => Err(error.clone()),
            (None, None) => Err(Error::Internal("a secret was used before it was fetched".into())),
        }
    }

    fn value_of_last_fetch(&self) -> Result<Arc<T>, Error> {
        match &self.failure {
            Some((_, error)) => Err(error.clone()),
            None => self.value(),
        }
    }

    fn failed_within(&self, time: Duration) -> bool {
        self.failure.as_ref().is_some_and(|(at, _)| at.elapsed() < time)
    }

    fn good(&self) -> Option<&Fetched<T>> {
        self.value.as_ref().filter(|fetched| fetched.at.elapsed() < self.lifetime.max_stale)
    }
}

/// Notes that something starts now, unless it started within `interval`.
fn try_start(last: &mut Option<FreezeProofInstant>, interval: Duration) -> bool {
    let is_due = last.is_none_or(|at| at.elapsed() >= interval);
    if is_due {
        *last = Some(FreezeProofInstant::now());
    }
    is_due
}
