//! Who is calling: the `Authorization` header's token, looked up by its hash in the key ring.
//!
//! Nobody stores a token. The key ring holds SHA-256 digests: a token is 160 random bits, so there is nothing to guess
//! that a slow hash would protect, and a slow hash on every request would be a lever for denial of service.

mod key_ring;

use std::fmt;

use lambda_http::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::key_ring::KeyRing;
use crate::error::Error;

/// The longest token that is looked at, in bytes: API Gateway's limit for all headers of a request together.
pub const MAX_TOKEN_BYTES: usize = 10_240;

/// The token of an `Authorization: Bearer …` header, as it came.
pub struct BearerToken<'a>(&'a [u8]);

impl<'a> BearerToken<'a> {
    /// Reads the one `Authorization` header: the scheme `Bearer` in any case, one or more spaces, the token.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] if the header is missing, given twice or of another form.
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Error::Unauthorized);
        };
        Self::from_value(value.as_bytes()).ok_or(Error::Unauthorized)
    }

    fn from_value(value: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = value.trim_ascii().split_at_checked("Bearer".len())?;
        let token = rest.strip_prefix(b" ")?;
        let token = &token[token.iter().take_while(|&&byte| byte == b' ').count()..];
        let well_formed = scheme.eq_ignore_ascii_case(b"Bearer")
            && (1..=MAX_TOKEN_BYTES).contains(&token.len())
            && !token.iter().any(u8::is_ascii_whitespace);
        well_formed.then_some(Self(token))
    }

    /// The hash under which the key ring knows this token.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::new(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// The SHA-256 of a whole token; in the secret and in the product's `api_keys.key_hash` as lower-case hex.
#[derive(Clone, Copy)]
pub struct TokenHash([u128; 2]);

impl TokenHash {
    /// Reads 64 lower-case hex digits.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 64 || !hex.as_bytes().iter().all(lower_hex) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self::new(hash))
    }

    fn new(digest: [u8; 32]) -> Self {
        Self([0, 16].map(|start| u128::from_be_bytes(std::array::from_fn(|index| digest[start + index]))))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// An account whose token was verified: what a query needs, and what only [`KeyRing::authenticate`] makes.
#[derive(Debug)]
pub struct Authenticated {
    user_id: Uuid,
}

impl Authenticated {
    /// The account's id, `users.id`.
    #[must_use]
    pub fn user_id(&self) -> &Uuid {
        &self.user_id
    }
}
