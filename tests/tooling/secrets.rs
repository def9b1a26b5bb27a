//! The stand-in for Secrets Manager, called by the real SDK.

use std::time::Duration;

use aws_sdk_secretsmanager::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use testkit::{Secrets, SecretsFault};

/// The real SDK, configured to call the stand-in.
fn sdk(secrets: &Secrets) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(list_chat_sessions::aws::http_client())
        .endpoint_url(secrets.url())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

async fn value(sdk: &Client, id: &str, stage: &str) -> Option<String> {
    let response = sdk.get_secret_value().secret_id(id).version_stage(stage).send().await;
    response.ok().and_then(|response| response.secret_string)
}

#[tokio::test]
async fn the_sdk_reads_versions_and_stages_of_the_stand_in() -> anyhow::Result<()> {
    let secrets = Secrets::start().await?;
    let sdk = sdk(&secrets);
    let first = secrets.put("ring", "one")?;
    let response = sdk.get_secret_value().secret_id("ring").send().await?;
    assert_eq!(response.secret_string(), Some("one"));
    assert_eq!(response.version_id(), Some(first.as_str()));
    assert_eq!(response.version_stages(), ["AWSCURRENT"]);
    let arn = response.arn().unwrap_or_default();
    assert_eq!(value(&sdk, arn, "AWSCURRENT").await.as_deref(), Some("one"));

    let pending =
        sdk.put_secret_value().secret_id("ring").secret_string("two").version_stages("AWSPENDING").send().await?;
    assert_eq!(value(&sdk, "ring", "AWSCURRENT").await.as_deref(), Some("one"));
    assert_eq!(value(&sdk, "ring", "AWSPENDING").await.as_deref(), Some("two"));

    let second = pending.version_id().unwrap_or_default();
    let update = sdk.update_secret_version_stage().secret_id("ring").version_stage("AWSCURRENT");
    update.move_to_version_id(second).remove_from_version_id(&first).send().await?;
    assert_eq!(value(&sdk, "ring", "AWSCURRENT").await.as_deref(), Some("two"));
    assert_eq!(value(&sdk, "ring", "AWSPREVIOUS").await.as_deref(), Some("one"));
    let by_id = sdk.get_secret_value().secret_id("ring").version_id(&first).send().await?;
    assert_eq!(by_id.secret_string(), Some("one"));

    secrets.put("ring", "three")?;
    assert_eq!(value(&sdk, "ring", "AWSPREVIOUS").await.as_deref(), Some("two"));
    let description = sdk.describe_secret().secret_id("ring").send().await?;
    let stages = description.version_ids_to_stages().and_then(|stages| stages.get(second)).cloned();
    assert_eq!(stages, Some(vec!["AWSPENDING".to_owned(), "AWSPREVIOUS".to_owned()]));
    assert_eq!(secrets.calls("ring"), 8);
    assert!(!format!("{secrets:?}").contains("three"));
    Ok(())
}

#[tokio::test]
async fn the_stand_in_fails_as_the_service_does() -> anyhow::Result<()> {
    use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
    let secrets = Secrets::start().await?;
    let sdk = sdk(&secrets);
    let code = async |id: &str| {
        let response = sdk.get_secret_value().secret_id(id).send().await;
        response.err().map(|error| error.code().unwrap_or("no code").to_owned())
    };
    secrets.put("ring", "one")?;
    assert_eq!(code("other").await.as_deref(), Some("ResourceNotFoundException"));
    for (fault, expected) in [
        (SecretsFault::Throttled, "ThrottlingException"),
        (SecretsFault::Unavailable, "InternalServiceError"),
        (SecretsFault::AccessDenied, "AccessDeniedException"),
        (SecretsFault::NotFound, "ResourceNotFoundException"),
        (SecretsFault::Deleted, "InvalidRequestException"),
        (SecretsFault::Garbage, "no code"),
    ] {
        secrets.fail(fault);
        assert_eq!(code("ring").await.as_deref(), Some(expected), "{fault:?}");
    }
    secrets.fail(SecretsFault::Silent);
    assert!(tokio::time::timeout(Duration::from_millis(200), code("ring")).await.is_err());
    secrets.fail(None);
    secrets.fail_secret("other", SecretsFault::Throttled);
    assert_eq!(code("ring").await, None);
    assert_eq!(code("other").await.as_deref(), Some("ThrottlingException"));
    Ok(())
}
