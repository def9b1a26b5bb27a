//! Session tokens and the keys that verify them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::auth::{
    BearerToken, CLOCK_LEEWAY_SECONDS, Rejection, SessionToken, SessionTokenKeys, SessionTokenRules,
};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use crate::assert_is_one_of;

const SECRET: &str = "{\"jwt_secret\": \"the secret of the session_token target\"}";
const KEY: &[u8] = b"the secret of the session_token target";
const ISSUER: &str = "https://project.supabase.co/auth/v1";
const AUDIENCE: &str = "authenticated";
/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600;

const KEY_FAULTS: [&str; 5] = [
    "it is not JSON, at line # column #",
    "it has no array \"keys\"",
    "it has no text \"jwt_secret\"",
    "jwt_secret has less than # bytes",
    "jwt_secret is a key pair's PEM; for RS# and ES#, set JWKS_URL instead",
];

/// Asserts that the input, as a header, a line break and claims, is accepted exactly if the rules, reimplemented here, say
/// so, and only with the secret's signature; that as a token it is rejected; and that as a JWKS or a secret it is read or
/// rejected with a fixed message.
pub fn session_token(input: &[u8]) {
    let keys = SessionTokenKeys::from_secret(SECRET).expect("a secret");
    assert!(outcome(&keys, input).is_none_or(|outcome| outcome.is_err()), "nobody signed this");
    if let Ok(text) = str::from_utf8(input) {
        for read in [SessionTokenKeys::from_jwks, SessionTokenKeys::from_secret] {
            match read(text) {
                Ok(other) => assert_eq!(format!("{other:?}"), "SessionTokenKeys(…)"),
                Err(fault) => assert_is_one_of(&fault, &KEY_FAULTS),
            }
        }
    }
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (header, claims) = (&input[..end], &input[end + 1..]);
    // Long tokens are rejected before they are read.
    if input.len() > 6_000 {
        return;
    }
    let accepted = outcome(&keys, &token(header, claims)).and_then(Result::ok);
    let (header, claims) = (serde_json::from_slice(header), serde_json::from_slice(claims));
    let (Ok(header), Ok(claims)): (Result<Value, _>, Result<Value, _>) = (header, claims) else {
        // `Value` reads less than the function, which skips what it does not need: deep values, and numbers out of range.
        return;
    };
    let expected = account(&header, &claims);
    assert!(accepted.is_none() || accepted == expected, "{accepted:?} instead of {expected:?}");
    // Without fields that are given twice, which the function rejects.
    let again = token(header.to_string().as_bytes(), claims.to_string().as_bytes());
    assert_eq!(outcome(&keys, &again).and_then(Result::ok), expected);
    let mut forged = again;
    if let Some(last) = forged.iter().rposition(|byte| *byte == b'.') {
        forged[last + 1] = if forged[last + 1] == b'A' { b'B' } else { b'A' };
        assert!(outcome(&keys, &forged).is_some_and(|outcome| outcome.is_err()));
    }
}

/// The outcome for a token as it is in the header; `None` if it does not have the form of a session token.
fn outcome(keys: &SessionTokenKeys, token: &[u8]) -> Option<Result<Uuid, Rejection>> {
    let header = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
    let token = BearerToken::from_headers(&headers).ok()?;
    let token = SessionToken::from_bearer(&token)?;
    assert_eq!(format!("{token:?}"), "SessionToken(…)");
    let rules = SessionTokenRules { issuer: ISSUER.into(), audience: AUDIENCE.into() };
    let now = Timestamp::from_second(NOW).expect("a time");
    Some(keys.authenticate(&token, &rules, now).map(|caller| *caller.user_id()))
}

fn token(header: &[u8], claims: &[u8]) -> Vec<u8> {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mut hmac = Hmac::<Sha256>::new_from_slice(KEY).expect("a key");
    hmac.update(signed.as_bytes());
    format!("{signed}.{}", encode(&hmac.finalize().into_bytes())).into_bytes()
}

fn account(header: &Value, claims: &Value) -> Option<Uuid> {
    let is_text = |value: &Value| value.is_null() || value.is_string();
    let header_is_good = header["alg"] == "HS256" && is_text(&header["kid"]) && header.get("crit").is_none();
    let texts = |value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().map(ToOwned::to_owned)).collect(),
        value => Some(vec![value.as_str()?.to_owned()]),
    };
    let is_in_time = claims["exp"].as_i64()? > NOW - CLOCK_LEEWAY_SECONDS
        && (claims["nbf"].is_null() || claims["nbf"].as_i64()? <= NOW + CLOCK_LEEWAY_SECONDS);
    let is_for_us = claims["iss"] == ISSUER && texts(&claims["aud"])?.contains(&AUDIENCE.to_owned());
    let sub = claims["sub"].as_str()?;
    let groups = sub.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let account = sub.parse().ok().filter(|_| groups);
    account.filter(|_| header_is_good && is_in_time && is_for_us)
}
