//! JSON as text, before it is parsed: where its strings end, and whether an object has a duplicate
//! key.

use std::borrow::Cow;
use std::collections::HashSet;

/// The end of a string that begins here: the position of its closing quotation mark.
pub fn end_of_string(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Objects with more keys than this use a set; for fewer, a linear search is faster.
const FEW_KEYS: usize = 12;

/// An object or a list that is open.
enum Open<'a> {
    List,
    /// Its keys are those from here on.
    Small(usize),
    Large(HashSet<Cow<'a, str>>),
}

/// The keys of all objects that are open.
#[derive(Default)]
struct Keys<'a> {
    open: Vec<Open<'a>>,
    small: Vec<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn enter_object(&mut self) {
        self.open.push(Open::Small(self.small.len()));
    }

    fn enter_list(&mut self) {
        self.open.push(Open::List);
    }

    fn leave(&mut self) {
        if let Some(Open::Small(start)) = self.open.pop() {
            self.small.truncate(start);
        }
    }

    fn is_in_object(&self) -> bool {
        !matches!(self.open.last(), None | Some(Open::List))
    }

    /// Adds a key of the innermost object; returns it when it is a duplicate.
    fn take(&mut self, key: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let innermost = self.open.last_mut()?;
        match innermost {
            Open::List => return None,
            Open::Small(start) if self.small[*start..].contains(&key) => return Some(key),
            Open::Small(start) => {
                let start = *start;
                self.small.push(key);
                if self.small.len() - start > FEW_KEYS {
                    *innermost = Open::Large(self.small.drain(start..).collect());
                }
            }
            Open::Large(keys) if keys.contains(&key) => return Some(key),
            Open::Large(keys) => {
                keys.insert(key);
            }
        }
        None
    }
}

/// The first duplicate key and its byte offset; the text must be valid JSON.
///
/// Most parsers silently use the last of two values and some the first, so readers disagree on the
/// content.
pub fn repeated_key(text: &str) -> Option<(usize, Cow<'_, str>)> {
    let bytes = text.as_bytes();
    let mut keys = Keys::default();
    let mut is_key = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => {
                keys.enter_object();
                is_key = true;
            }
            b'[' => {
                keys.enter_list();
                is_key = false;
            }
            b'}' | b']' => {
                keys.leave();
                is_key = false;
            }
            b',' => is_key = keys.is_in_object(),
            b'"' => {
                let end = end_of_string(bytes, at + 1)?;
                if is_key && let Some(key) = keys.take(unescaped(&text[at..=end])) {
                    return Some((at, key));
                }
                is_key = false;
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The value of a string literal, given with its quotation marks.
fn unescaped(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(&quoted[1..quoted.len() - 1]);
    }
    serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn duplicate_key_is_found() {
        let found = |text: &str| repeated_key(text).map(|(at, key)| (at, key.into_owned()));
        for fine in [
            r#"{"a":{"a":[{"a":1},{"a":2}]},"b":"a","c":["a","a"]}"#,
            "[]",
            "7",
            r#""a""#,
            r#"{"a\"":1,"a":2}"#,
            r#"{"é":1,"e":2}"#,
        ] {
            assert_eq!(found(fine), None, "{fine}");
        }
        assert_eq!(found(r#"{"a":1,"a":2}"#), Some((7, "a".to_owned())));
        assert_eq!(found(r#"{"x":[{"a":{},"b":",{\"","\u0061":2}]}"#), Some((25, "a".to_owned())));
        assert_eq!(found("{\"a\" : 1\n, \"a\" : 2}"), Some((11, "a".to_owned())));
    }

    #[test]
    fn a_key_is_found_among_few_and_many() {
        for count in 1..3 * FEW_KEYS {
            let members: Vec<_> =
                (0..count).map(|number| format!(r#""k{number}":{{"k0":[{{"k1":1}}]}}"#)).collect();
            let members = members.join(",");
            assert_eq!(repeated_key(&format!("[{{{members}}},{{{members}}}]")), None);
            for again in 0..count {
                let text = format!(r#"{{{members},"k{again}":1}}"#);
                assert_eq!(
                    repeated_key(&text),
                    Some((members.len() + 2, format!("k{again}").into())),
                    "{count}"
                );
            }
        }
    }

    proptest! {
        /// A serialised map has no duplicate keys; an added duplicate is found.
        #[test]
        fn only_repeated_keys_are_found(
            keys in proptest::collection::hash_set("[a-z\"\\\\\u{e9}]{0,3}", 1..5),
            at in any::<prop::sample::Index>(),
        ) {
            let keys: Vec<_> = keys.into_iter().collect();
            let inner: Value = keys.iter().map(|key| (key.clone(),
                Value::from(key.as_str()))).collect::<serde_json::Map<_, _>>().into();
            let text = serde_json::json!({"o": [inner, inner]}).to_string();
            prop_assert_eq!(repeated_key(&text), None);
            let again = &keys[at.index(keys.len())];
            let text = text.replace("}]", &format!(",{}:1}}]", Value::from(again.as_str())));
            prop_assert_eq!(repeated_key(&text).map(|(_, key)| key.into_owned()),
                Some(again.clone()));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = repeated_key(&text);
        }
    }
}
