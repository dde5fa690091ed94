//! `agent versions diff`: the difference of two versions, from git and from what the object store
//! keeps. It starts nothing.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::contracts;
use crate::versions::stored::StoredTiers;
use crate::world::git::{CommitInfo, STATE_FILE};
use agent_core::bisection::code_difference::{self, CodeDifference, Files, Sides, Withheld};
use agent_core::bisection::difference::{
    Missing, SCHEMA, StateChange, VersionDifference, side_name,
};
use agent_core::contract::assessment::Assessment;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::state::differences;
use agent_core::testing::case_result::is_held_out;
use agent_core::testing::comparison::{Side, TierComparison};
use std::collections::BTreeSet;

/// The tiers named, or all that either side has.
pub fn difference(
    repository: &Repository,
    from: &ObjectId,
    to: &ObjectId,
    tiers: &BTreeSet<Tier>,
) -> Result<VersionDifference, Failure> {
    let (from, to) = (repository.git.commit(from)?, repository.git.commit(to)?);
    let mut missing = Vec::new();
    let state = differences(&repository.state_at(&from.id)?, &repository.state_at(&to.id)?);
    let contract = contract(repository, &from, &to, &mut missing)?;
    let tiers = compared(repository, &from, &to, tiers, &mut missing)?;
    let code = repository.git.diff(Some(&from.id), &to.id)?;
    Ok(VersionDifference {
        schema: SCHEMA,
        from_version: from.trailers.version.clone(),
        to_version: to.trailers.version.clone(),
        from: from.id,
        to: to.id,
        contract,
        code,
        state: state.into_iter().map(StateChange::from).collect(),
        tiers,
        missing,
    })
}

/// The lines of the code that differ. Those of held-out cases are shown where `shows_held_out`; the
/// learned state is no code.
pub fn code(
    repository: &Repository,
    from: &CommitInfo,
    to: &CommitInfo,
    shows_held_out: bool,
) -> Result<CodeDifference, Failure> {
    let mut changes = repository.git.diff(Some(&from.id), &to.id)?;
    changes.retain(|change| change.path != STATE_FILE);
    let left_off = changes.len().saturating_sub(code_difference::FILES);
    changes.truncate(code_difference::FILES);
    let mut files = Files::default();
    for change in changes {
        if is_held_out(&change.path) && !shows_held_out {
            files.withhold(change, Withheld::HeldOut);
            continue;
        }
        let [old, new] = [
            repository.git.read(&from.id, &change.path)?,
            repository.git.read(&to.id, &change.path)?,
        ];
        files.add(change, &Sides { old: old.as_deref(), new: new.as_deref() });
    }
    Ok(CodeDifference {
        schema: code_difference::SCHEMA,
        from: from.id.clone(),
        to: to.id.clone(),
        from_version: from.trailers.version.clone(),
        to_version: to.trailers.version.clone(),
        files: files.finish(),
        left_off,
    })
}

fn contract(
    repository: &Repository,
    from: &CommitInfo,
    to: &CommitInfo,
    missing: &mut Vec<Missing>,
) -> Result<Option<Assessment>, Failure> {
    let assessed = contracts::assessed_from_kept(repository, from, to)?;
    if assessed.is_none() {
        let [one, two] = [name(from), name(to)];
        missing.push(Missing {
            of: format!("{one}..{two}"),
            what: "contract".to_owned(),
            how: format!("agent semver {one}..{two}"),
        });
    }
    Ok(assessed)
}

fn name(commit: &CommitInfo) -> String {
    side_name(commit.trailers.version.as_ref(), &commit.id)
}

fn compared(
    repository: &Repository,
    from: &CommitInfo,
    to: &CommitInfo,
    wanted: &BTreeSet<Tier>,
    missing: &mut Vec<Missing>,
) -> Result<Vec<TierComparison>, Failure> {
    let kept = [StoredTiers::of(repository, from)?, StoredTiers::of(repository, to)?];
    let there = || kept.iter().flat_map(StoredTiers::tiers).collect();
    let tiers: BTreeSet<Tier> = if wanted.is_empty() { there() } else { wanted.clone() };
    let mut compared = Vec::new();
    for tier in tiers {
        let results = [kept[0].results(tier)?, kept[1].results(tier)?];
        for (commit, results) in [from, to].into_iter().zip(&results) {
            if results.is_none() {
                let of = name(commit);
                let how = format!("agent test --at {of} --tier {tier}");
                missing.push(Missing { of, what: tier.to_string(), how });
            }
        }
        if let ([Some(old), Some(new)], (Some(before), Some(now))) =
            (&results, (kept[0].tier(tier), kept[1].tier(tier)))
        {
            let side = |(summary, definitions), results| Side { summary, definitions, results };
            compared.push(TierComparison::of(
                tier,
                side((&before.0, &before.1), old),
                side((&now.0, &now.1), new),
            ));
        }
    }
    Ok(compared)
}
