//! The action `rollback`: the previous version is served again, where its results are better now.

use super::rerun;
use crate::error::Failure;
use crate::repository::Repository;
use crate::versions::rollback::{self, Options};
use agent_core::trigger::firing::Firing;
use agent_core::version::what::What;

/// The result in words, and whether it is to be tried again.
pub fn attempt(repository: &Repository, firing: &Firing) -> (String, bool) {
    match roll_back(repository, firing) {
        Ok(result) => (result, false),
        Err(error) => (format!("no rollback: {}", error.messages.join(": ")), false),
    }
}

fn roll_back(repository: &Repository, firing: &Firing) -> Result<String, Failure> {
    let mut versions = super::judged::versions(repository)?.into_iter();
    let (Some(served), Some(before)) = (versions.next(), versions.next()) else {
        return Ok("no rollback: there is no version before".to_owned());
    };
    if firing.version.as_ref().is_some_and(|about| served.version != format!("v{about}")) {
        return Ok(format!("no rollback: {} is served now", served.version));
    }
    let tier = rerun::gated(repository)?.tier;
    let number = |version: &str| version.trim_start_matches('v').parse().map(What::Version);
    let (Ok(old), Ok(new)) = (number(&before.version), number(&served.version)) else {
        return Ok(format!("no rollback: {} is not a version", before.version));
    };
    let (then, now) = (rerun::anew(repository, &old, tier)?, rerun::anew(repository, &new, tier)?);
    let (is_better, verdict) = rerun::is_better(repository, &now, &then)?;
    let figures = format!(
        "tier {tier}, both run again: {} scores {:.3}, {} scores {:.3}",
        before.version, verdict.candidate_score, served.version, verdict.baseline_score
    );
    if !is_better {
        return Ok(format!(
            "no rollback: {} is not shown to be better ({figures})",
            before.version
        ));
    }
    let What::Version(version) = old else { unreachable!("it was read as a version") };
    let options = Options {
        version: Some(version),
        reason: Some(format!("trigger {} ({}): {}", firing.rule, firing.id, firing.summary)),
        again: None,
        dry_run: false,
    };
    let outcome = rollback::rollback(repository, &options)?;
    Ok(format!("{} ({figures})", outcome.why))
}
