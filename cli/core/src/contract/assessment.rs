//! The bump a release requires, from the Contract's changes, other changes, and the commit
//! messages.

use crate::contract::rules::{Placeholders, RuleId};
use crate::contract::{Change, Contract, bump, diff};
use crate::version::conventional;
use crate::version::{Bump, tag};
use semver::Version;
use serde::Serialize;

pub const SCHEMA: &str = "agent/semver@1";

/// One end of a range, observed.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// How the report names it: a version's tag, a commit, or `worktree`.
    pub name: String,
    /// The version it is, or the newest one before it.
    pub version: Option<Version>,
    pub contract: Contract,
    /// The tree without `state/`.
    pub code: String,
    /// The Revision of its state, where it has one.
    pub state: Option<String>,
}

/// `agent semver --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    pub schema: &'static str,
    pub from: String,
    pub to: String,
    /// Null when nothing changed.
    pub bump: Option<Bump>,
    /// The version after `from`; null when nothing changed or `from` has no version.
    pub next: Option<String>,
    pub changes: Vec<Change>,
}

/// The bump from one end to the other; `messages` are those of the commits between.
pub fn assess(from: &End, to: &End, messages: &[String]) -> Assessment {
    let mut changes = diff(&from.contract, &to.contract);
    changes.extend(moved(from, to));
    changes.extend(declared_bump(messages));
    changes.sort_by_key(|change| std::cmp::Reverse(change.level));
    let asked = bump(&changes);
    let next = asked.zip(from.version.as_ref()).map(|(bump, version)| tag(&bump.apply(version)));
    Assessment {
        schema: SCHEMA,
        from: from.name.clone(),
        to: to.name.clone(),
        bump: asked,
        next,
        changes,
    }
}

fn moved(from: &End, to: &End) -> Option<Change> {
    if from.code != to.code {
        return Some(Change::new(RuleId::CodeChanged, None, "", &Placeholders::default()));
    }
    (from.state != to.state)
        .then(|| Change::new(RuleId::StateChanged, None, "", &Placeholders::default()))
}

/// The greatest bump the commits declare, as one change that names its commit.
fn declared_bump(messages: &[String]) -> Option<Change> {
    let (level, message) = messages
        .iter()
        .filter_map(|message| Some((conventional::bump_of(message)?, message)))
        .max_by_key(|(level, _)| *level)?;
    let id = match level {
        Bump::Patch => RuleId::CommitSaysFix,
        Bump::Minor => RuleId::CommitSaysFeature,
        Bump::Major => RuleId::CommitSaysBreaking,
    };
    let detail = format!("`{}`", message.lines().next().unwrap_or_default());
    Some(Change::new(id, None, "", &Placeholders { detail, ..Placeholders::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn end(name: &str, code: &str, state: &str, tools: &[&str]) -> End {
        let tools = tools
            .iter()
            .map(|tool| json!({"name": tool, "inputSchema": {"type": "object"}}))
            .collect();
        let contract = Contract::new(tools, None, None).unwrap();
        let version = name.strip_prefix('v').and_then(|text| text.parse().ok());
        End {
            name: name.to_owned(),
            version,
            contract,
            code: code.to_owned(),
            state: Some(state.to_owned()),
        }
    }

    fn check(from: &End, to: &End, messages: &[&str], bump: Option<Bump>, next: Option<&str>) {
        let messages: Vec<_> = messages.iter().map(|&message| message.to_owned()).collect();
        let assessment = assess(from, to, &messages);
        assert_eq!((assessment.bump, assessment.next.as_deref()), (bump, next), "{assessment:?}");
    }

    #[test]
    fn commits_raise_a_bump_and_never_lower_it() {
        let from = end("v0.1.2", "code", "state", &["ask"]);
        check(&from, &end("to", "code", "state", &["ask"]), &[], None, None);
        check(
            &from,
            &end("to", "code", "learned", &["ask"]),
            &[],
            Some(Bump::Patch),
            Some("v0.1.3"),
        );
        check(
            &from,
            &end("to", "other", "state", &["ask"]),
            &["fix: a typo"],
            Some(Bump::Minor),
            Some("v0.2.0"),
        );
        check(
            &from,
            &end("to", "other", "state", &["ask"]),
            &["feat!: shorter answers", "fix: x"],
            Some(Bump::Major),
            Some("v1.0.0"),
        );
        check(
            &from,
            &end("to", "other", "state", &[]),
            &["fix: a typo"],
            Some(Bump::Major),
            Some("v1.0.0"),
        );
        check(
            &end("abc", "code", "state", &[]),
            &end("to", "other", "state", &[]),
            &[],
            Some(Bump::Minor),
            None,
        );
    }
}
