//! The overlays of what is served, each read once and fitted to the tools of its server.

use agent_core::formats::diagnose::Messages;
use agent_core::formats::object_id::ObjectId;
use agent_core::overlay::{Overlay, OverlayError, Presentation};
use agent_core::protocol::discovery::Discovery;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::target::overlay::{self, Shown};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// How many are kept.
const KEPT: usize = 64;

/// A state, and code whose tools never change.
type Key = (ObjectId, ObjectId);

/// What the overlay of a target presents to a conversation, whether it fits the tools or not.
pub fn presentation(target: &Target, conversation: Option<&str>) -> Presentation {
    let overlay = overlay::of(target).ok().flatten();
    overlay.map(|overlay| Shown::of(&overlay, conversation).presentation).unwrap_or_default()
}

#[derive(Default)]
pub struct Overlays {
    known: RefCell<HashMap<Key, Option<Rc<Overlay>>>>,
    warned: RefCell<BTreeSet<String>>,
}

impl Overlays {
    /// The overlay of a target over these tools. What does not fit them is left out with a warning.
    pub fn of(
        &self,
        repository: &Repository,
        target: &Target,
        discovery: &Discovery,
    ) -> Result<Option<Rc<Overlay>>, OverlayError> {
        if !overlay::is_there(target) {
            return Ok(None);
        }
        let key = target.code.clone().map(|code| (target.state.revision.clone(), code));
        if let Some(known) = key.as_ref().and_then(|key| self.known.borrow().get(key).cloned()) {
            return Ok(known);
        }
        let read = overlay::of(target).inspect_err(|error| self.warn(repository, error))?;
        let overlay = read.map(|read| {
            let (fitted, faults) = read.fitted(&discovery.tools);
            if !faults.is_empty() {
                self.warn(repository, &overlay::misfit(target, &faults));
            }
            Rc::new(fitted)
        });
        if let Some(key) = key {
            let mut known = self.known.borrow_mut();
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(key, overlay.clone());
        }
        Ok(overlay)
    }

    /// Warns once.
    fn warn(&self, repository: &Repository, problem: &impl Messages) {
        let text = problem.messages().join(": ");
        if self.warned.borrow_mut().insert(text.clone()) {
            repository.notices.warn(text);
        }
    }
}
