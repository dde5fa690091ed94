//! The evidence of a version, checked again: every link of the chain from its tag to its tests.

use crate::diagnose::Exit;
use crate::evaluation::{Evaluation, Verdict};
use crate::journal;
use crate::legality::STATE_FOLDER;
use crate::manifest::Tier;
use crate::object_id::{ObjectId, digest};
use crate::trailers::Trailers;
use crate::version::Kind;
use semver::Version;
use serde::Serialize;
use std::collections::BTreeMap;

pub const SCHEMA: &str = "agent/verify@1";

/// What is known of a version; `None` where something could not be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub version: Version,
    /// The commit its tag is on.
    pub commit: ObjectId,
    pub tree: ObjectId,
    pub first_parent: Option<ObjectId>,
    pub trailers: Trailers,
    /// The served branch that has the commit along its first parents.
    pub branch: Option<String>,
    /// A shallow clone cannot tell which branch it is on.
    pub is_shallow: bool,
    /// The Revision of the state in its tree.
    pub state: Option<ObjectId>,
    /// The paths that differ from its first parent.
    pub changed: Vec<String>,
    /// The state of the version it was made from.
    pub base_state: Option<ObjectId>,
    /// The stored evaluation.
    pub evaluation: Option<Vec<u8>>,
    /// The stored results, case by case.
    pub results: BTreeMap<Tier, Vec<u8>>,
    /// The stored Journal.
    pub journal: Option<Vec<u8>>,
    /// The feedback items it answers that are in the inbox.
    pub feedback: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// Not here: nothing speaks against it, but nothing for it either.
    Missing,
    Wrong,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub status: Status,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub version: Version,
    pub commit: ObjectId,
    pub status: Status,
    pub checks: Vec<Check>,
}

impl Status {
    pub const fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Missing => Exit::NotEnoughEvidence,
            Self::Wrong => Exit::No,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }
}

type Finding = (Status, String);

fn ok(message: impl Into<String>) -> Finding {
    (Status::Ok, message.into())
}

fn missing(message: impl Into<String>) -> Finding {
    (Status::Missing, message.into())
}

fn wrong(message: impl Into<String>) -> Finding {
    (Status::Wrong, message.into())
}

/// How a link is looked at.
enum Find {
    Always(fn(&Facts) -> Finding),
    /// `None` where it does not apply.
    Sometimes(fn(&Facts) -> Option<Finding>),
}

impl Find {
    fn look(&self, facts: &Facts) -> Option<Finding> {
        match self {
            Self::Always(find) => Some(find(facts)),
            Self::Sometimes(find) => find(facts),
        }
    }
}

const CHAIN: &[(&str, Find)] = &[
    ("tag", Find::Always(tag)),
    ("branch", Find::Always(branch)),
    ("base", Find::Always(base)),
    ("state", Find::Always(state)),
    ("scope", Find::Sometimes(scope)),
    ("evaluation", Find::Always(evaluation)),
    ("results", Find::Sometimes(results)),
    ("journal", Find::Sometimes(sealed_journal)),
    ("feedback", Find::Sometimes(feedback)),
];

/// Every link that applies to the version.
pub fn verify(facts: &Facts) -> Report {
    let checks: Vec<Check> =
        CHAIN.iter().filter_map(|(check, find)| find.look(facts).map(|(status, message)| Check { check, status, message })).collect();
    let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
    Report { version: facts.version.clone(), commit: facts.commit.clone(), status, checks }
}

fn tag(facts: &Facts) -> Finding {
    let tagged = &facts.version;
    match facts.trailers.as_version() {
        _ if !facts.trailers.malformed.is_empty() => {
            let (key, value) = &facts.trailers.malformed[0];
            wrong(format!("its commit has a trailer that cannot be read: {key}: {value}"))
        }
        Some((kind, named)) if named == tagged => ok(format!("its commit says it is v{named}, a {}", kind.as_str())),
        Some((_, named)) => wrong(format!("its commit says it is v{named}")),
        None => wrong("its commit does not say that it is a version"),
    }
}

fn branch(facts: &Facts) -> Finding {
    match &facts.branch {
        Some(branch) => ok(format!("{branch} has it")),
        None if facts.is_shallow => missing("this clone is shallow, so its branch cannot be followed back to it"),
        None => wrong("neither active nor a line has it"),
    }
}

fn base(facts: &Facts) -> Finding {
    match (&facts.trailers.base, &facts.first_parent) {
        (Some(base), Some(parent)) if base == parent => ok(format!("made on top of {}", base.short())),
        (Some(base), Some(parent)) => wrong(format!("it says it was made from {}, but stands on {}", base.short(), parent.short())),
        (Some(base), None) => wrong(format!("it says it was made from {}, but has no parent", base.short())),
        (None, _) if facts.trailers.kind == Some(Kind::Release) => ok("the first of its line"),
        (None, _) => wrong("it does not say what it was made from"),
    }
}

fn state(facts: &Facts) -> Finding {
    match (&facts.trailers.state, &facts.state) {
        (Some(named), Some(held)) if named == held => ok(format!("its tree holds state {}", held.short())),
        (Some(named), Some(held)) => wrong(format!("it says its state is {}, but its tree holds {}", named.short(), held.short())),
        (None, _) => wrong("it does not say which state it holds"),
        (_, None) => wrong("its tree holds no state"),
    }
}

fn scope(facts: &Facts) -> Option<Finding> {
    if facts.trailers.kind != Some(Kind::Promotion) {
        return None;
    }
    let outside = facts.changed.iter().find(|path| !path.starts_with(STATE_FOLDER));
    Some(match outside {
        None => ok("a promotion that touches only state/"),
        Some(path) => wrong(format!("a promotion that changes {path}")),
    })
}

fn evaluation(facts: &Facts) -> Finding {
    let Some(named) = &facts.trailers.eval else {
        return wrong("it names no evaluation");
    };
    let Some(bytes) = &facts.evaluation else {
        return missing("the evaluation it names is not in the object store");
    };
    let Some(stored) = Evaluation::from_bytes(bytes) else {
        return wrong("the stored evaluation cannot be read");
    };
    let tree = stored.tree.as_deref() == Some(facts.tree.as_str());
    let state = stored.state.as_deref() == facts.trailers.state.as_ref().map(ObjectId::as_str);
    let passed = stored.verdict() == Verdict::Pass;
    match (stored.digest() == *named, tree, state, passed) {
        (false, ..) => wrong(format!("the stored evaluation has the digest {}, not the one it names", stored.digest())),
        (_, false, ..) => wrong("the evaluation was made on another tree"),
        (_, _, false, _) => wrong("the evaluation was made under another state"),
        (.., false) => wrong(format!("the evaluation says {}", stored.verdict().as_str())),
        _ => ok(format!("passed {} on this tree", tiers(&stored))),
    }
}

fn tiers(evaluation: &Evaluation) -> String {
    let shown: Vec<String> =
        evaluation.tiers.iter().map(|(tier, summary)| format!("{tier} ({} cases, score {:.3})", summary.cases, summary.score)).collect();
    shown.join(", ")
}

fn results(facts: &Facts) -> Option<Finding> {
    let stored = Evaluation::from_bytes(facts.evaluation.as_ref()?)?;
    let mut named = stored.tiers.iter().filter_map(|(tier, summary)| Some((*tier, summary.results.as_ref()?))).peekable();
    named.peek()?;
    for (tier, expected) in named {
        match facts.results.get(&tier) {
            None => return Some(missing(format!("the results of {tier}, case by case, are not in the object store"))),
            Some(bytes) if digest(bytes) != *expected => {
                return Some(wrong(format!("the stored results of {tier} are not those it was judged by")));
            }
            Some(_) => {}
        }
    }
    Some(ok("case by case, as the evaluation names them"))
}

fn sealed_journal(facts: &Facts) -> Option<Finding> {
    let Some(named) = &facts.trailers.journal else {
        // a state that only signals can have changed has a Journal
        return (facts.trailers.kind == Some(Kind::Promotion)).then(|| missing("it names no Journal"));
    };
    let Some(bytes) = &facts.journal else {
        return Some(missing("the Journal it names is not in the object store"));
    };
    if digest(bytes) != *named {
        return Some(wrong(format!("the stored Journal has the digest {}, not the one it names", digest(bytes))));
    }
    Some(replayed(facts, bytes).unwrap_or_else(|error| wrong(error.to_string())))
}

/// From the base's state, update by update, to this one.
fn replayed(facts: &Facts, bytes: &[u8]) -> Result<Finding, journal::JournalError> {
    let begin = journal::Fold::begin(bytes)?;
    let mut updates = 0;
    let end = journal::walk(bytes, |_, _| updates += 1)?;
    let base = &begin.base;
    Ok(if facts.trailers.base.as_ref() != Some(&base.commit) {
        wrong(format!("the Journal begins at v{}, which is not what it was made from", base.version))
    } else if facts.base_state.as_ref().is_some_and(|state| *state != base.revision) {
        wrong(format!("the Journal begins with state {}, which v{} does not hold", base.revision.short(), base.version))
    } else if facts.state.as_ref() != Some(&end.revision) {
        wrong(format!("replayed, the Journal ends in state {}, which its tree does not hold", end.revision.short()))
    } else {
        ok(format!("{updates} updates, replayed from v{} to this state", base.version))
    })
}

fn feedback(facts: &Facts) -> Option<Finding> {
    let named = &facts.trailers.feedback;
    if named.is_empty() {
        return None;
    }
    let absent: Vec<&str> = named.iter().filter(|item| !facts.feedback.contains(item)).map(String::as_str).collect();
    Some(if absent.is_empty() {
        ok(format!("answers {}", named.join(", ")))
    } else {
        missing(format!("not in the inbox: {}", absent.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::canonical;
    use crate::evaluation::{CaseResult, TierFold, TierSummary};
    use crate::event::Event;
    use crate::journal::{Base, Draft, Fold};
    use serde_json::{Value, json};

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    fn revision(n: u64) -> ObjectId {
        canonical::revision(&json!({"n": n}))
    }

    /// A Journal from `{"n": 0}` of v0.1.0 to `{"n": 2}`.
    fn written() -> Vec<u8> {
        let base = Base { version: Version::new(0, 1, 0), commit: id("base"), revision: revision(0) };
        let mut bytes = journal::header(&base, 1, &json!({"n": 0}));
        let fold = Fold::begin(&bytes).unwrap();
        let draft = |n: u64| Draft {
            id: format!("s-{n}"),
            tool: "reward".to_owned(),
            arguments: Value::Null,
            conversation: None,
            trace: None,
            at: "2026-01-01T00:00:00Z".to_owned(),
            summary: None,
            state: Some(json!({"n": n})),
        };
        bytes.extend(fold.compose(vec![draft(1), draft(2)]).bytes);
        bytes
    }

    fn evaluated() -> Evaluation {
        let mut evaluation = Evaluation::new(Some(id("tree").to_string()), Some(revision(2).to_string()));
        let mut fold = TierFold::default();
        for id in ["a", "b", "c"] {
            fold.take(Event::CaseFinished { tier: Tier::Micro, result: CaseResult::passed(id) });
        }
        let summary = TierSummary { results: Some(digest(b"lines")), ..fold.summary(Budget::default()) };
        evaluation.tiers.insert(Tier::Micro, summary);
        evaluation
    }

    /// A sound promotion to v0.1.1.
    fn sound() -> Facts {
        let trailers = Trailers {
            kind: Some(Kind::Promotion),
            version: Some(Version::new(0, 1, 1)),
            state: Some(revision(2)),
            base: Some(id("base")),
            journal: Some(digest(&written())),
            eval: Some(evaluated().digest()),
            ..Trailers::default()
        };
        Facts {
            version: Version::new(0, 1, 1),
            commit: id("commit"),
            tree: id("tree"),
            first_parent: Some(id("base")),
            trailers,
            branch: Some("active".to_owned()),
            is_shallow: false,
            state: Some(revision(2)),
            changed: vec!["state/active.state.json".to_owned()],
            base_state: Some(revision(0)),
            evaluation: Some(evaluated().to_bytes()),
            results: BTreeMap::from([(Tier::Micro, b"lines".to_vec())]),
            journal: Some(written()),
            feedback: Vec::new(),
        }
    }

    /// Breaks one thing in a sound version and looks at what is found: nothing else may change.
    fn check(breakage: impl FnOnce(&mut Facts), check: &str, status: Status, message: &str) {
        let mut facts = sound();
        breakage(&mut facts);
        let report = verify(&facts);
        let found: Vec<_> = report.checks.iter().filter(|check| check.status != Status::Ok).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].check, found[0].status, found[0].message.as_str()), (check, status, message));
        assert_eq!(report.status, status);
    }

    #[test]
    fn a_sound_version_passes_every_link() {
        let report = verify(&sound());
        let shown: Vec<_> =
            report.checks.iter().map(|check| format!("{} {}: {}", check.check, check.status.as_str(), check.message)).collect();
        assert_eq!(
            shown,
            [
                "tag ok: its commit says it is v0.1.1, a promotion".to_owned(),
                "branch ok: active has it".to_owned(),
                format!("base ok: made on top of {}", id("base").short()),
                format!("state ok: its tree holds state {}", revision(2).short()),
                "scope ok: a promotion that touches only state/".to_owned(),
                "evaluation ok: passed micro (3 cases, score 1.000) on this tree".to_owned(),
                "results ok: case by case, as the evaluation names them".to_owned(),
                "journal ok: 2 updates, replayed from v0.1.0 to this state".to_owned(),
            ]
        );
        assert_eq!(report.status.exit(), Exit::Done);
    }

    #[test]
    fn a_commit_that_says_something_else_is_wrong() {
        let wrong = Status::Wrong;
        check(|facts| facts.version = Version::new(0, 1, 2), "tag", wrong, "its commit says it is v0.1.1");
        check(|facts| facts.branch = None, "branch", wrong, "neither active nor a line has it");
        let base = format!("it says it was made from {}, but stands on {}", id("base").short(), id("other").short());
        check(|facts| facts.first_parent = Some(id("other")), "base", wrong, &base);
        check(|facts| facts.changed.push("runner/x.py".to_owned()), "scope", wrong, "a promotion that changes runner/x.py");
        check(|facts| facts.trailers.eval = None, "evaluation", wrong, "it names no evaluation");
    }

    #[test]
    fn what_is_not_here_is_missing_and_not_wrong() {
        let missing = Status::Missing;
        check(
            |facts| (facts.branch, facts.is_shallow) = (None, true),
            "branch",
            missing,
            "this clone is shallow, so its branch cannot be followed back to it",
        );
        check(|facts| facts.evaluation = None, "evaluation", missing, "the evaluation it names is not in the object store");
        check(|facts| facts.results.clear(), "results", missing, "the results of micro, case by case, are not in the object store");
        check(|facts| facts.journal = None, "journal", missing, "the Journal it names is not in the object store");
        check(|facts| facts.trailers.feedback.push("f-1".to_owned()), "feedback", missing, "not in the inbox: f-1");
        assert_eq!(missing.exit(), Exit::NotEnoughEvidence);
    }

    #[test]
    fn evidence_that_was_changed_is_wrong() {
        let wrong = Status::Wrong;
        check(
            |facts| facts.results = BTreeMap::from([(Tier::Micro, b"better".to_vec())]),
            "results",
            wrong,
            "the stored results of micro are not those it was judged by",
        );
        check(|facts| facts.tree = id("other tree"), "evaluation", wrong, "the evaluation was made on another tree");
        let mut edited = evaluated();
        edited.tiers.get_mut(&Tier::Micro).unwrap().score = 0.5;
        let message = format!("the stored evaluation has the digest {}, not the one it names", edited.digest());
        check(|facts| facts.evaluation = Some(edited.to_bytes()), "evaluation", wrong, &message);
        let mut journal = written();
        journal.extend(b"\n");
        let message = format!("the stored Journal has the digest {}, not the one it names", digest(&journal));
        check(|facts| facts.journal = Some(journal), "journal", wrong, &message);
        check(
            |facts| facts.base_state = Some(revision(7)),
            "journal",
            wrong,
            &format!("the Journal begins with state {}, which v0.1.0 does not hold", revision(0).short()),
        );
    }
}
