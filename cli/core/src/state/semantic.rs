//! Three-way merge of states by meaning.
//!
//! Objects merge key by key. Everything else (numbers, strings, arrays) is an atom: it is one thing
//! that was learned, and two different values learned concurrently are a conflict, which names its
//! path. No side is ever chosen silently. Where state/schema.json has a rule (`x-agent-merge`), the
//! two values are merged by it.

use crate::state::merge_rule::Place;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A place where both sides changed, and not to the same. `None` is absence.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// A JSON pointer; the empty one is the root of the state.
    pub path: String,
    pub base: Option<Value>,
    pub ours: Option<Value>,
    pub theirs: Option<Value>,
}

/// The state that holds both sides' changes since `base`, or every place where that is not
/// possible.
pub fn merge(
    base: &Value,
    ours: &Value,
    theirs: &Value,
    schema: Option<&Value>,
) -> Result<Value, Vec<Conflict>> {
    let mut merge = Merge::default();
    let sides = Sides { base: Some(base), ours: Some(ours), theirs: Some(theirs) };
    let merged = merge.value(sides, schema.map(Place::top), "");
    if merge.conflicts.is_empty() {
        Ok(merged.unwrap_or(Value::Null))
    } else {
        Err(merge.conflicts)
    }
}

/// The values at one path; `None` is absence.
#[derive(Clone, Copy)]
struct Sides<'a> {
    base: Option<&'a Value>,
    ours: Option<&'a Value>,
    theirs: Option<&'a Value>,
}

#[derive(Default)]
struct Merge {
    conflicts: Vec<Conflict>,
}

impl Merge {
    fn value(&mut self, sides: Sides<'_>, place: Option<Place<'_>>, path: &str) -> Option<Value> {
        let Sides { base, ours, theirs } = sides;
        if theirs == base {
            return ours.cloned();
        }
        if ours == base {
            return theirs.cloned();
        }
        if let (Some(ours), Some(theirs), Some(rule)) = (ours, theirs, place.and_then(Place::rule))
            && let Some(merged) = rule.merge(base, ours, theirs)
        {
            return Some(merged);
        }
        if ours == theirs {
            return ours.cloned();
        }
        if let (Some(Value::Object(ours)), Some(Value::Object(theirs))) = (ours, theirs) {
            return Some(self.objects(base, ours, theirs, place, path));
        }
        let (base, ours, theirs) = (base.cloned(), ours.cloned(), theirs.cloned());
        self.conflicts.push(Conflict { path: path.to_owned(), base, ours, theirs });
        None
    }

    fn objects(
        &mut self,
        base: Option<&Value>,
        ours: &Map<String, Value>,
        theirs: &Map<String, Value>,
        place: Option<Place<'_>>,
        path: &str,
    ) -> Value {
        // two objects that appeared, or took the place of something else, have nothing in common to
        // start from
        let nothing = Map::new();
        let base = base.and_then(Value::as_object).unwrap_or(&nothing);
        let keys: BTreeSet<&String> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        let merged = keys.into_iter().filter_map(|key| {
            let below = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            let sides = Sides { base: base.get(key), ours: ours.get(key), theirs: theirs.get(key) };
            let value = self.value(sides, place.map(|place| place.member(key)), &below)?;
            Some((key.clone(), value))
        });
        Value::Object(merged.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Conflict, merge as merge_under};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn merge(base: &Value, ours: &Value, theirs: &Value) -> Result<Value, Vec<Conflict>> {
        merge_under(base, ours, theirs, None)
    }

    #[test]
    fn rules_of_the_schema_merge_what_would_conflict() {
        let schema = json!({"properties": {"n": {"x-agent-merge": "sum"}}});
        let (base, ours, theirs) =
            (json!({"n": 1, "a": 0}), json!({"n": 2, "a": 1}), json!({"n": 2, "a": 2}));
        let found = merge_under(&base, &ours, &theirs, Some(&schema)).unwrap_err();
        assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/a"]);
        let theirs = json!({"n": 2, "a": 0});
        let merged = merge_under(&base, &ours, &theirs, Some(&schema));
        assert_eq!(merged, Ok(json!({"n": 3, "a": 1})));
    }

    fn conflicts(base: &Value, ours: &Value, theirs: &Value) -> Vec<String> {
        merge(base, ours, theirs).unwrap_err().into_iter().map(|conflict| conflict.path).collect()
    }

    #[test]
    fn changes_at_different_paths_merge() {
        let base = json!({"ranking": {"k1": 1.2, "b": 0.75}, "strategies": {"bm25": {"n": 3}}});
        let ours = json!({"ranking": {"k1": 1.4, "b": 0.75}, "strategies": {"bm25": {"n": 3},
            "exact": {"n": 1}}});
        let theirs = json!({"ranking": {"k1": 1.2, "b": 0.5}, "strategies": {}});
        let merged = json!({"ranking": {"k1": 1.4, "b": 0.5}, "strategies": {"exact": {"n": 1}}});
        assert_eq!(merge(&base, &ours, &theirs), Ok(merged));
    }

    #[test]
    fn merge_conflict_is_named() {
        let base = json!({"n": 1, "list": [1], "gone": {"x": 1}, "a/b": {"~": 1}});
        let ours = json!({"n": 2, "list": [1, 2], "gone": {"x": 2}, "a/b": {"~": 2}});
        let theirs = json!({"n": 3, "list": [1, 3], "a/b": {"~": 3}});
        assert_eq!(conflicts(&base, &ours, &theirs), ["/a~1b/~0", "/gone", "/list", "/n"]);
        assert_eq!(conflicts(&json!(1), &json!(2), &json!(3)), [""]);
    }

    #[test]
    fn both_sides_may_add_to_a_new_object() {
        let both = merge(
            &json!({}),
            &json!({"new": {"a": 1, "same": 0}}),
            &json!({"new": {"b": 2, "same": 0}}),
        );
        assert_eq!(both, Ok(json!({"new": {"a": 1, "b": 2, "same": 0}})));
    }

    fn states() -> impl Strategy<Value = Value> {
        let atom = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from)
        ];
        atom.prop_recursive(3, 24, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn swapped(outcome: Result<Value, Vec<Conflict>>) -> Result<Value, Vec<Conflict>> {
        outcome.map_err(|conflicts| {
            conflicts
                .into_iter()
                .map(|found| Conflict { ours: found.theirs, theirs: found.ours, ..found })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn sides_can_be_swapped(base in states(), ours in states(), theirs in states()) {
            prop_assert_eq!(merge(&base, &ours, &theirs), swapped(merge(&base, &theirs, &ours)));
        }

        #[test]
        fn a_side_that_did_nothing_changes_nothing(base in states(), side in states()) {
            prop_assert_eq!(merge(&base, &side, &base), Ok(side.clone()));
            prop_assert_eq!(merge(&base, &base, &side), Ok(side.clone()));
            prop_assert_eq!(merge(&base, &side, &side), Ok(side));
        }

        #[test]
        fn merging_a_side_again_changes_nothing(base in states(), ours in states(),
            theirs in states()) {
            if let Ok(merged) = merge(&base, &ours, &theirs) {
                prop_assert_eq!(merge(&ours, &merged, &ours), Ok(merged.clone()));
                prop_assert_eq!(merge(&base, &merged, &merged), Ok(merged));
            }
        }
    }
}
