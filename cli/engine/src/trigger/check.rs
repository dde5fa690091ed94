//! A check: every rule judged; what fires, what is cleared, and what firings led to are recorded.

use super::error::TriggerError;
use super::judged::{Observed, SOURCE, members};
use super::{actions, evidence};
use crate::canary;
use crate::error::Failure;
use crate::repository::{Repository, firings};
use crate::slo::{self, counts};
use crate::world::clock;
use crate::world::fs::FileLock;
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::formats::committed::Warnings;
use agent_core::trigger::firing::{self, ActionResult, Firing, Outcome, SCHEMA, Step};
use agent_core::trigger::{Action, Assessment, FREEZE, Rule};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The findings and the actions of a check.
pub struct CheckReport {
    pub at: Timestamp,
    pub rules: Vec<RuleReport>,
    /// The canary that runs in this clone, or was ended by the check.
    pub canary: Option<canary::Progress>,
    pub warnings: Warnings,
}

pub struct RuleReport {
    pub rule: Rule,
    pub assessment: Assessment,
    pub step: Step,
    /// The firing that is open after the check, or was cleared by it.
    pub firing: Option<Firing>,
}

/// Judges all rules and carries out what follows; one check at a time in a clone.
pub fn check(repository: &Repository) -> Result<CheckReport, Failure> {
    let budgets = slo::budgets(repository)?;
    let (canary, problems) = advance_canary(repository);
    if budgets.triggers.is_empty() && !firings::all(repository)?.iter().any(Firing::is_open) {
        let (at, rules) = (clock::now(), Vec::new());
        return Ok(CheckReport { at, rules, canary, warnings: problems });
    }
    let Some(_lock) = FileLock::try_acquire(&repository.layout.trigger_lock())? else {
        return Err(TriggerError::CheckInProgress.into());
    };
    let at = clock::now();
    let (counts, mut warnings) = counts::up_to_date(&budgets, at, repository)?;
    warnings.extend(problems);
    let observed = Observed::of(repository, budgets, counts, at)?;
    end_without_rule(repository, &observed, at)?;
    let rules = observed
        .budgets
        .triggers
        .iter()
        .map(|rule| Checked { repository, observed: &observed, rule, at }.report())
        .collect::<Result<_, Failure>>()?;
    Ok(CheckReport { at, rules, canary, warnings })
}

/// Brings the running canary up to date; a failure is a warning, and the rules are judged all the
/// same.
fn advance_canary(repository: &Repository) -> (Option<canary::Progress>, Warnings) {
    let mut warnings = Warnings::none();
    let advanced = canary::advance(repository);
    let mut progress = warnings.note(advanced, "the canary was not brought up to date").flatten();
    if let Some(progress) = &mut progress {
        warnings.extend(std::mem::take(&mut progress.warnings));
    }
    (progress, warnings)
}

/// One rule at the time of a check.
struct Checked<'a> {
    repository: &'a Repository,
    observed: &'a Observed,
    rule: &'a Rule,
    at: Timestamp,
}

impl Checked<'_> {
    fn report(&self) -> Result<RuleReport, Failure> {
        self.close_duplicates()?;
        let assessment = self.observed.assess(self.repository, self.rule);
        let past = self.observed.past(&self.rule.name);
        let step = firing::step(self.rule, &assessment, past, self.observed.now);
        let open = self.observed.open_firing(&self.rule.name).cloned();
        let firing = match (&step, open) {
            (Step::Fire { began }, _) => self.fire(&assessment, *began)?,
            (_, Some(open)) => {
                let followed = self.follow(open)?;
                Some(if step == Step::Clear { self.clear(&followed)? } else { followed })
            }
            (_, None) => None,
        };
        let firing = match firing {
            Some(firing) if firing.is_open() => {
                Some(actions::carry_out(self.repository, self.rule, firing)?)
            }
            firing => firing,
        };
        Ok(RuleReport { rule: self.rule.clone(), assessment, step, firing })
    }

    /// Records the firing with its feedback item; `None` where another clone has recorded it
    /// meanwhile.
    fn fire(&self, assessment: &Assessment, began: u64) -> Result<Option<Firing>, Failure> {
        let firing = self.firing(assessment, began)?;
        let item = Feedback::new(&text(&firing), None, SOURCE, &firing.fired)?;
        // one firing of two clones has one item
        let item = Feedback { id: firing.feedback.clone(), ..item };
        let is_new = self.repository.unpack(firings::open(self.repository, &firing, &item)?);
        Ok(is_new.then_some(firing))
    }

    fn firing(&self, assessment: &Assessment, began: u64) -> Result<Firing, Failure> {
        let name = &self.rule.name;
        let began_at = clock::rfc3339(clock::of_second(began));
        let version = assessment.version.as_deref();
        let id = firing::id(name, &began_at, self.observed.past(name).cleared);
        let fired = clock::rfc3339(self.at);
        Ok(Firing {
            schema: SCHEMA.to_owned(),
            feedback: id.replacen("t-", "f-", 1),
            id,
            rule: name.clone(),
            type_name: self.rule.condition.type_name().to_owned(),
            began: began_at,
            fired: fired.clone(),
            version: assessment.version.clone(),
            summary: assessment.summary.clone(),
            figures: assessment.figures.clone(),
            traces: evidence::worst_traces(
                self.repository,
                self.observed,
                self.rule,
                version,
                began,
            )?,
            changed: evidence::changed_before(self.observed, began),
            clone: Some(self.repository.git.clone_id()?),
            actions: self.actions_at(&fired),
            acknowledged: None,
            cleared: None,
            outcome: None,
        })
    }

    /// The actions that the new record already has: `freeze`, so that promotions are held from its
    /// first commit on.
    fn actions_at(&self, fired: &str) -> BTreeMap<String, ActionResult> {
        let freezes = self.rule.actions.contains(&Action::Freeze);
        let held = || (FREEZE.to_owned(), actions::held(fired));
        freezes.then(held).into_iter().collect()
    }

    /// Records the status of the firing's feedback item; the items of a wave share its answer.
    fn follow(&self, firing: Firing) -> Result<Firing, Failure> {
        let Some(item) = self.item(&firing.feedback) else { return Ok(firing) };
        let Some(outcome) = outcome_of(&item.status) else { return Ok(firing) };
        if firing.outcome.as_ref() == Some(&outcome) {
            return Ok(firing);
        }
        let feedback: Vec<_> = if matches!(item.status, Status::Answered { .. }) {
            members(&firing.figures)
                .filter_map(|id| self.item(id))
                .filter(|member| member.status.can_be_run(true))
                .map(|member| (member.clone(), item.status.clone()))
                .collect()
        } else {
            Vec::new()
        };
        let what = format!("led to {}", outcome.status);
        let note = |firing: &mut Firing| firing.outcome = Some(outcome.clone());
        let changed = firings::change(self.repository, &firing.id, &what, note, &feedback)?;
        Ok(self.repository.unpack(changed))
    }

    /// Records that it is over; feedback that no run has taken is withdrawn with it.
    fn clear(&self, firing: &Firing) -> Result<Firing, Failure> {
        let at = clock::rfc3339(self.at);
        self.end(firing, "cleared", |firing| firing.cleared = Some(at.clone()))
    }

    fn end(
        &self,
        firing: &Firing,
        what: &str,
        edit: impl Fn(&mut Firing),
    ) -> Result<Firing, Failure> {
        end(self.repository, self.observed, firing, what, edit)
    }

    /// Two clones that were apart may each have recorded the same incident: the earlier stands.
    fn close_duplicates(&self) -> Result<(), Failure> {
        let of_rule = |firing: &&Firing| firing.rule == self.rule.name && firing.is_open();
        let mut open = self.observed.firings.iter().filter(of_rule);
        let Some(first) = open.next() else { return Ok(()) };
        for duplicate in open {
            let at = clock::rfc3339(self.at);
            let status = format!("duplicate of {}", first.id);
            self.end(duplicate, "is a duplicate", |firing| {
                firing.cleared = Some(at.clone());
                firing.outcome = Some(without_run(&status));
            })?;
        }
        Ok(())
    }

    fn item(&self, id: &str) -> Option<&Feedback> {
        self.observed.item(id)
    }
}

/// Ends the open firings of rules that were removed or renamed: nothing else would judge them, and
/// they would hold promotions for ever.
fn end_without_rule(
    repository: &Repository,
    observed: &Observed,
    at: Timestamp,
) -> Result<(), Failure> {
    let at = clock::rfc3339(at);
    let has_rule = |name: &str| observed.budgets.triggers.iter().any(|rule| rule.name == name);
    // another clone may have other rules in its working tree
    let is_own = |firing: &Firing| firing.clone.is_none() || firing.clone == observed.clone;
    let is_ended = |it: &&Firing| it.is_open() && is_own(it) && !has_rule(&it.rule);
    for firing in observed.firings.iter().filter(is_ended) {
        end(repository, observed, firing, "has no rule", |firing| {
            firing.cleared = Some(at.clone());
            firing.outcome.get_or_insert_with(|| without_run("the rule was removed"));
        })?;
    }
    Ok(())
}

/// Edits a firing that is over, and withdraws its feedback where no run has taken it.
fn end(
    repository: &Repository,
    observed: &Observed,
    firing: &Firing,
    what: &str,
    edit: impl Fn(&mut Firing),
) -> Result<Firing, Failure> {
    let open = observed.item(&firing.feedback).filter(|item| item.status == Status::Open);
    let feedback: Vec<_> = open.map(|item| (item.clone(), Status::Withdrawn)).into_iter().collect();
    let changed = firings::change(repository, &firing.id, what, edit, &feedback)?;
    Ok(repository.unpack(changed))
}

fn without_run(status: &str) -> Outcome {
    Outcome { run: String::new(), status: status.to_owned(), version: None }
}

fn outcome_of(status: &Status) -> Option<Outcome> {
    let (run, version) = match status {
        Status::Open | Status::Withdrawn => return None,
        Status::Answered { run, version } => (run, Some(version.clone())),
        Status::Taken { run } | Status::Refused { run } | Status::NeedsPerson { run } => {
            (run, None)
        }
    };
    Some(Outcome { run: run.clone(), status: status.as_str().to_owned(), version })
}

/// The feedback item of a firing: what a coder needs to know.
fn text(firing: &Firing) -> String {
    let mut text = format!(
        "The trigger `{}` fired: {}. It began at {}.\n",
        firing.rule, firing.summary, firing.began
    );
    if !firing.changed.is_empty() {
        text.push_str("\nVersions made shortly before:\n");
        for change in &firing.changed {
            let _ = writeln!(text, "- {} at {}: {}", change.version, change.at, change.what);
        }
    }
    if !firing.traces.is_empty() {
        text.push_str("\nThe worst calls since (`agent log --trace ID` shows one):\n");
        for trace in &firing.traces {
            let _ = writeln!(text, "- {} at {}: {}", trace.trace, trace.at, trace.why);
        }
    }
    let examples = firing.figures["examples"].as_array().into_iter().flatten();
    for example in examples.filter_map(serde_json::Value::as_str) {
        let _ = write!(text, "\nOne of the items:\n{example}\n");
    }
    text
}
