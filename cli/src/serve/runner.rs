//! The Runner behind the shim: each call under one state, each conversation under the version it began with.

use crate::calling::{self, Call, CallError};
use crate::children;
use crate::conversations;
use crate::error::CommandError;
use crate::runner::child::{Child, Role};
use crate::serve::shim::{CallFailure, Served, Server, Shim};
use crate::target::Target;
use agent_core::raw_object::RawObject;
use serde_json::value::RawValue;
use std::rc::Rc;

pub(crate) struct Runner(Child);

impl Server for Runner {
    async fn start(shim: &Shim<Self>, target: &Target) -> Result<Self, CommandError> {
        let spec = children::spec(Role::Runner, target, &shim.repository.layout, &shim.context)?;
        Ok(Self(Child::start(&spec).await?))
    }

    fn child(&self) -> &Child {
        &self.0
    }

    fn child_mut(&mut self) -> &mut Child {
        &mut self.0
    }

    async fn end(self) {
        self.0.end().await;
    }

    /// The state goes with each call, so only the code matters.
    fn serves(old: &Target, new: &Target) -> bool {
        old.code == new.code
    }

    async fn call(shim: &Shim<Self>, served: Served<Self>, params: RawObject) -> Result<Box<RawValue>, CallFailure> {
        let conversation = calling::conversation_of(&params);
        // two calls at once in one conversation would each forget what the other remembered
        let _turn = match &conversation {
            Some(id) => Some(shim.turns.take(id).await),
            None => None,
        };
        let served = for_conversation(shim, served, conversation.as_deref()).await?;
        let call = Call { target: &served.target, layout: &shim.repository.layout, params, conversation };
        let called = call.make(served.server.child()).await.map_err(|error| match error {
            CallError::Child(error) => CallFailure::Child(error),
            CallError::Conversation(error) => error.into(),
        })?;
        Ok(calling::for_host(called.result.raw()))
    }
}

/// A conversation keeps the state it began with; one that began on other code is served by its own child for this call.
async fn for_conversation(shim: &Shim<Runner>, now: Served<Runner>, conversation: Option<&str>) -> Result<Served<Runner>, CommandError> {
    let Some(id) = conversation else { return Ok(now) };
    let Some(kept) = conversations::load(&shim.repository.layout, id)? else { return Ok(now) };
    if kept.header.commit == now.target.commit && kept.header.revision == now.target.state.revision {
        return Ok(now);
    }
    let target = Rc::new(shim.repository.pinned(&kept.header)?);
    let server = if target.code == now.target.code { now.server } else { Rc::new(shim.start(&target).await?) };
    Ok(Served { target, server })
}
