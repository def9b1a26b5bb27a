//! A secret of AWS Secrets Manager: parsed once, cached, refreshed, and kept while the service is away.

mod cache;

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

pub use self::cache::Lifetime;
use self::cache::{Cache, Need};
use crate::{
    clock::FreezeProofInstant,
    error::{Error, display_chain},
    log,
};

/// The largest secret that is read, in bytes: Secrets Manager's own limit.
pub const MAX_SECRET_BYTES: usize = 65_536;

/// How long the first fetch of a secret may take, in init or in the request that needs it.
pub const FIRST_FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a refresh may hold up the request that makes it, which has a good value already.
pub const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a refresh that failed is not tried again, so that an outage does not slow every request. The log says at
/// most once in this time that a fetch failed.
pub const REFRESH_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// How long connecting to Secrets Manager may take, TLS included. The rest of [`FIRST_FETCH_TIMEOUT`] is for a retry.
pub const SECRETS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest pause before the first retry of a call. With the SDK's own second, a refresh would end in its pause, as
/// "no answer", and not with what Secrets Manager said.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// The client for Secrets Manager. An attempt has no limit of its own but for connecting, so a slow answer is heard for
/// as long as the whole fetch may take; retries have what is left of that.
#[must_use]
pub fn client(aws: &SdkConfig) -> Client {
    // The time of the whole fetch is kept in `Secret::fetch`.
    let timeouts = TimeoutConfig::builder().connect_timeout(SECRETS_CONNECT_TIMEOUT);
    let retries = RetryConfig::standard().with_initial_backoff(RETRY_BACKOFF);
    Client::from_conf(Builder::from(aws).timeout_config(timeouts.build()).retry_config(retries).build())
}

type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// A cached secret whose content is a `T`. The raw text is not kept.
pub struct Secret<T> {
    client: Client,
    id: String,
    /// The label of the version that is meant; `AWSCURRENT` without one.
    label: Option<&'static str>,
    parse: Parse<T>,
    /// Never locked during a fetch: a request for which the cached value is enough does not wait for one.
    cache: Mutex<Cache<T>>,
    /// Single flight: locked during a fetch, for which concurrent callers wait.
    fetching: tokio::sync::Mutex<()>,
}

/// How a fetch is retried.
#[derive(Clone, Copy)]
enum Retry {
    /// As the SDK does.
    Standard,
    /// Only if the connection was lost, as an idle one may be: an answer, whatever it is, ends the fetch.
    LostConnection,
}

impl<T> Secret<T> {
    /// The secret with this name or ARN. Nothing is fetched yet.
    ///
    /// `parse` makes the value from the secret's text, or says what is wrong with it without quoting it.
    pub fn new(
        client: Client,
        id: String,
        lifetime: Lifetime,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            client,
            id,
            label: None,
            parse: Box::new(parse),
            cache: Mutex::new(Cache::new(lifetime)),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// The same secret's version with another label. There need not be one, so that a failed fetch is not logged.
    #[must_use]
    pub fn with_label(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// The value, refreshed if it has reached its maximum age. A failed refresh leaves the last good value in use until
    /// its maximum stale age.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there is no such value and Secrets Manager does not give one, [`Error::Internal`] if
    /// what it gives does not parse.
    pub async fn current(&self) -> Result<Arc<T>, Error> {
        let need = self.cache().need();
        match need {
            Need::Nothing => {}
            Need::Refresh => {
                // While another request refreshes it, the cached value is good enough.
                if let Ok(_flight) = self.fetching.try_lock() {
                    self.refresh(Retry::Standard).await;
                }
            }
            Need::Fetch => {
                let began = FreezeProofInstant::now();
                let _flight = self.fetching.lock().await;
                let is_needed = self.cache().needs_fetch_since(began);
                if is_needed {
                    self.refresh(Retry::Standard).await;
                }
            }
        }
        self.cache().value()
    }

    /// The value as Secrets Manager has it now, or had it less than `interval` ago: for a caller that the cached value
    /// does not serve.
    ///
    /// Calls of this function fetch at most once in `interval`, counted from the start of a fetch that succeeds and from
    /// the end of one that fails. During an outage, fetches therefore take at most half of the environment's time if
    /// `interval` is [`REFRESH_TIMEOUT`]; after it, a new value is found within the sum of the two.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`], and if the refresh failed: whether the caller is right is then not known.
    pub async fn newest(&self, interval: Duration) -> Result<Arc<T>, Error> {
        let _flight = self.fetching.lock().await;
        let may_fetch = self.cache().may_force(interval);
        if may_fetch {
            self.refresh(Retry::LostConnection).await;
        }
        self.cache().value_of_last_fetch()
    }

    /// Whether the last fetch failed, so that what is in use, if anything, is older than it should be.
    pub fn is_stale(&self) -> bool {
        self.cache().is_stale()
    }

    fn cache(&self) -> MutexGuard<'_, Cache<T>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self, retry: Retry) {
        let limit = if self.cache().value().is_ok() { REFRESH_TIMEOUT } else { FIRST_FETCH_TIMEOUT };
        let fetched = Box::pin(self.fetch(limit, retry)).await;
        let mut cache = self.cache();
        if let (Err(error), None) = (&fetched, self.label)
            && cache.may_report()
        {
            log::degraded("secret not fetched", error);
        }
        cache.store(fetched);
    }

    async fn fetch(&self, limit: Duration, retry: Retry) -> Result<T, Error> {
        let unavailable = |cause: String| Error::Unavailable(format!("secret {}: {cause}", self.id));
        let invalid = |cause: String| Error::Internal(format!("secret {}: {cause}", self.id));

        let request = || {
            let request = self.client.get_secret_value().secret_id(&self.id);
            request.set_version_stage(self.label.map(Into::into))
        };
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
        let output = timeout(limit, call)
            .await
            .map_err(|_| unavailable(format!("no answer from Secrets Manager within {limit:?}")))?
            .map_err(|error| unavailable(cause(&error)))?;
        let text = output.secret_string().ok_or_else(|| invalid("it has no SecretString".into()))?;
        if text.len() > MAX_SECRET_BYTES {
            return Err(invalid(format!("it has more than {MAX_SECRET_BYTES} bytes")));
        }
        (self.parse)(text).map_err(invalid)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What went wrong with a call, without the answer's body, which may be the secret.
fn cause<E: ProvideErrorMetadata + std::error::Error + 'static, R: fmt::Debug>(error: &SdkError<E, R>) -> String {
    if let Some(code) = error.code() {
        return format!("Secrets Manager answers {code}");
    }
    display_chain(error)
}
