//! A State as a document: paths into it, what differs between two, what may not be in it.

pub mod effect;
pub mod journal;
pub mod merge_rule;
pub mod parts;
pub mod semantic;
mod separable;
pub mod signal;

use crate::formats::canonical;
use crate::formats::schema::Schema;
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A larger state is refused: every Tuner call carries it.
pub const MAX_BYTES: usize = 8 << 20;

/// A place in a state: `ranking.k1`, `weights.0`, or a JSON Pointer (`/ranking/k1`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(Vec<String>);

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(pointer) = text.strip_prefix('/') {
            return Ok(Self(
                pointer.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect(),
            ));
        }
        let keys: Vec<String> = text.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(format!(
                "`{text}` is not a path into a state; write `key.inner` or `/key/inner`"
            ));
        }
        Ok(Self(keys))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.iter().all(|key| !key.is_empty() && !key.contains(['.', '/', '~']));
        if plain && !self.0.is_empty() {
            return formatter.write_str(&self.0.join("."));
        }
        self.0
            .iter()
            .try_for_each(|key| write!(formatter, "/{}", key.replace('~', "~0").replace('/', "~1")))
    }
}

impl Path {
    fn inside(&self, key: impl Into<String>) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.into());
        Self(keys)
    }

    /// The value there, if there is one.
    pub fn get<'a>(&self, state: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(state, |value, key| match value {
            Value::Object(map) => map.get(key),
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Sets a value; missing parent objects are created, everything else must exist.
    pub fn set(&self, state: &mut Value, value: Value) -> Result<(), String> {
        let mut place = state;
        for (depth, key) in self.0.iter().enumerate() {
            place = match place {
                Value::Object(map) => {
                    map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()))
                }
                Value::Array(items) => {
                    let length = items.len();
                    key.parse().ok().and_then(|index: usize| items.get_mut(index)).ok_or_else(
                        || {
                            format!(
                                "`{}` is an array of {length}, and `{key}` is not an index into it",
                                Self(self.0[..depth].to_vec())
                            )
                        },
                    )?
                }
                _ => {
                    return Err(format!(
                        "`{}` is neither object nor array, so nothing is inside it",
                        Self(self.0[..depth].to_vec())
                    ));
                }
            };
        }
        *place = value;
        Ok(())
    }
}

/// One difference of two states.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub path: Path,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// The paths at which two states differ, as deep as possible, sorted.
pub fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&Path::default(), Some(old), Some(new), &mut found);
    found
}

fn compare(path: &Path, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    match (old, new) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let mut keys: Vec<&String> = before
                .keys()
                .chain(after.keys().filter(|key| !before.contains_key(*key)))
                .collect();
            keys.sort_unstable();
            for key in keys {
                compare(&path.inside(key), before.get(key), after.get(key), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                compare(
                    &path.inside(index.to_string()),
                    before.get(index),
                    after.get(index),
                    found,
                );
            }
        }
        _ if old == new => {}
        _ => found.push(Difference { path: path.clone(), old: old.cloned(), new: new.cloned() }),
    }
}

/// At how many single values two states differ: an object that one of them lacks counts as all of
/// its values.
pub fn distance(old: &Value, new: &Value) -> usize {
    let values = |side: &Option<Value>| side.as_ref().map_or(0, values_in);
    differences(old, new).iter().map(|one| values(&one.old).max(values(&one.new))).sum()
}

fn values_in(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(values_in).sum::<usize>().max(1),
        Value::Array(items) => items.iter().map(values_in).sum::<usize>().max(1),
        _ => 1,
    }
}

/// Refuses numbers that other programs would read as something else: beyond 64 bits, or beyond a
/// double.
pub fn check_numbers(value: &Value) -> Result<(), String> {
    check_numbers_at(&Path::default(), value)
}

fn check_numbers_at(path: &Path, value: &Value) -> Result<(), String> {
    match value {
        Value::Number(number) if !is_portable(number) => Err(format!(
            "the number {} at `{path}` is too large: integers fit 64 bits, others a double",
            shortened(&number.to_string())
        )),
        Value::Object(map) => {
            map.iter().try_for_each(|(key, inner)| check_numbers_at(&path.inside(key), inner))
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, inner)| {
            check_numbers_at(&path.inside(index.to_string()), inner)
        }),
        _ => Ok(()),
    }
}

fn is_portable(number: &Number) -> bool {
    let is_integer = !number.to_string().contains(['.', 'e', 'E']);
    if is_integer {
        number.is_i64() || number.is_u64()
    } else {
        number.as_f64().is_some_and(f64::is_finite)
    }
}

/// The requirements of a state: an object, of portable numbers, of bounded size, valid under
/// `state/schema.json`.
#[derive(Debug)]
pub struct Rules {
    schema: Option<Schema>,
    /// The names that the schema may require, where it judges each part by itself.
    by_part: Option<BTreeSet<String>>,
}

impl Rules {
    /// The rules under a schema; the error states why the schema is invalid.
    pub fn new(given: Option<&Value>) -> Result<Self, String> {
        let schema = given.map(Schema::new).transpose();
        let schema = schema.map_err(|flaw| {
            format!(
                "state/schema.json is not a JSON Schema: at `{}`: {}",
                flaw.pointer, flaw.problem
            )
        })?;
        if let Some(problem) = given.and_then(merge_rule::problem) {
            return Err(format!("state/schema.json: {problem}"));
        }
        let by_part = given.map_or_else(|| Some(BTreeSet::new()), separable::required_names);
        Ok(Self { schema, by_part })
    }

    /// Whether a state is valid where it was before a change and each changed part is.
    pub fn are_by_part(&self) -> bool {
        self.by_part.is_some()
    }

    /// Like `check`, of a state that was valid before these parts changed.
    pub fn check_parts(
        &self,
        state: &parts::Parts,
        changed: &[parts::Part<'_>],
    ) -> Result<(), String> {
        let excerpt = self.by_part.as_ref().map(|required| state.excerpt(changed, required));
        if excerpt.is_some_and(|excerpt| state.size() <= MAX_BYTES && self.check(&excerpt).is_ok())
        {
            return Ok(());
        }
        self.check(&state.value()).map(drop)
    }

    /// The state in its canonical form, or which place breaks which rule.
    pub fn check(&self, state: &Value) -> Result<Value, String> {
        if !state.is_object() {
            return Err(format!("a state is a JSON object, not {}", shortened(&state.to_string())));
        }
        check_numbers(state)?;
        if let Some(flaw) =
            self.schema.as_ref().and_then(|schema| schema.violations(state).into_iter().next())
        {
            let place = if flaw.pointer.is_empty() {
                "its top".to_owned()
            } else {
                format!("`{}`", flaw.pointer)
            };
            return Err(format!(
                "the state would break state/schema.json at {place}: {}",
                shortened(&flaw.problem)
            ));
        }
        let state = canonical::normal(state);
        let bytes = canonical::normal_to_bytes(&state).len();
        if bytes > MAX_BYTES {
            return Err(format!("the state would have {bytes} bytes; the limit is {MAX_BYTES}"));
        }
        Ok(state)
    }
}

/// The longest value or message that is shown in full.
const SHOWN: usize = 200;

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn distance_counts_single_values() {
        let states = [
            json!({"n": 1}),
            json!({"n": 1, "o": {"a": {"x": 1, "y": 2}, "b": []}}),
            json!({"n": 1, "o": {"a": {"x": 1, "y": 3}, "b": [], "c": 1}}),
        ];
        let [none, old, new] = &states;
        assert_eq!((distance(none, new), distance(old, new), distance(new, new)), (4, 2, 0));
        assert_eq!(distance(new, none), 4);
    }

    #[test]
    fn path_reads_and_writes_its_value() {
        let mut state = json!({"a": {"b": [1, 2]}, "x.y": 0});
        for (text, value, shown) in
            [("a.b.1", json!(5), "a.b.1"), ("/x.y", json!(1), "/x.y"), ("n.m", json!(true), "n.m")]
        {
            path(text).set(&mut state, value.clone()).unwrap();
            assert_eq!(path(text).get(&state), Some(&value), "{text}");
            assert_eq!(path(text).to_string(), shown);
        }
        assert_eq!(state, json!({"a": {"b": [1, 5]}, "x.y": 1, "n": {"m": true}}));
    }

    #[test]
    fn unresolvable_path_names_its_last_valid_prefix() {
        let mut state = json!({"a": {"b": [1, 2]}});
        assert_eq!(
            path("a.b.7").set(&mut state, json!(0)).unwrap_err(),
            "`a.b` is an array of 2, and `7` is not an index into it"
        );
        assert!(
            path("a.b.0.c")
                .set(&mut state, json!(0))
                .unwrap_err()
                .contains("`a.b.0` is neither object nor array")
        );
        assert!("a..b".parse::<Path>().is_err());
    }

    #[test]
    fn differences_are_named_by_path() {
        let found = differences(
            &json!({"a": 1, "b": {"c": [1, 2]}, "d": 0}),
            &json!({"a": 1, "b": {"c": [1, 3, 4]}, "e": 0}),
        );
        let shown: Vec<String> = found
            .iter()
            .map(|one| format!("{}: {:?} -> {:?}", one.path, one.old, one.new))
            .collect();
        assert_eq!(
            shown,
            [
                "b.c.1: Some(Number(2)) -> Some(Number(3))",
                "b.c.2: None -> Some(Number(4))",
                "d: Some(Number(0)) -> None",
                "e: None -> Some(Number(0))"
            ]
        );
    }

    #[test]
    fn out_of_range_numbers_are_refused_with_their_path() {
        for (text, place) in [
            (r#"{"a":[1e999]}"#, "`a.0`"),
            (r#"{"n":123456789012345678901}"#, "`n`"),
            (r#"{"n":-9223372036854775809}"#, "`n`"),
        ] {
            let error = check_numbers(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert!(error.contains(place), "{error}");
        }
        check_numbers(
            &serde_json::from_str(r"[18446744073709551615, -9223372036854775808, 1e308, 0.1]")
                .unwrap(),
        )
        .unwrap();
    }

    #[test]
    fn state_must_match_its_schema() {
        let rules = Rules::new(Some(
            &json!({"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}}),
        ))
        .unwrap();
        assert_eq!(rules.check(&json!({"n": 9})).unwrap(), json!({"n": 9}));
        for (state, expected) in [
            (json!({"n": 10}), "state/schema.json at `/n`: 10 is greater than the maximum of 9"),
            (json!([1]), "a state is a JSON object"),
            (serde_json::from_str("{\"m\":1e400}").unwrap(), "`m` is too large"),
        ] {
            let error = rules.check(&state).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Rules::new(Some(&json!({"type": "strnig"}))).unwrap_err().contains("`/type`"));
        assert!(Rules::new(None).unwrap().check(&json!({"any": "thing"})).is_ok());
    }
}
