//! A policy's probabilities at each recorded decision, as its own Runner notes them: the same call
//! under the policy's state, confined as in a test, and outside of every conversation.

use super::error::OffPolicyError;
use super::record::Recorded;
use crate::child::{CallResult, Child, ChildError};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::{overlay, runner};
use crate::world::event_loop;
use agent_core::formats::object_id::ObjectId;
use agent_core::off_policy::rows::Noted;
use agent_core::protocol::wire;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Calls in flight.
const WINDOW: usize = 16;

/// `None` where the Runner noted none, or answered with an error. A call whose
/// probabilities this state noted at the time is not repeated.
pub(super) fn of(
    repository: &Repository,
    target: &Target,
    recorded: &[Recorded],
) -> Result<Vec<Option<Noted>>, Failure> {
    let drawn = Drawn::of(repository, target, recorded)?;
    if recorded.iter().all(|decision| drawn.has(decision)) {
        return Ok(recorded.iter().map(|decision| drawn.noted(decision)).collect());
    }
    let (spec, _scratch) = runner::confined(repository, target)?;
    event_loop::block_on(async {
        let child = Child::start(&spec).await?;
        let answers = stream::iter(recorded.iter().enumerate())
            .map(|(index, decision)| at(&child, &drawn, index, decision))
            .buffered(WINDOW)
            .try_collect()
            .await;
        child.end().await;
        answers
    })?
}

/// The probabilities that are known without calling the policy's Runner: noted ones, and the draws
/// of overlays.
struct Drawn<'a> {
    target: &'a Target,
    /// By the state that decided.
    chances: HashMap<ObjectId, Option<Noted>>,
}

impl<'a> Drawn<'a> {
    fn of(
        repository: &Repository,
        target: &'a Target,
        recorded: &[Recorded],
    ) -> Result<Self, Failure> {
        let mut chances = HashMap::new();
        for decision in recorded.iter().filter(|decision| decision.is_of_overlay) {
            if !chances.contains_key(&decision.revision) {
                let of_all = overlay::chances(repository, target, &decision.revision)?;
                chances.insert(decision.revision.clone(), of_all.map(Noted::All));
            }
        }
        Ok(Self { target, chances })
    }

    fn has(&self, decision: &Recorded) -> bool {
        decision.is_of_overlay || self.noted(decision).is_some()
    }

    fn noted(&self, decision: &Recorded) -> Option<Noted> {
        let own = decision.noted.as_ref();
        let own = own.filter(|_| decision.revision == self.target.state.revision).cloned();
        own.or_else(|| self.chances.get(&decision.revision).cloned().flatten())
    }
}

async fn at(
    child: &Child,
    drawn: &Drawn<'_>,
    index: usize,
    decision: &Recorded,
) -> Result<Option<Noted>, Failure> {
    if drawn.has(decision) {
        return Ok(drawn.noted(decision));
    }
    let meta = meta(drawn.target, index, decision);
    match child.call(&decision.tool, &decision.arguments, meta).await {
        Err(ChildError::Refused { .. }) => Ok(None),
        answered => Ok(noted(&answered?, decision)?),
    }
}

fn meta(target: &Target, index: usize, decision: &Recorded) -> Map<String, Value> {
    let state = &target.state;
    let state = json!({"revision": state.revision, "path": state.file.path()});
    // a name of its own, so that a Runner that keeps something by conversation mixes nothing up
    let conversation =
        json!({"id": format!("off-policy-{index}"), "turn": decision.turn, "data": decision.data});
    Map::from_iter([(wire::STATE.to_owned(), state), (wire::CONVERSATION.to_owned(), conversation)])
}

fn noted(result: &CallResult, decision: &Recorded) -> Result<Option<Noted>, OffPolicyError> {
    let reported = result.meta(wire::CONVERSATION).filter(|_| !result.is_error());
    let found = reported.and_then(|reported| reported.get("facts")?.get("propensities"));
    found.map(Noted::read).transpose().map_err(|problem| OffPolicyError::CalledAgain {
        place: decision.row.place.clone(),
        problem,
    })
}
