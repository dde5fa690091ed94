//! The parameters of a tier run.

use crate::error::Failure;
use crate::world::clock;
use agent_core::formats::manifest::Tier;
use agent_core::formats::suggestion::did_you_mean;
use agent_core::testing::cached_result::Reuse;
use agent_core::testing::case::Cases;
use agent_core::testing::part::Part;
use std::collections::BTreeSet;
use std::time::Instant;

/// Where a tier is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Executor {
    #[default]
    Local,
    /// In parts, on a cluster.
    Ray,
}

/// How to run a tier.
#[derive(Debug, Clone)]
pub struct Request {
    pub tier: Tier,
    /// The number of concurrent Runners; `None` is one per core.
    pub shards: Option<usize>,
    pub part: Option<Part>,
    pub executor: Executor,
    /// How often each case is run, at least.
    pub repeats: u32,
    /// These cases alone, by id.
    pub only: Option<BTreeSet<String>>,
    /// Which stored results of the same code are taken.
    pub reuse: Reuse,
    pub keep_goldens: bool,
    /// `on_event` gets every event, as a part to merge: of what it is a part, and what was known as
    /// well.
    pub report_details: bool,
    /// The deadline without events.
    pub deadline: Option<Instant>,
}

impl Request {
    pub fn new(tier: Tier) -> Self {
        Self {
            tier,
            shards: None,
            part: None,
            executor: Executor::Local,
            repeats: 1,
            only: None,
            reuse: Reuse::SameReads,
            keep_goldens: false,
            report_details: false,
            deadline: None,
        }
    }

    /// For evidence of a version: cached results that depend on keys reported by a Runner are not
    /// used.
    pub fn evidence(tier: Tier) -> Self {
        Self { reuse: Reuse::SameState, ..Self::new(tier) }
    }

    /// For a run that takes no result over.
    pub fn anew(tier: Tier) -> Self {
        Self { reuse: Reuse::Nothing, ..Self::new(tier) }
    }

    /// Excludes the cases that were not selected.
    pub(super) fn narrow(&self, cases: &mut Cases) -> Result<(), Failure> {
        if let Some(only) = &self.only {
            let there: BTreeSet<&str> = cases.list.iter().map(|case| case.id.as_str()).collect();
            if let Some(missing) = only.iter().find(|id| !there.contains(id.as_str())) {
                let suggestion = did_you_mean(missing, there.iter().copied());
                return Err(Failure::input(format!(
                    "there is no case `{missing}` in {}{suggestion}",
                    self.tier
                )));
            }
            cases.list.retain(|case| only.contains(&case.id));
        }
        if let Some(part) = self.part {
            cases.list.retain(|case| part.holds(&case.id));
        }
        cases.as_of(&clock::today());
        cases.repeat(self.repeats);
        Ok(())
    }
}
