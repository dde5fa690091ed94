//! Triggers: rules over live traffic that start the Architect, once for each incident, with the
//! evidence. A check brings the counts up to date, judges every rule, records what fires and what
//! is cleared, and carries out the actions of the rules.

mod actions;
mod check;
mod error;
mod evaluation;
mod evidence;
mod judged;
mod rerun;
mod rollback;
mod watch;

pub use check::{CheckReport, RuleReport, check};
pub use error::TriggerError;
pub use watch::watch;

use crate::error::Failure;
use crate::repository::Repository;
use agent_core::trigger::Rule;

/// The rule of a name.
pub fn rule<'a>(rules: &'a [Rule], name: &str) -> Result<&'a Rule, TriggerError> {
    rules.iter().find(|rule| rule.name == name).ok_or_else(|| TriggerError::NoTrigger {
        name: name.to_owned(),
        known: rules.iter().map(|rule| rule.name.clone()).collect(),
    })
}

/// The rules of the repository.
pub fn rules(repository: &Repository) -> Result<Vec<Rule>, Failure> {
    Ok(crate::slo::budgets(repository)?.triggers)
}
