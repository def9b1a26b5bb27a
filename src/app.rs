//! The state that outlives a request.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::SdkConfig;

use crate::{
    auth::KeyRing,
    config::{Config, DatabaseSource},
    database::{AuthMethod, AuthTokenGenerator, ConnectionSettings, Database, SettingsSource},
    error::Error,
    log,
    request_log::UnknownTokens,
    secret::{self, Secret},
    sessions,
};

/// The key ring, the database, and the configuration that requests need.
#[derive(Debug)]
pub struct App {
    /// The accepted tokens.
    pub api_keys: Secret<KeyRing>,
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
        let settings = match config.database {
            DatabaseSource::Url(settings) => SettingsSource::Fixed(settings),
            DatabaseSource::Secret { id, defaults } => {
                let policy = config.database_policy.clone();
                let parse = move |secret: &str| ConnectionSettings::from_secret(secret, &defaults, &policy);
                SettingsSource::from_secret(client.clone(), id, config.secret_lifetime, parse)
            }
        };
        let auth_tokens = (config.database_policy.auth == AuthMethod::Iam).then(|| AuthTokenGenerator::new(aws));
        let app = Self {
            api_keys: Secret::new(client, config.api_keys_secret_id, config.secret_lifetime, KeyRing::parse),
            database: Database::new(
                settings,
                auth_tokens,
                &sessions::SCHEMA,
                config.database_statements,
                config.query_timeout,
            ),
            limit_max: config.limit_max,
            unknown_tokens: UnknownTokens::default(),
            has_served: AtomicBool::new(false),
        };
        if let Err(error) = app.warm_up(&mut 0).await {
            log::line(error.warn_or_error(), "init is incomplete", &error);
        }
        app
    }

    /// Fetches the key ring and opens the connection, concurrently, unless both are ready. Adds to `resent` as
    /// [`Database::query`] does.
    ///
    /// # Errors
    ///
    /// The first failure; of two, the key ring's.
    pub async fn warm_up(&self, resent: &mut u32) -> Result<(), Error> {
        let (api_keys, database) = tokio::join!(self.api_keys.current(), sessions::warm_up(&self.database, resent));
        api_keys.and(database)
    }

    /// Whether a secret that is in use could not be refreshed.
    pub(crate) fn has_stale_secret(&self) -> bool {
        self.api_keys.is_stale() || self.database.has_stale_credentials()
    }

    /// Returns `true` for the environment's first request only.
    pub(crate) fn take_cold_start(&self) -> bool {
        !self.has_served.swap(true, Ordering::Relaxed)
    }
}
