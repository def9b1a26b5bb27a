//! IAM database authentication: each new connection gets a signed request as its password.
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html>

use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use lambda_http::http::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::config::{Config, Host};

use super::ConnectionSettings;
use crate::error::{Error, display_chain};

/// The time that RDS accepts a token. It matters only while a connection is opened.
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(15);

const SERVICE: &str = "rds-db";

const SCHEME: &str = "https://";

/// The characters that a signed URL encodes: all but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Generates tokens with the function's role, which needs `rds-db:connect` for the database's user.
#[derive(Debug)]
pub struct AuthTokenGenerator {
    credentials: Option<SharedCredentialsProvider>,
    region: Option<Region>,
}

impl AuthTokenGenerator {
    /// Uses the SDK's credentials and region.
    #[must_use]
    pub fn new(aws: &SdkConfig) -> Self {
        Self { credentials: aws.credentials_provider(), region: aws.region().cloned() }
    }

    /// The configuration of a connection, with a token for its password that is valid for [`TOKEN_LIFETIME`].
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if credentials are unavailable, [`Error::Internal`] if no token can be signed.
    pub async fn sign(&self, settings: &ConnectionSettings) -> Result<Config, Error> {
        let (Some(credentials), Some(region)) = (&self.credentials, &self.region) else {
            return Err(Error::Internal("DATABASE_AUTH=iam: AWS gives this function no credentials or region".into()));
        };
        let credentials = credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| {
            Error::Unavailable(format!("no credentials to sign a token with: {}", display_chain(&error)))
        })?;
        let mut config = settings.config.clone();
        let token = token(credentials, region, &config, SystemTime::now());
        config.password(token.map_err(|cause| Error::Internal(format!("no token for the database: {cause}")))?);
        Ok(config)
    }
}

/// `host:port/?Action=connect&DBUser=…`, signed: the URL of a request that is never sent, without its scheme.
fn token(credentials: Credentials, region: &Region, config: &Config, time: SystemTime) -> Result<String, String> {
    let (Some(Host::Tcp(host)), Some(user)) = (config.get_hosts().first(), config.get_user()) else {
        return Err("the settings have no host or no user".into());
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = utf8_percent_encode(user, RESERVED);
    let url = format!("{SCHEME}{host}:{port}/?Action=connect&DBUser={user}");

    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(TOKEN_LIFETIME);
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name(SERVICE)
        .time(time)
        .settings(settings)
        .build()
        .map_err(|error| display_chain(&error))?
        .into();
    let signed = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))
        .and_then(|request| sign(request, &parameters))
        .map_err(|error| display_chain(&error))?;
    let mut request = Request::get(&url).body(()).map_err(|error| display_chain(&error))?;
    signed.into_parts().0.apply_to_request_http1x(&mut request);
    Ok(request.uri().to_string().split_off(SCHEME.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of botocore 1.44.5's `generate_db_auth_token` for that time and these credentials: session token, user,
    /// encoded user, signature.
    const CASES: [(Option<&str>, &str, &str, &str); 3] = [
        (None, "chat_reader", "chat_reader", "6f61e2bf21a1e628e40dd85c5f1662889f373cb4e502be4b273a28802b90f5a1"),
        (
            Some(SESSION),
            "chat_reader",
            "chat_reader",
            "a498e04be49c1fa313f65be7775756432e7f6230b613a9f19c0f4c364e3ef2c0",
        ),
        (
            Some(SESSION),
            "a-b_c.d~o'e+x@y",
            "a-b_c.d~o%27e%2Bx%40y",
            "0537278549949d56b066803eb066db4c476955e0a3f78b19c583f6cc95a6c793",
        ),
    ];
    const SESSION: &str = "session/token+with=signs";

    #[test]
    fn a_token_equals_the_one_that_botocore_generates() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_178_096);
        let host = "db.cluster-abc.eu-central-1.rds.amazonaws.com";
        for (session, user, encoded_user, signature) in CASES {
            let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
            let credentials = Credentials::new("AKIDEXAMPLE", key, session.map(Into::into), None, "test");
            let mut config = Config::new();
            config.host(host).port(5432).user(user);
            let token = token(credentials, &Region::new("eu-central-1"), &config, time).unwrap();

            let start = format!("{host}:5432/?Action=connect&DBUser={encoded_user}&X-Amz-Algorithm=AWS4-HMAC-SHA256");
            assert!(token.starts_with(&start), "{token}");
            let mut parameters: Vec<_> = token.split_once('?').unwrap().1.split('&').skip(3).collect();
            parameters.sort_unstable();
            let mut expected = vec![
                "X-Amz-Credential=AKIDEXAMPLE%2F20261120%2Feu-central-1%2Frds-db%2Faws4_request".to_owned(),
                "X-Amz-Date=20261120T123456Z".into(),
                "X-Amz-Expires=900".into(),
                "X-Amz-SignedHeaders=host".into(),
                format!("X-Amz-Signature={signature}"),
            ];
            expected.extend(session.map(|_| "X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns".into()));
            expected.sort_unstable();
            assert_eq!(parameters, expected);
        }
    }
}
