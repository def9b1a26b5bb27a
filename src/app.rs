//! What outlives a request.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::SdkConfig;

use crate::{
    auth::KeyRing,
    config::{Config, DatabaseSource},
    database::{AuthMethod, AuthTokenGenerator, ConnectionSettings, Database, SettingsSource},
    error::Error,
    log::{self, UnknownTokens},
    secret::{self, Secret},
};

/// The key ring, the database, and what the configuration says about requests.
#[derive(Debug)]
pub struct App {
    /// The tokens that are accepted.
    pub api_keys: Secret<KeyRing>,
    /// Where the sessions are.
    pub database: Database,
    /// The largest `limit` that is served.
    pub limit_max: i64,
    /// The tokens that were not accepted, for the log.
    pub unknown_tokens: UnknownTokens,
    served: AtomicBool,
}

impl App {
    /// Makes the app and warms it up, so that the first request finds all it needs. What fails is in the log and is
    /// tried again by the request that needs it: a database that is away costs requests, not the environment.
    pub async fn start(config: Config, aws: &SdkConfig) -> Self {
        let client = secret::client(aws);
        let logins = match config.database {
            DatabaseSource::Url(login) => SettingsSource::Fixed(login),
            DatabaseSource::Secret { id, defaults } => {
                let policy = config.database_policy.clone();
                let parse = move |secret: &str| ConnectionSettings::from_secret(secret, &defaults, &policy);
                SettingsSource::from_secret(client.clone(), id, config.secret_lifetime, parse)
            }
        };
        let signer = (config.database_policy.auth == AuthMethod::Iam).then(|| AuthTokenGenerator::new(aws));
        let app = Self {
            api_keys: Secret::new(client, config.api_keys_secret_id, config.secret_lifetime, KeyRing::parse),
            database: Database::new(logins, signer, config.query_timeout),
            limit_max: config.limit_max,
            unknown_tokens: UnknownTokens::default(),
            served: AtomicBool::new(false),
        };
        if let Err(error) = app.warm_up().await {
            log::degraded("init is incomplete", &error);
        }
        app
    }

    /// Fetches the key ring and opens the connection, side by side, if the next request would have to.
    ///
    /// # Errors
    ///
    /// What failed; of two failures, the key ring's.
    pub async fn warm_up(&self) -> Result<(), Error> {
        let (api_keys, database) = tokio::join!(self.api_keys.current(), self.database.warm_up());
        api_keys.and(database)
    }

    /// Whether a secret is in use that could not be refreshed.
    pub fn has_stale_secret(&self) -> bool {
        self.api_keys.is_stale() || self.database.has_stale_credentials()
    }

    /// Whether this is the first request that this environment serves. True once.
    pub fn is_cold_start(&self) -> bool {
        !self.served.swap(true, Ordering::Relaxed)
    }
}
