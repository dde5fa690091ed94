//! Every rule judged at a moment, from what is counted and what is in the inbox.

use super::evaluation;
use crate::error::Failure;
use crate::repository::inbox::Inbox;
use crate::repository::{Repository, firings};
use crate::slo::{counts::Counts, seconds};
use crate::world::git::ACTIVE;
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::slo::Objective;
use agent_core::testing::budget::Budgets;
use agent_core::trigger::drift::Served;
use agent_core::trigger::firing::{Change, Firing, Mute, Open, Past};
use agent_core::trigger::levels::of_all_versions;
use agent_core::trigger::wave::Item;
use agent_core::trigger::{Assessment, Condition, Rule, State};
use jiff::Timestamp;
use serde_json::Value;

/// The source of the feedback items of firings; they are no feedback of people.
pub const SOURCE: &str = "trigger";

/// The figures that rules are evaluated with.
pub struct Observed {
    pub budgets: Budgets,
    pub counts: Counts,
    pub firings: Vec<Firing>,
    pub mutes: Vec<Mute>,
    pub feedback: Vec<Feedback>,
    /// Versions of `active`, newest first.
    pub versions: Vec<Change>,
    /// This clone's id.
    pub clone: Option<String>,
    pub now: u64,
}

/// The number of versions that are considered as a reference or a cause.
const VERSIONS: usize = 50;

impl Observed {
    pub fn of(
        repository: &Repository,
        budgets: Budgets,
        counts: Counts,
        at: Timestamp,
    ) -> Result<Self, Failure> {
        Ok(Self {
            budgets,
            counts,
            firings: firings::all(repository)?,
            mutes: firings::mutes(repository)?,
            feedback: Inbox::new(&repository.git).items()?,
            versions: versions(repository)?,
            clone: repository.git.known_clone_id()?,
            now: seconds(at),
        })
    }

    /// A feedback item.
    pub fn item(&self, id: &str) -> Option<&Feedback> {
        self.feedback.iter().find(|item| item.id == id)
    }

    pub fn open_firing(&self, rule: &str) -> Option<&Firing> {
        self.firings.iter().find(|firing| firing.rule == rule && firing.is_open())
    }

    pub fn past(&self, rule: &str) -> Past {
        let cleared = |firing: &Firing| firing.cleared.as_deref().and_then(at_of);
        let of_rule = self.firings.iter().filter(|firing| firing.rule == rule);
        let muted = self.mutes.iter().find(|mute| mute.rule == rule);
        Past {
            open: self.open_firing(rule).map(|firing| Open {
                fired: at_of(&firing.fired).unwrap_or_default(),
                is_own: firing.clone.is_none() || firing.clone == self.clone,
            }),
            cleared: of_rule.filter_map(cleared).max(),
            muted_until: muted.and_then(|mute| at_of(&mute.until)),
        }
    }

    pub fn assess(&self, repository: &Repository, rule: &Rule) -> Assessment {
        let times = (rule.held_s, rule.clear_s);
        match &rule.condition {
            Condition::Burn(burn) => match self.objective(&burn.objective) {
                Some(objective) => {
                    burn.assess(objective, &self.counts.objective(objective), times, self.now)
                }
                None => not_enough("the objective is not defined"),
            },
            Condition::Drift(drift) => match self.served(rule) {
                Some(served) => {
                    let counts = self.counts.watched(&drift.watched());
                    drift.assess(&counts, &served, times, self.now)
                }
                None => not_enough("nothing is served yet"),
            },
            Condition::Traffic(traffic) => {
                let calls = of_all_versions(&self.counts.watched(&traffic.watched()));
                traffic.assess(&calls, times, self.now)
            }
            Condition::Feedback(wave) => wave.assess(&self.waiting(), rule.held_s, self.now),
            Condition::Evaluation(condition) => {
                match evaluation::assess(repository, &rule.name, condition, rule.held_s, self.now) {
                    Ok(assessment) => assessment,
                    // the other rules are judged all the same
                    Err(error) => not_judged(&error),
                }
            }
        }
    }

    pub fn objective(&self, name: &str) -> Option<&Objective> {
        self.budgets.slos.iter().find(|objective| objective.name == name)
    }

    fn served(&self, rule: &Rule) -> Option<Served> {
        let plain = |change: &Change| change.version.trim_start_matches('v').to_owned();
        Some(Served {
            version: plain(self.versions.first()?),
            previous: self.versions.get(1).map(plain),
            fired_for: self.open_firing(&rule.name).and_then(|firing| firing.version.clone()),
            since: self.past(&rule.name).cleared.unwrap_or_default(),
        })
    }

    /// Feedback of people that waits for an answer and was part of no firing that is over.
    fn waiting(&self) -> Vec<Item> {
        let over: Vec<&str> = self
            .firings
            .iter()
            .filter(|firing| !firing.is_open())
            .flat_map(|firing| members(&firing.figures))
            .collect();
        self.feedback
            .iter()
            .filter(|item| item.source != SOURCE && !over.contains(&item.id.as_str()))
            .filter(|item| !matches!(item.status, Status::Answered { .. } | Status::Withdrawn))
            .filter_map(|item| {
                let at = at_of(&item.at)?;
                Some(Item { id: item.id.clone(), text: item.text.clone(), at })
            })
            .collect()
    }
}

/// The feedback items that a firing is about.
pub fn members(figures: &Value) -> impl Iterator<Item = &str> {
    figures["items"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Seconds since 1970 of a time in a record.
pub fn at_of(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok().map(seconds)
}

/// A rule that could not be judged: nothing fires, and nothing is cleared.
fn not_judged(error: &Failure) -> Assessment {
    let summary = format!("it was not judged: {}", error.messages.join(": "));
    Assessment { is_over: false, ..not_enough(&summary) }
}

pub fn not_enough(summary: &str) -> Assessment {
    Assessment {
        state: State::NotEnough,
        is_over: true,
        latest: None,
        summary: summary.to_owned(),
        figures: Value::Null,
        version: None,
    }
}

/// The newest versions of `active`, newest first.
pub fn versions(repository: &Repository) -> Result<Vec<Change>, Failure> {
    let Some(tip) = repository.git.reference(ACTIVE)? else { return Ok(Vec::new()) };
    let mut versions = Vec::new();
    for commit in repository.git.first_parents(&tip).take(VERSIONS) {
        let commit = commit?;
        let Some((_, version)) = commit.trailers.as_version() else { break };
        versions.push(Change {
            version: agent_core::version::tag(version),
            at: crate::world::clock::rfc3339(commit.time),
            what: commit.subject().to_owned(),
        });
    }
    Ok(versions)
}
