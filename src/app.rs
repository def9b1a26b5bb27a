//! The state that outlives a request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_config::SdkConfig;

use crate::{
    api_keys::ApiKeys,
    config::{Config, DatabaseSource},
    database::{AuthMethod, AuthTokenGenerator, ConnectionSettings, Database, Schema, SettingsSource},
    error::Error,
    log,
    request_log::UnknownTokens,
    secret::{self, Client, Lifetime},
    session_tokens::SessionTokens,
    sessions,
};

/// The key ring, the database, and the configuration that requests need.
#[derive(Debug)]
pub struct App {
    /// The accepted tokens.
    pub api_keys: ApiKeys,
    /// The accepted session tokens; `None` accepts none.
    pub session_tokens: Option<SessionTokens>,
    /// The database with the sessions.
    pub database: Database,
    pub(crate) limit_max: i64,
    pub(crate) unknown_tokens: UnknownTokens,
    has_served: AtomicBool,
}

impl App {
    /// Builds the app and warms it up. A failure is logged, and the request that needs the missing part tries again: an
    /// unavailable database fails requests, not the environment.
    pub async fn start(config: Config, aws: &SdkConfig) -> Self {
        let client = secret::client(aws);
        let database = database(&config, &client, aws, &sessions::SCHEMA);
        let lifetime = config.secret_lifetime;
        let max_age = config.api_keys_max_age.unwrap_or(lifetime.max_age);
        let session_tokens =
            config.session_tokens.map(|(source, rules)| SessionTokens::new(client.clone(), source, rules, lifetime));
        let app = Self {
            api_keys: ApiKeys::new(&client, config.api_keys_secret_id, Lifetime { max_age, ..lifetime }),
            database,
            session_tokens,
            limit_max: config.limit_max,
            unknown_tokens: UnknownTokens::default(),
            has_served: AtomicBool::new(false),
        };
        if let Err(error) = app.warm_up(&mut 0).await {
            log::line(error.warn_or_error(), "init is incomplete", &error);
        }
        app
    }

    /// Fetches the key ring, unless it has shards, and the keys of session tokens, and opens the connection, concurrently,
    /// unless they are ready. Adds to `resent` as [`Database::query`] does.
    ///
    /// # Errors
    ///
    /// The first failure; of several, the key ring's, then the database's.
    pub async fn warm_up(&self, resent: &mut u32) -> Result<(), Error> {
        let session_tokens = async {
            match &self.session_tokens {
                Some(session_tokens) => Box::pin(session_tokens.warm_up()).await,
                None => Ok(()),
            }
        };
        let database = sessions::warm_up(&self.database, resent);
        let (api_keys, database, session_tokens) = tokio::join!(self.api_keys.warm_up(), database, session_tokens);
        api_keys.and(database).and(session_tokens)
    }

    /// Whether a secret that is in use could not be refreshed.
    pub(crate) fn has_stale_secret(&self) -> bool {
        self.api_keys.is_stale()
            || self.database.has_stale_credentials()
            || self.session_tokens.as_ref().is_some_and(SessionTokens::are_stale)
    }

    /// Returns `true` for the environment's first request only.
    pub(crate) fn take_cold_start(&self) -> bool {
        !self.has_served.swap(true, Ordering::Relaxed)
    }
}

/// The database of a configuration; nothing is connected yet.
pub(crate) fn database(config: &Config, client: &Client, aws: &SdkConfig, schema: &'static Schema) -> Database {
    let settings = match &config.database {
        DatabaseSource::Url(settings) => SettingsSource::Fixed(Arc::clone(settings)),
        DatabaseSource::Secret { id, defaults } => {
            let (defaults, policy) = (defaults.clone(), config.database_policy.clone());
            let parse = move |secret: &str| ConnectionSettings::from_secret(secret, &defaults, &policy);
            SettingsSource::from_secret(client.clone(), id.clone(), config.secret_lifetime, parse)
        }
    };
    let auth_tokens = (config.database_policy.auth == AuthMethod::Iam).then(|| AuthTokenGenerator::new(aws));
    Database::new(settings, auth_tokens, schema, config.database_statements, config.query_timeout, config.pool_size)
}
