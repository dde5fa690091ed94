//! A JSON object whose members keep their bytes: order, number notation and unknown members are
//! preserved.

use crate::protocol::call_result::Unreadable;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

#[derive(Debug, Clone, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// `None` when the text is not a JSON object, or a name in it is invalid or duplicated.
    pub fn parse(raw: &RawValue) -> Option<Self> {
        Self::read(raw).ok()
    }

    /// Like `parse`; the error says what is wrong.
    pub fn read(raw: &RawValue) -> Result<Self, Unreadable> {
        serde_json::from_str(raw.get()).map_err(|error| Unreadable::of(&error))
    }

    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// A member as a string.
    pub fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// A member that is itself an object.
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
        serialize(&self.0, serializer)
    }
}

fn serialize<S: Serializer>(
    members: &[(impl AsRef<str>, impl Serialize)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(members.len()))?;
    for (key, value) in members {
        map.serialize_entry(key.as_ref(), value)?;
    }
    map.end()
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(|members| Self(members.0))
    }
}

/// The members of an object in their order, no name twice.
pub(crate) struct Members<V, N = String>(pub(crate) Vec<(N, V)>);

/// A name that is borrowed where it has no escapes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Name<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Members<&RawValue, Name<'_>> {
    pub(crate) fn to_raw(&self) -> Box<RawValue> {
        to_raw_value(self).expect("an object of raw values serialises")
    }
}

impl<V: Serialize, N: AsRef<str>> Serialize for Members<V, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de, V: Deserialize<'de>, N: Deserialize<'de> + AsRef<str>> Deserialize<'de>
    for Members<V, N>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V, N>(PhantomData<(V, N)>);
        impl<'de, V: Deserialize<'de>, N: Deserialize<'de> + AsRef<str>> Visitor<'de> for Object<V, N> {
            type Value = Members<V, N>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                match repeated(&members) {
                    Some(name) => {
                        Err(A::Error::custom(format!("the member `{name}` appears there twice")))
                    }
                    None => Ok(Members(members)),
                }
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// Up to this many names are compared with each other, which takes no memory.
const FEW: usize = 8;

/// A name that two members have: programs disagree on which of them counts.
fn repeated<T>(members: &[(impl AsRef<str>, T)]) -> Option<&str> {
    if members.len() <= FEW {
        let mut names = members.iter().map(|(name, _)| name.as_ref()).enumerate();
        let is_before = |(at, name): &(usize, &str)| {
            members[..*at].iter().any(|(earlier, _)| earlier.as_ref() == *name)
        };
        return names.find(is_before).map(|(_, name)| name);
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_members_keep_their_bytes() {
        let text = r#"{"z":12345678901234567890123,"a":1.10,"_meta":{"x/y":1e2}}"#;
        let mut object: RawObject = serde_json::from_str(text).unwrap();
        assert_eq!(object.to_raw().get(), text);
        object.set("a", &"new");
        object.remove("_meta");
        assert_eq!(object.to_raw().get(), r#"{"z":12345678901234567890123,"a":"new"}"#);
        assert_eq!(object.text("a").as_deref(), Some("new"));
        let why = |text: &str| {
            RawObject::read(&RawValue::from_string(text.to_owned()).unwrap())
                .unwrap_err()
                .to_string()
        };
        assert!(why("[1]").contains("expected a JSON object"));
        assert!(
            why(r#"{"a":1,"b":2,"\u0061":3}"#).starts_with("the member `a` appears there twice")
        );
        assert!(why(r#"{"\ud83d":1}"#).starts_with("unexpected end of hex escape"));
    }
}
