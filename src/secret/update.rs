//! Replaces a secret's value, only if nobody else has changed it since it was read.
//!
//! `PutSecretValue` alone would overwrite a change that was made in between. So the new version first gets a label of its own,
//! and then takes `AWSCURRENT` from the version that was read, which fails if another version has it by now:
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html>. Readers see the old
//! value or the new one, also if the writer is ended between the two calls.

use std::{fmt::Write as _, time::Duration};

use aws_sdk_secretsmanager::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{MAX_SECRET_BYTES, cause};
use crate::error::Error;

/// The timeout of one call, with its retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The label of the version that is to become current.
const NEXT_LABEL: &str = "NEXT";

const CURRENT_LABEL: &str = "AWSCURRENT";

/// The versions that a secret may have. Unlabelled ones above it are removed, but not before they are 24 hours old:
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>.
const MAX_VERSIONS: usize = 100;

/// A secret that can be changed.
#[derive(Clone, Debug)]
pub struct WritableSecret {
    client: Client,
    id: String,
}

/// The current version of a secret, as it was read. It has no `Debug`, so that the text is not printed.
#[derive(Clone)]
pub struct SecretVersion {
    id: String,
    labels: Vec<String>,
    /// The secret's text.
    pub text: String,
}

impl SecretVersion {
    /// Whether the version has this label.
    #[must_use]
    pub fn has_label(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }
}

/// The outcome of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Made,
    /// The secret has another current version than the one that was read.
    Conflict,
}

impl WritableSecret {
    /// The secret with this name or ARN.
    #[must_use]
    pub fn new(client: Client, id: impl Into<String>) -> Self {
        Self { client, id: id.into() }
    }

    /// The name or ARN.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads the current version.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if it cannot be read, [`Error::Internal`] if it is not a text.
    pub async fn read(&self) -> Result<SecretVersion, Error> {
        self.version_with(None).await
    }

    async fn version_with(&self, label: Option<&str>) -> Result<SecretVersion, Error> {
        let get = self.client.get_secret_value().secret_id(&self.id).set_version_stage(label.map(Into::into));
        let output = self.call("GetSecretValue", Box::pin(get.send())).await.map_err(|failed| failed.error)?;
        let (Some(id), Some(text)) = (output.version_id, output.secret_string) else {
            return Err(Error::Internal(format!("secret {}: it has no SecretString", self.id)));
        };
        Ok(SecretVersion { id, labels: output.version_stages.unwrap_or_default(), text })
    }

    /// Creates the secret; returns whether there was none with this name.
    ///
    /// # Errors
    ///
    /// If the call fails.
    pub async fn create(&self, text: &str, kms_key: Option<&str>) -> Result<bool, Error> {
        let create = self.client.create_secret().name(&self.id).secret_string(text);
        match self.call("CreateSecret", create.set_kms_key_id(kms_key.map(Into::into)).send()).await {
            Ok(_) => Ok(true),
            Err(failed) if failed.code.as_deref() == Some("ResourceExistsException") => Ok(false),
            Err(failed) => Err(failed.error),
        }
    }

    /// Makes `text` the current value if `read` is still the current version.
    ///
    /// # Errors
    ///
    /// If the text is too large, or one of the two calls fails. The secret then has its old value.
    pub async fn replace(&self, read: &SecretVersion, text: &str) -> Result<Change, Error> {
        if text.len() > MAX_SECRET_BYTES {
            let problem = format!("the new value has {} bytes, and a secret holds {MAX_SECRET_BYTES}", text.len());
            return Err(Error::Internal(format!("secret {}: {problem}", self.id)));
        }
        let next = version_id(read, text);
        let put = self.client.put_secret_value().secret_id(&self.id).client_request_token(&next);
        let put = put.secret_string(text).version_stages(NEXT_LABEL);
        self.call("PutSecretValue", Box::pin(put.send())).await.map_err(|failed| match failed.code.as_deref() {
            Some("LimitExceededException") => Error::Internal(format!(
                "secret {}: Secrets Manager returned LimitExceededException: a secret has at most {MAX_VERSIONS} versions of \
                 the last 24 hours, and this one changes more often. Its value stays as it is until old versions are \
                 removed; more shards (API_KEYS_SHARDS) or a longer schedule make fewer versions of each secret",
                self.id
            )),
            _ => failed.error,
        })?;
        self.move_label(CURRENT_LABEL, Some(&next), Some(&read.id)).await
    }

    /// Attaches a label to the version that was read, and removes it from the one that has it.
    ///
    /// # Errors
    ///
    /// If a call fails.
    pub async fn attach_label(&self, read: &SecretVersion, label: &str) -> Result<Change, Error> {
        match self.move_label(label, Some(&read.id), None).await? {
            Change::Made => Ok(Change::Made),
            Change::Conflict => {
                let holder = self.version_with(Some(label)).await?;
                self.move_label(label, Some(&read.id), Some(&holder.id)).await
            }
        }
    }

    /// Removes a label from the version that was read.
    ///
    /// # Errors
    ///
    /// If the call fails.
    pub async fn remove_label(&self, read: &SecretVersion, label: &str) -> Result<Change, Error> {
        self.move_label(label, None, Some(&read.id)).await
    }

    async fn move_label(&self, label: &str, to: Option<&str>, from: Option<&str>) -> Result<Change, Error> {
        let update = self.client.update_secret_version_stage().secret_id(&self.id).version_stage(label);
        let update = update.set_move_to_version_id(to.map(Into::into)).set_remove_from_version_id(from.map(Into::into));
        match self.call("UpdateSecretVersionStage", Box::pin(update.send())).await {
            Ok(_) => Ok(Change::Made),
            Err(failed) if failed.code.as_deref() == Some("InvalidParameterException") => Ok(Change::Conflict),
            Err(failed) => Err(failed.error),
        }
    }

    async fn call<T, E, R>(
        &self,
        name: &str,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, FailedCall>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let unavailable = |cause: String| Error::Unavailable(format!("secret {}: {name}: {cause}", self.id));
        let late = |_| FailedCall { code: None, error: unavailable(format!("no response within {CALL_TIMEOUT:?}")) };
        let outcome = timeout(CALL_TIMEOUT, call).await.map_err(late)?;
        outcome.map_err(|error| FailedCall {
            code: error.code().map(ToOwned::to_owned),
            error: unavailable(cause(&error)),
        })
    }
}

struct FailedCall {
    code: Option<String>,
    error: Error,
}

/// The id of the version with this text after the one that was read. A writer that repeats a change, after a lost response or
/// the end of its process, does not make another version, and neither do two writers of the same change.
fn version_id(read: &SecretVersion, text: &str) -> String {
    let digest = Sha256::new().chain_update(&read.id).chain_update(text).finalize();
    digest.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
