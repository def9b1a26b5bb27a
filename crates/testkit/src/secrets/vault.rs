//! Secrets with their versions and staging labels, by the rules of Secrets Manager: a label is attached to one version
//! at a time, and the version that loses `AWSCURRENT` becomes `AWSPREVIOUS`.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::{Value, json};

pub const CURRENT: &str = "AWSCURRENT";
pub const PENDING: &str = "AWSPENDING";
pub const PREVIOUS: &str = "AWSPREVIOUS";

/// An error response: its type and message.
pub type ServiceError = (&'static str, String);

/// The secrets of the service. It has no `Debug`, so that they are not printed.
#[derive(Default)]
pub struct Vault {
    secrets: BTreeMap<String, Secret>,
}

pub struct Secret {
    pub name: String,
    pub arn: String,
    versions: Vec<Version>,
}

struct Version {
    id: String,
    /// `None` from the beginning of a rotation until its first step.
    text: Option<String>,
    stages: Vec<String>,
    created: f64,
}

impl Vault {
    /// Finds a secret by its name, its ARN, or its ARN without the six random characters.
    pub fn find(&mut self, id: &str) -> Result<&mut Secret, ServiceError> {
        let is_meant =
            |secret: &&mut Secret| secret.name == id || secret.arn == id || secret.arn[..secret.arn.len() - 7] == *id;
        let missing = || ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.".to_owned());
        self.secrets.values_mut().find(is_meant).ok_or_else(missing)
    }

    pub fn find_or_create(&mut self, name: &str) -> &mut Secret {
        self.secrets.entry(name.to_owned()).or_insert_with(|| Secret {
            name: name.to_owned(),
            arn: format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf"),
            versions: Vec::new(),
        })
    }
}

impl Secret {
    /// Adds a version with these labels, which move from other versions; returns its id.
    pub fn put(&mut self, id: Option<&str>, text: String, stages: &[String]) -> Result<String, ServiceError> {
        let id = id.map_or_else(super::random_id, ToOwned::to_owned);
        match self.versions.iter_mut().find(|version| version.id == id) {
            Some(same) if same.text.as_ref() == Some(&text) => return Ok(id),
            Some(Version { text: Some(_), .. }) => {
                return Err(("ResourceExistsException", format!("A resource with the ID {id} already exists.")));
            }
            Some(empty) => empty.text = Some(text),
            None => self.add(id.clone(), Some(text)),
        }
        for stage in stages {
            self.move_stage(stage, Some(&id));
        }
        Ok(id)
    }

    /// Adds the version for a rotation, without a value and with the label `AWSPENDING`; returns its id.
    pub fn begin_rotation(&mut self) -> String {
        let id = super::random_id();
        self.add(id.clone(), None);
        self.move_stage(PENDING, Some(&id));
        id
    }

    fn add(&mut self, id: String, text: Option<String>) {
        let created = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        self.versions.push(Version { id, text, stages: Vec::new(), created });
    }

    /// Moves a label to the version `to`, or removes it.
    pub fn move_stage(&mut self, stage: &str, to: Option<&str>) {
        let from = self.versions.iter().position(|version| version.stages.iter().any(|known| known == stage));
        if from.is_some_and(|from| Some(self.versions[from].id.as_str()) == to) {
            return;
        }
        if let (CURRENT, Some(from)) = (stage, from) {
            let id = self.versions[from].id.clone();
            self.move_stage(PREVIOUS, Some(&id));
        }
        for version in &mut self.versions {
            version.stages.retain(|known| known != stage);
            if Some(version.id.as_str()) == to {
                version.stages.push(stage.to_owned());
            }
        }
    }

    pub fn version_at(&self, stage: &str) -> Option<&str> {
        let has_label = |version: &&Version| version.stages.iter().any(|known| known == stage);
        self.versions.iter().find(has_label).map(|version| version.id.as_str())
    }

    pub fn version_count(&self) -> usize {
        self.versions.len()
    }

    pub fn has_version(&self, id: &str) -> bool {
        self.versions.iter().any(|version| version.id == id)
    }

    /// Returns the value with this version id and this label; both are optional, and without both it is the current
    /// one.
    pub fn value(&self, id: Option<&str>, stage: Option<&str>) -> Result<Value, ServiceError> {
        let stage = stage.or(id.is_none().then_some(CURRENT));
        let is_meant = |version: &&Version| {
            id.is_none_or(|id| version.id == id) && stage.is_none_or(|stage| version.stages.iter().any(|s| s == stage))
        };
        let version = self.versions.iter().find(is_meant).filter(|version| version.text.is_some());
        let version = version.ok_or_else(|| {
            let wanted = stage.or(id).unwrap_or_default();
            (
                "ResourceNotFoundException",
                format!("Secrets Manager can't find the specified secret value for {wanted}."),
            )
        })?;
        Ok(json!({
            "ARN": self.arn, "Name": self.name, "VersionId": version.id, "VersionStages": version.stages,
            "SecretString": version.text, "CreatedDate": version.created,
        }))
    }

    /// Returns the result of DescribeSecret: the versions with a label, without values.
    pub fn description(&self) -> Value {
        let labelled = self.versions.iter().filter(|version| !version.stages.is_empty());
        let stages: BTreeMap<_, _> = labelled.map(|version| (&version.id, &version.stages)).collect();
        json!({ "ARN": self.arn, "Name": self.name, "VersionIdsToStages": stages })
    }
}
