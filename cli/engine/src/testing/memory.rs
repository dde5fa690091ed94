//! The cached results of a tier's cases, read and extended case by case.

use super::known::Known;
use crate::notices::Notices;
use crate::world::fs::FsError;
use agent_core::testing::cached_result::{Answer, CachedResult, Reuse, StateDigests, same_result};
use agent_core::testing::case::{Case, Cases};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::event::Event;
use std::collections::HashMap;

pub(super) struct Memory<'a> {
    pub(super) known: Option<Known<'a>>,
    pub(super) digests: &'a StateDigests<'a>,
    /// By case id.
    pub(super) definitions: HashMap<String, String>,
    /// Which of them are used; all of them are compared in any case, to detect varying results.
    pub(super) reuse: Reuse,
    /// No used result depends on the keys a Runner reported as read.
    pub(super) exact: bool,
    /// No result differs from an earlier one.
    pub(super) certain: bool,
    pub(super) notices: &'a Notices,
}

impl<'a> Memory<'a> {
    pub(super) fn new(
        known: Option<Known<'a>>,
        digests: &'a StateDigests<'a>,
        reuse: Reuse,
        notices: &'a Notices,
    ) -> Self {
        Self {
            known,
            digests,
            definitions: HashMap::new(),
            reuse,
            exact: true,
            certain: true,
            notices,
        }
    }

    pub(super) fn define(&mut self, cases: &Cases, scorers: &str) {
        if self.known.is_some() {
            self.definitions =
                cases.list.iter().map(|case| (case.id.clone(), case.definition(scorers))).collect();
        }
    }

    pub(super) fn answer(&mut self, case: &Case) -> Option<CaseResult> {
        let known = self.known.as_ref().filter(|_| case.repeats == 1)?;
        let result = match (known.lookup(self.definitions.get(&case.id)?, self.digests), self.reuse)
        {
            (Answer::Known(result), Reuse::SameState | Reuse::SameReads) => result,
            (Answer::SameReads(result), Reuse::SameReads) => {
                self.exact = false;
                result
            }
            _ => return None,
        };
        Some(CaseResult {
            cached: true,
            place: Some(case.place.clone()),
            quarantined: case.quarantined,
            ..result.clone()
        })
    }

    /// The ids of cases with different results without any change.
    pub(super) fn varying(&self) -> Vec<String> {
        let Some(known) = &self.known else { return Vec::new() };
        self.definitions
            .iter()
            .filter(|(_, definition)| known.varies(definition))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Nothing of what was found out is kept.
    pub(super) fn forget(&mut self) {
        if let Some(known) = self.known.take() {
            known.forget();
        }
    }

    pub(super) fn learn(&mut self, event: &Event) {
        let (Some(known), Event::CaseFinished { result, .. }) = (&mut self.known, event) else {
            return;
        };
        let Some(definition) = self.definitions.get(&result.id) else { return };
        let before = known.lookup(definition, self.digests);
        let (varies, cached_result) = match (&before, result.runs) {
            (Answer::Varies, _) => (true, None),
            // its runs are more informative than the cache: they are compared by outcome, not by
            // the message of the first failure
            (Answer::Known(before) | Answer::SameReads(before), Some(runs)) => {
                (runs.is_flaky() || before.outcome != result.outcome, None)
            }
            (_, Some(runs)) => (runs.is_flaky(), None),
            (Answer::Known(before), None) => (!same_result(before, result), None),
            // it read more than its Runner reported, or is not deterministic: its read keys are not
            // used from now on
            (Answer::SameReads(before), None) if !same_result(before, result) => (true, None),
            (Answer::SameReads(_) | Answer::Changed(_) | Answer::Never, None) => {
                (false, CachedResult::of(definition, result, self.digests))
            }
        };
        let is_news = varies && !matches!(before, Answer::Varies);
        let cached_result = if is_news {
            Some(CachedResult::varying(definition, self.digests))
        } else {
            cached_result
        };
        self.certain &= !varies;
        if let Some(Err(error)) = cached_result.map(|cached_result| known.learn(&cached_result)) {
            self.not_written(&error);
        }
    }

    /// From now on a kill does not lose the results.
    pub(super) fn write_down(&mut self) {
        if let Some(Err(error)) = self.known.as_mut().map(Known::write_news_down) {
            self.not_written(&error);
        }
    }

    /// The results themselves are safe in memory until the report.
    fn not_written(&self, error: &FsError) {
        self.notices.detail(format!("cannot save partial results: {error}"));
    }
}
