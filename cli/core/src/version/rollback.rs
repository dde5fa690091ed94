//! The plan of a rollback: a new PATCH whose tree is that of an earlier version. Nothing is
//! rewritten.

use crate::formats::object_id::ObjectId;
use crate::version::publication::{Candidate, Step};
use crate::version::{Bump, Kind};
use semver::Version;

/// A version on the branch that is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub version: Version,
    pub commit: ObjectId,
    pub tree: ObjectId,
    pub revision: ObjectId,
    pub yanked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub branch: String,
    /// The versions of the branch, newest first; never empty.
    pub history: Vec<Past>,
    /// Which version to go back to; by default the newest one before the tip that is not yanked.
    pub wanted: Option<Version>,
    /// The user gave a reason to serve a yanked version again.
    pub again: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The tip already has that tree.
    Nothing {
        at: Version,
    },
    /// There is no such version before the tip.
    NoTarget,
    /// A rollback took that version out of service.
    Yanked {
        version: Version,
    },
    Publish(Box<Publish>),
}

/// A rollback that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub candidate: Candidate,
    pub target: Past,
    pub undoes: Vec<Version>,
    pub steps: Vec<Step>,
}

pub fn plan(snapshot: &Snapshot) -> Plan {
    let Some((tip, earlier)) = snapshot.history.split_first() else {
        return Plan::NoTarget;
    };
    let found = match &snapshot.wanted {
        Some(wanted) if *wanted == tip.version => return Plan::Nothing { at: tip.version.clone() },
        Some(wanted) => earlier.iter().position(|past| past.version == *wanted),
        None => earlier.iter().position(|past| !past.yanked && past.tree != tip.tree),
    };
    let Some(position) = found else {
        return Plan::NoTarget;
    };
    let target = earlier[position].clone();
    if target.tree == tip.tree {
        return Plan::Nothing { at: target.version };
    }
    if target.yanked && !snapshot.again {
        return Plan::Yanked { version: target.version };
    }
    publish(snapshot, tip, &earlier[..position], target)
}

fn publish(snapshot: &Snapshot, tip: &Past, between: &[Past], target: Past) -> Plan {
    let candidate = Candidate {
        kind: Kind::Rollback,
        version: Bump::Patch.apply(&tip.version),
        branch: snapshot.branch.clone(),
        expect: Some(tip.commit.clone()),
        parents: vec![tip.commit.clone()],
        revision: target.revision.clone(),
    };
    // versions after the target are undone; a version with the target's tree is equivalent to it
    let undoes: Vec<_> = std::iter::once(tip)
        .chain(between)
        .filter(|past| !past.yanked && past.tree != target.tree)
        .map(|past| past.version.clone())
        .collect();
    let reused = Step::ReuseEvaluation { of: target.version.clone() };
    let steps =
        std::iter::once(reused).chain(Step::publication(&candidate, undoes.clone())).collect();
    Plan::Publish(Box::new(Publish { candidate, target, undoes, steps }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0.1.0=a` is a version with tree `a`; a leading `!` marks it as yanked.
    fn snapshot(history: &[&str], wanted: Option<&str>) -> Snapshot {
        let past = |text: &&str| {
            let (version, tree) = text.trim_start_matches('!').split_once('=').unwrap();
            let id = ObjectId::of_blob(tree.as_bytes());
            Past {
                version: version.parse().unwrap(),
                commit: ObjectId::of_blob(version.as_bytes()),
                tree: id.clone(),
                revision: id,
                yanked: text.starts_with('!'),
            }
        };
        Snapshot {
            branch: "active".to_owned(),
            history: history.iter().map(past).collect(),
            wanted: wanted.map(|version| version.parse().unwrap()),
            again: false,
        }
    }

    fn check(history: &[&str], wanted: Option<&str>, expected: &str) {
        let outcome = match plan(&snapshot(history, wanted)) {
            Plan::Nothing { at } => format!("nothing: at {at}"),
            Plan::NoTarget => "no target".to_owned(),
            Plan::Yanked { version } => format!("{version} was taken out"),
            Plan::Publish(publish) => {
                let Publish { candidate, target, undoes, .. } = *publish;
                let undoes: Vec<_> = undoes.iter().map(ToString::to_string).collect();
                format!("{} = {}, undoes {}", candidate.version, target.version, undoes.join(" "))
            }
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn rolls_back_to_the_newest_version_not_yanked() {
        check(&["0.2.0=c", "0.1.1=b", "0.1.0=a"], None, "0.2.1 = 0.1.1, undoes 0.2.0");
        check(
            &["0.2.1=b", "!0.2.0=c", "0.1.1=b", "0.1.0=a"],
            None,
            "0.2.2 = 0.1.0, undoes 0.2.1 0.1.1",
        );
        check(&["0.1.0=a"], None, "no target");
    }

    #[test]
    fn rolls_back_to_the_named_version() {
        check(
            &["0.2.0=c", "0.1.1=b", "0.1.0=a"],
            Some("0.1.0"),
            "0.2.1 = 0.1.0, undoes 0.2.0 0.1.1",
        );
        check(&["0.2.0=c", "0.1.0=a"], Some("0.2.0"), "nothing: at 0.2.0");
        check(&["0.2.1=a", "!0.2.0=c", "0.1.0=a"], Some("0.1.0"), "nothing: at 0.1.0");
        check(&["0.2.0=c", "0.1.0=a"], Some("0.3.0"), "no target");
    }

    #[test]
    fn rollback_to_a_yanked_version_needs_a_reason() {
        let history = ["0.2.1=a", "!0.2.0=c", "0.1.0=a"];
        check(&history, Some("0.2.0"), "0.2.0 was taken out");
        let again = Snapshot { again: true, ..snapshot(&history, Some("0.2.0")) };
        assert!(
            matches!(plan(&again), Plan::Publish(publish) if publish.undoes == [Version::new(0, 2,
                1)])
        );
    }
}
