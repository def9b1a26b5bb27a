//! The AWS SDK, configured for a fast start.
//!
//! By default the SDK trusts the system's certificates and reads more than a hundred files before its first call, a third
//! of init (measured). AWS's endpoints have certificates of Amazon's own authority, so calls to them need only its five
//! roots. Calls to other endpoints, which an operator can configure, still use the system's certificates.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::net::lookup_host;

/// The roots of Amazon Trust Services, the authority of AWS's endpoints and of RDS Proxy:
/// <https://www.amazontrust.com/repository/>.
pub(crate) const AMAZON_ROOTS: &str = include_str!("roots/amazon-trust-services.pem");

/// The domains for which Amazon's roots are enough. AWS's regions in China have other domains, and may have other
/// authorities.
const AMAZON_DOMAINS: [&str; 2] = [".amazonaws.com", ".api.aws"];

/// The longest response body that is read, in bytes. The SDK itself has no limit: an endless body took 230 MB of memory in
/// a second. A secret of 64 KiB takes six times as many bytes in JSON if every character is escaped.
const MAX_RESPONSE_BYTES: usize = 512 * 1_024;

/// Loads region, credentials and endpoints from the SDK's usual sources.
pub async fn load() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load().await
}

/// The HTTP client for all calls to AWS.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    SharedHttpClient::new(ClientByHost::new())
}

/// A connector for calls to other hosts than AWS's, such as the sign-in service.
pub(crate) fn connector_with_system_roots() -> Box<dyn HttpConnector> {
    let tls = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Box::new(tls.build_with_resolver(RotatingResolver::new()))
}

/// Chooses the trusted certificates by the host of each call.
#[derive(Debug)]
struct ClientByHost {
    amazon: SharedHttpClient,
    other: SharedHttpClient,
}

impl ClientByHost {
    fn new() -> Self {
        let tls = || Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
        let context = TlsContext::builder().with_trust_store(roots).build().expect("a trust store is all it needs");
        let resolver = RotatingResolver::new();
        Self {
            amazon: tls().tls_context(context).build_with_resolver(resolver.clone()),
            other: tls().build_with_resolver(resolver),
        }
    }
}

impl HttpClient for ClientByHost {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(ConnectorByHost {
            amazon: self.amazon.http_connector(settings, components),
            // Created only when needed, because that reads the system's certificates.
            other: Box::new({
                let (client, settings, components) = (self.other.clone(), settings.clone(), components.clone());
                move || client.http_connector(&settings, &components)
            }),
        })
    }
}

struct ConnectorByHost {
    amazon: SharedHttpConnector,
    other: Box<dyn Fn() -> SharedHttpConnector + Send + Sync>,
}

impl HttpConnector for ConnectorByHost {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let response = if has_amazon_certificate(request.uri()) {
            self.amazon.call(request)
        } else {
            (self.other)().call(request)
        };
        HttpConnectorFuture::new(async move { read_body(response.await?).await })
    }
}

/// Reads a response to its end, up to [`MAX_RESPONSE_BYTES`].
async fn read_body(mut response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let body = Limited::new(response.take_body(), MAX_RESPONSE_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { ConnectorError::user(error) } else { ConnectorError::io(error) }
    })?;
    *response.body_mut() = body.to_bytes().into();
    Ok(response)
}

impl fmt::Debug for ConnectorByHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectorByHost")
    }
}

/// The system's resolver, starting with another of a name's addresses each time. The connector gives the first address all
/// of its time, so if that one does not respond, only the next attempt can try another.
#[derive(Clone, Debug)]
struct RotatingResolver(Arc<AtomicUsize>);

impl RotatingResolver {
    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(fastrand::usize(..))))
    }
}

impl ResolveDns for RotatingResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            // Name servers rotate them too; without a fixed order, the two rotations could cancel out.
            addresses.sort_unstable();
            let turn = self.0.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
            addresses.rotate_left(turn);
            Ok(addresses)
        })
    }
}

/// Whether the host of a URI has a certificate of Amazon's authority. `true` without TLS, where no certificates are needed.
fn has_amazon_certificate(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("https://") else { return true };
    let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
    AMAZON_DOMAINS.iter().any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::has_amazon_certificate;

    #[test]
    fn only_aws_hosts_are_verified_with_amazons_roots() {
        for uri in [
            "https://secretsmanager.eu-central-1.amazonaws.com/",
            "https://vpce-1-2.secretsmanager.us-east-1.vpce.amazonaws.com",
            "https://secretsmanager.us-east-1.api.aws/?x",
            "http://localhost:4566/",
        ] {
            assert!(has_amazon_certificate(uri), "{uri}");
        }
        for uri in [
            "https://secretsmanager.cn-north-1.amazonaws.com.cn/",
            "https://secrets.example.com/",
            "https://example.com/.amazonaws.com",
            "https://localhost:4566/.api.aws",
        ] {
            assert!(!has_amazon_certificate(uri), "{uri}");
        }
    }
}
