//! A response, read for comparison.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::{body::Bytes, http::Response};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use testkit::keys;

/// The headers that are compared: those of the contract.
pub const HEADERS: [&str; 12] = [
    "content-type",
    "access-control-allow-origin",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "cache-control",
    "retry-after",
    "www-authenticate",
    "x-amzn-remapped-www-authenticate",
    "x-request-id",
];

/// An object's members in the order of the text, including repeated ones.
#[derive(Clone)]
pub struct Members<T>(pub Vec<(String, T)>);

impl<T> Members<T> {
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

pub struct Page {
    /// The keys of the whole object.
    pub keys: Vec<String>,
    pub total: Value,
    pub sessions: Vec<Session>,
}

pub struct Session {
    pub id: String,
    pub members: Members<Value>,
}

impl Page {
    fn read(body: &[u8]) -> Option<Self> {
        let members: Members<Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let sessions: Vec<Members<Value>> = serde_json::from_str(members.get("sessions")?.get()).ok()?;
        let session = |members: Members<Value>| Some(Session { id: members.get("id")?.as_str()?.to_owned(), members });
        Some(Self {
            keys: members.names().map(ToOwned::to_owned).collect(),
            total: serde_json::from_str(members.get("total")?.get()).ok()?,
            sessions: sessions.into_iter().map(session).collect::<Option<_>>()?,
        })
    }

    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// A session's index on the page, and its time.
    pub fn place(&self, id: &str) -> Option<(usize, Option<&Value>)> {
        let place = self.sessions.iter().position(|session| session.id == id)?;
        Some((place, self.sessions[place].members.get("last_message_at")))
    }
}

pub enum Content {
    Page(Page),
    /// An error's code.
    Error(String),
    /// The hash of any other body.
    Other(String),
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content: Content,
    /// The size of the body.
    pub bytes: usize,
    pub duration: Duration,
}

impl Answer {
    pub fn read(response: &Response<Bytes>, duration: Duration) -> Self {
        let body = response.body();
        let text = |name| response.headers().get_all(name).iter().map(|value| value.to_str().unwrap_or("?").to_owned());
        let header = |name| {
            let values: Vec<String> = text(name).collect();
            (!values.is_empty()).then(|| (name, values.join(", ")))
        };
        let code = || {
            let body: Value = serde_json::from_slice(body).ok()?;
            Some(body["error"]["code"].as_str()?.to_owned())
        };
        let page = if response.status().is_success() { Page::read(body) } else { None };
        let content = match page {
            Some(page) => Content::Page(page),
            None => code().map_or_else(|| Content::Other(keys::hex(&hash(body))), Content::Error),
        };
        Self {
            status: response.status().as_u16(),
            headers: HEADERS.into_iter().filter_map(header).collect(),
            content,
            bytes: body.len(),
            duration,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
    }

    pub fn page(&self) -> Option<&Page> {
        match &self.content {
            Content::Page(page) => Some(page),
            _ => None,
        }
    }

    pub fn code(&self) -> Option<&str> {
        match &self.content {
            Content::Error(code) => Some(code),
            _ => None,
        }
    }

    /// The status, and an error's code if it is an identifier and so cannot be a text about anyone.
    pub fn outcome(&self) -> String {
        match self.code() {
            Some(code) if is_identifier(code) => format!("{} {code}", self.status),
            Some(_) => format!("{} with another code", self.status),
            None => self.status.to_string(),
        }
    }

    /// Returns whether the endpoint's host failed, rather than the endpoint itself.
    pub fn is_failure(&self) -> bool {
        self.status == 429 || self.status > 500 || (self.status == 500 && self.code().is_none())
    }
}

pub fn is_identifier(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).to_vec()
}
