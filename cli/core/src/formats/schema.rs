//! JSON Schemas, applied so that neither the order of keys nor the spelling of a number counts.
//!
//! The validator compares objects key by key in their order (`const`, `enum`, `uniqueItems`), and
//! some numbers with an exponent not at all. So schema and value are both brought into one form
//! first: keys sorted, numbers written out.

use crate::formats::number;
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Debug)]
pub struct Schema(jsonschema::Validator);

/// What is wrong, and where, as a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub pointer: String,
    pub problem: String,
}

impl Flaw {
    fn of(error: &jsonschema::ValidationError<'_>) -> Self {
        Self { pointer: error.instance_path().as_str().to_owned(), problem: error.to_string() }
    }
}

impl Schema {
    /// The error states why the document is not a valid schema.
    pub fn new(schema: &Value) -> Result<Self, Flaw> {
        let schema = in_form(schema)?;
        jsonschema::validator_for(&schema).map(Self).map_err(|error| Flaw::of(&error))
    }

    /// The violations of the schema; empty when the value is valid.
    pub fn violations(&self, value: &Value) -> Vec<Flaw> {
        match in_form(value) {
            Ok(value) => self.0.iter_errors(&value).map(|error| Flaw::of(&error)).collect(),
            Err(flaw) => vec![flaw],
        }
    }
}

/// The value in the one form; nothing is copied where it has that already.
fn in_form(value: &Value) -> Result<Cow<'_, Value>, Flaw> {
    if is_in_form(value) {
        return Ok(Cow::Borrowed(value));
    }
    formed(value, &mut String::new()).map(Cow::Owned)
}

fn is_in_form(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.keys().is_sorted() && map.values().all(is_in_form),
        Value::Array(items) => items.iter().all(is_in_form),
        Value::Number(number) => !number.as_str().contains(['e', 'E']),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn formed(value: &Value, pointer: &mut String) -> Result<Value, Flaw> {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            let members = members.into_iter().map(|(key, value)| {
                let value = below(pointer, &key.replace('~', "~0").replace('/', "~1"), value)?;
                Ok((key.clone(), value))
            });
            members.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Value::Array(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(index, item)| below(pointer, &index.to_string(), item));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Number(number) => match number::plain(number) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(Flaw {
                pointer: pointer.clone(),
                problem: format!("the number {number} is out of range"),
            }),
        },
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(value.clone()),
    }
}

fn below(pointer: &mut String, key: &str, value: &Value) -> Result<Value, Flaw> {
    let above = pointer.len();
    pointer.push('/');
    pointer.push_str(key);
    let formed = formed(value, pointer);
    pointer.truncate(above);
    formed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::canonical;
    use proptest::prelude::*;
    use serde_json::json;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[track_caller]
    fn check(schema: &str, valid: &[&str], invalid: &[&str]) {
        let schema = Schema::new(&parsed(schema)).unwrap();
        for text in valid {
            assert_eq!(schema.violations(&parsed(text)), [], "{text}");
        }
        for text in invalid {
            assert_ne!(schema.violations(&parsed(text)), [], "{text}");
        }
    }

    #[test]
    fn the_order_of_keys_does_not_count() {
        check(
            r#"{"const":{"b":1,"a":[{"d":1,"c":2}]}}"#,
            &[r#"{"a":[{"c":2,"d":1}],"b":1}"#, r#"{"b":1,"a":[{"d":1,"c":2}]}"#],
            &["{}"],
        );
        check(
            r#"{"enum":[7,{"b":1,"a":2}]}"#,
            &[r#"{"a":2,"b":1}"#, r#"{"b":1,"a":2}"#],
            &[r#"{"a":1,"b":2}"#],
        );
        let twice = r#"[{"a":1,"b":2},{"b":2,"a":1}]"#;
        check(r#"{"uniqueItems":true}"#, &[r#"[{"a":1,"b":2},{"a":2,"b":1}]"#], &[twice]);
        let many: Vec<_> = (0..20).map(|number| json!({"n": number})).collect();
        let mut many = many;
        many.extend([json!({"x": 1, "y": 2}), json!({"y": 2, "x": 1})]);
        check(r#"{"uniqueItems":true}"#, &[], &[&Value::from(many).to_string()]);
    }

    #[test]
    fn numbers_are_compared_exactly_however_they_are_written() {
        let (big, next) = ("1915883588174806058", "1915883588174806059");
        check(
            &format!(r#"{{"maximum":{big}}}"#),
            &[big, "1e18"],
            &[next, "1e19", "1e300", "1e400"],
        );
        check(&format!(r#"{{"minimum":{next}}}"#), &[next, "1e19", "1e300", "1e400"], &[big]);
        check(&format!(r#"{{"const":{big}}}"#), &[big], &[next]);
        check(
            r#"{"const":123456789012345678901234}"#,
            &["123456789012345678901234"],
            &["123456789012345678901235", "1e400", "1e999999999"],
        );
        check(
            r#"{"enum":[1e3,123456789012345678901234]}"#,
            &["1000", "1e3", "1000.0"],
            &["1e400", "1e99999999999999999999"],
        );
        check(
            r#"{"uniqueItems":true}"#,
            &["[1e400,123456789012345678901234]"],
            &["[1e3,1000.0]", "[1e400,10e399]"],
        );
    }

    #[test]
    fn schema_violation_names_its_path() {
        let schema =
            Schema::new(&json!({"properties": {"a/b": {"items": {"maximum": 9}}}})).unwrap();
        let place = |text: &str| schema.violations(&parsed(text)).remove(0).pointer;
        assert_eq!(
            (place(r#"{"a/b":[1,10]}"#), place(r#"{"a/b":[1,1e999999]}"#)),
            ("/a~1b/1".to_owned(), "/a~1b/1".to_owned())
        );
        assert_eq!(Schema::new(&json!({"type": "strnig"})).unwrap_err().pointer, "/type");
        assert_eq!(
            Schema::new(&parsed(r#"{"items":{"maximum":1e999999999}}"#)).unwrap_err().pointer,
            "/items/maximum"
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (-3..3i64).prop_map(Value::from),
            prop::sample::select(vec!["1e0", "2.0", "1e400", "99999999999999999999", "-1E-2"])
                .prop_map(parsed)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec(("[a-c]", inner), 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The learned state is stored in canonical form, which does not change its validity.
        #[test]
        fn canonical_form_stays_valid(one in value(), other in value()) {
            for schema in [json!({"const": one}), json!({"enum": [one, other]}),
                json!({"uniqueItems": true})] {
                let schema = Schema::new(&schema).unwrap();
                for value in [&one, &other, &json!([one, other]), &json!([one, one])] {
                    prop_assert_eq!(schema.violations(value).is_empty(),
                        schema.violations(&canonical::normal(value)).is_empty(), "{}", value);
                }
            }
            let itself = Schema::new(&json!({"const": one})).unwrap();
            prop_assert!(itself.violations(&one).is_empty());
        }
    }
}
