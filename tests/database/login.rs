//! Connection settings: which are accepted, and which are rejected before connecting.

use list_chat_sessions::{
    config::{Config, DatabaseSource},
    database::{AddressDefaults, AuthMethod, ConnectionSettings, TlsPolicy},
};
use serde_json::{Value, json};
use testkit::Authority;

#[test]
fn plain_text_to_other_hosts_needs_the_operators_permission() {
    for (url, allow_plaintext, accepted) in [
        ("postgres://u@db.example.com/d", false, true),
        ("postgres://u@db.example.com/d?sslmode=require", false, true),
        ("postgres://u@db.example.com/d?sslmode=verify-full", false, true),
        ("postgres://u@127.0.0.1/d?sslmode=disable", false, true),
        ("postgres://u@db.example.com/d?sslmode=disable", true, true),
        ("postgres://u@db.example.com/d?sslmode=disable", false, false),
        ("postgres://u@localhost/d?hostaddr=192.0.2.1&sslmode=disable", false, false),
        ("postgres://u@127.0.0.1,db.example.com/d?sslmode=disable", false, false),
        ("postgres://u:a?b@db.example.com/d?sslmode=verify-full", false, true),
        ("postgres://u:a?b@db.example.com/d?sslmode=disable", false, false),
        ("postgres://u@db.example.com/d?sslmode=prefer", true, false),
        ("postgres://u@db.example.com/d?sslmode=allow", true, false),
        ("postgres://u@db.example.com/d?sslmode=verify-ca", true, false),
        ("postgres://u@db.example.com/d?sslmode=on", true, false),
        ("mysql://u@db.example.com/d", false, false),
        ("host=db.example.com user=u", false, false),
    ] {
        let policy = TlsPolicy { allow_plaintext, ..TlsPolicy::default() };
        assert_eq!(ConnectionSettings::from_url(url, &policy).is_ok(), accepted, "{url}");
    }
}

const IAM: TlsPolicy = TlsPolicy { allow_plaintext: false, tls: None, auth: AuthMethod::Iam };

#[test]
fn an_invalid_url_is_rejected_with_the_reason() {
    for (policy, url, fault) in [
        (TlsPolicy::default(), "postgres://u@db/d?sslrootcert=%2Fnowhere", "sslrootcert: No such file"),
        (TlsPolicy::default(), "postgres://u@db/d?sslrootcert=Cargo.toml", "sslrootcert: it contains no certificate"),
        (TlsPolicy::default(), "postgres://u@localhost/d?channel_binding=require", "channel_binding=require needs TLS"),
        (TlsPolicy::default(), "postgres://u@db/d?channel_binding=maybe", "invalid value for option `channel_binding`"),
        (IAM, "postgres://u@localhost/d", "DATABASE_AUTH=iam needs TLS"),
        (
            TlsPolicy { allow_plaintext: true, ..IAM },
            "postgres://u@db/d?sslmode=disable",
            "DATABASE_AUTH=iam needs TLS",
        ),
        (IAM, "postgres://u@db/d?channel_binding=require", "DATABASE_AUTH=iam does not support channel binding"),
        (IAM, "postgres://u@db,other/d", "DATABASE_AUTH=iam needs one user and one host"),
        (IAM, "postgres://db/d", "DATABASE_AUTH=iam needs one user and one host"),
    ] {
        let error = ConnectionSettings::from_url(url, &policy).unwrap_err();
        assert!(error.contains(fault), "{url}: {error}");
    }
    assert!(ConnectionSettings::from_url("postgres://u@db/d", &IAM).is_ok());
}

/// Reads a secret without defaults for missing fields.
fn from_secret(secret: &str, policy: &TlsPolicy) -> Result<ConnectionSettings, String> {
    ConnectionSettings::from_secret(secret, &AddressDefaults::default(), policy)
}

#[test]
fn an_invalid_secret_is_described_without_quoting_it() {
    let with = |field: &str, value: Value| {
        let mut secret = json!({ "username": "hunter1", "password": "hunter2", "host": "db" });
        secret[field] = value;
        secret.to_string()
    };
    for (secret, fault) in [
        ("hunter2".to_owned(), "it is not JSON, at line 1 column 1"),
        (with("username", json!("")), "it has no text \"username\""),
        (with("password", json!(null)), "it has no text \"password\""),
        (with("host", json!(["hunter2"])), "it has no text \"host\"; add it or set DATABASE_HOST"),
        (with("port", json!(70_000)), "\"port\" is not a port"),
        (with("sslmode", json!("hunter2")), "sslmode must be verify-full, require or disable"),
        (with("sslrootcert", json!("hunter2")), "sslrootcert: it contains no certificate in PEM"),
        (with("channel_binding", json!("hunter2")), "channel_binding must be require, prefer or disable"),
    ] {
        assert_eq!(from_secret(&secret, &TlsPolicy::default()).unwrap_err(), fault);
    }
    let pem = Authority::new().unwrap().pem();
    for good in [with("port", json!("5433")), with("sslmode", json!(null)), with("sslrootcert", json!(pem))] {
        let login = from_secret(&good, &TlsPolicy::default()).unwrap();
        assert!(!format!("{login:?}").contains("hunter"));
    }
    assert!(from_secret(&with("password", json!(null)), &IAM).is_ok(), "a token replaces the password");
}

/// The defaults that these variables give for missing fields of the secret, or all violations.
fn defaults(variables: &[(&str, &str)]) -> Result<AddressDefaults, String> {
    let usual = [("API_KEYS_SECRET_ID", "keys"), ("DATABASE_SECRET_ID", "database")];
    match config(&[&usual, variables].concat())? {
        DatabaseSource::Secret { defaults, .. } => Ok(defaults),
        DatabaseSource::Url(_) => panic!("no URL is given"),
    }
}

fn config(variables: &[(&str, &str)]) -> Result<DatabaseSource, String> {
    let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Config::from_variables(value).map(|config| config.database).map_err(|violations| violations.to_string())
}

#[test]
fn variables_name_the_database_if_the_secret_does_not() {
    let all = AddressDefaults { host: Some("db.example.com".into()), port: Some(6432), name: Some("app".into()) };
    let given = [("DATABASE_HOST", "db.example.com"), ("DATABASE_PORT", "6432"), ("DATABASE_NAME", "app")];
    assert_eq!(defaults(&given).unwrap(), all);
    let empty = given.map(|(name, _)| (name, ""));
    assert_eq!(defaults(&empty).unwrap(), AddressDefaults::default(), "an empty variable counts as not set");
    for host in ["192.0.2.1", "2001:db8::1", "db-1.cluster_a.eu-central-1.rds.amazonaws.com"] {
        assert_eq!(defaults(&[("DATABASE_HOST", host)]).unwrap().host.as_deref(), Some(host));
    }
}

#[test]
fn an_invalid_variable_is_rejected_by_name() {
    let host = "DATABASE_HOST must be a host name or an IP address, without a port";
    let port = "DATABASE_PORT must be a whole number from 1 to 65535";
    let long = "x".repeat(64);
    for (name, value, fault) in [
        ("DATABASE_HOST", "db.example.com:5432", host),
        ("DATABASE_HOST", "postgres://u:hunter2@db", host),
        ("DATABASE_HOST", "db.example.com,other.example.com", host),
        ("DATABASE_HOST", " ", host),
        ("DATABASE_PORT", "0", port),
        ("DATABASE_PORT", "70000", port),
        ("DATABASE_PORT", "default", port),
        ("DATABASE_NAME", &long, "DATABASE_NAME must have at most 63 bytes"),
    ] {
        assert_eq!(defaults(&[(name, value)]).unwrap_err(), fault, "{value}");
    }
    assert!(defaults(&[("DATABASE_NAME", &long[1..])]).is_ok());
    for (name, value) in [("DATABASE_HOST", "db"), ("DATABASE_PORT", "5432"), ("DATABASE_NAME", "app")] {
        let url = [("API_KEYS_SECRET_ID", "keys"), ("DATABASE_URL", "postgres://u@127.0.0.1/d"), (name, value)];
        let fault = format!("{name} is for DATABASE_SECRET_ID; put it into DATABASE_URL or unset it");
        assert_eq!(config(&url).unwrap_err(), fault);
        assert!(config(&url[..2]).is_ok());
    }
}

#[test]
fn defaults_fill_in_only_what_the_secret_lacks() {
    let local = AddressDefaults { host: Some("127.0.0.1".into()), ..AddressDefaults::default() };
    let remote = AddressDefaults { host: Some("db.example.com".into()), ..AddressDefaults::default() };
    let two_fields = json!({ "username": "u", "password": "p" });
    let with_host = json!({ "username": "u", "password": "p", "host": "127.0.0.1" });
    // The default is plain text only for a host on this machine, so the encryption shows which host was used.
    for (secret, defaults, is_local) in [
        (&two_fields, &local, true),
        (&two_fields, &remote, false),
        (&with_host, &remote, true),
        (&with_host, &local, true),
    ] {
        let login = ConnectionSettings::from_secret(&secret.to_string(), defaults, &TlsPolicy::default()).unwrap();
        assert_eq!(
            format!("{login:?}"),
            format!("ConnectionSettings {{ encrypted: {}, .. }}", !is_local),
            "{secret} {defaults:?}"
        );
    }
    assert!(
        ConnectionSettings::from_secret(r#"{"username": "u"}"#, &remote, &IAM).is_ok(),
        "a token is for the variable's host"
    );
    let fault = from_secret(&two_fields.to_string(), &TlsPolicy::default()).unwrap_err();
    assert_eq!(fault, "it has no text \"host\"; add it or set DATABASE_HOST");
}
