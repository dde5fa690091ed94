//! The difference between two Contracts, rule by rule, and the bump it requires.

use super::rules::{Placeholders, RuleId, rule};
use super::schemas::{Direction, Finding, compare, escaped, without_annotations};
use super::{Contract, STATE_VERSION_KEY, Server};
use crate::formats::canonical;
use crate::version::Bump;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One change, named by its rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub rule: RuleId,
    pub level: Bump,
    /// The tool it belongs to; null for what concerns the state or the code.
    pub tool: Option<String>,
    /// A JSON pointer into the Contract.
    pub path: String,
    pub message: String,
}

impl Change {
    pub fn new(
        id: RuleId,
        tool: Option<&str>,
        path: impl Into<String>,
        words: &Placeholders,
    ) -> Self {
        let rule = rule(id);
        Self {
            rule: id,
            level: rule.level,
            tool: tool.map(str::to_owned),
            path: path.into(),
            message: rule.message(words),
        }
    }
}

/// The greatest bump the changes require; `None` when nothing changed.
pub fn bump(changes: &[Change]) -> Option<Bump> {
    changes.iter().map(|change| change.level).max()
}

/// The changes from `old` to `new`, the most severe first.
pub fn diff(old: &Contract, new: &Contract) -> Vec<Change> {
    let none = Server::default();
    let mut changes = servers("/runner", &old.runner, &new.runner);
    changes.extend(servers(
        "/tuner",
        old.tuner.as_ref().unwrap_or(&none),
        new.tuner.as_ref().unwrap_or(&none),
    ));
    changes.extend(states(old, new));
    changes.sort_by(|one, two| {
        two.level.cmp(&one.level).then_with(|| (&one.path, one.rule).cmp(&(&two.path, two.rule)))
    });
    changes
}

fn servers(at: &str, old: &Server, new: &Server) -> Vec<Change> {
    let mut removed: BTreeMap<&str, &Value> = missing(&old.tools, &new.tools);
    let mut added: BTreeMap<&str, &Value> = missing(&new.tools, &old.tools);
    let mut changes = Vec::new();
    let path = |name: &str| format!("{at}/tools/{}", escaped(name));
    for (before, now) in renamed(&removed, &added) {
        removed.remove(before);
        added.remove(now);
        let words =
            Placeholders { old: before.to_owned(), new: now.to_owned(), ..Placeholders::default() };
        changes.push(Change::new(RuleId::ToolRenamed, Some(before), path(before), &words));
    }
    let named = |name: &str| Placeholders { name: name.to_owned(), ..Placeholders::default() };
    changes.extend(
        removed
            .keys()
            .map(|name| Change::new(RuleId::ToolRemoved, Some(name), path(name), &named(name))),
    );
    changes.extend(
        added
            .keys()
            .map(|name| Change::new(RuleId::ToolAdded, Some(name), path(name), &named(name))),
    );
    for (name, before) in &old.tools {
        if let Some(now) = new.tools.get(name) {
            changes.extend(tool(&path(name), name, before, now));
        }
    }
    changes
}

fn missing<'a>(
    from: &'a BTreeMap<String, Value>,
    other: &BTreeMap<String, Value>,
) -> BTreeMap<&'a str, &'a Value> {
    from.iter()
        .filter(|(name, _)| !other.contains_key(*name))
        .map(|(name, tool)| (name.as_str(), tool))
        .collect()
}

/// Renamed pairs: equal schemas that no other tool has.
fn renamed<'a>(
    removed: &BTreeMap<&'a str, &Value>,
    added: &BTreeMap<&'a str, &Value>,
) -> Vec<(&'a str, &'a str)> {
    let shape = |tool: &Value| {
        ["inputSchema", "outputSchema"].map(|key| {
            tool.get(key).map(without_annotations).map(|schema| canonical::to_compact(&schema))
        })
    };
    let with_shape = |tools: &BTreeMap<&'a str, &Value>, wanted: &Value| -> Vec<&'a str> {
        tools
            .iter()
            .filter(|(_, tool)| shape(tool) == shape(wanted))
            .map(|(name, _)| *name)
            .collect()
    };
    removed
        .iter()
        .filter_map(|(before, tool)| {
            match (with_shape(removed, tool).as_slice(), with_shape(added, tool).as_slice()) {
                ([_], [now]) => Some((*before, *now)),
                _ => None,
            }
        })
        .collect()
}

fn tool(path: &str, name: &str, old: &Value, new: &Value) -> Vec<Change> {
    let change = |id, below: &str, words: Placeholders| {
        Change::new(
            id,
            Some(name),
            format!("{path}{below}"),
            &Placeholders { name: name.to_owned(), ..words },
        )
    };
    let mut changes = Vec::new();
    if old.get("description") != new.get("description") {
        changes.push(change(
            RuleId::ToolDescriptionChanged,
            "/description",
            Placeholders::default(),
        ));
    }
    changes.extend(annotations(old, new).into_iter().map(|(id, detail)| {
        change(id, "/annotations", Placeholders { detail, ..Placeholders::default() })
    }));
    for key in ["title", "icons", "execution", "_meta"] {
        if old.get(key) != new.get(key) {
            let words = Placeholders { detail: key.to_owned(), ..Placeholders::default() };
            changes.push(change(RuleId::ToolMetadataChanged, &format!("/{key}"), words));
        }
    }
    changes.extend(named(name, &format!("{path}/inputSchema"), inputs(name, old, new)));
    match (old.get("outputSchema"), new.get("outputSchema")) {
        (None, Some(_)) => {
            changes.push(change(
                RuleId::ResultSchemaAdded,
                "/outputSchema",
                Placeholders::default(),
            ));
        }
        (Some(_), None) => {
            changes.push(change(
                RuleId::ResultSchemaRemoved,
                "/outputSchema",
                Placeholders::default(),
            ));
        }
        (Some(old), Some(new)) => {
            changes.extend(named(
                name,
                &format!("{path}/outputSchema"),
                compare(Direction::Result, name, old, new),
            ));
        }
        (None, None) => {}
    }
    changes
}

fn named(tool: &str, at: &str, findings: Vec<Finding>) -> Vec<Change> {
    findings
        .into_iter()
        .map(|found| {
            Change::new(found.rule, Some(tool), format!("{at}{}", found.path), &found.words)
        })
        .collect()
}

fn inputs(name: &str, old: &Value, new: &Value) -> Vec<Finding> {
    let nothing = serde_json::json!({"type": "object"});
    let schema = |tool: &Value| tool.get("inputSchema").cloned().unwrap_or_else(|| nothing.clone());
    compare(Direction::Parameter, name, &schema(old), &schema(new))
}

/// The hints hosts act on: the meaning of each, and its default in the protocol.
const PROMISES: [(&str, bool, bool); 4] = [
    ("readOnlyHint", true, false),
    ("destructiveHint", false, true),
    ("idempotentHint", true, false),
    ("openWorldHint", false, true),
];

fn annotations(old: &Value, new: &Value) -> Vec<(RuleId, String)> {
    let (old, new) = (old.get("annotations"), new.get("annotations"));
    if old == new {
        return Vec::new();
    }
    let value = |annotations: Option<&Value>, key: &str, absent: bool| {
        annotations.and_then(|map| map.get(key)).and_then(Value::as_bool).unwrap_or(absent)
    };
    let broken: Vec<_> = PROMISES
        .iter()
        .filter(|(key, promise, absent)| {
            value(old, key, *absent) == *promise && value(new, key, *absent) != *promise
        })
        .map(|(key, promise, _)| (RuleId::ToolPromiseWeakened, format!("{key}: {promise}")))
        .collect();
    if broken.is_empty() { vec![(RuleId::ToolAnnotationsChanged, String::new())] } else { broken }
}

fn states(old: &Contract, new: &Contract) -> Vec<Change> {
    let change = |id, words: &Placeholders| vec![Change::new(id, None, "/state", words)];
    let (before, now) = match (&old.state, &new.state) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return change(RuleId::StateSchemaAdded, &Placeholders::default()),
        (Some(_), None) => return change(RuleId::StateSchemaRemoved, &Placeholders::default()),
        (Some(before), Some(now)) if before == now => return Vec::new(),
        (Some(before), Some(now)) => (before, now),
    };
    let versions = (old.state_version().unwrap_or(0), new.state_version().unwrap_or(0));
    if versions.0 != versions.1 {
        let id = if versions.0 < versions.1 {
            RuleId::StateVersionRaised
        } else {
            RuleId::StateVersionLowered
        };
        let words = Placeholders {
            old: versions.0.to_string(),
            new: versions.1.to_string(),
            ..Placeholders::default()
        };
        return vec![Change::new(id, None, format!("/state/{STATE_VERSION_KEY}"), &words)];
    }
    // what was stored must still be accepted: the same question as for a parameter
    compare(Direction::Parameter, "state", before, now).into_iter().map(state_change).collect()
}

fn state_change(found: Finding) -> Change {
    let id = match (found.rule, rule(found.rule).level) {
        (RuleId::ParameterUndecided, _) => RuleId::StateUndecided,
        (RuleId::SchemaRewritten, _) => RuleId::SchemaRewritten,
        (RuleId::ParameterDefaultChanged, _) | (_, Bump::Patch) => RuleId::StateDescriptionChanged,
        (_, Bump::Minor) => RuleId::StateWidened,
        (_, Bump::Major) => RuleId::StateNarrowed,
    };
    let detail = match found.rule {
        RuleId::ParameterRemoved => "it was removed".to_owned(),
        RuleId::RequiredParameterAdded => "it is new and required".to_owned(),
        RuleId::ParameterMadeRequired => "it was optional and is required".to_owned(),
        RuleId::ParameterValueRemoved => format!("not {}", found.words.old),
        _ => found.words.detail,
    };
    Change::new(
        id,
        None,
        format!("/state{}", found.path),
        &Placeholders { name: found.words.name, detail, ..Placeholders::default() },
    )
}
