//! Where the database is: in the secret, and in the URL.

use list_chat_sessions::database::{AddressDefaults, AuthMethod, ConnectionSettings, TlsPolicy};

use super::assert_is_one_of;

const POLICIES: [TlsPolicy; 3] = [
    TlsPolicy { allow_plaintext: false, tls: None, auth: AuthMethod::Password },
    TlsPolicy { allow_plaintext: true, tls: None, auth: AuthMethod::Password },
    TlsPolicy { allow_plaintext: false, tls: None, auth: AuthMethod::Iam },
];

const FAULTS: [&str; 24] = [
    "it is not JSON, at line # column #",
    "it has no text \"username\"",
    "it has no text \"password\"",
    "it has no text \"host\"; add it or set DATABASE_HOST",
    "\"port\" is not a port",
    "channel_binding must be require, prefer or disable",
    "sslrootcert: it contains no certificate in PEM",
    "sslrootcert: it contains an invalid certificate",
    "sslrootcert: it is not PEM",
    "sslmode must be verify-full, require or disable",
    "sslmode=disable is for loopback; set DATABASE_ALLOW_PLAINTEXT=true to allow it for other hosts",
    "sslmode=prefer and sslmode=allow can fall back to plain text; use verify-full",
    "sslmode=verify-ca accepts any host of the authority; use verify-full",
    "channel_binding=require needs TLS; use sslmode=verify-full",
    "DATABASE_AUTH=iam needs TLS; use sslmode=verify-full",
    "DATABASE_AUTH=iam does not support channel binding; omit channel_binding",
    "DATABASE_AUTH=iam needs one user and one host; give both",
    "it is not of the form postgresql://user:password@host:port/database",
    "invalid connection string: unexpected EOF",
    "invalid connection string: unterminated parameter",
    "invalid connection string: unknown option",
    "invalid connection string: invalid utf-# sequence of # bytes from index #",
    "invalid connection string: incomplete utf-# byte sequence from index #",
    "invalid connection string: invalid value for option `other`",
];

/// Those of tokio-postgres's options that have a value which can be wrong.
const OPTIONS: [&str; 14] = [
    "host",
    "sslmode",
    "hostaddr",
    "port",
    "channel_binding",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "load_balance_hosts",
    "sslnegotiation",
];

/// A database secret is a login that shows nothing of itself, or its fault is named without a word of its content.
pub fn login_secret(secret: &[u8]) {
    let Ok(secret) = str::from_utf8(secret) else { return };
    let all = AddressDefaults { host: Some("db.example.com".into()), port: Some(6432), name: Some("app".into()) };
    for defaults in [AddressDefaults::default(), all] {
        judge(|policy| ConnectionSettings::from_secret(secret, &defaults, policy));
    }
}

/// The same of a URL.
pub fn login_url(url: &[u8]) {
    let Ok(url) = str::from_utf8(url) else { return };
    // It names a file on this machine, which may be a device that never ends. The author of the URL is trusted that far.
    if !url.contains("sslrootcert") {
        judge(|policy| ConnectionSettings::from_url(url, policy));
    }
}

fn judge(parse: impl Fn(&TlsPolicy) -> Result<ConnectionSettings, String>) {
    for policy in &POLICIES {
        match parse(policy) {
            Ok(login) => {
                let debug = format!("{login:?}");
                assert!(
                    ["true", "false"]
                        .map(|tls| format!("ConnectionSettings {{ encrypted: {tls}, .. }}"))
                        .contains(&debug)
                );
                let must_be_encrypted = policy.auth == AuthMethod::Iam;
                assert!(!must_be_encrypted || debug.contains("true"), "a token in plain text");
            }
            Err(fault) => {
                let fault =
                    OPTIONS.iter().fold(fault, |fault, option| fault.replace(&format!("`{option}`"), "`other`"));
                assert_is_one_of(&fault, &FAULTS);
            }
        }
    }
}
