//! What a tier's run is given: its cases in the order of their start, the Runner, the limits.

use crate::child::link::ChildSpec;
use crate::target::evaluators::SCORERS;
use crate::testing::history::History;
use crate::testing::judge::Judges;
use crate::world::limits;
use crate::world::store::Store;
use agent_core::formats::document::DocumentError;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::overlay::Presentation;
use agent_core::testing::attempt::Keeps;
use agent_core::testing::budget::Budget;
use agent_core::testing::case::{Case, Cases};
use agent_core::testing::evaluation::TierFold;
use agent_core::testing::expectation::Expectation;
use serde_json::value::{RawValue, to_raw_value};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Below this many cases another child costs more than it saves.
const CASES_PER_WORKER: usize = 8;
/// A Runner needs about this long to start. Cases that are expected to take less altogether are
/// left to the first Runner; where they take longer, the others start after this time.
const HEAD_START: Duration = Duration::from_millis(100);

/// The cases of a tier, and how far it may go.
pub struct Work {
    cases: Cases,
    limit: Option<Duration>,
    spend_usd: Option<f64>,
    /// The order of the cases: slow ones first, so that none of them delays the end.
    order: Vec<usize>,
    /// How many at the start of the order are known to be slow.
    slow: usize,
    /// How long all of them take one after the other, as far as the last run tells.
    expected: Option<Duration>,
    /// Those of the cases that are scored; `None` where none is.
    judges: Option<Judges>,
    /// The seed of the ids of conversations.
    secret: String,
    /// The results that need no run.
    known: TierFold,
    /// Whether there were any.
    has_known: bool,
}

impl Work {
    pub fn new(cases: Cases, budget: &Budget, history: &History) -> Self {
        let slow_ms = |case: &Case| {
            history.slow_ms.get(&case.id).map_or(0.0, |ms| ms * f64::from(case.repeats))
        };
        let mut order: Vec<_> = (0..cases.list.len()).collect();
        order.sort_by(|one, other| {
            slow_ms(&cases.list[*other]).total_cmp(&slow_ms(&cases.list[*one]))
        });
        let slow = cases.list.iter().filter(|case| slow_ms(case) > 0.0).count();
        let expected_ms: Option<f64> =
            cases.list.iter().map(|case| history.expected_ms(case)).sum();
        Self {
            expected: expected_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()),
            cases,
            limit: budget.limit(),
            spend_usd: budget.spend_usd,
            order,
            slow,
            judges: None,
            secret: String::new(),
            known: TierFold::default(),
            has_known: false,
        }
    }

    #[must_use]
    pub fn judged_by(self, judges: Option<Judges>) -> Self {
        Self { judges, ..self }
    }

    /// The Runner does not see case ids, which may reveal the expectation. It gets an id for each
    /// conversation that cannot be derived without this text.
    #[must_use]
    pub fn kept_secret_by(self, secret: String) -> Self {
        Self { secret, ..self }
    }

    /// With the results of the other cases of the tier.
    #[must_use]
    pub fn beside(self, known: TierFold) -> Self {
        Self { has_known: known.finished() > 0, known, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.cases.list.is_empty()
    }

    /// Whether all results are known. Of such a tier no run is reported.
    pub(super) fn is_needless(&self) -> bool {
        self.is_empty() && self.has_known
    }

    /// The results that need no run.
    pub fn into_known(self) -> TierFold {
        self.known
    }

    /// The same, of cases that are run.
    pub(super) fn take_known(&mut self) -> TierFold {
        std::mem::take(&mut self.known)
    }

    /// The case at this place of the order, and whether it is known to be slow.
    pub(super) fn case_at(&self, place: usize) -> Option<(&Case, bool)> {
        self.order.get(place).map(|index| (&self.cases.list[*index], place < self.slow))
    }
}

/// What to run.
pub struct TierJob {
    pub tier: Tier,
    work: OnceLock<Work>,
    pub runner: ChildSpec,
    /// The content of the `_meta` key that names the state.
    state: Box<RawValue>,
    /// What lies over the Runner's tools: what is served without a variant, as variants are drawn
    /// by the ids of conversations.
    pub presentation: Option<Presentation>,
    /// The number of concurrent Runners; `None` is one per core.
    pub workers: Option<usize>,
    pub keeps: Keeps,
    /// Stores and looks up the answers of judging programs.
    pub judgements: Option<Store>,
    /// Run them even for stored answers.
    pub judge_anew: bool,
    /// Where the scratch folders of the workers are made.
    pub(super) temporary: PathBuf,
    /// The deadline for ending the children of a tier without events.
    pub deadline: Option<Instant>,
}

impl TierJob {
    pub fn new(
        tier: Tier,
        runner: ChildSpec,
        state: (&ObjectId, &Path),
        temporary: PathBuf,
    ) -> Self {
        let (revision, path) = state;
        let state = to_raw_value(&serde_json::json!({"revision": revision, "path": path}))
            .expect("a state's name serialises");
        Self {
            tier,
            work: OnceLock::new(),
            runner,
            state,
            presentation: None,
            workers: None,
            keeps: Keeps::default(),
            judgements: None,
            judge_anew: false,
            temporary,
            deadline: None,
        }
    }

    /// Gives it its cases.
    pub(super) fn load(&self, work: Work) {
        self.work.get_or_init(|| work);
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.work.get().is_some()
    }

    /// Waits for them.
    pub(super) fn work(&self) -> &Work {
        self.work.wait()
    }

    pub(super) fn into_cases(self) -> Cases {
        self.work.into_inner().map(|work| work.cases).unwrap_or_default()
    }

    /// Waits for the cases: they are read while the first Runner starts.
    pub fn cases(&self) -> &Cases {
        &self.work().cases
    }

    /// The scorer of a case.
    pub(super) fn judges(&self) -> &Judges {
        self.work().judges.as_ref().expect("who has cases that are scored gives them their judges")
    }

    /// The same once the cases are there, where one of them is scored by a scorer process.
    pub(super) fn needed_scorer(&self) -> Option<&ChildSpec> {
        let work = self.work.get()?;
        let mut steps = work.cases.list.iter().flat_map(|case| &case.steps);
        let judges = work.judges.as_ref()?;
        steps
            .any(|step| matches!(step.expect, Some(Expectation::Scorer(_))))
            .then_some(&judges.scorer)
    }

    /// Whether an earlier run of the same code answered other cases: the Runner works, and each
    /// failure now is of its own case.
    pub(super) fn has_answered(&self) -> bool {
        self.work().has_known
    }

    /// The seed of the ids of conversations.
    pub(super) fn secret(&self) -> &str {
        &self.work().secret
    }

    /// The time limit of the tier.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.work().limit
    }

    /// The most that its calls may cost, where that is counted.
    pub(super) fn spend_limit_usd(&self) -> Option<f64> {
        self.work().spend_usd
    }

    pub fn state(&self) -> &RawValue {
        &self.state
    }

    pub(super) fn worker_count(&self) -> usize {
        let count = self.cases().list.len();
        let wanted =
            self.workers.unwrap_or_else(|| limits::cores().min(count.div_ceil(CASES_PER_WORKER)));
        wanted.clamp(1, count.max(1))
    }

    /// How long the start of a worker is put off.
    pub(super) fn head_start(&self) -> Duration {
        let is_short = self.work().expected.is_some_and(|expected| expected < HEAD_START);
        if self.workers.is_none() && is_short { HEAD_START } else { Duration::ZERO }
    }

    /// The scorers the cases name, against those there are.
    pub fn check_scorers(&self, there: &[&str]) -> Result<(), DocumentError> {
        let missing = self.cases().scorers().into_iter().find(|(name, _)| !there.contains(name));
        missing.map_or(Ok(()), |(name, place)| {
            let suggestion =
                agent_core::formats::suggestion::did_you_mean(name, there.iter().copied());
            let hint = format!("write it there, or name one of {}", there.join(", "));
            Err(DocumentError::new(
                place,
                format!("there is no scorer \"{name}\" in {SCORERS}{suggestion}"),
                hint,
            ))
        })
    }
}
