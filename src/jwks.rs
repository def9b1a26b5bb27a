//! Fetches the public keys of the sign-in service from its JWKS URL.

use std::{fmt, net::IpAddr, str::FromStr, sync::OnceLock};

use aws_smithy_runtime_api::client::{
    http::HttpConnector,
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lambda_http::http::Uri;

use crate::{aws, error::display_chain};

/// The largest JWKS that is read, in bytes. A set of two keys has about 1,000.
pub const MAX_JWKS_BYTES: usize = 65_536;

/// The URL of a JWKS: https, or http on this machine.
#[derive(Clone, Debug)]
pub struct JwksUrl(String);

impl FromStr for JwksUrl {
    type Err = ();

    fn from_str(url: &str) -> Result<Self, ()> {
        let uri: Uri = url.parse().map_err(|_| ())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(())?;
        let is_local = || {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse();
            host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
        };
        let is_allowed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_local(),
            _ => false,
        };
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if is_allowed && !has_user { Ok(Self(url.into())) } else { Err(()) }
    }
}

/// The server of a JWKS.
pub(crate) struct JwksServer {
    url: JwksUrl,
    /// Created by the first fetch, because that reads the system's certificates.
    connector: OnceLock<Box<dyn HttpConnector>>,
}

impl JwksServer {
    pub(crate) fn new(url: JwksUrl) -> Self {
        Self { url, connector: OnceLock::new() }
    }

    /// Fetches the text, or says why it cannot. A connection that is lost before the response, which may have been idle, is
    /// replaced once. Redirects are not followed.
    pub(crate) async fn fetch(&self) -> Result<String, String> {
        let mut outcome = self.send().await;
        if matches!(&outcome, Err(error) if error.is_io()) {
            outcome = self.send().await;
        }
        let mut response = outcome.map_err(|error| display_chain(&error))?;
        if response.status().as_u16() != 200 {
            return Err(format!("the server returned {}", response.status()));
        }
        let body = Limited::new(response.take_body(), MAX_JWKS_BYTES).collect().await.map_err(|error| {
            let is_too_large = error.is::<LengthLimitError>();
            if is_too_large { format!("it has more than {MAX_JWKS_BYTES} bytes") } else { display_chain(&*error) }
        })?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| "it is not UTF-8".into())
    }

    async fn send(&self) -> Result<HttpResponse, ConnectorError> {
        let mut request = HttpRequest::get(&self.url.0).map_err(|error| ConnectorError::user(error.into()))?;
        request.headers_mut().insert("accept", "application/json");
        self.connector.get_or_init(aws::connector_with_system_roots).call(request).await
    }
}

impl fmt::Debug for JwksServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JwksServer").field(&self.url).finish()
    }
}
