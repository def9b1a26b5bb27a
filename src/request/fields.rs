//! The body's JSON object: its known fields as they stand.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The fields of a request. Others are skipped unread, however deep they are.
#[derive(Default)]
pub struct Fields<'a> {
    pub limit: Field<'a>,
    pub offset: Field<'a>,
    pub widget_id: Field<'a>,
    pub status: Field<'a>,
    pub from_date: Field<'a>,
}

/// How often a field is given, and its last value if that is not `null`.
#[derive(Clone, Copy, Default)]
pub struct Field<'a> {
    pub times: u32,
    pub json: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Reads a body that is not empty, or says which rule it breaks as a whole.
    pub fn parse(body: &'a [u8]) -> Result<Self, String> {
        // Decoded first: JSON's parser does not look into the strings that it skips.
        let body = str::from_utf8(body).map_err(|_| "the body must be a JSON object in UTF-8")?;
        serde_json::from_str(body).map_err(|error| {
            if error.is_data() {
                "the body must be a JSON object".to_owned()
            } else {
                format!("the body must be a JSON object: broken at line {} column {}", error.line(), error.column())
            }
        })
    }

    fn get_mut(&mut self, name: &RawValue) -> Option<&mut Field<'a>> {
        // JSON allows names that are not Unicode text, such as `"\ud800"`: they are unknown fields.
        let name: String = serde_json::from_str(name.get()).ok()?;
        match name.as_str() {
            "limit" => Some(&mut self.limit),
            "offset" => Some(&mut self.offset),
            "widget_id" => Some(&mut self.widget_id),
            "status" => Some(&mut self.status),
            "from_date" => Some(&mut self.from_date),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Fields::default();
        // As it is written: of a raw value, unlike of a decoded key, the parser refuses control characters.
        while let Some(name) = map.next_key::<&RawValue>()? {
            match fields.get_mut(name) {
                Some(field) => *field = Field { times: field.times + 1, json: map.next_value()? },
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}
