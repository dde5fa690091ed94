//! Carries out the effects that a Tuner's tool requests: HTTP requests, scores of states.

mod evaluation;
mod request;

use crate::repository::{Location, Repository};
use crate::target::effects::{BatchLimits, EffectError, Perform, SignalEffects};
use crate::target::tuner::Tuner;
use agent_core::state::effect::Request;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The effects of a batch of signals through a Tuner.
pub fn of(repository: &Repository, tuner: &Tuner, limits: BatchLimits) -> SignalEffects {
    let performer = Performer { location: repository.location() };
    SignalEffects::new(Arc::new(performer), tuner.effect_limits().clone(), limits)
}

/// Each request opens the repository on its own thread.
struct Performer {
    location: Location,
}

impl Perform for Performer {
    fn perform(&self, request: Request, limit: Duration) -> Result<Value, EffectError> {
        match request {
            Request::Http(request) => request::send(&request, limit),
            Request::Evaluate(request) => {
                evaluation::score(&self.location.open()?, &request, limit)
            }
            Request::Random {} | Request::Now {} => {
                Err(EffectError::Refused(format!("{} was not offered", request.shown())))
            }
        }
    }
}
