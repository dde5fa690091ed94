//! Walks two schemas side by side and names what changed where.
//!
//! Objects, arrays and enumerations are compared member by member, so that a change is reported at
//! its own path; any other difference is one change, and `inclusion` decides its direction.

use super::inclusion::{Inclusion, inclusion};
use super::rules::{Placeholders, RuleId, rule};
use crate::formats::canonical;
use crate::version::Bump;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashSet};

/// Which way the values travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Parameter,
    Result,
}

/// What changed, at a JSON pointer below the schema's own place.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub rule: RuleId,
    pub path: String,
    pub words: Placeholders,
}

/// A recursion limit, deeper than real schemas; below it two schemas are compared as a unit.
const DEPTH: usize = 24;
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Annotations: keywords that neither allow nor refuse values.
const ANNOTATIONS: [&str; 8] = [
    "title",
    "description",
    "examples",
    "$comment",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
];

pub(super) fn compare(direction: Direction, name: &str, old: &Value, new: &Value) -> Vec<Finding> {
    let same_definitions = DEFINITIONS.iter().all(|key| old.get(key) == new.get(key));
    let mut walk =
        Walk { direction, old, new, same_definitions, seen: HashSet::new(), findings: Vec::new() };
    let root = Place { name: name.to_owned(), path: String::new(), depth: 0 };
    walk.step(old, new, &root);
    walk.check_the_sum(&root);
    walk.findings
}

/// The schema without keywords that do not affect which values it allows.
pub(super) fn without_annotations(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let kept = map.iter().filter(|(key, _)| !is_annotation(key) && *key != "default");
    Value::Object(
        kept.map(|(key, value)| (key.clone(), below(key, value, without_annotations))).collect(),
    )
}

/// Applies `change` to the schemas directly below a keyword, and leaves data (`enum`, `const`)
/// alone.
fn below(keyword: &str, value: &Value, change: fn(&Value) -> Value) -> Value {
    match (keyword, value) {
        ("enum" | "const" | "required" | "default" | "dependentRequired", _) => value.clone(),
        (
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
            Value::Object(map),
        ) => {
            Value::Object(map.iter().map(|(name, schema)| (name.clone(), change(schema))).collect())
        }
        (_, Value::Array(items)) => Value::Array(items.iter().map(change).collect()),
        (_, other) => change(other),
    }
}

/// Readers ignore unknown fields, so a closed result schema is compared as an open one.
fn opened(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let closes = |key: &str, value: &Value| {
        matches!(key, "additionalProperties" | "unevaluatedProperties")
            && value == &Value::Bool(false)
    };
    let kept = map.iter().filter(|(key, value)| !closes(key, value));
    Value::Object(kept.map(|(key, value)| (key.clone(), below(key, value, opened))).collect())
}

/// The placeholder for every key of a map; inclusion checks declared properties only.
const ANY_KEY: &str = "*";

/// Maps declare the schema of their values with it.
fn with_maps_declared(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut changed: Map<_, _> = map
        .iter()
        .map(|(key, value)| (key.clone(), below(key, value, with_maps_declared)))
        .collect();
    if let Some(values) =
        changed.get("additionalProperties").filter(|further| further.is_object()).cloned()
    {
        let properties = changed.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        properties.as_object_mut().map(|properties| properties.insert(ANY_KEY.to_owned(), values));
    }
    Value::Object(changed)
}

fn is_annotation(key: &str) -> bool {
    ANNOTATIONS.contains(&key) || key.starts_with("x-")
}

struct Place {
    /// The display name: the parameter's or field's name, dotted when nested.
    name: String,
    path: String,
    depth: usize,
}

impl Place {
    fn property(&self, root: bool, name: &str) -> Self {
        let shown = if root { name.to_owned() } else { format!("{}.{name}", self.name) };
        self.at(shown, &format!("properties/{}", escaped(name)))
    }

    fn at(&self, name: String, step: &str) -> Self {
        Self { name, path: format!("{}/{step}", self.path), depth: self.depth + 1 }
    }
}

/// A name as one step of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The forms that are compared member by member.
#[derive(PartialEq, Eq)]
enum Form {
    Record,
    List,
    Choice,
    Other,
}

impl Form {
    fn of(schema: &Value) -> Self {
        let Some(map) = schema.as_object() else { return Self::Other };
        let only = |allowed: &[&str]| {
            map.keys().all(|key| {
                is_annotation(key)
                    || key == "default"
                    || DEFINITIONS.contains(&key.as_str())
                    || allowed.contains(&key.as_str())
            })
        };
        let kind = map.get("type").and_then(Value::as_str);
        if kind == Some("object")
            && only(&["type", "properties", "required", "additionalProperties"])
        {
            Self::Record
        } else if kind == Some("array") && map.contains_key("items") && only(&["type", "items"]) {
            Self::List
        } else if (map.contains_key("enum") || map.contains_key("const"))
            && only(&["type", "enum", "const"])
        {
            Self::Choice
        } else {
            Self::Other
        }
    }
}

struct Walk<'a> {
    direction: Direction,
    old: &'a Value,
    new: &'a Value,
    same_definitions: bool,
    /// Pairs that were compared already: ends the recursion of recursive schemas.
    seen: HashSet<(*const Value, *const Value)>,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn found(&mut self, rule: RuleId, place: &Place, words: Placeholders) {
        let words = Placeholders { name: place.name.clone(), ..words };
        self.findings.push(Finding { rule, path: place.path.clone(), words });
    }

    /// The rule for parameters or the one for results.
    fn by_direction(&self, parameter: RuleId, result: RuleId) -> RuleId {
        match self.direction {
            Direction::Parameter => parameter,
            Direction::Result => result,
        }
    }

    fn step(&mut self, old: &'a Value, new: &'a Value, place: &Place) {
        let (old, new) = (resolved(old, self.old), resolved(new, self.new));
        if (old == new && self.same_definitions) || !self.seen.insert((old, new)) {
            return;
        }
        self.descriptions(old, new, place);
        match (Form::of(old), Form::of(new)) {
            _ if place.depth >= DEPTH => self.whole(old, new, place),
            (Form::Record, Form::Record) => self.records(old, new, place),
            (Form::List, Form::List) => self.step(
                &old["items"],
                &new["items"],
                &place.at(format!("{}[]", place.name), "items"),
            ),
            (Form::Choice, Form::Choice) => self.choices(old, new, place),
            _ => self.whole(old, new, place),
        }
    }

    fn descriptions(&mut self, old: &Value, new: &Value, place: &Place) {
        let changed = |key: &str| old.get(key) != new.get(key);
        if changed("description") || changed("title") || changed("examples") {
            let rule = self.by_direction(
                RuleId::ParameterDescriptionChanged,
                RuleId::ResultDescriptionChanged,
            );
            self.found(rule, place, Placeholders::default());
        }
        if self.direction == Direction::Parameter && changed("default") {
            let shown =
                |schema: &Value| schema.get("default").map_or_else(|| "absent".to_owned(), code);
            self.found(
                RuleId::ParameterDefaultChanged,
                place,
                Placeholders { old: shown(old), new: shown(new), ..Placeholders::default() },
            );
        }
    }

    fn records(&mut self, old: &'a Value, new: &'a Value, place: &Place) {
        let (olds, news) = (properties(old), properties(new));
        let (needed_before, needed_now) = (required(old), required(new));
        for name in keys(olds).chain(keys(news)).collect::<BTreeSet<_>>() {
            let inner = place.property(place.depth == 0, name);
            let (before, now) =
                (needed_before.contains(name.as_str()), needed_now.contains(name.as_str()));
            match (olds.and_then(|map| map.get(name)), news.and_then(|map| map.get(name))) {
                (Some(old), Some(new)) => {
                    self.presence(before, now, &inner);
                    self.step(old, new, &inner);
                }
                (None, Some(_)) => self.added(now, &inner),
                (Some(_), None) => self.removed(before, &inner),
                (None, None) => {}
            }
        }
        self.further(old, new, place);
    }

    fn presence(&mut self, before: bool, now: bool, place: &Place) {
        let rule =
            match (before, now) {
                (false, true) => self
                    .by_direction(RuleId::ParameterMadeRequired, RuleId::ResultFieldMadeRequired),
                (true, false) => self
                    .by_direction(RuleId::ParameterMadeOptional, RuleId::ResultFieldMadeOptional),
                _ => return,
            };
        self.found(rule, place, Placeholders::default());
    }

    fn added(&mut self, required: bool, place: &Place) {
        let rule = if required {
            self.by_direction(RuleId::RequiredParameterAdded, RuleId::RequiredResultFieldAdded)
        } else {
            self.by_direction(RuleId::OptionalParameterAdded, RuleId::OptionalResultFieldAdded)
        };
        self.found(rule, place, Placeholders::default());
    }

    fn removed(&mut self, required: bool, place: &Place) {
        let result = if required {
            RuleId::RequiredResultFieldRemoved
        } else {
            RuleId::OptionalResultFieldRemoved
        };
        self.found(
            self.by_direction(RuleId::ParameterRemoved, result),
            place,
            Placeholders::default(),
        );
    }

    /// Maps: an object whose additional properties have a schema.
    fn further(&mut self, old: &'a Value, new: &'a Value, place: &Place) {
        let schema_of = |record: &'a Value| {
            record.get("additionalProperties").filter(|further| further.is_object())
        };
        let inner = place.at(format!("{}.*", place.name), "additionalProperties");
        match (schema_of(old), schema_of(new)) {
            (Some(old), Some(new)) => self.step(old, new, &inner),
            (None, None) => {}
            (Some(old_values), None) => {
                let closed = new.get("additionalProperties") == Some(&Value::Bool(false));
                self.map_changed(!closed, old_values, &inner);
            }
            (None, Some(new_values)) => {
                let closed = old.get("additionalProperties") == Some(&Value::Bool(false));
                self.map_changed(closed, new_values, &inner);
            }
        }
    }

    fn map_changed(&mut self, widened: bool, values: &Value, place: &Place) {
        let rule = match (self.direction, widened) {
            (Direction::Parameter, true) => RuleId::ParameterWidened,
            (Direction::Parameter, false) => RuleId::ParameterNarrowed,
            (Direction::Result, true) => RuleId::ResultWidened,
            (Direction::Result, false) => RuleId::ResultNarrowed,
        };
        self.found(
            rule,
            place,
            Placeholders {
                detail: format!("other values than {}", code(values)),
                ..Placeholders::default()
            },
        );
    }

    fn choices(&mut self, old: &Value, new: &Value, place: &Place) {
        let (olds, news) = (choices(old), choices(new));
        for value in news.iter().filter(|value| !olds.contains(value)) {
            let rule = self.by_direction(RuleId::ParameterValueAdded, RuleId::ResultValueAdded);
            self.found(rule, place, Placeholders { new: code(value), ..Placeholders::default() });
        }
        for value in olds.iter().filter(|value| !news.contains(value)) {
            let rule = self.by_direction(RuleId::ParameterValueRemoved, RuleId::ResultValueRemoved);
            self.found(rule, place, Placeholders { old: code(value), ..Placeholders::default() });
        }
    }

    /// The direction of a difference that is one change.
    fn whole(&mut self, old: &Value, new: &Value, place: &Place) {
        let (old, new) = (standalone(old, self.old), standalone(new, self.new));
        if old == new {
            return;
        }
        let (from, to) = self.oriented(old, new);
        let (rule, detail) = match inclusion(&from, &to) {
            Inclusion::Proven if inclusion(&to, &from) == Inclusion::Proven => {
                (RuleId::SchemaRewritten, String::new())
            }
            Inclusion::Proven => {
                (self.by_direction(RuleId::ParameterWidened, RuleId::ResultNarrowed), String::new())
            }
            Inclusion::Refuted { example } => (
                self.by_direction(RuleId::ParameterNarrowed, RuleId::ResultWidened),
                code(&example),
            ),
            Inclusion::Unknown { reason } => {
                (self.by_direction(RuleId::ParameterUndecided, RuleId::ResultUndecided), reason)
            }
        };
        self.found(rule, place, Placeholders { detail, ..Placeholders::default() });
    }

    /// The values that must be allowed, and the schema that must allow them.
    fn oriented(&self, old: Value, new: Value) -> (Value, Value) {
        match self.direction {
            Direction::Parameter => (old, new),
            Direction::Result => (opened(&new), opened(&old)),
        }
    }

    /// Changes that are each compatible may be incompatible together; a counterexample for the
    /// complete schema proves it.
    fn check_the_sum(&mut self, root: &Place) {
        if self.findings.is_empty()
            || self.findings.iter().any(|found| rule(found.rule).level == Bump::Major)
        {
            return;
        }
        let (from, to) =
            self.oriented(standalone(self.old, self.old), standalone(self.new, self.new));
        if let Inclusion::Refuted { example } = inclusion(&from, &to) {
            let rule = self.by_direction(RuleId::ParameterNarrowed, RuleId::ResultWidened);
            self.found(
                rule,
                root,
                Placeholders { detail: code(&example), ..Placeholders::default() },
            );
        }
    }
}

fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    // a reference to itself would recurse without end
    for _ in 0..DEPTH {
        let target = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// A self-contained part of a schema: without annotations, with the definitions it may refer to.
fn standalone(schema: &Value, root: &Value) -> Value {
    let mut part = schema.clone();
    if let Value::Object(map) = &mut part
        && mentions_a_reference(schema)
    {
        map.extend(
            DEFINITIONS.iter().filter_map(|key| Some(((*key).to_owned(), root.get(key)?.clone()))),
        );
    }
    with_maps_declared(&without_annotations(&part))
}

fn mentions_a_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key("$ref") || map.values().any(mentions_a_reference),
        Value::Array(items) => items.iter().any(mentions_a_reference),
        _ => false,
    }
}

fn properties(record: &Value) -> Option<&Map<String, Value>> {
    record.get("properties").and_then(Value::as_object)
}

fn keys(map: Option<&Map<String, Value>>) -> impl Iterator<Item = &String> {
    map.into_iter().flat_map(Map::keys)
}

fn required(record: &Value) -> BTreeSet<&str> {
    record
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn choices(schema: &Value) -> Vec<&Value> {
    match schema.get("enum").and_then(Value::as_array) {
        Some(values) => values.iter().collect(),
        None => schema.get("const").into_iter().collect(),
    }
}

fn code(value: &Value) -> String {
    format!("`{}`", canonical::to_compact(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(direction: Direction, old: &Value, new: &Value, expected: &[(RuleId, &str)]) {
        let found = compare(direction, "tool", old, new);
        let found: Vec<_> = found.iter().map(|found| (found.rule, found.path.as_str())).collect();
        assert_eq!(found, expected, "{old} -> {new}");
    }

    fn parameter(schema: &Value) -> Value {
        json!({"type": "object", "properties": {"p": schema}})
    }

    #[test]
    fn map_values_are_compared_at_any_depth() {
        let map = |kind: &str| json!({"type": "object", "additionalProperties": {"type": kind}});
        let (old, new) = (parameter(&map("number")), parameter(&map("string")));
        let path = "/properties/p/additionalProperties";
        check(Direction::Parameter, &old, &new, &[(RuleId::ParameterNarrowed, path)]);
        let nullable = |kind: &str| parameter(&json!({"anyOf": [map(kind), {"type": "null"}]}));
        check(
            Direction::Parameter,
            &nullable("integer"),
            &nullable("string"),
            &[(RuleId::ParameterNarrowed, "/properties/p")],
        );
        check(
            Direction::Parameter,
            &nullable("integer"),
            &nullable("number"),
            &[(RuleId::ParameterWidened, "/properties/p")],
        );
        check(
            Direction::Parameter,
            &parameter(&map("string")),
            &parameter(&json!({"type": "object"})),
            &[(RuleId::ParameterWidened, path)],
        );
    }

    #[test]
    fn a_recursive_schema_is_walked_once() {
        let tree = |leaf: &str| {
            let branch = json!({"$ref": "#/$defs/Tree"});
            let tree = json!({"type": "object", "properties": {"left": branch, "right": branch,
                "leaf": {"type": leaf}}});
            json!({"type": "object", "$defs": {"Tree": tree}, "properties": {"tree": branch}})
        };
        check(Direction::Parameter, &tree("integer"), &tree("integer"), &[]);
        let path = "/properties/tree/properties/leaf";
        check(
            Direction::Parameter,
            &tree("integer"),
            &tree("number"),
            &[(RuleId::ParameterWidened, path)],
        );
        check(
            Direction::Result,
            &tree("integer"),
            &tree("number"),
            &[(RuleId::ResultWidened, path)],
        );
    }

    #[test]
    fn change_inside_an_array_of_objects_has_its_own_path() {
        let hits = |extra: &Value| {
            let hit = json!({"type": "object", "properties": {"title": {"type": "string"},
                "score": extra}, "required": ["title", "score"]});
            json!({"type": "object", "properties": {"hits": {"type": "array", "items": hit}},
                "required": ["hits"]})
        };
        let (old, new) =
            (hits(&json!({"type": "number"})), hits(&json!({"type": ["number", "null"]})));
        check(
            Direction::Result,
            &old,
            &new,
            &[(RuleId::ResultWidened, "/properties/hits/items/properties/score")],
        );
    }

    #[test]
    fn schema_like_data_is_not_walked() {
        let old = parameter(&json!({"enum": [{"description": "a"}]}));
        let new = parameter(&json!({"enum": [{"description": "b"}]}));
        let path = "/properties/p";
        check(
            Direction::Parameter,
            &old,
            &new,
            &[(RuleId::ParameterValueAdded, path), (RuleId::ParameterValueRemoved, path)],
        );
        let named_title =
            |kind: &str| json!({"type": "object", "properties": {"title": {"type": kind}}});
        check(
            Direction::Parameter,
            &named_title("string"),
            &named_title("integer"),
            &[(RuleId::ParameterNarrowed, "/properties/title")],
        );
    }
}
