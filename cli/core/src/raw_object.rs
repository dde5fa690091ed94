//! A JSON object whose members keep the bytes they came with: order, number spelling and unknown members survive.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;

#[derive(Debug, Clone, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// `None` when the text is no JSON object.
    pub fn parse(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// A member as a string.
    pub fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// A member as an object of its own.
    pub fn object(&self, key: &str) -> Option<Self> {
        Self::parse(self.get(key)?)
    }

    /// Puts a member in the place of the one of that name, or at the end.
    pub fn set(&mut self, key: &str, value: &impl Serialize) {
        let raw = to_raw_value(value).expect("our values serialise");
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = raw,
            None => self.0.push((key.to_owned(), raw)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn to_raw(&self) -> Box<RawValue> {
        to_raw_value(self).expect("an object of raw values serialises")
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_keeps_its_bytes() {
        let text = r#"{"z":12345678901234567890123,"a":1.10,"_meta":{"x/y":1e2}}"#;
        let mut object: RawObject = serde_json::from_str(text).unwrap();
        assert_eq!(object.to_raw().get(), text);
        object.set("a", &"new");
        object.remove("_meta");
        assert_eq!(object.to_raw().get(), r#"{"z":12345678901234567890123,"a":"new"}"#);
        assert_eq!(object.text("a").as_deref(), Some("new"));
        assert!(RawObject::parse(&RawValue::from_string("[1]".to_owned()).unwrap()).is_none());
    }
}
