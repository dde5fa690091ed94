//! A run as a state machine: `step(run, event)` returns the next state and the next steps.
//!
//! Everything that can go wrong in a run is an event, so that any order of crashes, refusals and
//! cancellations can be fed to it.

use crate::architect::evaluators::Effect;
use crate::formats::manifest::Tier;
use serde::{Deserialize, Serialize};

pub const SCHEMA: &str = "agent/architect@1";

/// The phase of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Phase {
    Queued,
    Working,
    Testing { trial: Trial },
    Releasing,
    Released { version: String },
    Refused { why: String },
    NeedsPerson { why: String },
    Cancelled,
}

impl Phase {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Working => "working",
            Self::Testing { .. } | Self::Releasing => "testing",
            Self::Released { .. } => "released",
            Self::Refused { .. } => "refused",
            Self::NeedsPerson { .. } => "needs-person",
            Self::Cancelled => "cancelled",
        }
    }

    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Released { .. }
                | Self::Refused { .. }
                | Self::NeedsPerson { .. }
                | Self::Cancelled
        )
    }
}

/// Which evaluators judge: those of the version that is served, or those the change brings. The
/// latter alone never decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evaluators {
    Old,
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub tier: Tier,
    pub evaluators: Evaluators,
}

/// The immutable settings of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub attempts: u32,
    /// The tier that a release runs with its gate: it is not run twice.
    pub release_tier: Tier,
}

/// Why an attempt was insufficient; included in the next brief.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub attempt: u32,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub limits: Limits,
    pub phase: Phase,
    /// The current attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Whether the change of this attempt touches evaluators.
    pub protected: bool,
    /// Why the change of this attempt needs a maintainer's approval; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Start,
    /// The coder is done, and its change touches only paths it may touch.
    Changed {
        evaluators: Effect,
    },
    /// The coder failed, ran out of time, changed nothing, or changed what it must not.
    AttemptFailed {
        why: String,
    },
    /// The coder has nothing (more) to try.
    NothingFits {
        why: String,
    },
    /// The coder changed the repository outside of its workplace: all changes of this run are
    /// rejected.
    OutsideChange {
        why: String,
    },
    TrialPassed,
    TrialFailed {
        why: String,
    },
    Released {
        version: String,
    },
    ReleaseRefused {
        why: String,
    },
    /// The change could be released, but no evidence shows that it helps.
    Unproven {
        why: String,
    },
    /// The process of the run has exited.
    Interrupted,
    Cancel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Code,
    Try(Trial),
    Release,
    /// The last attempt stays on `architect/<run>`.
    KeepBranch,
    /// The feedback becomes a failing case on `architect/<run>`.
    WriteFailingCase,
    Report,
}

impl Run {
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Queued,
            attempt: 0,
            protected: false,
            person: None,
            failures: Vec::new(),
        }
    }

    /// The tiers that judge a change, in order. A change of the evaluators is judged by the
    /// previous ones only, in every tier: the release does not repeat that.
    pub fn trials(&self) -> Vec<Trial> {
        if self.protected {
            return Tier::ALL.map(|tier| Trial { tier, evaluators: Evaluators::Old }).into();
        }
        let tiers = Tier::ALL.into_iter().filter(|tier| *tier != self.limits.release_tier);
        tiers.map(|tier| Trial { tier, evaluators: Evaluators::New }).collect()
    }

    fn changed(self, evaluators: Effect) -> Self {
        let protected = evaluators != Effect::None;
        let person = if let Effect::Person { why } = evaluators { Some(why) } else { None };
        Self { protected, person, ..self }
    }

    fn next_attempt(mut self) -> (Self, Vec<Step>) {
        self.attempt += 1;
        self.phase = Phase::Working;
        (self, vec![Step::Code])
    }

    fn failed(mut self, why: String) -> (Self, Vec<Step>) {
        self.failures.push(Failure { attempt: self.attempt, why: why.clone() });
        if self.attempt < self.limits.attempts {
            return self.next_attempt();
        }
        self.ended(Phase::Refused { why }, vec![Step::KeepBranch, Step::Report])
    }

    fn ended(mut self, phase: Phase, steps: Vec<Step>) -> (Self, Vec<Step>) {
        self.phase = phase;
        (self, steps)
    }

    /// The trial after `last` (the first, when there is none yet), or the release, or a maintainer.
    fn after(mut self, last: Option<Trial>) -> (Self, Vec<Step>) {
        let trials = self.trials();
        let next = last.map_or(0, |last| {
            trials.iter().position(|trial| *trial == last).map_or(trials.len(), |at| at + 1)
        });
        match trials.get(next) {
            Some(trial) => {
                self.phase = Phase::Testing { trial: *trial };
                (self, vec![Step::Try(*trial)])
            }
            None => match self.person.clone() {
                Some(why) => {
                    self.ended(Phase::NeedsPerson { why }, vec![Step::KeepBranch, Step::Report])
                }
                None => self.ended(Phase::Releasing, vec![Step::Release]),
            },
        }
    }
}

/// The run after an event, and what is to be done. An event that does not fit where the run is
/// changes nothing.
pub fn step(run: Run, event: Event) -> (Run, Vec<Step>) {
    if run.phase.is_final() {
        return (run, Vec::new());
    }
    match (run.phase.clone(), event) {
        (_, Event::Cancel) => run.ended(Phase::Cancelled, vec![Step::KeepBranch, Step::Report]),
        (_, Event::Interrupted) => run.ended(Phase::Cancelled, vec![Step::Report]),
        (Phase::Queued, Event::Start) => run.next_attempt(),
        (Phase::Working, Event::OutsideChange { why }) => {
            let mut run = run;
            run.failures.push(Failure { attempt: run.attempt, why: why.clone() });
            run.ended(Phase::Refused { why }, vec![Step::Report])
        }
        (Phase::Working, Event::Changed { evaluators }) => run.changed(evaluators).after(None),
        (Phase::Working, Event::AttemptFailed { why })
        | (Phase::Testing { .. }, Event::TrialFailed { why })
        | (Phase::Releasing, Event::ReleaseRefused { why }) => run.failed(why),
        // nothing is wrong with it, so there is nothing to hand back: a coder that has to make some
        // case better would work for the cases alone
        (Phase::Releasing, Event::Unproven { why }) => {
            run.ended(Phase::NeedsPerson { why }, vec![Step::KeepBranch, Step::Report])
        }
        (Phase::Working, Event::NothingFits { why }) => {
            // what was tried and failed is worth looking at; with nothing tried, the feedback
            // itself is
            let steps =
                if run.failures.is_empty() { Step::WriteFailingCase } else { Step::KeepBranch };
            run.ended(Phase::NeedsPerson { why }, vec![steps, Step::Report])
        }
        (Phase::Testing { trial }, Event::TrialPassed) => run.after(Some(trial)),
        (Phase::Releasing, Event::Released { version }) => {
            run.ended(Phase::Released { version }, vec![Step::Report])
        }
        _ => (run, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn new(attempts: u32) -> Run {
        Run::new(Limits { attempts, release_tier: Tier::Full })
    }

    fn trial(tier: Tier, evaluators: Evaluators) -> Step {
        Step::Try(Trial { tier, evaluators })
    }

    /// Feeds events; returns the resulting steps and the final phase.
    fn check(run: Run, events: &[Event], steps: &[&[Step]], phase: &str) -> Run {
        let mut run = run;
        for (event, expected) in events.iter().zip(steps) {
            let (next, found) = step(run, event.clone());
            assert_eq!(&found, expected, "after {event:?}");
            run = next;
        }
        assert_eq!(run.phase.as_str(), phase);
        run
    }

    fn changed(evaluators: Effect) -> Event {
        Event::Changed { evaluators }
    }

    fn for_a_person() -> Effect {
        Effect::Person { why: "it touches tests/scorers.py".to_owned() }
    }

    #[test]
    fn a_change_that_passes_is_released_by_the_release_flow() {
        use Evaluators::New;
        check(
            new(3),
            &[
                Event::Start,
                changed(Effect::None),
                Event::TrialPassed,
                Event::TrialPassed,
                Event::Released { version: "v0.2.0".to_owned() },
            ],
            &[
                &[Step::Code],
                &[trial(Tier::Micro, New)],
                &[trial(Tier::Fast, New)],
                &[Step::Release],
                &[Step::Report],
            ],
            "released",
        );
    }

    #[test]
    fn evaluator_change_is_judged_by_the_previous_ones_and_needs_approval() {
        use Evaluators::Old;
        let passed = || Event::TrialPassed;
        let judged = |end: &'static [Step], phase, effect| {
            check(
                new(1),
                &[Event::Start, changed(effect), passed(), passed(), passed()],
                &[
                    &[Step::Code],
                    &[trial(Tier::Micro, Old)],
                    &[trial(Tier::Fast, Old)],
                    &[trial(Tier::Full, Old)],
                    end,
                ],
                phase,
            )
        };
        let run = judged(&[Step::KeepBranch, Step::Report], "needs-person", for_a_person());
        assert_eq!(run.phase, Phase::NeedsPerson { why: "it touches tests/scorers.py".to_owned() });
        judged(&[Step::Release], "testing", Effect::Additions { cases: 1 });
    }

    #[test]
    fn touched_evaluators_are_recorded_per_attempt() {
        let failed = Event::TrialFailed { why: "micro".to_owned() };
        let run = check(
            new(2),
            &[Event::Start, changed(for_a_person()), failed, changed(Effect::None)],
            &[
                &[Step::Code],
                &[trial(Tier::Micro, Evaluators::Old)],
                &[Step::Code],
                &[trial(Tier::Micro, Evaluators::New)],
            ],
            "testing",
        );
        assert_eq!((run.protected, run.person), (false, None));
    }

    #[test]
    fn failures_are_returned_to_the_coder_until_attempts_run_out() {
        let failed = |why: &str| Event::TrialFailed { why: why.to_owned() };
        let refused = Event::ReleaseRefused { why: "gate".to_owned() };
        let run = check(
            new(2),
            &[
                Event::Start,
                changed(Effect::None),
                failed("micro"),
                changed(Effect::None),
                Event::TrialPassed,
                Event::TrialPassed,
                refused,
            ],
            &[
                &[Step::Code],
                &[trial(Tier::Micro, Evaluators::New)],
                &[Step::Code],
                &[trial(Tier::Micro, Evaluators::New)],
                &[trial(Tier::Fast, Evaluators::New)],
                &[Step::Release],
                &[Step::KeepBranch, Step::Report],
            ],
            "refused",
        );
        let tiers: Vec<_> =
            run.failures.iter().map(|failure| (failure.attempt, failure.why.as_str())).collect();
        assert_eq!(tiers, [(1, "micro"), (2, "gate")]);
    }

    #[test]
    fn change_without_evidence_of_a_gain_needs_approval() {
        let run = Run { phase: Phase::Releasing, attempt: 1, ..new(2) };
        let unproven = Event::Unproven { why: "no case is better".to_owned() };
        check(run, &[unproven], &[&[Step::KeepBranch, Step::Report]], "needs-person");
    }

    #[test]
    fn run_without_a_change_ends_for_a_person() {
        let nothing = || Event::NothingFits { why: "no inspiration fits".to_owned() };
        let steps: &[&[Step]] = &[&[Step::Code], &[Step::WriteFailingCase, Step::Report]];
        check(new(3), &[Event::Start, nothing()], steps, "needs-person");
        let failed = Event::AttemptFailed { why: "exit 1".to_owned() };
        let steps: &[&[Step]] = &[&[Step::Code], &[Step::Code], &[Step::KeepBranch, Step::Report]];
        check(new(3), &[Event::Start, failed, nothing()], steps, "needs-person");
    }

    #[test]
    fn coder_that_left_its_workplace_gets_no_second_attempt() {
        let outside = Event::OutsideChange { why: "refs/heads/active was moved".to_owned() };
        let run =
            check(new(3), &[Event::Start, outside], &[&[Step::Code], &[Step::Report]], "refused");
        assert_eq!(run.failures.len(), 1);
    }

    fn effects() -> impl Strategy<Value = Effect> {
        prop_oneof![Just(Effect::None), Just(Effect::Additions { cases: 1 }), Just(for_a_person())]
    }

    fn events() -> impl Strategy<Value = Event> {
        let why = || "why".to_owned();
        prop_oneof![
            Just(Event::Start),
            effects().prop_map(changed),
            Just(Event::AttemptFailed { why: why() }),
            Just(Event::NothingFits { why: why() }),
            Just(Event::OutsideChange { why: why() }),
            Just(Event::TrialPassed),
            Just(Event::TrialFailed { why: why() }),
            Just(Event::Released { version: "v1.0.0".to_owned() }),
            Just(Event::ReleaseRefused { why: why() }),
            Just(Event::Unproven { why: why() }),
            Just(Event::Interrupted),
            Just(Event::Cancel),
        ]
    }

    proptest! {
        #[test]
        fn attempts_are_bounded_and_end_states_are_final(attempts in 1_u32..4,
            events in proptest::collection::vec(events(), 0..60)) {
            let mut run = new(attempts);
            let (mut coded, mut reports) = (0, 0);
            for event in events {
                let was_final = run.phase.is_final();
                let before = run.clone();
                let (next, steps) = step(run, event);
                coded += steps.iter().filter(|step| **step == Step::Code).count();
                reports += steps.iter().filter(|step| **step == Step::Report).count();
                if was_final {
                    prop_assert_eq!(&next, &before);
                    prop_assert!(steps.is_empty());
                }
                prop_assert!(next.attempt <= attempts && coded <= attempts as usize);
                prop_assert_eq!(next.phase.is_final(), reports == 1);
                run = next;
            }
        }

        #[test]
        fn nothing_is_released_before_every_trial_passed(effect in effects(),
            fails_at in 0_usize..6) {
            let (mut run, _) = step(new(1), Event::Start);
            let mut steps;
            (run, steps) = step(run, changed(effect.clone()));
            let trials = run.trials().len();
            for _ in 0..trials.min(fails_at) {
                prop_assert!(matches!(steps[..], [Step::Try(_)]));
                (run, steps) = step(run, Event::TrialPassed);
            }
            if fails_at < trials {
                (_, steps) = step(run, Event::TrialFailed { why: String::new() });
            }
            prop_assert_eq!(steps.contains(&Step::Release), fails_at >= trials && !matches!(effect,
                Effect::Person { .. }));
        }
    }
}
