//! A tier on record: its span and its score, and of its cases those that did not pass.
//!
//! Ten thousand cases are judged in a quarter of a second. A span for each would take most of that
//! time and add no information to the stored results; so passed cases have none, and of the others
//! the first hundred do, made when the case is over.

use super::outcome::TierOutcome;
use super::request::Request;
use crate::error::Failure;
use crate::target::Target;
use crate::telemetry::{Evaluation, Past, Span, conventions as names};
use crate::testing::error::TierFailure;
use crate::testing::subject::Ran;
use crate::world::clock;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::event::Event;
use std::time::{Duration, SystemTime};

const CASES_SHOWN: usize = 100;
/// Of why a case failed; the stored results have all of it.
const WHY_SHOWN: usize = 400;

pub(super) struct Record {
    span: Span,
    /// The cases that did not pass, with when they were over.
    failed: Vec<(CaseResult, SystemTime)>,
    version: Option<String>,
}

impl Record {
    pub(super) fn begin(request: &Request, target: &Target) -> Self {
        let span = Span::internal(&format!("tier {}", request.tier), names::TIER_KIND);
        span.set(names::TIER, request.tier.as_str());
        span.served_by(target.version.as_ref(), &target.state.revision);
        span.set_some(names::COMMIT_ID, target.commit.as_ref());
        Self { span, failed: Vec::new(), version: target.version.as_ref().map(ToString::to_string) }
    }

    /// Runs it; `work` reports each event, which is passed on to `on_event`.
    pub(super) fn of(
        mut self,
        on_event: &mut dyn FnMut(&Event),
        work: impl FnOnce(&mut dyn FnMut(&Event)) -> Result<Ran, TierFailure>,
    ) -> Result<Ran, TierFailure> {
        if !self.span.is_recorded() {
            return work(on_event);
        }
        let span = self.span.clone();
        let ended = span.within(|| {
            work(&mut |event| {
                self.note(event);
                on_event(event);
            })
        });
        match &ended {
            Ok(ran) => self.conclude(&ran.outcome),
            Err(error) => {
                let failure = Failure::from(error.clone());
                span.fail(failure.kind.as_str(), failure.messages.join(": "));
            }
        }
        ended
    }

    fn note(&mut self, event: &Event) {
        if let Event::CaseFinished { result, .. } = event
            && result.outcome != Outcome::Passed
            && self.failed.len() < CASES_SHOWN
        {
            self.failed.push((result.clone(), clock::now().into()));
        }
    }

    fn conclude(self, outcome: &TierOutcome) {
        let summary = &outcome.summary;
        let verdict = summary.verdict.as_str();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.span.set(names::CASES, count(summary.cases));
        self.span.set(names::PASSED, count(summary.passed));
        self.span.set(names::CACHED, count(summary.cached));
        self.span.set(names::VERDICT, verdict);
        self.span.set_some(names::RESULTS, summary.results.as_ref());
        let reasons = summary.reasons.join("; ");
        let tier = format!("tier {}", outcome.tier);
        let explanation = Some(reasons.as_str()).filter(|reasons| !reasons.is_empty());
        let score = Evaluation {
            name: &tier,
            score: Some(summary.score),
            label: Some(verdict),
            explanation,
            ..Evaluation::default()
        };
        score.record(&self.span);
        for (result, ended) in self.failed {
            record_case(&result, ended, self.version.clone(), &self.span);
        }
    }
}

fn record_case(result: &CaseResult, ended: SystemTime, version: Option<String>, tier: &Span) {
    let error_type =
        if result.outcome == Outcome::Errored { "case_errored" } else { "case_failed" };
    let why: String = result.why.iter().flat_map(|why| why.chars()).take(WHY_SHOWN).collect();
    let case = Past {
        name: format!("case {}", result.id),
        ended,
        took: Duration::try_from_secs_f64(result.ms / 1000.0).unwrap_or_default(),
        attributes: vec![
            (names::KIND, names::CASE_KIND.to_owned()),
            (names::SPAN_KIND, names::SPAN_EVALUATOR.to_owned()),
            (names::CASE, result.id.clone()),
        ],
        version,
        failure: Some((error_type, why)),
    };
    if let Some(traceparent) = case.record(tier) {
        let score = Evaluation {
            name: "case",
            score: Some(result.score),
            label: Some("fail"),
            case: Some(&result.id),
            ..Evaluation::default()
        };
        score.record_for(&traceparent);
    }
}
