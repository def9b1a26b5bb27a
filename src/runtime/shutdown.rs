//! Lambda's notice that the environment ends.
//!
//! Lambda sends SIGTERM only to environments in which an extension is registered; others are killed, and PostgreSQL keeps
//! their connections until its own time-outs notice. So the function registers an internal extension that receives no
//! events. <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown>

use lambda_http::{
    Error,
    http::{Method, StatusCode},
};
use lambda_runtime_api_client::{PooledClient, body::Body, build_request};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

const EXTENSION: &str = "/2020-01-01/extension";

/// The extension's identifier: in the response to its registration, and in every later request.
const IDENTIFIER: &str = "lambda-extension-identifier";

/// Knows whether the environment is about to end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Registers the extension and begins to wait for SIGTERM. Must be called before the first poll for an event, because
    /// no extension can be registered after it.
    ///
    /// Without an extension API, in emulators, the function only waits for SIGTERM.
    ///
    /// # Errors
    ///
    /// If the process cannot handle signals.
    pub async fn register() -> Result<Self, Error> {
        let (sender, receiver) = watch::channel(false);
        let mut terminated = signal(SignalKind::terminate())?;
        let extension = Extension::register().await;
        tokio::spawn(async move {
            let run = async {
                match extension {
                    Ok(extension) => extension.run().await,
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = terminated.recv() => {}
                () = run => { terminated.recv().await; }
            }
            sender.send_replace(true);
        });
        Ok(Self(receiver))
    }

    /// Returns once the environment is about to end.
    pub(super) async fn begun(&mut self) {
        // The sender is dropped only after it has sent.
        let _ = self.0.wait_for(|has_begun| *has_begun).await;
    }
}

struct Extension {
    client: PooledClient,
    identifier: String,
}

impl Extension {
    async fn register() -> Result<Self, Error> {
        let client = PooledClient::builder().build();
        let request = build_request()
            .method(Method::POST)
            .uri(format!("{EXTENSION}/register"))
            .header("lambda-extension-name", env!("CARGO_PKG_NAME"))
            .body(Body::from(r#"{"events":[]}"#))?;
        let response = client.call(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("the extension API returned {}", response.status()).into());
        }
        let identifier = response.headers().get(IDENTIFIER).ok_or("the extension has no identifier")?;
        Ok(Self { identifier: identifier.to_str()?.to_owned(), client })
    }

    /// Polls for an event, which never comes: Lambda's init ends once every extension has polled.
    async fn run(self) {
        let request = build_request().method(Method::GET).uri(format!("{EXTENSION}/event/next"));
        if let Ok(request) = request.header(IDENTIFIER, self.identifier).body(Body::default()) {
            let _ = self.client.call(request).await;
        }
    }
}
