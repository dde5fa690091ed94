//! The decisions on record: turns whose facts have an arm and its propensity.

use super::error::OffPolicyError;
use super::{Selection, rewards};
use crate::conversations::{self, Turn};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::overlay::OVERLAY_FACTS;
use agent_core::formats::committed::Warnings;
use agent_core::formats::object_id::ObjectId;
use agent_core::off_policy::rows::{self, Noted, Row};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A decision with the call that it was made in.
pub(super) struct Recorded {
    pub row: Row,
    pub conversation: String,
    pub turn: u64,
    pub tool: String,
    pub arguments: Value,
    /// The Runner's data from the turns before.
    pub data: Map<String, Value>,
    /// The state that decided, and its probabilities where it noted those of all arms.
    pub revision: ObjectId,
    pub noted: Option<Noted>,
    /// Whether it was the draw of a variant of the overlay, which no Runner decides.
    pub is_of_overlay: bool,
}

/// In the order of time; those without a reward are left out unless one is given for them.
pub(super) fn decisions(
    repository: &Repository,
    selection: &Selection,
    warnings: &mut Warnings,
) -> Result<Vec<Recorded>, Failure> {
    let evaluations = rewards::evaluations(repository, selection.since, warnings)?;
    let mut decisions = Vec::new();
    let mut unrewarded = 0;
    for id in conversations::ids(&repository.layout)? {
        let Some(conversation) = conversations::load(&repository.layout, &id)? else { continue };
        let signals = conversations::rewards(&repository.layout, &id)?;
        let turns = &conversation.turns;
        let made: Vec<&Turn> = turns.iter().filter(|turn| is_decision(turn)).collect();
        let of_signals = rewards::of_turns(&made, &signals);
        for (turn, signal) in made.into_iter().zip(of_signals) {
            let at: Option<Timestamp> = turn.at.parse().ok();
            if selection.since.is_some_and(|since| at.is_some_and(|at| at < since)) {
                continue;
            }
            let reward = signal
                .or_else(|| evaluations.get(rewards::call(turn)?).copied())
                .or(selection.unrewarded);
            let Some(reward) = reward else {
                unrewarded += 1;
                continue;
            };
            let before = turns.iter().take_while(|other| other.turn < turn.turn).last();
            let data = before.map(|before| before.data.clone()).unwrap_or_default();
            decisions.push((turn.at.clone(), recorded(&id, turn, reward, data)?));
        }
    }
    if unrewarded > 0 {
        warnings.push(format!(
            "{unrewarded} decisions without a reward are left out; where that means a reward of 0, \
            give `--unrewarded 0`"
        ));
    }
    decisions.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(decisions.into_iter().map(|(_, decision)| decision).collect())
}

fn is_decision(turn: &Turn) -> bool {
    !turn.is_error && turn.facts.contains_key("arm")
}

fn is_of_overlay(turn: &Turn) -> bool {
    let draw = turn.facts.get(OVERLAY_FACTS).unwrap_or(&Value::Null);
    draw.is_object()
        && ["arm", "propensities"].iter().all(|key| turn.facts.get(*key) == draw.get(key))
}

fn recorded(
    conversation: &str,
    turn: &Turn,
    reward: f64,
    data: Map<String, Value>,
) -> Result<Recorded, Failure> {
    let place = format!("conversation `{conversation}`, turn {}", turn.turn);
    let wrong = |problem| OffPolicyError::Wrong { place: place.clone(), problem };
    let facts = &turn.facts;
    let arm = rows::arm(&facts["arm"]).map_err(wrong)?;
    let noted = facts.get("propensities").map(Noted::read).transpose().map_err(wrong)?;
    let propensity = match (facts.get("propensity"), &noted) {
        (Some(propensity), _) => rows::propensity(propensity).map_err(wrong)?,
        (None, Some(Noted::All(chances))) => {
            let chance = chances.get(&arm).copied().filter(|chance| *chance > 0.0);
            chance.ok_or_else(|| wrong(format!("its `propensities` give the arm {arm} none")))?
        }
        (None, _) => return Err(wrong("it has an `arm`, but no `propensity`".to_owned()).into()),
    };
    let context = facts.get("context").cloned().unwrap_or_default();
    Ok(Recorded {
        row: Row { place, arm, propensity, reward, context, candidate: None, baseline: None },
        conversation: conversation.to_owned(),
        turn: turn.turn,
        tool: turn.tool.clone(),
        arguments: turn.arguments.clone(),
        data,
        revision: turn.revision.clone(),
        noted,
        is_of_overlay: is_of_overlay(turn),
    })
}
