//! Recorded calls of service, run again: on a candidate, and on what it is compared with.
//!
//! Only tools without side effects are run, as a tier runs them. The baseline's answers are taken
//! from the record where they are its own and a sample of them comes out the same again; everything
//! else is run on both sides under the same conditions.

mod error;
mod record;
mod report;
mod sides;
mod tools;

pub use record::calls;
pub use report::{Names, Replayed, last_differing};
pub use tools::Tools;

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::testing::cases;
use agent_core::formats::document;
use agent_core::formats::manifest::Tier;
use agent_core::replay::expectations::{self, Expectations};
use agent_core::replay::units::Units;
use agent_core::replay::verdict::Report;
use error::ReplayError;
use jiff::Timestamp;

/// Which calls are run again.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub since: Option<Timestamp>,
    /// Calls of this tool alone.
    pub tool: Option<String>,
    /// The newest calls alone.
    pub limit: Option<usize>,
    /// The number of distinct calls and conversations.
    pub sample: Option<usize>,
    /// The number of concurrent Runners; `None` is one per core.
    pub shards: Option<usize>,
}

/// Runs recorded calls on a candidate and compares its answers with the baseline's.
pub fn replay(
    repository: &Repository,
    [candidate, baseline]: [&Target; 2],
    selection: &Selection,
) -> Result<Replayed, Failure> {
    let recorded = record::calls(repository, selection)?;
    if recorded.calls.is_empty() {
        return Err(nothing_recorded(candidate, selection).into());
    }
    let total = recorded.calls.len();
    let tools = tools::Tools::of(repository, candidate, baseline)?;
    let mut units = Units::of(recorded.calls, &|tool| tools.may_run(tool));
    let sampled_away = selection.sample.map_or(0, |most| units.sample(most));
    let expectations = expectations(repository, candidate)?;
    let both = sides::run(repository, [candidate, baseline], &units, &expectations, selection)?;
    let gated = &candidate.manifest.promote.gated();
    let report = Report::of(gated.into(), &both.sides(&units, &expectations), &expectations);
    let names = Names { candidate: candidate.shown(), baseline: baseline.shown() };
    let mut warnings = recorded.warnings;
    for line in expectations.without_effect(|tool| tools.is_there(tool)) {
        warnings.push(line);
    }
    let mut replayed = Replayed {
        names,
        recorded: total,
        distinct: units.list.iter().filter(|unit| !unit.is_conversation).count(),
        conversations: units.list.iter().filter(|unit| unit.is_conversation).count(),
        calls: units.calls(),
        sampled_away,
        left_out: units.left_out,
        from_record: both.from_record,
        unsteady: both.unsteady,
        report,
        warnings,
    };
    if let Err(error) = replayed.keep(repository, &candidate.manifest) {
        replayed.warnings.push(format!(
            "the replay is not kept for `agent test add --differing`: {}",
            error.messages.join(": ")
        ));
    }
    Ok(replayed)
}

/// The expectations of answers, by the evaluators of the candidate's commit.
fn expectations(repository: &Repository, candidate: &Target) -> Result<Expectations, Failure> {
    let evaluators = candidate.own_evaluators();
    let files = evaluators.files(&repository.git)?;
    let mut found = Expectations::default();
    if let Some(bytes) = files.read(expectations::FILE, expectations::FILE)? {
        found.read(document::text(&bytes, expectations::FILE)?)?;
    }
    for tier in Tier::ALL {
        cases::load(&files, tier)?.cases.list.iter().for_each(|case| found.add(case));
    }
    Ok(found)
}

fn nothing_recorded(candidate: &Target, selection: &Selection) -> ReplayError {
    let (tool, since) = (selection.tool.as_ref(), selection.since);
    ReplayError::NothingRecorded {
        what: tool.map_or_else(String::new, |tool| format!(" of `{tool}`")),
        when: since.map_or_else(String::new, |since| format!(" since {since:.0}")),
        is_content_kept: candidate.manifest.record.content,
    }
}
