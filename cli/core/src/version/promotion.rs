//! The plan of a promotion: staging's state becomes active as the next PATCH.

use crate::formats::manifest::Gated;
use crate::formats::object_id::ObjectId;
use crate::version::publication::{Candidate, Step};
use crate::version::{Bump, Kind};
use semver::Version;

/// The version that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    pub version: Version,
    pub commit: ObjectId,
    pub revision: ObjectId,
}

/// Staging, and the version that it started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    pub base: ObjectId,
    pub revision: ObjectId,
    pub updates: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub branch: String,
    pub active: Tip,
    pub staging: Staging,
    pub gated: Gated,
    /// Whether the manifest also requires a gain by off-policy evaluation.
    pub off_policy: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Staging holds nothing that active does not serve.
    Nothing,
    /// Active has moved since staging began: the Journal is replayed on what is served now, then
    /// planned again.
    Replay {
        onto: Tip,
    },
    Judge {
        candidate: Candidate,
        steps: Vec<Step>,
    },
}

pub fn plan(snapshot: &Snapshot) -> Plan {
    let Snapshot { branch, active, staging, gated, off_policy } = snapshot;
    if staging.base != active.commit && staging.updates > 0 {
        return Plan::Replay { onto: active.clone() };
    }
    if staging.revision == active.revision || staging.updates == 0 {
        return Plan::Nothing;
    }
    let candidate = Candidate {
        kind: Kind::Promotion,
        version: Bump::Patch.apply(&active.version),
        branch: branch.clone(),
        expect: Some(active.commit.clone()),
        parents: vec![active.commit.clone()],
        revision: staging.revision.clone(),
    };
    let mut steps = if *off_policy { vec![Step::EstimateGain] } else { Vec::new() };
    steps.extend([
        Step::RunTier { tier: gated.tier, against: Some(active.version.clone()), gate: gated.gate },
        Step::RecordAttempt,
        Step::Decide,
        Step::ArchiveJournal { updates: staging.updates },
    ]);
    steps.extend(Step::publication(&candidate, Vec::new()));
    steps.push(Step::SealStaging);
    Plan::Judge { candidate, steps }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::manifest::Gated;

    fn snapshot(base: &str, revision: &str, updates: u64) -> Snapshot {
        let id = |text: &str| ObjectId::of_blob(text.as_bytes());
        Snapshot {
            branch: "active".to_owned(),
            active: Tip {
                version: Version::new(0, 1, 3),
                commit: id("active"),
                revision: id("served"),
            },
            staging: Staging { base: id(base), revision: id(revision), updates },
            gated: Gated::promote(),
            off_policy: false,
        }
    }

    #[test]
    fn untouched_staging_promotes_nothing() {
        assert_eq!(plan(&snapshot("active", "served", 0)), Plan::Nothing);
        assert_eq!(
            plan(&snapshot("active", "served", 3)),
            Plan::Nothing,
            "updates that ended where they began"
        );
        assert_eq!(
            plan(&snapshot("older", "other", 0)),
            Plan::Nothing,
            "an empty staging follows active"
        );
    }

    #[test]
    fn staging_of_an_older_active_is_replayed_first() {
        let snapshot = snapshot("older", "tuned", 3);
        assert_eq!(plan(&snapshot), Plan::Replay { onto: snapshot.active.clone() });
    }

    #[test]
    fn gain_is_estimated_before_the_tier_is_run_where_it_is_required() {
        let snapshot = Snapshot { off_policy: true, ..snapshot("active", "tuned", 3) };
        let Plan::Judge { steps, .. } = plan(&snapshot) else { panic!("judged") };
        assert!(matches!(steps[..2], [Step::EstimateGain, Step::RunTier { .. }]), "{steps:?}");
    }

    #[test]
    fn a_tuned_state_becomes_the_next_patch_on_top_of_active() {
        let Plan::Judge { candidate, steps } = plan(&snapshot("active", "tuned", 3)) else {
            panic!("judged")
        };
        assert_eq!(candidate.version, Version::new(0, 1, 4));
        assert_eq!(candidate.expect, Some(ObjectId::of_blob(b"active")));
        assert_eq!(
            steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "run tier micro against v0.1.3, gate not-worse",
                "record the comparison in the gate's ledger",
                "stop unless budgets and gate pass",
                "archive the Journal of 3 updates",
                "write the commit of v0.1.4",
                "store the evaluation",
                "move active to v0.1.4 and tag it",
                "begin a new Journal on it",
            ]
        );
    }
}
