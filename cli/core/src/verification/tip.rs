//! The part of a version's verification that costs a few reads of git objects: what is served or
//! judged has to pass it.

use super::figures;
use super::history::{Link, is_no_beginning};
use crate::formats::object_id::ObjectId;
use crate::testing::evaluation::Evaluation;
use crate::version::{Bump, Kind, tag};
use semver::Version;

/// The facts from git about a commit that is to be served as a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    pub link: Link,
    /// The state file in its tree.
    pub state: Option<ObjectId>,
    /// Why that cannot be read as what it is.
    pub state_problem: Option<String>,
    /// Its parent commit.
    pub before: Before,
    /// A name in the root of its tree, other than `state`, where it differs from the commit whose
    /// code it has: the parent of a promotion, the source of a release.
    pub changed: Option<String>,
    /// Of a rollback: whether a version before it has its tree; `None` where that was not found
    /// out.
    pub restores: Option<bool>,
}

/// The first parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    Version(Box<Link>),
    /// A commit that is no version, or no commit at all.
    None,
    /// This clone does not have it.
    Absent,
}

/// Why a commit is not served as the version it declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The tag of its version is on another commit.
    Tag(String),
    Commit(String),
}

impl Violation {
    pub fn why(&self) -> &str {
        match self {
            Self::Tag(why) | Self::Commit(why) => why,
        }
    }
}

/// The first defect of a version.
pub fn violation(tip: &Tip) -> Option<Violation> {
    let in_commit = commit_violation(tip);
    let tag_moved = || {
        let elsewhere = tip.link.tagged.as_ref().filter(|tagged| **tagged != tip.link.commit)?;
        Some(Violation::Tag(format!(
            "it declares {}, but that tag is on commit {}",
            tag(tip.link.version()),
            elsewhere.short()
        )))
    };
    in_commit.map(Violation::Commit).or_else(tag_moved)
}

fn commit_violation(tip: &Tip) -> Option<String> {
    let trailers = &tip.link.trailers;
    let Some((kind, version)) = trailers.as_version() else {
        return Some("its message has no Agent-Version".to_owned());
    };
    if let Some((key, value)) = trailers.malformed.first() {
        return Some(format!("its message has a trailer that cannot be read: {key}: {value}"));
    }
    lacks_evidence(tip, kind)
        .or_else(|| other_state(tip))
        .or_else(|| misplaced(tip, kind, version))
        .or_else(|| other_code(tip, kind))
}

fn lacks_evidence(tip: &Tip, kind: Kind) -> Option<String> {
    let trailers = &tip.link.trailers;
    if trailers.eval.is_none() {
        return Some("it names no evaluation".to_owned());
    }
    if kind == Kind::Promotion && trailers.journal.is_none() {
        return Some("it is a promotion, and names no Journal".to_owned());
    }
    match &tip.before {
        Before::Version(before)
            if kind != Kind::Rollback
                && before.trailers.gate.is_some()
                && trailers.gate.is_none() =>
        {
            Some(format!(
                "it names no record of the gate, and {} before it does",
                tag(before.version())
            ))
        }
        _ => None,
    }
}

fn other_state(tip: &Tip) -> Option<String> {
    match (&tip.link.trailers.state, &tip.state) {
        (None, _) => Some("it does not declare its state".to_owned()),
        (_, None) => Some("its tree holds no state".to_owned()),
        (Some(named), Some(held)) if named != held => Some(format!(
            "it declares the state {}, but its tree holds {}",
            named.short(),
            held.short()
        )),
        _ => {
            tip.state_problem.as_ref().map(|problem| format!("its state cannot be read: {problem}"))
        }
    }
}

fn misplaced(tip: &Tip, kind: Kind, version: &Version) -> Option<String> {
    let before = match &tip.before {
        Before::Absent => return None,
        Before::None => return is_no_beginning(&tip.link),
        Before::Version(before) => before,
    };
    if tip.link.trailers.base.as_ref() != Some(&before.commit) {
        return Some(format!("it does not name its parent {} as its base", tag(before.version())));
    }
    let next = Bump::Patch.apply(before.version());
    let risen = if kind == Kind::Release { version > before.version() } else { *version == next };
    (!risen).then(|| {
        format!(
            "it declares {}, a {} on top of {}",
            tag(version),
            kind.as_str(),
            tag(before.version())
        )
    })
}

fn other_code(tip: &Tip, kind: Kind) -> Option<String> {
    let parents = tip.link.parents.len();
    match (kind, &tip.changed) {
        (Kind::Promotion, Some(changed)) => {
            Some(format!("it is a promotion, and changes `{changed}`"))
        }
        (Kind::Release, Some(changed)) => {
            Some(format!("it is a release, and `{changed}` is not that of its source"))
        }
        (Kind::Release, None) if matches!(tip.before, Before::Version(_)) && parents != 2 => {
            Some("it is a release, and does not have its source as a parent".to_owned())
        }
        (Kind::Promotion | Kind::Rollback, None) if parents > 1 => {
            Some(format!("it is a {}, and has {parents} parents", kind.as_str()))
        }
        (Kind::Rollback, _) if tip.restores == Some(false) => {
            Some("it is a rollback, and no version before it has its tree".to_owned())
        }
        _ => None,
    }
}

/// The defect of the evaluation that a version names, from the document alone. A missing or
/// different document is not a defect: a clone without the evidence serves the version as well, and
/// `agent verify` reports it.
pub fn evaluation_violation(link: &Link, stored: &[u8]) -> Option<String> {
    let evaluation = Evaluation::from_bytes(stored)
        .filter(|evaluation| Some(evaluation.digest()) == link.trailers.eval)?;
    if evaluation.tree.as_deref() != Some(link.tree.as_str()) {
        return Some("its evaluation was made on another tree".to_owned());
    }
    if evaluation.tiers.is_empty() {
        return Some("its evaluation has no tier".to_owned());
    }
    evaluation.tiers.iter().find_map(|(tier, summary)| {
        Some(format!("{tier} of its evaluation {}", figures::evaluation_defect(summary)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::first_version::FIRST;
    use crate::formats::manifest::Tier;
    use crate::testing::budget::Budget;
    use crate::testing::case_result::CaseResult;
    use crate::testing::evaluation::TierFold;
    use crate::testing::event::Event;
    use crate::version::trailers::Trailers;

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    fn link(kind: Kind, version: &str, base: Option<&str>) -> Link {
        let trailers = Trailers {
            kind: Some(kind),
            version: version.parse().ok(),
            state: Some(id("state")),
            base: base.map(id),
            journal: Some("sha256:j".to_owned()),
            eval: Some("sha256:e".to_owned()),
            gate: Some("sha256:g".to_owned()),
            ..Trailers::default()
        };
        Link {
            commit: id(version),
            tree: id("tree"),
            parents: base.into_iter().map(id).collect(),
            trailers,
            tagged: None,
            first: FIRST,
        }
    }

    fn sound(kind: Kind, version: &str) -> Tip {
        let mut link_ = link(kind, version, Some("0.1.1"));
        if kind == Kind::Release {
            link_.parents.push(id("source"));
        }
        Tip {
            link: link_,
            state: Some(id("state")),
            state_problem: None,
            before: Before::Version(Box::new(link(Kind::Promotion, "0.1.1", Some("0.1.0")))),
            changed: None,
            restores: (kind == Kind::Rollback).then_some(true),
        }
    }

    #[track_caller]
    fn check(kind: Kind, version: &str, change: impl FnOnce(&mut Tip), expected: &str) {
        assert_eq!(violation(&sound(kind, version)), None);
        let mut tip = sound(kind, version);
        change(&mut tip);
        assert_eq!(violation(&tip).as_ref().map(Violation::why), Some(expected));
    }

    #[test]
    fn a_promotion_is_the_next_patch_and_changes_the_state_alone() {
        let check = |change: &dyn Fn(&mut Tip), expected: &str| {
            check(Kind::Promotion, "0.1.2", change, expected);
        };
        check(&|tip| tip.link.trailers.version = None, "its message has no Agent-Version");
        check(
            &|tip| tip.link.trailers.malformed.push(("Agent-Kind".to_owned(), "x".to_owned())),
            "its message has a trailer that cannot be read: Agent-Kind: x",
        );
        check(&|tip| tip.link.trailers.eval = None, "it names no evaluation");
        check(
            &|tip| tip.link.trailers.gate = None,
            "it names no record of the gate, and v0.1.1 before it does",
        );
        check(&|tip| tip.link.trailers.journal = None, "it is a promotion, and names no Journal");
        check(&|tip| tip.link.trailers.state = None, "it does not declare its state");
        check(&|tip| tip.state = None, "its tree holds no state");
        let other = format!(
            "it declares the state {}, but its tree holds {}",
            id("state").short(),
            id("other").short()
        );
        check(&|tip| tip.state = Some(id("other")), &other);
        check(
            &|tip| tip.state_problem = Some("it is torn".to_owned()),
            "its state cannot be read: it is torn",
        );
        check(
            &|tip| tip.link.trailers.base = Some(id("x")),
            "it does not name its parent v0.1.1 as its base",
        );
        check(
            &|tip| tip.link.trailers.version = "0.1.3".parse().ok(),
            "it declares v0.1.3, a promotion on top of v0.1.1",
        );
        check(&|tip| tip.before = Before::None, "v0.1.2 has no predecessor, but names a base");
        check(
            &|tip| tip.changed = Some("runner".to_owned()),
            "it is a promotion, and changes `runner`",
        );
        check(&|tip| tip.link.parents.push(id("x")), "it is a promotion, and has 2 parents");
        let moved = format!("it declares v0.1.2, but that tag is on commit {}", id("x").short());
        check(&|tip| tip.link.tagged = Some(id("x")), &moved);
    }

    #[test]
    fn release_has_a_source_and_rollback_a_target() {
        check(
            Kind::Release,
            "0.2.0",
            |tip| drop(tip.link.parents.pop()),
            "it is a release, and does not have its source as a parent",
        );
        check(
            Kind::Release,
            "0.2.0",
            |tip| tip.changed = Some("runner".to_owned()),
            "it is a release, and `runner` is not that of its source",
        );
        let down = |tip: &mut Tip| tip.link.trailers.version = "0.1.1".parse().ok();
        check(Kind::Release, "0.2.0", down, "it declares v0.1.1, a release on top of v0.1.1");
        check(
            Kind::Rollback,
            "0.1.2",
            |tip| tip.restores = Some(false),
            "it is a rollback, and no version before it has its tree",
        );
        // who cannot see what is before can still be served
        let mut shallow = sound(Kind::Promotion, "0.1.9");
        shallow.before = Before::Absent;
        assert_eq!(violation(&shallow), None);
    }

    #[test]
    fn matching_evaluation_without_cases_is_a_violation() {
        let mut fold = TierFold::default();
        fold.add(&Event::CaseFinished { tier: Tier::Micro, result: CaseResult::passed("a") });
        let mut evaluation = Evaluation::new(Some(id("tree").to_string()), None);
        evaluation.tiers.insert(Tier::Micro, fold.summary(Budget::default()));
        let named = |evaluation: &Evaluation| {
            let mut link = link(Kind::Release, "0.2.0", None);
            link.trailers.eval = Some(evaluation.digest());
            evaluation_violation(&link, &evaluation.to_bytes())
        };
        assert_eq!(named(&evaluation), None);
        let none = Evaluation { tiers: std::collections::BTreeMap::new(), ..evaluation.clone() };
        assert_eq!(named(&none).as_deref(), Some("its evaluation has no tier"));
        let elsewhere = Evaluation { tree: None, ..evaluation.clone() };
        assert_eq!(named(&elsewhere).as_deref(), Some("its evaluation was made on another tree"));
        let mut empty = evaluation.clone();
        empty.tiers.insert(Tier::Micro, TierFold::default().summary(Budget::default()));
        assert_eq!(
            named(&empty).as_deref(),
            Some("micro of its evaluation has the verdict not enough evidence")
        );
        // another evaluation is no evidence, and nothing against it either
        assert_eq!(
            evaluation_violation(&link(Kind::Release, "0.2.0", None), &none.to_bytes()),
            None
        );
    }
}
