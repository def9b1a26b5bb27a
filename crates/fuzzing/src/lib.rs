//! Properties of every input that is parsed, whether it comes from proptest (tests/fuzzing.rs) or from libFuzzer
//! (fuzz/). A target panics if its property does not hold.

mod login;
mod session_token;

use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::{
    api_keys::editable::EditableRing,
    auth::{BearerToken, KeyRing, TokenHash},
    error::Error,
    request::{ListRequest, MAX_BODY_BYTES},
};
use serde_json::{Value, json};

pub use login::{login_secret, login_url};
pub use session_token::session_token;

/// All errors about a body, with `#` for numbers.
const BODY_FAULTS: [&str; 13] = [
    "the body must be a JSON object",
    "the body must be a JSON object in UTF-#",
    "the body must be a JSON object: broken at line # column #",
    "limit must be given once",
    "offset must be given once",
    "widget_id must be given once",
    "status must be given once",
    "from_date must be given once",
    "limit must be an integer from # to #",
    "offset must be an integer from # to #",
    "widget_id must be a UUID",
    "status must be \"active\" or \"closed\"",
    "from_date must be an ISO # date or date-time",
];

/// Asserts that a body is a request that survives a round trip, is too large, or gives an error of the contract that
/// repeats nothing of its content.
pub fn body(body: &[u8]) {
    match ListRequest::parse(body, 100) {
        Ok(request) => {
            assert!((0..=100).contains(&request.limit) && request.offset >= 0, "{request:?}");
            assert!(!has_raw_control_character(body), "{request:?}");
            let from_date = request.from_date.map(|from| from.to_string());
            // An offset can move a time out of the years 0000 to 9999, which RFC 3339 cannot represent.
            let from_date = from_date.filter(|from| from.ends_with('Z'));
            let again = json!({
                "limit": request.limit, "offset": request.offset, "widget_id": request.widget_id,
                "status": request.status.map(list_chat_sessions::request::Status::as_str), "from_date": from_date,
            });
            let mut again = ListRequest::parse(again.to_string().as_bytes(), 100).expect("it was a request before");
            again.from_date = again.from_date.or(request.from_date);
            assert_eq!(again, request);
        }
        Err(Error::PayloadTooLarge) => assert!(body.len() > MAX_BODY_BYTES),
        Err(Error::Validation(message)) => message.split("; ").for_each(|fault| assert_is_one_of(fault, &BODY_FAULTS)),
        Err(error) => panic!("a body cannot be {error:?}"),
    }
}

/// Returns whether a JSON text has a control character in a string, or one outside that is not white space.
fn has_raw_control_character(json: &[u8]) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    json.iter().any(|&byte| {
        let is_quote = byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
        in_string ^= is_quote;
        byte < b' ' && (in_string || !b"\t\n\r".contains(&byte))
    })
}

/// The token of the authorization target's key.
pub const TOKEN: &str = "mgp_0123456789abcdef0123456789abcdef01234567";

/// Asserts that a header gives a token exactly if the contract's grammar, reimplemented here, says so, and that a key
/// accepts only the exact bytes of its token.
pub fn authorization(value: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(value) else { return };
    let expected = {
        let value = value.trim_ascii();
        let scheme_ends = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
        let (scheme, rest) = value.split_at(scheme_ends);
        let token = rest.trim_ascii_start();
        let only_spaces = rest[..rest.len() - token.len()].iter().all(|byte| *byte == b' ');
        let is_bearer = String::from_utf8_lossy(scheme).to_lowercase() == "bearer" && scheme.len() == 6;
        let is_one_word = !token.is_empty() && !token.contains(&b' ') && !token.contains(&b'\t');
        (is_bearer && only_spaces && is_one_word && token.len() <= 10_240).then_some(token)
    };
    let mut headers = HeaderMap::from_iter([(AUTHORIZATION, header.clone())]);
    let token = BearerToken::from_headers(&headers);
    assert_eq!(token.is_ok(), expected.is_some());
    if let (Ok(token), Some(bytes)) = (&token, expected) {
        assert_eq!(format!("{token:?} {:?}", token.hash()), "BearerToken(…) TokenHash(…)");
        assert_eq!(accepts(&ring(TOKEN.as_bytes()), token), bytes == TOKEN.as_bytes());
        assert!(accepts(&ring(bytes), token));
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut other = bytes.to_vec();
            other[at] ^= 1;
            assert!(!accepts(&ring(&other), token));
        }
        assert!(!accepts(&ring(&bytes[1..]), token));
    }
    headers.append(AUTHORIZATION, header);
    assert!(matches!(BearerToken::from_headers(&headers), Err(Error::Unauthorized)), "two headers are rejected");
}

fn accepts(ring: &KeyRing, token: &BearerToken<'_>) -> bool {
    ring.authenticate(&token.hash(), Timestamp::UNIX_EPOCH).is_some()
}

fn ring(token: &[u8]) -> KeyRing {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let secret = json!({ "api_keys": [{ "key_hash": hash, "user_id": "11111111-1111-4111-8111-111111111111" }] });
    KeyRing::parse(&secret.to_string()).expect("a ring")
}

const RING_FAULTS: [&str; 25] = [
    "it is not JSON, at line # column #",
    "it has no array \"api_keys\"",
    "api_keys[#] is not an object",
    "api_keys[#].key_hash is not # lower-case hex digits",
    "api_keys[#].user_id is not a UUID",
    "api_keys[#].is_active is not a boolean",
    "api_keys[#].expires_at is not an RFC # time",
    "api_keys[#] has the key_hash of api_keys[#] and another user_id: remove one of them",
    "api_keys[#] has the key_hash of api_keys[#] and another is_active: remove one of them",
    "api_keys[#] has the key_hash of api_keys[#] and another expires_at: remove one of them",
    "api_keys[#] has the key_hash of a compact key and another user_id: remove one of them",
    "api_keys[#] has the key_hash of a compact key and another is_active: remove one of them",
    "api_keys[#] has the key_hash of a compact key and another expires_at: remove one of them",
    "compact is not an object",
    "compact.version is not #",
    "compact.keys is not a string",
    "compact.keys is not base#",
    "compact.keys does not consist of records of # bytes",
    "compact.keys[#] is not sorted by hash",
    "compact.keys[#] repeats a hash",
    "compact.expiring is not a string",
    "compact.expiring is not base#",
    "compact.expiring does not consist of records of # bytes",
    "compact.expiring[#] is not sorted by hash",
    "compact.keys and compact.expiring have the same hash: remove one of them",
];

/// Asserts that a key ring accepts exactly the keys that are active and have not expired, also after a round trip and
/// after a program has rewritten it, or that its error repeats nothing of its content.
pub fn key_ring(secret: &[u8]) {
    let Ok(secret) = str::from_utf8(secret) else { return };
    let ring = match KeyRing::parse(secret) {
        Ok(ring) => ring,
        Err(fault) => return assert_is_one_of(&fault, &RING_FAULTS),
    };
    let json: Value = serde_json::from_str(secret).expect("it was JSON before");
    let again = KeyRing::parse(&json.to_string()).expect("it was a ring before");
    let editable = EditableRing::parse(secret).expect("it was a ring before");
    let written = editable.to_text().expect("it fits");
    assert!(EditableRing::parse(&written).expect("what was written is a ring") == editable);
    let rings = [ring, again, KeyRing::parse(&written).expect("what was written is a ring")];
    let debug = format!("{rings:?}");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let caller = |ring: &KeyRing, hash: &str| {
        let hash = TokenHash::from_hex(hash).expect("a hash");
        ring.authenticate(&hash, now).map(|caller| *caller.user_id())
    };
    let entries = json["api_keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in entries {
        let hash = entry["key_hash"].as_str().expect("a hash");
        let is_good = |entry: &&Value| {
            let expiry = entry["expires_at"].as_str().map(|time| time.parse::<Timestamp>().expect("a time"));
            entry["key_hash"] == hash && entry["is_active"] != json!(false) && expiry.is_none_or(|expiry| now < expiry)
        };
        let expected = entries.iter().find(is_good).map(|entry| entry["user_id"].as_str().expect("an id"));
        for ring in &rings {
            assert_eq!(caller(ring, hash), expected.map(|id| id.parse().expect("an id")));
        }
        assert!(!debug.contains(hash), "Debug shows a hash");
    }
    for key in &editable.compact {
        let mut hash = key.hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        hash.push_str(&"5".repeat(24));
        let expected = key.expires_at.is_none_or(|expiry| now.as_microsecond() < expiry).then_some(key.user_id);
        for ring in &rings {
            assert_eq!(caller(ring, &hash), expected);
        }
    }
}

/// Asserts that a message is one of a few fixed ones, so that it cannot repeat the input.
fn assert_is_one_of(message: &str, known: &[&str]) {
    let digits = |character: char| character.is_ascii_digit();
    let mut numberless = String::new();
    for (place, character) in message.char_indices() {
        match digits(character) {
            true if message[..place].ends_with(digits) => {}
            true => numberless.push('#'),
            false => numberless.push(character),
        }
    }
    assert!(known.contains(&numberless.as_str()), "{message:?} is not a known message");
}
