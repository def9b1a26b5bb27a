//! A stand-in for the product's sign-in service: it signs session tokens, and serves the public keys as a JWKS that fails
//! on demand.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use anyhow::Result;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{Certificate, lock};

const PATH: &str = "/auth/v1/.well-known/jwks.json";

pub const ISSUER: &str = "https://project.supabase.co/auth/v1";

/// A pair of the 2,048 bits that the function requires at least; making one takes up to a second.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a key pair"));

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a user who has signed in, as the product's tokens have them, valid for an hour.
pub fn claims(account: &str) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({
        "iss": ISSUER, "sub": account, "aud": "authenticated", "exp": now + 3_600, "iat": now,
        "email": "user@example.com", "phone": "", "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": {}, "role": "authenticated", "aal": "aal1", "amr": [{ "method": "password", "timestamp": now }],
        "session_id": "33333333-3333-4333-8333-333333333333", "is_anonymous": false,
    })
}

/// A key that signs session tokens.
pub struct SigningKey {
    id: String,
    kind: Kind,
}

enum Kind {
    Hs256(Vec<u8>),
    Rs256,
    Es256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    pub fn hs256(secret: impl AsRef<[u8]>) -> Self {
        Self { id: "hs256".into(), kind: Kind::Hs256(secret.as_ref().to_vec()) }
    }

    /// All keys of this kind are one key.
    pub fn rs256(id: &str) -> Self {
        Self { id: id.into(), kind: Kind::Rs256 }
    }

    pub fn es256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
        Self { id: id.into(), kind: Kind::Es256(pair.into()) }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Hs256(_) => "HS256",
            Kind::Rs256 => "RS256",
            Kind::Es256(_) => "ES256",
        }
    }

    /// Returns the public key as it is in a JWKS.
    ///
    /// # Panics
    ///
    /// If the key is a secret.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.kind {
            Kind::Hs256(_) => panic!("a secret has no public key"),
            Kind::Rs256 => {
                // RSAPublicKey, RFC 8017: two INTEGERs, of which the modulus has 256 bytes and the exponent is 65537.
                let der = RSA.public_key().as_ref();
                assert_eq!(der[..9], [0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0]);
                json!({ "kty": "RSA", "n": base64url(&der[9..265]), "e": "AQAB" })
            }
            Kind::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..]) })
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["alg"] = json!(self.algorithm());
        jwk["use"] = json!("sig");
        jwk
    }

    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" })
    }

    /// Signs a token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header().to_string(), claims.to_string())
    }

    /// Signs any header and any claims.
    pub fn token_with(&self, header: &str, claims: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = base64url(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Hs256(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
            Kind::Rs256 => {
                let mut signature = vec![0; RSA.public_modulus_len()];
                RSA.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
                signature
            }
            Kind::Es256(pair) => pair.sign(&random, message).expect("a signature").as_ref().to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwksFault {
    /// The connection is accepted, but no response is sent.
    Silent,
    Unavailable,
    /// 302 to a JWKS with the same keys.
    Redirect,
    /// 200 with a page for people.
    Html,
    /// 200 with JSON that has no keys.
    OtherJson,
    /// 200 with 10 MB.
    Huge,
    /// 200 with one byte after the other.
    Slow,
}

impl JwksFault {
    pub const ALL: [Self; 7] =
        [Self::Silent, Self::Unavailable, Self::Redirect, Self::Html, Self::OtherJson, Self::Huge, Self::Slow];
}

#[derive(Default)]
struct Jwks {
    keys: Vec<Value>,
    fault: Option<JwksFault>,
    calls: usize,
    redirected: usize,
}

/// A running stand-in; dropping it stops it.
pub struct SignIn {
    url: String,
    jwks: Arc<Mutex<Jwks>>,
    server: JoinSet<()>,
}

impl SignIn {
    pub async fn start(keys: &[&SigningKey]) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let jwks = Arc::new(Mutex::new(Jwks::default()));
        let router = Router::new()
            .route(PATH, get(serve))
            .route("/elsewhere", get(serve_elsewhere))
            .with_state(Arc::clone(&jwks));
        let server = JoinSet::from_iter([async move { drop(axum::serve(listener, router).await) }]);
        let sign_in = Self { url, jwks, server };
        sign_in.publish(keys.iter().map(|key| key.jwk()).collect());
        Ok(sign_in)
    }

    /// Returns the value of `JWKS_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Also serves over TLS; returns the URL.
    pub async fn serve_tls(&mut self, certificate: &Certificate) -> Result<String> {
        let (listener, tls) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, certificate.acceptor()?);
        let url = format!("https://{}{PATH}", listener.local_addr()?);
        let plain = self.url.trim_start_matches("http://").trim_end_matches(PATH).to_owned();
        self.server.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // The client reports errors of its connection.
                if let (Ok(mut client), Ok(mut server)) = (tls.accept(client).await, TcpStream::connect(&plain).await) {
                    drop(copy_bidirectional(&mut client, &mut server).await);
                }
            }
        });
        Ok(url)
    }

    pub fn publish(&self, keys: Vec<Value>) {
        lock(&self.jwks).keys = keys;
    }

    /// Makes every call fail like this; `None` ends the fault.
    pub fn fail(&self, fault: impl Into<Option<JwksFault>>) {
        lock(&self.jwks).fault = fault.into();
    }

    pub fn calls(&self) -> usize {
        lock(&self.jwks).calls
    }

    /// Returns how often a redirect was followed.
    pub fn redirected(&self) -> usize {
        lock(&self.jwks).redirected
    }
}

async fn serve(State(jwks): State<Arc<Mutex<Jwks>>>) -> Response {
    let (fault, set) = {
        let mut jwks = lock(&jwks);
        jwks.calls += 1;
        (jwks.fault, json!({ "keys": jwks.keys }).to_string())
    };
    match fault {
        None => set.into_response(),
        Some(JwksFault::Silent) => std::future::pending().await,
        Some(JwksFault::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(JwksFault::Redirect) => (StatusCode::FOUND, [(LOCATION, "/elsewhere")]).into_response(),
        Some(JwksFault::Html) => "<!doctype html><title>Maintenance</title>".into_response(),
        Some(JwksFault::OtherJson) => "{\"message\": \"Maintenance\"}".into_response(),
        Some(JwksFault::Huge) => format!("{set}{}", " ".repeat(10_000_000)).into_response(),
        Some(JwksFault::Slow) => {
            let byte = async |mut bytes: std::vec::IntoIter<u8>| {
                tokio::time::sleep(Duration::from_millis(50)).await;
                bytes.next().map(|byte| (Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte])), bytes))
            };
            Body::from_stream(stream::unfold(set.into_bytes().into_iter(), byte)).into_response()
        }
    }
}

async fn serve_elsewhere(State(jwks): State<Arc<Mutex<Jwks>>>) -> Response {
    let mut jwks = lock(&jwks);
    jwks.redirected += 1;
    json!({ "keys": jwks.keys }).to_string().into_response()
}
