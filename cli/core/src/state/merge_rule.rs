//! `x-agent-merge` in state/schema.json: how two values that were learned concurrently become one.

use crate::formats::number;
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;

/// The keyword in state/schema.json.
pub const KEYWORD: &str = "x-agent-merge";
/// References followed from one schema to another before a circle is assumed.
const MAX_REFERENCES: usize = 32;

/// How concurrent changes of a value are merged. Each rule is symmetric in the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeRule {
    /// Numbers, also inside arrays and objects: `ours + theirs - base`. For counts and sums, to
    /// which each side added what it observed.
    Sum,
    /// The larger number.
    Max,
    /// The smaller number.
    Min,
    /// Arrays of distinct items: what either side added, without what either side removed.
    Union,
}

impl MergeRule {
    const ALL: [(&'static str, Self); 4] =
        [("sum", Self::Sum), ("max", Self::Max), ("min", Self::Min), ("union", Self::Union)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
    }

    /// The merged value; `None` where the rule does not fit the values, which is a conflict.
    pub fn merge(self, base: Option<&Value>, ours: &Value, theirs: &Value) -> Option<Value> {
        match self {
            Self::Sum => sum(base, ours, theirs),
            Self::Max => chosen(ours, theirs, |ours, theirs| ours >= theirs),
            Self::Min => chosen(ours, theirs, |ours, theirs| ours <= theirs),
            Self::Union => union(base, ours, theirs),
        }
    }
}

fn sum(base: Option<&Value>, ours: &Value, theirs: &Value) -> Option<Value> {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => {
            let base = match base {
                None => Number::from(0),
                Some(Value::Number(base)) => base.clone(),
                Some(_) => return None,
            };
            added(&base, ours, theirs).map(Value::Number)
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            let base = match base {
                None => None,
                Some(Value::Array(base)) => Some(base),
                Some(_) => return None,
            };
            let lengths_fit =
                ours.len() == theirs.len() && base.is_none_or(|base| base.len() == ours.len());
            let items = ours.iter().zip(theirs).enumerate();
            lengths_fit
                .then(|| {
                    items
                        .map(|(index, (ours, theirs))| {
                            sum(base.and_then(|base| base.get(index)), ours, theirs)
                        })
                        .collect::<Option<Vec<_>>>()
                })?
                .map(Value::Array)
        }
        (Value::Object(ours), Value::Object(theirs)) => sum_of_objects(base, ours, theirs),
        _ => (ours == theirs).then(|| ours.clone()),
    }
}

fn sum_of_objects(
    base: Option<&Value>,
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
) -> Option<Value> {
    let base = match base {
        None => None,
        Some(Value::Object(base)) => Some(base),
        Some(_) => return None,
    };
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let merged = keys.into_iter().map(|key| {
        let before = base.and_then(|base| base.get(key));
        let value = match (ours.get(key), theirs.get(key)) {
            (Some(ours), Some(theirs)) => sum(before, ours, theirs)?,
            // added on one side; what one side removed and the other changed is a conflict
            (Some(only), None) | (None, Some(only)) if before.is_none() => only.clone(),
            (Some(only), None) | (None, Some(only)) => {
                return (before == Some(only)).then_some(None);
            }
            (None, None) => return Some(None),
        };
        Some(Some((key.clone(), value)))
    });
    let members = merged.collect::<Option<Vec<_>>>()?;
    Some(Value::Object(members.into_iter().flatten().collect()))
}

/// `ours + theirs - base`: exact for integers, otherwise in double precision.
fn added(base: &Number, ours: &Number, theirs: &Number) -> Option<Number> {
    let integer = |number: &Number| number.as_i128();
    if let (Some(base), Some(ours), Some(theirs)) = (integer(base), integer(ours), integer(theirs))
    {
        let total = ours + theirs - base;
        return i64::try_from(total)
            .map(Number::from)
            .or_else(|_| u64::try_from(total).map(Number::from))
            .ok();
    }
    Number::from_f64(ours.as_f64()? + theirs.as_f64()? - base.as_f64()?)
}

fn chosen(ours: &Value, theirs: &Value, is_ours: impl Fn(f64, f64) -> bool) -> Option<Value> {
    let (Value::Number(one), Value::Number(other)) = (ours, theirs) else { return None };
    if number::equal(one, other) {
        return Some(ours.clone());
    }
    Some(if is_ours(one.as_f64()?, other.as_f64()?) { ours } else { theirs }.clone())
}

fn union(base: Option<&Value>, ours: &Value, theirs: &Value) -> Option<Value> {
    let (Value::Array(ours), Value::Array(theirs)) = (ours, theirs) else { return None };
    let nothing = Vec::new();
    let base = match base {
        None => &nothing,
        Some(Value::Array(base)) => base,
        Some(_) => return None,
    };
    let stays = |item: &&Value| {
        let is_on_both = ours.contains(item) && theirs.contains(item);
        is_on_both || !base.contains(item)
    };
    let mut merged: Vec<Value> = base.iter().filter(stays).cloned().collect();
    let mut new: Vec<&Value> =
        ours.iter().chain(theirs).filter(stays).filter(|item| !base.contains(item)).collect();
    // an order that does not depend on which side is ours
    new.sort_by_key(ToString::to_string);
    new.dedup();
    merged.extend(new.into_iter().cloned());
    Some(Value::Array(merged))
}

/// A place in a schema, for following a path through a state.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    root: &'a Value,
    schema: Option<&'a Value>,
}

impl<'a> Place<'a> {
    /// The top of a state under this schema.
    pub fn top(schema: &'a Value) -> Self {
        Self { root: schema, schema: resolved(schema, schema) }
    }

    pub fn rule(self) -> Option<MergeRule> {
        MergeRule::named(self.schema?.get(KEYWORD)?.as_str()?)
    }

    /// The schema of a member.
    #[must_use]
    pub fn member(self, key: &str) -> Self {
        let below = self.schema.and_then(|schema| {
            schema
                .get("properties")
                .and_then(|properties| properties.get(key))
                .or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
        });
        Self { root: self.root, schema: below.and_then(|schema| resolved(self.root, schema)) }
    }
}

/// Follows references inside the document (`#/$defs/...`).
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let mut schema = schema;
    for _ in 0..MAX_REFERENCES {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return Some(schema);
        };
        schema = root.pointer(reference.strip_prefix('#')?)?;
    }
    None
}

/// The first rule in a schema that does not exist: where, and why.
pub fn problem(schema: &Value) -> Option<String> {
    fn search(schema: &Value, pointer: &mut String) -> Option<String> {
        let members: Vec<(String, &Value)> = match schema {
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
            }
            _ => return None,
        };
        if let Some(rule) = schema.get(KEYWORD)
            && rule.as_str().and_then(MergeRule::named).is_none()
            // a member of the state may have this name
            && !pointer.ends_with("/properties")
        {
            let names: Vec<_> = MergeRule::ALL.iter().map(|(name, _)| *name).collect();
            return Some(format!(
                "`{pointer}/{KEYWORD}` is {rule}; the rules are: {}",
                names.join(", ")
            ));
        }
        members.into_iter().find_map(|(key, value)| {
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&key);
            let found = search(value, pointer);
            pointer.truncate(length);
            found
        })
    }
    search(schema, &mut String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merge(rule: &str, base: &Value, ours: &Value, theirs: &Value) -> Option<Value> {
        MergeRule::named(rule).unwrap().merge(Some(base), ours, theirs)
    }

    #[test]
    fn sums_add_what_each_side_observed() {
        assert_eq!(merge("sum", &json!(5), &json!(7), &json!(6)), Some(json!(8)));
        assert_eq!(merge("sum", &json!(0.5), &json!(1.5), &json!(1)), Some(json!(2.0)));
        let large = json!(u64::MAX);
        assert_eq!(merge("sum", &large, &large, &large), Some(large.clone()));
        assert_eq!(merge("sum", &json!(0), &large, &large), None);
        assert_eq!(
            merge(
                "sum",
                &json!({"a": [1, 2], "gone": 1, "also": 3}),
                &json!({"a": [2, 2], "n": 1, "also": 3}),
                &json!({"a": [1, 5], "gone": 1, "n": 2})
            ),
            Some(json!({"a": [2, 5], "n": 3}))
        );
    }

    #[test]
    fn sums_of_other_shapes_are_conflicts() {
        assert_eq!(merge("sum", &json!([1]), &json!([1, 2]), &json!([3])), None);
        assert_eq!(merge("sum", &json!([1]), &json!([1, 2]), &json!([3, 4])), None);
        assert_eq!(merge("sum", &json!("a"), &json!(1), &json!(2)), None);
        assert_eq!(merge("sum", &json!({"a": 1}), &json!({"a": 2}), &json!({})), None);
        assert_eq!(merge("sum", &json!(0), &json!("a"), &json!("b")), None);
    }

    #[test]
    fn extremes_and_unions() {
        assert_eq!(merge("max", &json!(1), &json!(2.0), &json!(3)), Some(json!(3)));
        assert_eq!(merge("min", &json!(1), &json!(2.5), &json!(3)), Some(json!(2.5)));
        assert_eq!(merge("max", &json!(1), &json!("a"), &json!(3)), None);
        assert_eq!(
            merge("union", &json!(["a", "b"]), &json!(["b", "z", "c"]), &json!(["a", "b", "c"])),
            Some(json!(["b", "c", "z"]))
        );
    }

    #[test]
    fn rule_is_found_along_a_path() {
        let schema = json!({
            "properties": {"arms": {"additionalProperties": {"$ref": "#/$defs/arm"}}},
            "$defs": {"arm": {"properties": {"n": {"x-agent-merge": "sum"}}}}
        });
        let arm = Place::top(&schema).member("arms").member("blue");
        assert_eq!(arm.member("n").rule(), Some(MergeRule::Sum));
        assert_eq!(arm.member("other").rule(), None);
        let circle = json!({"$ref": "#"});
        assert_eq!(Place::top(&circle).member("a").rule(), None);
    }

    #[test]
    fn unknown_rule_is_named_with_its_place() {
        let schema = json!({"properties": {"n": {"x-agent-merge": "add"}}});
        assert_eq!(
            problem(&schema).unwrap(),
            "`/properties/n/x-agent-merge` is \"add\"; the rules are: sum, max, min, union"
        );
        assert_eq!(problem(&json!({"properties": {"x-agent-merge": {"type": "string"}}})), None);
    }
}
