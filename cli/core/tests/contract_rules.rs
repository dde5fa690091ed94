//! Every rule of the bump against its fixture pair in `tests/contract_rules/<id>/`.
//!
//! `BLESS=1 cargo test -p agent-core --test contract_rules` writes what `expected.json` should say;
//! read it before it is committed.

use agent_core::contract::assessment::{End, assess};
use agent_core::contract::rules::{self, RuleId};
use agent_core::contract::{Change, Contract};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    #[serde(default)]
    runner: Vec<Value>,
    tuner: Option<Vec<Value>>,
    state: Option<Value>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    revision: Option<String>,
    /// The messages of the commits that led here.
    #[serde(default)]
    messages: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    bump: Option<agent_core::version::Bump>,
    changes: Vec<Change>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/contract_rules")
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("{}: {error}; `tests/contract_rules/new-rule ID` makes a fixture", path.display())
    });
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn end(side: Side) -> End {
    let contract = Contract::new(side.runner, side.tuner, side.state)
        .expect("a fixture's tools are well-formed");
    End { name: String::new(), version: None, contract, code: side.code, state: side.revision }
}

fn judged(old: &End, new: &End, messages: &[String]) -> Expected {
    let assessment = assess(old, new, messages);
    Expected { bump: assessment.bump, changes: assessment.changes }
}

fn check(id: RuleId) {
    let folder = fixtures().join(id.to_string());
    let (old, mut new): (Side, Side) =
        (read(&folder.join("old.json")), read(&folder.join("new.json")));
    let messages = std::mem::take(&mut new.messages);
    let (old, new) = (end(old), end(new));
    let found = judged(&old, &new, &messages);
    if blessing() {
        let text = serde_json::to_string_pretty(&found).unwrap();
        std::fs::write(folder.join("expected.json"), text + "\n").unwrap();
    }
    let expected: Expected = read(&folder.join("expected.json"));
    assert_eq!(found, expected, "{id}");
    let named = expected
        .changes
        .iter()
        .any(|change| change.rule == id && change.level == rules::rule(id).level);
    assert!(named, "the fixture of `{id}` does not show it: {expected:#?}");
    for same in [&old, &new] {
        assert_eq!(
            judged(same, same, &[]),
            Expected { bump: None, changes: Vec::new() },
            "{id}: nothing changed"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no world")]
fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

#[test]
fn every_rule_fires_on_its_fixture() {
    RuleId::ALL.iter().copied().for_each(check);
}

#[test]
fn every_fixture_belongs_to_a_rule() {
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            assert!(
                RuleId::ALL.iter().any(|id| id.to_string() == name),
                "tests/contract_rules/{name} belongs to no rule"
            );
        }
    }
}

/// What was compatible one way and is not the other way must not be judged the same both ways.
#[test]
fn direction_matters() {
    for (forward, backward) in [
        (RuleId::ParameterWidened, RuleId::ParameterNarrowed),
        (RuleId::ParameterValueAdded, RuleId::ParameterValueRemoved),
        (RuleId::ParameterMadeOptional, RuleId::ParameterMadeRequired),
        (RuleId::OptionalParameterAdded, RuleId::ParameterRemoved),
        (RuleId::ResultNarrowed, RuleId::ResultWidened),
        (RuleId::ResultValueRemoved, RuleId::ResultValueAdded),
        (RuleId::StateWidened, RuleId::StateNarrowed),
        (RuleId::ToolAdded, RuleId::ToolRemoved),
    ] {
        let folder = fixtures().join(forward.to_string());
        let (old, new): (Side, Side) =
            (read(&folder.join("old.json")), read(&folder.join("new.json")));
        let found = judged(&end(new), &end(old), &[]);
        assert!(
            found.changes.iter().any(|change| change.rule == backward),
            "{forward} backwards is no {backward}: {found:#?}"
        );
    }
}
