//! A canary brought up to date: conversations that are over are compared, a decision is recorded,
//! and carried out.

use super::error::CanaryError;
use super::files;
use crate::error::Failure;
use crate::repository::{Repository, canaries};
use crate::telemetry::{CachedFold, Recorded};
use crate::versions::promotion::{self, FrozenStaging};
use crate::world::clock;
use crate::world::fs::FileLock;
use crate::world::git::ACTIVE;
use agent_core::canary::conversations::{Observed, Taken};
use agent_core::canary::judge::Judge;
use agent_core::canary::{Canary, Decision, End, Outcome, Verdict};
use agent_core::formats::committed::Warnings;
use agent_core::version::tag;
use jiff::Timestamp;
use semver::Version;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const OBSERVED_SCHEMA: &str = "agent/canary-observed@1";

/// The progress of a canary.
#[derive(Debug)]
pub struct Progress {
    pub canary: Canary,
    pub summary: String,
    pub figures: Value,
    pub warnings: Warnings,
}

impl Progress {
    fn of(canary: Canary, taken: &[Taken], warnings: Warnings) -> Self {
        let judge = Judge::of(&canary.design, taken);
        let (summary, figures) = (judge.summary(), judge.figures());
        Self { canary, summary, figures, warnings }
    }
}

/// Brings the canary of this clone up to date and carries out what follows; `None` where none runs.
/// While another process does that, the result is how far it has come.
pub fn advance(repository: &Repository) -> Result<Option<Progress>, Failure> {
    let layout = &repository.layout;
    if files::current(layout)?.is_none() {
        return Ok(None);
    }
    let lock = FileLock::try_acquire(&layout.canary_lock())?;
    let Some(mut canary) = files::current(layout)? else { return Ok(None) };
    let mut warnings = Warnings::none();
    if lock.is_some() {
        // a killed start may not have recorded it
        repository.unpack(canaries::record(repository, &canary)?);
        if canary.is_running() {
            let taken = compare(repository, &canary, &mut warnings)?;
            if let Some(decision) = decide(repository, &canary, &taken)? {
                canary.decision = Some(decision);
                files::write(layout, &canary)?;
            }
        }
        canary = carry_out(repository, canary, &mut warnings)?;
    }
    let taken = files::taken(layout, &canary)?;
    Ok(Some(Progress::of(canary, &taken, warnings)))
}

/// Ends the canary of this clone without a verdict.
pub fn stop(repository: &Repository, reason: &str) -> Result<Progress, Failure> {
    let layout = &repository.layout;
    let _lock = FileLock::acquire(&layout.canary_lock())?;
    let Some(mut canary) = files::current(layout)? else {
        return Err(CanaryError::NotRunning.into());
    };
    let mut warnings = Warnings::none();
    let taken = files::taken(layout, &canary)?;
    if canary.is_running() {
        canary.decision = Some(decision(&canary, &taken, Verdict::Stopped, reason.to_owned()));
        files::write(layout, &canary)?;
    }
    let canary = carry_out(repository, canary, &mut warnings)?;
    Ok(Progress::of(canary, &taken, warnings))
}

/// Advances the canary at this interval until it has ended.
pub fn wait(repository: &Repository, every: Duration) -> Result<Option<Progress>, Failure> {
    loop {
        let progress = advance(repository)?;
        match progress {
            Some(progress) if progress.canary.end.is_none() => {
                let warnings = progress.warnings;
                warnings.into_iter().for_each(|warning| repository.notices.detail(warning));
                std::thread::sleep(every);
            }
            ended => return Ok(ended),
        }
    }
}

/// Compares the conversations that have ended; returns all that were compared so far.
fn compare(
    repository: &Repository,
    canary: &Canary,
    warnings: &mut Warnings,
) -> Result<Vec<Taken>, Failure> {
    let started: Timestamp = time(&canary.started)?;
    let since = u64::try_from(started.as_nanosecond()).unwrap_or_default();
    let records = repository.records()?;
    let path = repository.layout.canary_observed();
    let is_stale = |observed: &Observed| observed.canary != canary.id;
    let mut cached = CachedFold::<Observed>::read(&path, OBSERVED_SCHEMA, is_stale);
    if is_stale(cached.fold_mut()) {
        *cached.fold_mut() = Observed::of(canary);
    }
    let observed =
        cached.bring_up_to_date(&records, Some(started), |observed, recorded| match recorded {
            Recorded::Span(span) => observed.take_span(span),
            Recorded::Event(event) => observed.take_event(event, since),
        })?;
    if let Err(error) = cached.write(&path) {
        warnings.push(format!("what was read of the telemetry is not cached: {error}"));
    }
    let mut taken = files::taken(&repository.layout, canary)?;
    if let Some(missed) = records.missed() {
        // a conversation is taken once: what it lacks now would never count
        warnings.push(missed);
        return Ok(taken);
    }
    let before: BTreeSet<_> = taken.iter().map(|one| one.conversation.clone()).collect();
    let before = before.iter().map(String::as_str).collect();
    let now = u64::try_from(clock::now().as_nanosecond()).unwrap_or_default();
    let over = observed.over(canary, now, &before);
    if !over.is_empty() {
        taken.extend(over);
        files::write_taken(&repository.layout, canary, &taken)?;
    }
    Ok(taken)
}

fn time(text: &str) -> Result<Timestamp, CanaryError> {
    text.parse().map_err(|error| CanaryError::Time { text: text.to_owned(), error })
}

/// The decision, where there is one by now.
fn decide(
    repository: &Repository,
    canary: &Canary,
    taken: &[Taken],
) -> Result<Option<Decision>, Failure> {
    let tip = repository.expect_tip()?;
    if tip.commit != canary.base {
        let reason = format!("{} is served now", tag(&tip.version));
        return Ok(Some(decision(canary, taken, Verdict::Overtaken, reason)));
    }
    let judge = Judge::of(&canary.design, taken);
    let is_over = clock::now() >= time(&canary.design.until)?;
    let verdict = judge.verdict().or(is_over.then_some(Verdict::NotEnoughEvidence));
    Ok(verdict.map(|verdict| decision(canary, taken, verdict, judge.summary())))
}

fn decision(canary: &Canary, taken: &[Taken], verdict: Verdict, reason: String) -> Decision {
    let figures = Judge::of(&canary.design, taken).figures();
    Decision { at: clock::rfc3339(clock::now()), verdict, reason, figures }
}

/// Carries out a decision and records the end. A promotion that cannot be made now is tried again
/// by the next command.
fn carry_out(
    repository: &Repository,
    mut canary: Canary,
    warnings: &mut Warnings,
) -> Result<Canary, Failure> {
    let Some(decision) = canary.decision.clone() else { return Ok(canary) };
    if canary.end.is_none() {
        // so that the record that the version's commit names has it
        repository.unpack(canaries::record(repository, &canary)?);
        let (outcome, reason, version) = match decision.verdict {
            Verdict::Better => match promoted(repository, &canary, &decision) {
                Ok(promoted) => promoted,
                Err(error) => {
                    let why = error.messages.join(": ");
                    warnings.push(format!(
                        "the canary is better, and is not promoted yet: {why}; the next \
                        `agent canary status` tries again"
                    ));
                    return Ok(canary);
                }
            },
            Verdict::Overtaken => match version_of(repository, &canary)? {
                Some(version) => (Outcome::Promoted, decision.reason, Some(version)),
                None => (Outcome::Overtaken, decision.reason, None),
            },
            Verdict::Worse | Verdict::MoreErrors => (Outcome::Withdrawn, decision.reason, None),
            Verdict::NotEnoughEvidence => (Outcome::NotEnoughEvidence, decision.reason, None),
            Verdict::Stopped => (Outcome::Stopped, decision.reason, None),
        };
        let version = version.map(|version: Version| version.to_string());
        canary.end = Some(End { at: clock::rfc3339(clock::now()), outcome, reason, version });
        files::write(&repository.layout, &canary)?;
    }
    repository.unpack(canaries::record(repository, &canary)?);
    files::finish(&repository.layout, &canary)?;
    Ok(canary)
}

type Ended = (Outcome, String, Option<Version>);

/// The version of the frozen state: the one that is on `active` already, after a kill or by another
/// command, or else a promotion.
fn promoted(
    repository: &Repository,
    canary: &Canary,
    decision: &Decision,
) -> Result<Ended, Failure> {
    if let Some(version) = version_of(repository, canary)? {
        return Ok((Outcome::Promoted, decision.reason.clone(), Some(version)));
    }
    let tip = repository.expect_tip()?;
    if tip.commit != canary.base {
        let reason = format!("{} is served now", tag(&tip.version));
        return Ok((Outcome::Overtaken, reason, None));
    }
    let frozen = FrozenStaging {
        frozen: canary.frozen.clone(),
        body: format!("Canary {}: {}", canary.id, decision.reason),
    };
    let options = promotion::Options { frozen: Some(frozen), ..promotion::Options::default() };
    let outcome = promotion::promote(repository, &options)?;
    Ok(match outcome.version {
        Some(version) => (Outcome::Promoted, decision.reason.clone(), Some(version)),
        None => (Outcome::Refused, outcome.why, None),
    })
}

/// The version on top of the canary's that has its state.
fn version_of(repository: &Repository, canary: &Canary) -> Result<Option<Version>, Failure> {
    let Some(tip) = repository.git.reference(ACTIVE)? else { return Ok(None) };
    for commit in repository.git.first_parents(&tip) {
        let commit = commit?;
        if commit.id == canary.base {
            break;
        }
        if commit.parents.first() == Some(&canary.base)
            && commit.trailers.state.as_ref() == Some(&canary.frozen.revision)
        {
            return Ok(commit.trailers.as_version().map(|(_, version)| version.clone()));
        }
    }
    Ok(None)
}
