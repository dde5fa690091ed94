//! The plan of a release: a commit's code becomes active, with the state that is served.

use crate::formats::manifest::Gated;
use crate::formats::object_id::ObjectId;
use crate::version::promotion::Tip;
use crate::version::publication::{Candidate, Step};
use crate::version::{Bump, Kind};
use semver::Version;

/// The commit that is to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub commit: ObjectId,
    /// Its tree without `state/active.state.json`.
    pub code: ObjectId,
}

/// What is served now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub tip: Tip,
    pub code: ObjectId,
}

/// A release or rollback that is served, and whose code the source lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacked {
    pub version: Version,
    /// The versions whose code the source has, and that this rollback yanked.
    pub took_out: Vec<Version>,
    pub reason: String,
}

/// A version with the very code of the source, and the rollback that took it out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yanked {
    pub version: Version,
    pub by: Version,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub branch: String,
    pub served: Option<Served>,
    pub source: Source,
    /// Newest first.
    pub lacked: Vec<Lacked>,
    pub yanked: Option<Yanked>,
    /// The user gave a reason to serve yanked code again.
    pub again: bool,
    /// What the released tree will hold as its state: active's, migrated and merged with what the
    /// source changed.
    pub revision: ObjectId,
    /// The bump required by the Contract diff, the code and the commit messages since active.
    pub computed: Option<Bump>,
    /// The bump declared by the user.
    pub declared: Option<Bump>,
    pub gated: Gated,
    /// The version of the first release.
    pub first: Version,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    Nothing,
    /// It would remove code that is served now.
    Lacks(Vec<Lacked>),
    /// It would serve code again that a rollback took out of service.
    Yanked(Yanked),
    UnderBumped {
        declared: Bump,
        computed: Bump,
    },
    Judge {
        candidate: Candidate,
        bump: Option<Bump>,
        steps: Vec<Step>,
    },
}

pub fn plan(snapshot: &Snapshot) -> Plan {
    let Some(served) = &snapshot.served else {
        return judge(snapshot, snapshot.first.clone(), None);
    };
    if served.code == snapshot.source.code && served.tip.revision == snapshot.revision {
        return Plan::Nothing;
    }
    let lacked: Vec<_> = snapshot
        .lacked
        .iter()
        .filter(|lacked| !snapshot.again || lacked.took_out.is_empty())
        .cloned()
        .collect();
    if !lacked.is_empty() {
        return Plan::Lacks(lacked);
    }
    if let Some(yanked) = snapshot.yanked.as_ref().filter(|_| !snapshot.again) {
        return Plan::Yanked(yanked.clone());
    }
    let computed = snapshot.computed.unwrap_or(Bump::Patch);
    match snapshot.declared {
        Some(declared) if declared < computed => Plan::UnderBumped { declared, computed },
        declared => {
            let bump = declared.unwrap_or(computed);
            judge(snapshot, bump.apply(&served.tip.version), Some(bump))
        }
    }
}

fn judge(snapshot: &Snapshot, version: Version, bump: Option<Bump>) -> Plan {
    let tip = snapshot.served.as_ref().map(|served| &served.tip);
    let candidate = Candidate {
        kind: Kind::Release,
        version,
        branch: snapshot.branch.clone(),
        expect: tip.map(|tip| tip.commit.clone()),
        parents: tip
            .map(|tip| tip.commit.clone())
            .into_iter()
            .chain([snapshot.source.commit.clone()])
            .collect(),
        revision: snapshot.revision.clone(),
    };
    let against = tip.map(|tip| tip.version.clone());
    let record = against.is_some().then_some(Step::RecordAttempt);
    let steps = std::iter::once(Step::RunTier {
        tier: snapshot.gated.tier,
        against,
        gate: snapshot.gated.gate,
    })
    .chain(record)
    .chain([Step::Decide])
    .chain(Step::publication(&candidate, Vec::new()))
    .collect();
    Plan::Judge { candidate, bump, steps }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::first_version::FIRST;
    use crate::formats::manifest::Gated;

    fn id(text: &str) -> ObjectId {
        ObjectId::of_blob(text.as_bytes())
    }

    fn snapshot(computed: Option<Bump>, declared: Option<Bump>) -> Snapshot {
        let tip =
            Tip { version: Version::new(0, 1, 3), commit: id("active"), revision: id("state") };
        Snapshot {
            branch: "active".to_owned(),
            served: Some(Served { tip, code: id("old code") }),
            source: Source { commit: id("main"), code: id("new code") },
            lacked: Vec::new(),
            yanked: None,
            again: false,
            revision: id("state"),
            computed,
            declared,
            gated: Gated::release(),
            first: FIRST,
        }
    }

    fn check(computed: Option<Bump>, declared: Option<Bump>, expected: &str) {
        let outcome = match plan(&snapshot(computed, declared)) {
            Plan::Judge { candidate, .. } => candidate.version.to_string(),
            Plan::UnderBumped { declared, computed } => format!("{declared} < {computed}"),
            other => format!("{other:?}"),
        };
        assert_eq!(outcome, expected, "{computed:?} {declared:?}");
    }

    #[test]
    fn release_refuses_code_that_is_already_served_and_yanked_code_without_a_reason() {
        let v = |patch| Version::new(0, 1, patch);
        let lacked = |patch, took_out: &[u64]| Lacked {
            version: v(patch),
            took_out: took_out.iter().map(|patch| v(*patch)).collect(),
            reason: String::new(),
        };
        let yanked = Some(Yanked { version: v(1), by: v(2), reason: String::new() });
        let outcome = |lacked: &[Lacked], yanked: &Option<Yanked>, again| match plan(&Snapshot {
            lacked: lacked.to_vec(),
            yanked: yanked.clone(),
            again,
            ..snapshot(None, None)
        }) {
            Plan::Lacks(lacked) => format!(
                "lacks {}",
                lacked.iter().map(|lacked| lacked.version.to_string()).collect::<String>()
            ),
            Plan::Yanked(Yanked { version, .. }) => format!("again {version}"),
            Plan::Judge { .. } => "judged".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(outcome(&[lacked(3, &[])], &None, false), "lacks 0.1.3");
        assert_eq!(
            outcome(&[lacked(3, &[])], &None, true),
            "lacks 0.1.3",
            "a reason does not remove released code"
        );
        assert_eq!(outcome(&[lacked(3, &[1])], &yanked, false), "lacks 0.1.3");
        assert_eq!(outcome(&[lacked(3, &[1])], &yanked, true), "judged");
        assert_eq!(outcome(&[lacked(3, &[]), lacked(2, &[1])], &yanked, true), "lacks 0.1.3");
        assert_eq!(outcome(&[], &yanked, false), "again 0.1.1");
        assert_eq!(outcome(&[], &yanked, true), "judged");
    }

    #[test]
    fn a_declared_bump_may_raise_the_computed_one() {
        check(None, None, "0.1.4");
        check(Some(Bump::Minor), None, "0.2.0");
        check(Some(Bump::Major), None, "1.0.0");
        check(Some(Bump::Patch), Some(Bump::Major), "1.0.0");
        check(Some(Bump::Major), Some(Bump::Minor), "minor < major");
    }

    #[test]
    fn release_commit_merges_active_and_source() {
        let Plan::Judge { candidate, .. } = plan(&snapshot(None, None)) else { panic!("judged") };
        assert_eq!(candidate.parents, [id("active"), id("main")]);
        assert_eq!(candidate.expect, Some(id("active")));
    }

    #[test]
    fn the_first_release_needs_no_active() {
        let first = Snapshot { served: None, ..snapshot(None, None) };
        let Plan::Judge { candidate, .. } = plan(&first) else { panic!("judged") };
        assert_eq!(
            (candidate.version, candidate.expect, candidate.parents),
            (FIRST, None, vec![id("main")])
        );
        let Plan::Judge { candidate, .. } =
            plan(&Snapshot { first: Version::new(1, 4, 2), ..first })
        else {
            panic!("judged")
        };
        assert_eq!(candidate.version, Version::new(1, 4, 2));
    }

    #[test]
    fn the_same_code_is_released_once() {
        let mut same = snapshot(None, None);
        same.source.code = id("old code");
        assert_eq!(plan(&same), Plan::Nothing);
    }
}
