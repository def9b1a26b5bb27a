//! The operations of the service: dispatches requests by `X-Amz-Target`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Response, StatusCode},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    SecretsFault, random_id,
    vault::{CURRENT, ServiceError, Vault},
};
use crate::lock;

/// The size limit of a value, in bytes.
const MAX_BYTES: usize = 65_536;

/// The versions that a secret can have. They are removed after 24 hours, which no test lasts.
const MAX_VERSIONS: usize = 100;

const TOO_MANY_VERSIONS: (&str, &str) = ("LimitExceededException", "You've exceeded the quota for secret versions.");

#[derive(Default)]
pub struct Service {
    pub vault: Vault,
    /// GetSecretValue calls, including failed ones, by the secret's name, or by the id of an unknown secret.
    pub calls: BTreeMap<String, usize>,
    pub fault: Option<SecretsFault>,
    pub faults: BTreeMap<String, SecretsFault>,
    /// By the name of the operation.
    pub operation_faults: BTreeMap<String, SecretsFault>,
    pub pauses: BTreeMap<String, Arc<Pause>>,
    /// Calls of each operation, including failed ones.
    pub operations: BTreeMap<String, usize>,
    pub delay: Duration,
}

/// A point at which one call of an operation waits, before it has an effect.
#[derive(Default)]
pub struct Pause {
    pub arrived: Notify,
    pub released: Notify,
}

/// Handles a request, or injects the fault.
pub async fn handle(State(state): State<Arc<Mutex<Service>>>, headers: HeaderMap, body: Bytes) -> Response<String> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("secretsmanager.").unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = request["SecretId"].as_str().unwrap_or_default();

    let (delay, fault, pause) = {
        let mut service = lock(&state);
        let name = service.vault.find(id).map_or_else(|_| id.to_owned(), |secret| secret.name.clone());
        let fault = service.operation_faults.get(operation).or(service.faults.get(&name)).copied().or(service.fault);
        *service.operations.entry(operation.to_owned()).or_default() += 1;
        if operation == "GetSecretValue" {
            *service.calls.entry(name).or_default() += 1;
        }
        (service.delay, fault, service.pauses.remove(operation))
    };
    if let Some(pause) = pause {
        pause.arrived.notify_one();
        pause.released.notified().await;
    }
    tokio::time::sleep(delay).await;
    match fault {
        Some(SecretsFault::Silent) => std::future::pending().await,
        Some(SecretsFault::Garbage) => response(StatusCode::OK, "<html>not JSON</html>".to_owned()),
        Some(fault) => reject(&error_of(fault)),
        None => match perform(operation, id, &request, &mut lock(&state).vault) {
            Ok(value) => response(StatusCode::OK, value.to_string()),
            Err(error) => reject(&error),
        },
    }
}

fn error_of(fault: SecretsFault) -> ServiceError {
    let (kind, message) = match fault {
        SecretsFault::Throttled => ("ThrottlingException", "Rate exceeded"),
        SecretsFault::AccessDenied => ("AccessDeniedException", "User is not authorized to perform this operation"),
        SecretsFault::TooManyVersions => TOO_MANY_VERSIONS,
        SecretsFault::NotFound => ("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        SecretsFault::Deleted => (
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        ),
        SecretsFault::Unavailable | SecretsFault::Silent | SecretsFault::Garbage => {
            ("InternalServiceError", "An internal error occurred")
        }
    };
    (kind, message.to_owned())
}

fn reject((kind, message): &ServiceError) -> Response<String> {
    let status =
        if *kind == "InternalServiceError" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
    response(status, json!({ "__type": kind, "Message": message }).to_string())
}

fn response(status: StatusCode, body: String) -> Response<String> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.header("x-amzn-requestid", random_id()).body(body).unwrap_or_default()
}

fn perform(operation: &str, id: &str, request: &Value, vault: &mut Vault) -> Result<Value, ServiceError> {
    let text = |field: &str| request[field].as_str();
    if operation == "CreateSecret" {
        let name = text("Name").unwrap_or_default();
        if vault.find(name).is_ok() {
            return Err(("ResourceExistsException", format!("The secret {name} already exists.")));
        }
        let secret = vault.find_or_create(name);
        let value = text("SecretString").unwrap_or_default().to_owned();
        let version = secret.put(text("ClientRequestToken"), value, &[CURRENT.to_owned()])?;
        return Ok(json!({ "ARN": secret.arn, "Name": secret.name, "VersionId": version }));
    }
    let secret = vault.find(id)?;
    match operation {
        "GetSecretValue" => secret.value(text("VersionId"), text("VersionStage")),
        "DescribeSecret" => Ok(secret.description()),
        "PutSecretValue" => {
            let stages: Vec<String> = serde_json::from_value(request["VersionStages"].clone()).unwrap_or_default();
            let stages = if stages.is_empty() { vec![CURRENT.to_owned()] } else { stages };
            let value = text("SecretString").unwrap_or_default().to_owned();
            if value.len() > MAX_BYTES {
                return Err(("InvalidParameterException", format!("The value has more than {MAX_BYTES} bytes.")));
            }
            let is_new = text("ClientRequestToken").is_none_or(|id| !secret.has_version(id));
            if is_new && secret.version_count() >= MAX_VERSIONS {
                let (kind, message) = TOO_MANY_VERSIONS;
                return Err((kind, message.to_owned()));
            }
            let version = secret.put(text("ClientRequestToken"), value, &stages)?;
            Ok(json!({ "ARN": secret.arn, "Name": secret.name, "VersionId": version, "VersionStages": stages }))
        }
        "UpdateSecretVersionStage" => {
            let to = text("MoveToVersionId");
            if let Some(unknown) = to.filter(|to| !secret.has_version(to)) {
                return Err(("ResourceNotFoundException", format!("There is no version {unknown}.")));
            }
            let stage = text("VersionStage").unwrap_or_default();
            let from = secret.version_at(stage);
            if from.is_some() && from != to && from != text("RemoveFromVersionId") {
                return Err(("InvalidParameterException", format!("{stage} is attached to another version.")));
            }
            secret.move_stage(stage, to);
            Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
        }
        other => Err(("UnknownOperationException", format!("The stand-in does not know {other:?}."))),
    }
}
