//! A secret of AWS Secrets Manager: parsed once, cached, refreshed, and kept while the service is away.

mod cache;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_secretsmanager::{Client, error::ProvideErrorMetadata};
use tokio::{sync::Mutex, time::timeout};

use self::cache::Cache;
pub use self::cache::Lifetime;
use crate::{
    error::{Error, chain},
    log,
};

/// The largest secret that is read, in bytes: Secrets Manager's own limit.
pub const MAX_SECRET_BYTES: usize = 65_536;

/// How long the first fetch of a secret may take, in init or in the request that needs it.
pub const FIRST_FETCH_LIMIT: Duration = Duration::from_secs(3);

/// How long a refresh may hold up the request that makes it, which has a good value already.
pub const REFRESH_LIMIT: Duration = Duration::from_secs(1);

/// How long a refresh that failed is not tried again, so that an outage does not slow every request.
pub const REFRESH_RETRY_INTERVAL: Duration = Duration::from_secs(10);

type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// A cached secret whose content is a `T`. The raw text is not kept.
pub struct Secret<T> {
    client: Client,
    id: String,
    /// The label of the version that is meant; `AWSCURRENT` without one.
    label: Option<&'static str>,
    parse: Parse<T>,
    // Held across a fetch: whoever comes meanwhile waits for that one fetch instead of making another.
    cache: Mutex<Cache<T>>,
    stale: AtomicBool,
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
            stale: AtomicBool::new(false),
        }
    }

    /// The same secret's version with another label. There need not be one, so that a failed fetch is not logged.
    #[must_use]
    pub fn with_label(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// The value, refreshed if it has reached its soft age. A failed refresh leaves the last good value in use until
    /// its hard age.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there is no such value and Secrets Manager does not give one, [`Error::Internal`] if
    /// what it gives does not parse.
    pub async fn current(&self) -> Result<Arc<T>, Error> {
        let mut cache = self.cache.lock().await;
        if cache.is_due() {
            self.refresh(&mut cache).await;
        }
        cache.value()
    }

    /// The value as Secrets Manager has it now, or had it less than `interval` ago: for the caller whom the cached value
    /// has just failed.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`], and if the refresh failed: whether the caller is right is then not known.
    pub async fn newest(&self, interval: Duration) -> Result<Arc<T>, Error> {
        let mut cache = self.cache.lock().await;
        if cache.may_force(interval) {
            self.refresh(&mut cache).await;
        }
        cache.value_of_last_fetch()
    }

    /// Whether the last fetch failed, so that what is in use, if anything, is older than it should be.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    async fn refresh(&self, cache: &mut Cache<T>) {
        let limit = if cache.value().is_ok() { REFRESH_LIMIT } else { FIRST_FETCH_LIMIT };
        let fetched = Box::pin(self.fetch(limit)).await;
        if let (Err(error), None) = (&fetched, self.label) {
            log::degraded("secret not fetched", error);
        }
        self.stale.store(fetched.is_err(), Ordering::Relaxed);
        cache.store(fetched);
    }

    async fn fetch(&self, limit: Duration) -> Result<T, Error> {
        let unavailable = |cause: String| Error::Unavailable(format!("secret {}: {cause}", self.id));
        let invalid = |cause: String| Error::Internal(format!("secret {}: {cause}", self.id));

        let request = self.client.get_secret_value().secret_id(&self.id);
        let request = request.set_version_stage(self.label.map(Into::into)).send();
        let output = timeout(limit, request)
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
fn cause<E: ProvideErrorMetadata + std::error::Error + 'static, R: fmt::Debug>(
    error: &aws_sdk_secretsmanager::error::SdkError<E, R>,
) -> String {
    if let Some(code) = error.code() {
        return format!("Secrets Manager answers {code}");
    }
    chain(error)
}
