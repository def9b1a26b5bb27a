//! Properties of the database's connection settings in a secret and in a URL.

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

/// The options of tokio-postgres with values that can be invalid.
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

/// Asserts that a database secret gives settings whose `Debug` reveals nothing, or an error that repeats nothing of its
/// content.
pub fn login_secret(secret: &[u8]) {
    let Ok(secret) = str::from_utf8(secret) else { return };
    let all = AddressDefaults { host: Some("db.example.com".into()), port: Some(6432), name: Some("app".into()) };
    for defaults in [AddressDefaults::default(), all] {
        check(|policy| ConnectionSettings::from_secret(secret, &defaults, policy));
    }
}

/// Asserts the same of a URL.
pub fn login_url(url: &[u8]) {
    let Ok(url) = str::from_utf8(url) else { return };
    // `sslrootcert` could name a file that never ends, such as /dev/zero. The author of the URL is trusted with it.
    if !url.contains("sslrootcert") {
        check(|policy| ConnectionSettings::from_url(url, policy));
    }
}

fn check(parse: impl Fn(&TlsPolicy) -> Result<ConnectionSettings, String>) {
    for policy in &POLICIES {
        match parse(policy) {
            Ok(settings) => {
                let debug = format!("{settings:?}");
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
