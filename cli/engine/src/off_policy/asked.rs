//! A policy's probabilities at each recorded decision, as its own Runner notes them: the same call
//! under the policy's state, confined as in a test, and outside of every conversation.

use super::record::Recorded;
use crate::child::{CallResult, Child, ChildError};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::confinement::{self, Scratch};
use crate::target::spec;
use crate::world::event_loop;
use agent_core::off_policy::rows::Noted;
use agent_core::protocol::wire;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};

/// Calls in flight.
const WINDOW: usize = 16;

/// `None` where the Runner noted none, or answered with an error. What this very state noted at the
/// time is not asked again.
pub(super) fn probabilities(
    repository: &Repository,
    target: &Target,
    recorded: &[Recorded],
) -> Result<Vec<Option<Noted>>, Failure> {
    if recorded.iter().all(|decision| known(target, decision).is_some()) {
        return Ok(recorded.iter().map(|decision| known(target, decision).cloned()).collect());
    }
    let mut spec = spec::runner(target, repository)?;
    if target.code.is_some() {
        confinement::confine(&mut spec, &target.manifest.runner, true, target, repository)?;
    }
    let scratch = Scratch::take(&repository.layout)?;
    let spec = scratch.given_to(spec);
    event_loop::block_on(async {
        let child = Child::start(&spec).await?;
        let asked = stream::iter(recorded.iter().enumerate())
            .map(|(index, decision)| at(&child, target, index, decision))
            .buffered(WINDOW)
            .try_collect()
            .await;
        child.end().await;
        asked
    })?
}

fn known<'a>(target: &Target, decision: &'a Recorded) -> Option<&'a Noted> {
    decision.noted.as_ref().filter(|_| decision.revision == target.state.revision)
}

async fn at(
    child: &Child,
    target: &Target,
    index: usize,
    decision: &Recorded,
) -> Result<Option<Noted>, Failure> {
    if let Some(noted) = known(target, decision) {
        return Ok(Some(noted.clone()));
    }
    let meta = meta(target, index, decision);
    match child.call(&decision.tool, &decision.arguments, meta).await {
        Err(ChildError::Refused { .. }) => Ok(None),
        answered => noted(&answered?, decision),
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

fn noted(result: &CallResult, decision: &Recorded) -> Result<Option<Noted>, Failure> {
    let reported = result.meta(wire::CONVERSATION).filter(|_| !result.is_error());
    let found = reported.and_then(|reported| reported.get("facts")?.get("propensities"));
    found.map(Noted::read).transpose().map_err(|problem| {
        Failure::new(
            agent_core::formats::diagnose::FailureKind::Child,
            format!("asked again, {}: {problem}", decision.row.place),
        )
    })
}
