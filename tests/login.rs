//! What a login may say, and what is refused with a reason before anything is connected.

use list_chat_sessions::database::{Auth, Login, Policy};
use serde_json::{Value, json};

use crate::support::certificates::Authority;

#[test]
fn plain_text_stays_on_this_machine_unless_the_operator_means_it() {
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
        let policy = Policy { allow_plaintext, ..Policy::default() };
        assert_eq!(Login::from_url(url, &policy).is_ok(), accepted, "{url}");
    }
}

const IAM: Policy = Policy { allow_plaintext: false, tls: None, auth: Auth::Iam };

#[test]
fn a_url_that_cannot_work_is_refused_with_the_reason() {
    for (policy, url, fault) in [
        (Policy::default(), "postgres://u@db/d?sslrootcert=%2Fnowhere", "sslrootcert: No such file"),
        (Policy::default(), "postgres://u@db/d?sslrootcert=Cargo.toml", "sslrootcert: it holds no certificate"),
        (Policy::default(), "postgres://u@localhost/d?channel_binding=require", "channel_binding=require needs TLS"),
        (Policy::default(), "postgres://u@db/d?channel_binding=maybe", "invalid value for option `channel_binding`"),
        (IAM, "postgres://u@localhost/d", "DATABASE_AUTH=iam needs TLS"),
        (Policy { allow_plaintext: true, ..IAM }, "postgres://u@db/d?sslmode=disable", "DATABASE_AUTH=iam needs TLS"),
        (IAM, "postgres://u@db/d?channel_binding=require", "a token cannot be bound to a channel"),
        (IAM, "postgres://u@db,other/d", "a token is for one user at one host"),
        (IAM, "postgres://db/d", "a token is for one user at one host"),
    ] {
        let told = Login::from_url(url, &policy).unwrap_err();
        assert!(told.contains(fault), "{url}: {told}");
    }
    assert!(Login::from_url("postgres://u@db/d", &IAM).is_ok());
}

#[test]
fn a_fault_in_the_secret_is_named_and_nothing_of_it_is_quoted() {
    let with = |field: &str, value: Value| {
        let mut secret = json!({ "username": "hunter1", "password": "hunter2", "host": "db" });
        secret[field] = value;
        secret.to_string()
    };
    for (secret, fault) in [
        ("hunter2".to_owned(), "it is not JSON, at line 1 column 1"),
        (with("username", json!("")), "it has no text \"username\""),
        (with("password", json!(null)), "it has no text \"password\""),
        (with("host", json!(["hunter2"])), "it has no text \"host\""),
        (with("port", json!(70_000)), "\"port\" is not a port"),
        (with("sslmode", json!("hunter2")), "sslmode must be verify-full, require or disable"),
        (with("sslrootcert", json!("hunter2")), "sslrootcert: it holds no certificate in PEM"),
        (with("channel_binding", json!("hunter2")), "channel_binding must be require, prefer or disable"),
    ] {
        assert_eq!(Login::from_secret(&secret, &Policy::default()).unwrap_err(), fault);
    }
    let pem = Authority::new().unwrap().pem();
    for good in [with("port", json!("5433")), with("sslmode", json!(null)), with("sslrootcert", json!(pem))] {
        let login = Login::from_secret(&good, &Policy::default()).unwrap();
        assert!(!format!("{login:?}").contains("hunter"));
    }
    assert!(Login::from_secret(&with("password", json!(null)), &IAM).is_ok(), "the token takes its place");
}
