//! A stand-in for AWS Secrets Manager on loopback. It implements the wire protocol of the service (AWS JSON 1.1), so
//! that the SDK reaches it through `AWS_ENDPOINT_URL_SECRETS_MANAGER`, and it fails on demand.

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

use service::{Pause, Service, handle};
use vault::CURRENT;
use wire::Wire;

use crate::lock;
pub use wire::WireFault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsFault {
    Throttled,
    /// The service returns 500.
    Unavailable,
    /// The connection is accepted, but no response is sent.
    Silent,
    AccessDenied,
    NotFound,
    /// The secret is scheduled for deletion.
    Deleted,
    /// 200 with a body that is not JSON.
    Garbage,
    /// The secret has as many versions as it can have. Only writing fails like this, so it is not one of [`Self::ALL`].
    TooManyVersions,
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

/// A running stand-in; dropping it stops it.
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

    pub async fn start_on(address: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await.with_context(|| format!("cannot listen on {address}"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(Service::default()));
        let router = Router::new().route("/", post(handle)).with_state(Arc::clone(&state));
        let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let wire = Wire::start(listener, service.local_addr()?);
        let server = JoinSet::from_iter([async move { drop(axum::serve(service, router).await) }]);
        Ok(Self { url, state, wire, _server: server })
    }

    /// Returns the value of `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL for a client that knows this machine by another name.
    pub fn url_at(&self, host: &str) -> String {
        let port = self.url.rsplit_once(':').map_or("", |(_, port)| port);
        format!("http://{host}:{port}")
    }

    /// Gives a secret a new current value, and creates it if necessary; returns the id of the version.
    pub fn put(&self, name: &str, text: impl Into<String>) -> Result<String> {
        let text = text.into();
        crate::secrecy::keep_secret(&text);
        let mut service = lock(&self.state);
        let put = service.vault.find_or_create(name).put(None, text, &[CURRENT.to_owned()]);
        put.map_err(|(_, message)| anyhow!(message))
    }

    /// Starts a rotation as `RotateSecret` does; returns the id of the version that is to become current.
    pub fn begin_rotation(&self, name: &str) -> String {
        lock(&self.state).vault.find_or_create(name).begin_rotation()
    }

    pub fn calls(&self, name: &str) -> usize {
        lock(&self.state).calls.get(name).copied().unwrap_or_default()
    }

    /// Makes every call fail like this; `None` ends the fault.
    pub fn fail(&self, fault: impl Into<Option<SecretsFault>>) {
        lock(&self.state).fault = fault.into();
    }

    /// Makes calls for one secret fail like this; `None` ends the fault.
    pub fn fail_secret(&self, name: &str, fault: impl Into<Option<SecretsFault>>) {
        let faults = &mut lock(&self.state).faults;
        match fault.into() {
            Some(fault) => faults.insert(name.to_owned(), fault),
            None => faults.remove(name),
        };
    }

    /// Makes calls of one operation, for example `PutSecretValue`, fail like this; `None` ends the fault.
    pub fn fail_operation(&self, operation: &str, fault: impl Into<Option<SecretsFault>>) {
        let faults = &mut lock(&self.state).operation_faults;
        match fault.into() {
            Some(fault) => faults.insert(operation.to_owned(), fault),
            None => faults.remove(operation),
        };
    }

    /// Makes the next call of an operation wait, before it has an effect, until the pause is released.
    pub fn pause(&self, operation: &str) -> Paused {
        let pause = Arc::new(Pause::default());
        lock(&self.state).pauses.insert(operation.to_owned(), Arc::clone(&pause));
        Paused(pause)
    }

    /// Returns how often an operation was called, for all secrets.
    pub fn operations(&self, operation: &str) -> usize {
        lock(&self.state).operations.get(operation).copied().unwrap_or_default()
    }

    /// Returns a secret's current text and the labels of its version.
    pub fn current(&self, name: &str) -> (String, Vec<String>) {
        let value = lock(&self.state).vault.find_or_create(name).value(None, None).unwrap_or_default();
        let labels = value["VersionStages"].as_array().into_iter().flatten();
        let labels = labels.filter_map(|label| label.as_str().map(ToOwned::to_owned)).collect();
        (value["SecretString"].as_str().unwrap_or_default().to_owned(), labels)
    }

    /// Returns how many versions a secret has, with and without labels.
    pub fn versions(&self, name: &str) -> usize {
        lock(&self.state).vault.find_or_create(name).version_count()
    }

    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// Delivers every response with this fault; `None` ends it.
    pub fn disturb(&self, fault: impl Into<Option<WireFault>>) {
        self.wire.disturb(fault.into());
    }

    /// Closes every connection, so that the next call needs a new one.
    pub fn hang_up(&self) {
        self.wire.hang_up();
    }
}

/// A call that waits, or will; dropping this continues it.
pub struct Paused(Arc<Pause>);

impl Paused {
    /// Returns when the call has arrived.
    pub async fn arrived(&self) {
        self.0.arrived.notified().await;
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.released.notify_one();
    }
}

pub fn random_id() -> String {
    uuid::Builder::from_u128(fastrand::u128(..)).with_version(uuid::Version::Random).into_uuid().to_string()
}
