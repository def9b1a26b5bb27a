//! The AWS SDK, set up for a short start.
//!
//! By itself the SDK trusts whom the system trusts, and reads who that is from some hundred files before its first call:
//! a third of init, measured. AWS's own endpoints have certificates of Amazon's own authority, so calls to them need its
//! five roots alone. Calls to elsewhere, which an operator has set, still go by the system's.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

/// The roots of Amazon Trust Services, which sign the certificates of AWS's endpoints and of RDS Proxy:
/// <https://www.amazontrust.com/repository/>.
pub(crate) const AMAZON_ROOTS: &str = include_str!("roots/amazon-trust-services.pem");

/// Where Amazon's roots are enough. AWS's regions in China have names, and perhaps authorities, of their own.
const AMAZON_DOMAINS: [&str; 2] = [".amazonaws.com", ".api.aws"];

/// Region, credentials and endpoints, from where every SDK takes them.
pub async fn load() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load().await
}

/// What every call to AWS goes through.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    SharedHttpClient::new(ClientByHost::new())
}

/// Whose certificates a call trusts depends on where it goes.
#[derive(Debug)]
struct ClientByHost {
    amazon: SharedHttpClient,
    other: SharedHttpClient,
}

impl ClientByHost {
    fn new() -> Self {
        let tls = || Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
        let context = TlsContext::builder().with_trust_store(roots).build().expect("no part of it can fail");
        Self { amazon: tls().tls_context(context).build_https(), other: tls().build_https() }
    }
}

impl HttpClient for ClientByHost {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(ConnectorByHost {
            amazon: self.amazon.http_connector(settings, components),
            // Made when it is needed: making it reads the system's certificates.
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
        if has_amazon_certificate(request.uri()) { self.amazon.call(request) } else { (self.other)().call(request) }
    }
}

impl fmt::Debug for ConnectorByHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectorByHost")
    }
}

/// Whether Amazon's authority signs for the host of a URI. Without TLS nobody does, and nobody is asked.
fn has_amazon_certificate(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("https://") else { return true };
    let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
    AMAZON_DOMAINS.iter().any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::has_amazon_certificate;

    #[test]
    fn the_systems_certificates_are_for_hosts_that_are_not_amazons() {
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
