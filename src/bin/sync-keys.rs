//! The Lambda function that copies the keys of the product's table into the key ring.

use lambda_http::Error;
use list_chat_sessions::{
    aws,
    config::Config,
    log,
    runtime::{self, Shutdown},
    sync_keys::SyncKeys,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log::report_panics();
    let config = Config::from_env().inspect_err(|violations| log::fatal("configuration", violations))?;
    let shutdown = Shutdown::register().await?;
    let sync_keys: &SyncKeys = Box::leak(Box::new(SyncKeys::new(&config, &aws::load().await)));
    runtime::serve(1, shutdown, move |_, context| async move { sync_keys.process(&context).await }).await
}
