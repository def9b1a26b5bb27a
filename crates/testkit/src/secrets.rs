//! A stand-in for AWS Secrets Manager on loopback. It speaks the service's wire protocol (AWS JSON 1.1), so that the
//! real SDK reaches it through `AWS_ENDPOINT_URL_SECRETS_MANAGER`, and it fails on command.

mod service;
mod vault;
mod wire;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use axum::{Router, routing::post};
use tokio::{net::TcpListener, task::JoinSet};

use service::{Service, answer};
use vault::CURRENT;
use wire::Wire;

use crate::lock;
pub use wire::WireFault;

/// How the stand-in fails when it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsFault {
    Throttled,
    /// The service's own 500.
    Unavailable,
    /// The connection is accepted and no answer ever comes.
    Silent,
    AccessDenied,
    NotFound,
    /// The secret is scheduled for deletion.
    Deleted,
    /// 200 with a body that is not JSON.
    Garbage,
}

impl SecretsFault {
    pub const ALL: [Self; 7] = [
        Self::Throttled,
        Self::Unavailable,
        Self::Silent,
        Self::AccessDenied,
        Self::NotFound,
        Self::Deleted,
        Self::Garbage,
    ];
}

/// A running stand-in; it ends when this is dropped.
pub struct Secrets {
    url: String,
    state: Arc<Mutex<Service>>,
    wire: Wire,
    _server: JoinSet<()>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Secrets {
    pub async fn start() -> Result<Self> {
        Self::start_on(IpAddr::V4(Ipv4Addr::LOCALHOST)).await
    }

    /// Starts on another address of this machine.
    pub async fn start_on(address: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await.with_context(|| format!("cannot listen on {address}"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(Service::default()));
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&state));
        let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let wire = Wire::start(listener, service.local_addr()?);
        let server = JoinSet::from_iter([async move { drop(axum::serve(service, router).await) }]);
        Ok(Self { url, state, wire, _server: server })
    }

    /// For `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same for a client that knows this machine by another name.
    pub fn url_at(&self, host: &str) -> String {
        let port = self.url.rsplit_once(':').map_or("", |(_, port)| port);
        format!("http://{host}:{port}")
    }

    /// Gives a secret a new current value, creating it if need be; returns the version's id.
    pub fn put(&self, name: &str, text: impl Into<String>) -> Result<String> {
        let text = text.into();
        crate::secrecy::keep_secret(&text);
        let mut service = lock(&self.state);
        let put = service.vault.find_or_create(name).put(None, text, &[CURRENT.to_owned()]);
        put.map_err(|(_, message)| anyhow!(message))
    }

    /// Begins to rotate a secret as `RotateSecret` does; returns the id of the version that is to become current.
    pub fn begin_rotation(&self, name: &str) -> String {
        lock(&self.state).vault.find_or_create(name).begin_rotation()
    }

    /// How often GetSecretValue was called for this secret.
    pub fn calls(&self, name: &str) -> usize {
        lock(&self.state).calls.get(name).copied().unwrap_or_default()
    }

    /// From now on every call fails like this; `None` ends it.
    pub fn fail(&self, fault: impl Into<Option<SecretsFault>>) {
        lock(&self.state).fault = fault.into();
    }

    /// From now on calls for one secret fail like this; `None` ends it.
    pub fn fail_secret(&self, name: &str, fault: impl Into<Option<SecretsFault>>) {
        let faults = &mut lock(&self.state).faults;
        match fault.into() {
            Some(fault) => faults.insert(name.to_owned(), fault),
            None => faults.remove(name),
        };
    }

    /// From now on every call waits so long before anything else happens.
    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// From now on every response meets this on its way; `None` ends it.
    pub fn disturb(&self, fault: impl Into<Option<WireFault>>) {
        self.wire.disturb(fault.into());
    }

    /// Closes every connection, so that the next call needs a new one.
    pub fn hang_up(&self) {
        self.wire.hang_up();
    }
}

/// A random UUID (version 4).
pub fn random_id() -> String {
    uuid::Builder::from_u128(fastrand::u128(..)).with_version(uuid::Version::Random).into_uuid().to_string()
}
