//! The overlay of a target: how its Runner is presented.

use crate::repository::{Repository, state_value};
use crate::target::contracts;
use crate::target::definition::Target;
use crate::target::error::TargetError;
use crate::world::git::STATE_FILE;
use agent_core::contract::Contract;
use agent_core::formats::object_id::ObjectId;
use agent_core::overlay::{self, Assignment, Fault, KEY, Overlay, OverlayError, Presentation};
use serde_json::Value;
use std::collections::BTreeMap;

/// The overlay in a target's state; `None` where it has none.
pub fn of(target: &Target) -> Result<Option<Overlay>, OverlayError> {
    Overlay::read(&target.state.value, key(target))
}

/// Whether its state has one, which may be unreadable.
pub fn is_there(target: &Target) -> bool {
    target.state.value.get(key(target)).is_some()
}

/// Whether conversations are assigned to different variants.
pub fn is_split(target: &Target) -> bool {
    is_there(target) && of(target).is_ok_and(|overlay| overlay.is_some_and(|one| one.is_split()))
}

/// The key of its state that holds the overlay.
pub fn key(target: &Target) -> &str {
    target.manifest.runner.overlay.as_deref().unwrap_or(KEY)
}

/// The overlay of a target; an error where it does not fit these tools of the Runner.
pub fn fitting(target: &Target, tools: &[Value]) -> Result<Option<Overlay>, TargetError> {
    let Some(overlay) = of(target)? else { return Ok(None) };
    let (overlay, faults) = overlay.fitted(tools);
    if faults.is_empty() { Ok(Some(overlay)) } else { Err(misfit(target, &faults)) }
}

/// Whether the states of two targets are the same but for the overlay, which no Runner applies.
pub fn differ_at_most(one: &Target, other: &Target) -> bool {
    if one.state.revision == other.state.revision {
        return true;
    }
    let beside = |target: &Target| {
        let mut members = target.state.value.as_object().cloned().unwrap_or_default();
        members.remove(key(target));
        members
    };
    one.state.value.is_object() && other.state.value.is_object() && beside(one) == beside(other)
}

/// The error of an overlay that does not fit its Runner.
pub fn misfit(target: &Target, faults: &[Fault]) -> TargetError {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    TargetError::UnfitOverlay {
        target: target.shown(),
        key: key(target).to_owned(),
        faults: faults.join("; "),
    }
}

/// Like `fitting`, with the tools of the target's Contract, which is found only if there is an
/// overlay.
pub fn checked(target: &Target, repository: &Repository) -> Result<Option<Overlay>, TargetError> {
    if of(target)?.is_none() {
        return Ok(None);
    }
    fitting(target, &tools_of(&contracts::of(target, repository)?))
}

/// The fact of a turn that has the draw of its variant.
pub const OVERLAY_FACTS: &str = "overlay";

/// The tools as one conversation is shown them, and the draw that decided it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub presentation: Presentation,
    /// Set where conversations are assigned to different variants.
    pub drawn: Option<Assignment>,
}

impl Shown {
    /// A call outside of a conversation gets the presentation without a variant.
    pub fn of(overlay: &Overlay, conversation: Option<&str>) -> Self {
        match conversation.filter(|_| overlay.is_split()) {
            None => Self { presentation: overlay.plain(), drawn: None },
            Some(id) => {
                let drawn = overlay.assign(id);
                Self { presentation: overlay.presentation(&drawn.variant), drawn: Some(drawn) }
            }
        }
    }
}

/// A Contract as its callers can rely on it: with the target's overlay over the Runner's tools.
pub fn over(contract: Contract, target: &Target) -> Result<Contract, TargetError> {
    let overlay = fitting(target, &tools_of(&contract))?;
    Ok(presented(contract, overlay))
}

/// A Contract with any overlay over it, as far as that fits.
pub fn presented(mut contract: Contract, overlay: Option<Overlay>) -> Contract {
    if let Some(overlay) = overlay {
        let tools = tools_of(&contract);
        let listed = overlay.fitted(&tools).0.common().listed(tools);
        let named = |tool: Value| Some((tool["name"].as_str()?.to_owned(), tool));
        contract.runner.tools = listed.into_iter().filter_map(named).collect();
    }
    contract
}

/// The probability of each variant under a target, for a conversation that another state decided;
/// `None` where a variant of either name is not the same in both.
pub fn chances(
    repository: &Repository,
    target: &Target,
    decided: &ObjectId,
) -> Result<Option<BTreeMap<String, f64>>, TargetError> {
    let bytes = repository.git.blob(decided)?;
    let state = state_value(&bytes, &format!("state {}", decided.short()))?;
    let (old, new) = (Overlay::read(&state, key(target))?, of(target)?);
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let chances = new.propensities();
    let is_same = |name: &String| old.presentation(name) == new.presentation(name);
    let known = old.propensities();
    Ok(known.keys().chain(chances.keys()).all(is_same).then_some(chances))
}

/// The overlay in the state of a commit; `None` where it has none that can be read.
pub fn at(repository: &Repository, commit: &ObjectId) -> Result<Option<Overlay>, TargetError> {
    let Some(bytes) = repository.git.read(commit, STATE_FILE)? else { return Ok(None) };
    let key = repository.manifest(commit)?.runner.overlay;
    let state = state_value(&bytes, &format!("{}:{STATE_FILE}", commit.short()))?;
    Ok(Overlay::read(&state, key.as_deref().unwrap_or(KEY)).ok().flatten())
}

/// Why a change of the overlay is more than a promotion may make; `None` where it is not.
pub fn excess(
    served: &Target,
    candidate: &Target,
    repository: &Repository,
) -> Result<Option<String>, TargetError> {
    let (old, new) = (of(served)?, of(candidate)?);
    if old == new {
        return Ok(None);
    }
    let tools = tools_of(&contracts::of(candidate, repository)?);
    let new = fitting(candidate, &tools)?.unwrap_or_default();
    let old = old.map(|old| old.fitted(&tools).0).unwrap_or_default();
    let declared = overlay::promotable(candidate.manifest.promote.overlay.as_deref())?;
    let found = overlay::excess(&tools, (&old, &new), &declared)?;
    let shown: Vec<_> = found
        .iter()
        .map(|change| format!("{} ({}: {})", change.message, change.rule, change.level))
        .collect();
    Ok((!shown.is_empty())
        .then(|| format!("the change of the overlay is more than a PATCH: {}", shown.join("; "))))
}

/// What to do about such a change.
pub const RELEASE_IT: &str = "release it (`agent state show staging` into \
    state/active.state.json on main), or declare the rule: `[promote] overlay = [\"RULE\"]` in \
    agent.toml";

fn tools_of(contract: &Contract) -> Vec<Value> {
    contract.runner.tools.values().cloned().collect()
}
