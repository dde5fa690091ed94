//! The documents of a template joined with those of a repository, in the repository's formatting:
//! what is missing is added, what is there stays, and what differs is a conflict.

use crate::contract::STATE_VERSION_KEY;
use crate::contract::new_keys::{self, NewKey, SCHEMA_FILE};
use crate::formats::canonical;
use crate::formats::json_edit::{ListEdit, with_list, with_value};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A document with what a template added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub text: String,
    /// What was added, by name; empty where the document had it all.
    pub added: Vec<String>,
}

/// The conflicts, as sentences, where there are any.
pub type Joining = Result<Joined, Vec<String>>;

/// The schema, the state and the step that migrates an earlier state, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedState {
    pub files: BTreeMap<String, Vec<u8>>,
    pub added: Vec<String>,
}

/// A state with its schema, as text.
#[derive(Debug, Clone, Copy)]
pub struct StateTexts<'a> {
    pub schema: &'a str,
    pub state: &'a str,
}

pub const STATE_FILE: &str = "state/active.state.json";

/// Keywords of a schema that do not restrict values.
const ANNOTATIONS: [&str; 6] = ["$comment", "$id", "$schema", "description", "examples", "title"];
/// Keywords at the top of a schema that are joined key by key, or are the repository's own.
const JOINED: [&str; 6] =
    ["type", "additionalProperties", "required", "properties", "$defs", STATE_VERSION_KEY];

/// Adds the template's keys of the state, with the values that they have in its own state. `read`
/// has the repository's other files.
pub fn state(
    own: StateTexts<'_>,
    template: StateTexts<'_>,
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<JoinedState, Vec<String>> {
    let schemas = (parsed(own.schema, SCHEMA_FILE)?, parsed(template.schema, SCHEMA_FILE)?);
    let states = (parsed(own.state, STATE_FILE)?, parsed(template.state, STATE_FILE)?);
    let mut conflicts = Vec::new();
    let mut text = own.schema.to_owned();
    let mut added = Vec::new();
    for (word, value) in others(&schemas.1) {
        match schemas.0.get(word) {
            None => text = set(&text, &[word], value)?,
            Some(there) if there == value => {}
            Some(_) => conflicts.push(format!("{SCHEMA_FILE} has another `{word}` at its top")),
        }
    }
    for (name, value) in members(&schemas.1, "$defs") {
        match schemas.0["$defs"].get(name) {
            None => text = set(&text, &["$defs", name], value)?,
            Some(there) if same(there, value) => {}
            Some(_) => conflicts.push(format!("{SCHEMA_FILE} defines `{name}` otherwise")),
        }
    }
    let mut keys = Vec::new();
    for (name, schema) in members(&schemas.1, "properties") {
        let is_version = name == "schema_version";
        match schemas.0["properties"].get(name) {
            _ if is_version => {}
            None => keys.push(NewKey {
                key: name.clone(),
                // a value that is there without a schema stays
                default: states.0.get(name).or_else(|| states.1.get(name)).cloned(),
                schema: schema.clone(),
                is_required: requires(&schemas.1, name),
            }),
            Some(there) if same(there, schema) => {}
            Some(there) => conflicts.push(format!(
                "the state has a key `{name}` already, {}",
                difference(there, schema)
            )),
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    if keys.is_empty() {
        let files = BTreeMap::from([(SCHEMA_FILE.to_owned(), text.into_bytes())]);
        return Ok(JoinedState { files, added });
    }
    added.extend(keys.iter().map(|key| key.key.clone()));
    let changed = |path: &str| if path == SCHEMA_FILE { Some(text.clone()) } else { read(path) };
    let texts = new_keys::added(&keys, &changed).map_err(|problem| vec![problem])?;
    let mut files: BTreeMap<String, Vec<u8>> =
        texts.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    let next = new_keys::next_version(&schemas.0).map_err(|problem| vec![problem])?;
    files.insert(STATE_FILE.to_owned(), canonical::to_bytes(&with_keys(states.0, keys, next)));
    Ok(JoinedState { files, added })
}

/// As the step does that migrates an earlier state.
fn with_keys(mut state: Value, keys: Vec<NewKey>, version: u64) -> Value {
    if let Some(members) = state.as_object_mut() {
        for key in keys {
            if let Some(default) = key.default {
                members.entry(key.key).or_insert(default);
            }
        }
        if let Some(there) = members.get_mut("schema_version") {
            *there = json!(version);
        }
    }
    state
}

fn requires(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|key| key == name))
}

fn others(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema.as_object().into_iter().flatten().filter_map(|(word, value)| {
        let is_known = JOINED.contains(&word.as_str()) || ANNOTATIONS.contains(&word.as_str());
        (!is_known).then_some((word.as_str(), value))
    })
}

fn members<'a>(schema: &'a Value, word: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema[word].as_object().into_iter().flatten()
}

/// Whether two schemas admit the same values, apart from their annotations.
fn same(one: &Value, other: &Value) -> bool {
    bare(one) == bare(other)
}

fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(word, value)| {
                // a property can have such a name, and is then an object
                value.is_object() || !ANNOTATIONS.contains(&word.as_str())
            });
            Value::Object(kept.map(|(word, value)| (word.clone(), bare(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(bare).collect()),
        other => other.clone(),
    }
}

fn difference(own: &Value, template: &Value) -> String {
    match (&own["type"], &template["type"]) {
        (Value::String(own), Value::String(template)) if own != template => {
            format!("of another type: {own} here, {template} in the template")
        }
        _ => "with another schema".to_owned(),
    }
}

fn parsed(text: &str, path: &str) -> Result<Value, Vec<String>> {
    serde_json::from_str(text).map_err(|error| vec![format!("{path}: {error}")])
}

fn set(text: &str, path: &[&str], value: &Value) -> Result<String, Vec<String>> {
    with_value(text, path, value.clone())
        .ok_or_else(|| vec![format!("`{}` is not an object", path.join("."))])
}

/// Adds the objectives and triggers of a template, and with `tiers` its tiers: budgets of
/// a tier hold for the cases they were measured on.
pub fn budgets(own: &str, template: &str, tiers: bool) -> Joining {
    const FILE: &str = "ci/budgets.json";
    let (there, wanted) = (parsed(own, FILE)?, parsed(template, FILE)?);
    let (mut text, mut added, mut conflicts) = (own.to_owned(), Vec::new(), Vec::new());
    for (tier, budget) in members(&wanted, "tiers").filter(|_| tiers) {
        if there["tiers"].get(tier).is_none() {
            text = set(&text, &["tiers", tier], budget)?;
            added.push(format!("the tier {tier}"));
        }
    }
    for list in ["slos", "triggers"] {
        let own_items: BTreeMap<_, _> =
            items(&there, list).map(|item| (identity(item), item)).collect();
        let mut edits = Vec::new();
        for item in items(&wanted, list) {
            match own_items.get(&identity(item)) {
                None => {
                    added.push(format!("{} of {list}", identity(item)));
                    edits.push(ListEdit::Append(item.clone()));
                }
                Some(own) if *own == item => {}
                Some(_) => conflicts.push(format!("{} of {list} is another one", identity(item))),
            }
        }
        if !edits.is_empty() {
            text = with_list(&text, list, edits)
                .ok_or_else(|| vec![format!("`{list}` is not a list")])?;
        }
    }
    if conflicts.is_empty() { Ok(Joined { text, added }) } else { Err(conflicts) }
}

fn items<'a>(document: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    document[list].as_array().into_iter().flatten()
}

/// Its name or id, else all of it.
fn identity(item: &Value) -> String {
    let named = ["name", "id"].into_iter().find_map(|key| item[key].as_str());
    named.map_or_else(|| item.to_string(), |name| format!("`{name}`"))
}

/// Adds the cases of a template whose ids are not there yet.
pub fn cases(own: &str, template: &str) -> Joining {
    let id = |line: &str| {
        let case: Value = serde_json::from_str(line).ok()?;
        case["id"].as_str().map(str::to_owned)
    };
    let lines = |text: &str| {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let there: BTreeMap<_, _> = lines(own)
        .into_iter()
        .filter_map(|line| Some((id(&line)?, serde_json::from_str::<Value>(&line).ok()?)))
        .collect();
    let (mut text, mut added, mut conflicts) = (own.to_owned(), Vec::new(), Vec::new());
    for line in lines(template) {
        let Some(id) = id(&line) else { continue };
        match there.get(&id) {
            None => {
                append_line(&mut text, &line);
                added.push(id);
            }
            Some(own) if serde_json::from_str::<Value>(&line).is_ok_and(|case| case == *own) => {}
            Some(_) => conflicts.push(format!("the case `{id}` is another one")),
        }
    }
    if conflicts.is_empty() { Ok(Joined { text, added }) } else { Err(conflicts) }
}

/// Adds lines that are not there yet, such as those of `.gitignore`.
pub fn lines(own: &str, template: &str) -> Joined {
    let bare = |line: &str| line.trim().trim_matches('/').to_owned();
    let there: BTreeSet<_> = own.lines().map(bare).collect();
    let (mut text, mut added) = (own.to_owned(), Vec::new());
    for line in template.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if !there.contains(&bare(line)) {
            append_line(&mut text, line);
            added.push(line.to_owned());
        }
    }
    Joined { text, added }
}

fn append_line(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

/// Adds the packages of a lock that another lock lacks. Another version of the same package is a
/// conflict, which no installer is asked to settle: a lock is installed as it is.
pub fn locks(own: &str, template: &str) -> Joining {
    let there: BTreeMap<_, _> =
        entries(own).into_iter().map(|entry| (entry.name.clone(), entry)).collect();
    let (mut text, mut added, mut conflicts) = (own.to_owned(), Vec::new(), Vec::new());
    for entry in entries(template) {
        match there.get(&entry.name) {
            None => {
                append_line(&mut text, entry.text.trim_end());
                added.push(entry.requirement);
            }
            Some(own) if own.requirement == entry.requirement => {}
            Some(own) => conflicts.push(format!(
                "the lock has {}, and the template needs {}",
                own.requirement, entry.requirement
            )),
        }
    }
    if conflicts.is_empty() { Ok(Joined { text, added }) } else { Err(conflicts) }
}

struct Entry {
    /// Normalised as PEP 503 has it.
    name: String,
    /// `name==version`, with its marker.
    requirement: String,
    /// With its hashes.
    text: String,
}

fn entries(lock: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut continues = false;
    for line in lock.lines() {
        if continues && let Some(entry) = entries.last_mut() {
            append_line(&mut entry.text, line);
        } else if line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            let requirement = line.trim_end_matches(['\\', ' ']);
            let requirement = requirement.split(" --hash").next().unwrap_or_default().trim();
            let name = requirement.split(['=', '@', '<', '>', '~', '!', '[', ';', ' ']).next();
            entries.push(Entry {
                name: name.unwrap_or_default().to_lowercase().replace(['_', '.'], "-"),
                requirement: requirement.to_owned(),
                text: line.to_owned(),
            });
        }
        continues = line.trim_end().ends_with('\\');
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{
  "x-schema-version": 1,
  "title": "mine",
  "type": "object",
  "required": ["schema_version"],
  "properties": {"schema_version": {"const": 1}, "limit": { "type": "number" }}
}
"#;

    fn joined(schema: &str, state_text: &str) -> Result<JoinedState, Vec<String>> {
        let own = StateTexts { schema: SCHEMA, state: r#"{"schema_version": 1, "limit": 5}"# };
        state(own, StateTexts { schema, state: state_text }, &|_| None)
    }

    #[test]
    fn keys_of_a_template_raise_the_schema_and_keep_what_was_learned() {
        let template = r##"{"x-schema-version": 1, "title": "theirs", "required": ["arms"],
            "properties": {"arms": {"$ref": "#/$defs/arms"},
            "limit": {"description": "d", "type": "number"}}, "$defs": {"arms": {"type": "object"}}}"##;
        let found = joined(template, r#"{"arms": {"a": 1}, "limit": 9}"#).unwrap();
        assert_eq!(found.added, ["arms"]);
        let file = |path: &str| {
            serde_json::from_slice::<Value>(&found.files[path]).unwrap_or_else(|_| json!(null))
        };
        assert_eq!(file(STATE_FILE), json!({"schema_version": 2, "limit": 5, "arms": {"a": 1}}));
        let schema = file(SCHEMA_FILE);
        assert_eq!((&schema["title"], &schema["x-schema-version"]), (&json!("mine"), &json!(2)));
        assert_eq!(schema["required"], json!(["schema_version", "arms"]));
        assert_eq!(schema["$defs"]["arms"], json!({"type": "object"}));
        let step = String::from_utf8(found.files["state/migrations/2.py"].clone()).unwrap();
        assert!(step.contains(r#"state.setdefault("arms", {"a": 1})"#), "{step}");
        // the formatting of what was there
        let text = String::from_utf8(found.files[SCHEMA_FILE].clone()).unwrap();
        assert!(text.contains(r#""limit": { "type": "number" }"#), "{text}");
    }

    #[test]
    fn a_key_of_another_type_is_a_conflict() {
        let conflicts = joined(
            r#"{"properties": {"limit": {"type": "object"}, "other": {"type": "string"}}}"#,
            r#"{"limit": {}, "other": ""}"#,
        );
        assert_eq!(
            conflicts.unwrap_err(),
            ["the state has a key `limit` already, of another type: number here, object in the \
                template"]
        );
    }

    #[test]
    fn a_template_without_new_keys_changes_no_version() {
        let found = joined(r#"{"properties": {"limit": {"type": "number"}}}"#, "{}").unwrap();
        assert_eq!((found.added.len(), found.files.len()), (0, 1));
        assert_eq!(found.files[SCHEMA_FILE], SCHEMA.as_bytes());
    }

    #[test]
    fn budgets_get_objectives_and_only_tiers_that_are_missing() {
        let own = r#"{"tiers": {"micro": {"wall_s": 30}}, "slos": [{"name": "a", "x": 1}]}"#;
        let template = r#"{"tiers": {"micro": {"wall_s": 1}, "fast": {"wall_s": 2}},
            "slos": [{"name": "a", "x": 1}, {"name": "b"}], "triggers": [{"id": "t"}]}"#;
        let found = budgets(own, template, true).unwrap();
        assert_eq!(found.added, ["the tier fast", "`b` of slos", "`t` of triggers"]);
        let value: Value = serde_json::from_str(&found.text).unwrap();
        assert_eq!(value["tiers"], json!({"micro": {"wall_s": 30}, "fast": {"wall_s": 2}}));
        assert_eq!(budgets(own, template, false).unwrap().added.len(), 2);
        let other = r#"{"slos": [{"name": "a", "x": 2}]}"#;
        assert_eq!(budgets(own, other, true).unwrap_err(), ["`a` of slos is another one"]);
    }

    #[test]
    fn cases_are_joined_by_id() {
        let own = r#"{"id": "a", "tool": "x"}"#;
        let found = cases(own, "{\"id\":\"a\",\"tool\":\"x\"}\n\n{\"id\":\"b\"}\n").unwrap();
        assert_eq!(found.text, "{\"id\": \"a\", \"tool\": \"x\"}\n{\"id\":\"b\"}\n");
        assert_eq!(found.added, ["b"]);
        assert_eq!(cases(own, r#"{"id":"a"}"#).unwrap_err(), ["the case `a` is another one"]);
    }

    #[test]
    fn lines_are_added_once() {
        let found = lines("/.agent\n*.log", "# about\n.agent\n*.pyc\n");
        assert_eq!((found.text.as_str(), found.added.len()), ("/.agent\n*.log\n*.pyc\n", 1));
    }

    #[test]
    fn packages_are_added_with_their_hashes() {
        let own = "# locked\nanyio==4.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n";
        let template = "Any_io2==1.0 \\\n    --hash=sha256:cc\nanyio==4.1 --hash=sha256:aa\n";
        let found = locks(own, template).unwrap();
        assert_eq!(found.text, format!("{own}Any_io2==1.0 \\\n    --hash=sha256:cc\n"));
        assert_eq!(found.added, ["Any_io2==1.0"]);
        assert_eq!(
            locks(own, "anyio==5 --hash=sha256:aa").unwrap_err(),
            ["the lock has anyio==4.1, and the template needs anyio==5"]
        );
    }
}
