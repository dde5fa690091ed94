//! The discovery results that were recorded with the servers' Contracts, by code.

use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::discovery::Discovery;
use agent_core::protocol::mcp::Era;
use agent_engine::child::{Child, Role};
use agent_engine::repository::Repository;
use agent_engine::target::{Target, contracts};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub struct DiscoveryRecords {
    role: Role,
    known: RefCell<BTreeMap<ObjectId, Rc<Discovery>>>,
}

impl DiscoveryRecords {
    pub fn new(role: Role) -> Self {
        Self { role, known: RefCell::default() }
    }

    /// The discovery that was recorded with a target's Contract.
    pub fn of(&self, repository: &Repository, target: &Target) -> Option<Rc<Discovery>> {
        let code = target.code.as_ref()?;
        if let Some(known) = self.known.borrow().get(code) {
            return Some(Rc::clone(known));
        }
        let found = contracts::discovery(repository, target, self.role).unwrap_or_else(|error| {
            repository.notices.warn(format!(
                "the recorded discovery of {} cannot be read: {}",
                target.shown(),
                error.messages().join(": ")
            ));
            None
        });
        let found = Rc::new(found?);
        self.known.borrow_mut().insert(code.clone(), Rc::clone(&found));
        Some(found)
    }

    /// The record for a started child: the recorded one of its code, else its answer now.
    pub fn with(
        &self,
        repository: &Repository,
        target: &Target,
        child: &Child,
        tools: Vec<serde_json::Value>,
    ) -> Rc<Discovery> {
        let initialize_result = child.initialize_result().clone();
        match (self.of(repository, target), child.era()) {
            // a record of one era is completed with the other
            (Some(record), Era::Stateless)
                if !record.has_era(Era::Stateless)
                    && record.undeclared_tools(&tools).is_empty() =>
            {
                let complete = (*record).clone().with_stateless(initialize_result, tools);
                self.keep(repository, target, Rc::new(complete))
            }
            (Some(record), _) => record,
            (None, Era::Handshake) => self.keep(
                repository,
                target,
                Rc::new(Discovery::new(Some(initialize_result), None, tools)),
            ),
            (None, Era::Stateless) => Rc::new(Discovery::new(None, Some(initialize_result), tools)),
        }
    }

    fn keep(
        &self,
        repository: &Repository,
        target: &Target,
        discovery: Rc<Discovery>,
    ) -> Rc<Discovery> {
        if let Some(code) = &target.code {
            // without the record the next start takes a few milliseconds more
            let _ = contracts::keep_discovery(repository, target, self.role, &discovery);
            self.known.borrow_mut().insert(code.clone(), Rc::clone(&discovery));
        }
        discovery
    }

    /// Warns of tools that differ from the recorded ones.
    pub fn report(
        &self,
        repository: &Repository,
        target: &Target,
        undeclared_tools: &BTreeMap<String, &'static str>,
    ) {
        if !undeclared_tools.is_empty() {
            let list: Vec<_> =
                undeclared_tools.iter().map(|(tool, how)| format!("`{tool}` {how}")).collect();
            let (role, shown) = (self.role, target.shown());
            repository.notices.warn(format!(
                "the {role} of {shown} lists other tools than the Contract recorded for it: {}",
                list.join(", ")
            ));
        }
    }
}
