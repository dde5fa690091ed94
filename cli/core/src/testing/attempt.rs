//! A running case: its current step, its measurements, its outcome.

use crate::formats::object_id::short_digest;
use crate::protocol::call_result::Answer;
use crate::protocol::wire;
use crate::testing::case::{Case, Step};
use crate::testing::case_result::{CaseResult, Outcome, Shown};
use crate::testing::expectation::{
    Check, Expectation, expected_of, golden_bytes, judge, text_of, tool_failed,
};
use crate::testing::judgement::{Judgement, shown};
use crate::testing::opinion::Opinion;
use crate::testing::repetition;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// The content of a golden file, from the Runner's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Relative to the checkout.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// The answer of a call as `equals` compares it, or the text of its error.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    pub is_error: bool,
    pub value: Value,
    /// Its text content, as JSON where it is that, beside a structured one that has something else.
    pub content: Option<Value>,
}

impl Given {
    pub fn of(answer: &Answer) -> Self {
        let is_error = answer.is_error();
        let value = if is_error { text_of(answer).into() } else { expected_of(answer) };
        Self { is_error, value, content: content_beside(answer).filter(|_| !is_error) }
    }

    pub fn shown(&self) -> String {
        let what = if self.is_error { "an error" } else { "an answer" };
        format!("{what}: {}", shown(&self.value))
    }
}

/// Servers repeat the structured content as text, for clients that do not read it.
fn content_beside(answer: &Answer) -> Option<Value> {
    let structured = answer.structured()?;
    let text = answer.text();
    let content = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text));
    let is_repeated = content == *structured || structured.get("result") == Some(&content);
    (!is_repeated && content != "").then_some(content)
}

#[derive(Debug)]
pub struct Attempt<'a> {
    pub case: &'a Case,
    step: usize,
    /// The value the Runner expects back with the next turn of the conversation.
    pub data: Option<Value>,
    /// Of the first step that did not pass, or that a scorer has still to judge.
    shown: Option<(usize, Box<Shown>)>,
    /// With the step it is of; none for a file.
    judgements: Vec<(Option<usize>, Judgement)>,
    /// The results of the runs before this one.
    runs: Vec<CaseResult>,
    ms: f64,
    reads: Option<BTreeSet<String>>,
    /// The cost of its calls as reported by the Runner, including those of a restarted run.
    cost_usd: Option<f64>,
    pub goldens: Vec<Answered>,
    /// The answers so far, where they are kept.
    given: Vec<Given>,
    /// Sent with no other request in flight: it may be the one that crashes the child, or checks
    /// files, or is slow.
    pub alone: bool,
}

/// Which data of an answer is kept besides its judgement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keeps {
    /// The content of the golden file.
    pub goldens: bool,
    /// The answer of a case that did not pass.
    pub answers: bool,
    /// Every answer of every case.
    pub given: bool,
}

/// The rest of a finished case.
pub struct Finished {
    pub result: CaseResult,
    pub goldens: Vec<Answered>,
    /// With `Keeps::given`: the answers of the last run.
    pub given: Vec<Given>,
}

/// A finished case, or a finished run of a repeated case.
pub enum Ended<'a> {
    Case(Finished),
    /// A run of a case that is repeated: this is the next one.
    Run(Attempt<'a>),
}

/// The next action after a response.
pub enum Next {
    /// Call the current step of the attempt.
    Call,
    /// Send this result to the scorer.
    Score,
    /// Send it to the judging program.
    Judge,
    Done,
}

impl<'a> Attempt<'a> {
    pub fn new(case: &'a Case) -> Self {
        Self {
            case,
            step: 0,
            data: None,
            shown: None,
            judgements: Vec::new(),
            runs: Vec::new(),
            ms: 0.0,
            reads: None,
            cost_usd: None,
            goldens: Vec::new(),
            given: Vec::new(),
            alone: case.files.is_some(),
        }
    }

    /// The same run from its start.
    #[must_use]
    pub fn again(self, alone: bool) -> Self {
        let fresh = Self::new(self.case);
        Self { alone: alone || fresh.alone, runs: self.runs, cost_usd: self.cost_usd, ..fresh }
    }

    /// Whether nothing of this run was sent yet.
    pub fn is_at_start(&self) -> bool {
        self.step == 0
    }

    /// How long each of its calls may take.
    pub fn limit(&self, usual: Duration) -> Duration {
        self.case.limit.unwrap_or(usual)
    }

    /// Whether the next call is expected to fail.
    pub fn expects_error(&self) -> bool {
        matches!(self.step().expect, Some(Expectation::Local(Check::Error(_))))
    }

    /// A separate conversation for each run, since a Runner may keep state by its id.
    pub fn conversation_id(&self, secret: &str) -> Option<String> {
        let of_run =
            || short_digest(format!("{secret} {} {}", self.runs.len(), self.case.id).as_bytes());
        self.case.is_conversation.then(of_run)
    }

    pub fn step(&self) -> &'a Step {
        &self.case.steps[self.step]
    }

    pub fn shown_to_scorer(&self) -> Value {
        self.case.shown_to_scorer(self.step)
    }

    /// From 1.
    pub fn turn(&self) -> usize {
        self.step + 1
    }

    pub fn answered(&mut self, result: &Answer, ms: f64, keeps: Keeps) -> Next {
        self.ms += ms;
        self.note_meta(result);
        if keeps.given {
            self.given.push(Given::of(result));
        }
        let step = self.step;
        let next = self.judge(result, keeps.goldens);
        if keeps.answers && self.shown.is_none() && self.is_in_doubt(step) {
            let expected = self.case.written(step).get("expect").cloned().unwrap_or_default();
            self.shown = Some((step, Box::new(Shown::of(result, &expected))));
        }
        next
    }

    /// Whether the step is not known to have passed: it failed, or its scorer has not run yet.
    fn is_in_doubt(&self, step: usize) -> bool {
        let is_open = self.step == step;
        is_open
            || self
                .judgements
                .last()
                .is_some_and(|(judged, judgement)| *judged == Some(step) && !judgement.passed)
    }

    fn judge(&mut self, result: &Answer, keep_golden: bool) -> Next {
        match &self.step().expect {
            None => self.advance(),
            Some(Expectation::Scorer(_)) if !result.is_error() => Next::Score,
            Some(Expectation::Command(_)) if !result.is_error() => Next::Judge,
            Some(Expectation::Scorer(_) | Expectation::Command(_)) => {
                self.judged(tool_failed(result))
            }
            Some(Expectation::Local(check)) => {
                if let Check::Golden(golden) = check
                    && keep_golden
                    && !result.is_error()
                {
                    self.goldens.push(Answered {
                        path: golden.path.clone(),
                        bytes: golden_bytes(&golden.path, result),
                    });
                }
                self.judged(judge(check, result))
            }
        }
    }

    /// Adds to the reason why the step that was just judged failed.
    pub fn explain(&mut self, more: &str) {
        if let Some((Some(step), Judgement { why: Some(why), .. })) = self.judgements.last_mut()
            && *step + 1 == self.step
        {
            why.push_str("; ");
            why.push_str(more);
        }
    }

    /// The scorer's answer, or its error.
    pub fn scored(&mut self, answer: &Value) -> Result<Next, String> {
        let Some(Expectation::Scorer(scorer)) = &self.step().expect else {
            unreachable!("only such a step is scored")
        };
        let wrong = || format!("the scorer `{}` gave no score from 0 to 1: {answer}", scorer.name);
        let Opinion { score, passed, why } =
            Opinion::read(answer, scorer.at_least).ok_or_else(wrong)?;
        let why = (!passed).then(|| {
            why.unwrap_or_else(|| {
                format!("{} is {score:.3}, needs at least {}", scorer.name, scorer.at_least)
            })
        });
        Ok(self.judged(Judgement { score, passed, why }))
    }

    /// The judgement from the votes of a judging program.
    pub fn voted(&mut self, votes: &[Opinion]) -> Result<Next, String> {
        let Some(Expectation::Command(command)) = &self.step().expect else {
            unreachable!("only such a step is judged by a program")
        };
        command.judgement(votes).map(|judgement| self.judged(judgement))
    }

    /// Adds the judgements of the files that it left.
    pub fn judged_files(&mut self, judgements: Vec<Judgement>) {
        self.judgements.extend(judgements.into_iter().map(|judgement| (None, judgement)));
    }

    fn judged(&mut self, judgement: Judgement) -> Next {
        if judgement.passed {
            self.shown.take_if(|(step, _)| *step == self.step);
        }
        self.judgements.push((Some(self.step), judgement));
        self.advance()
    }

    fn advance(&mut self) -> Next {
        self.step += 1;
        if self.step < self.case.steps.len() { Next::Call } else { Next::Done }
    }

    fn note_meta(&mut self, result: &Answer) {
        if let Some(keys) = result.meta(wire::READS).and_then(Value::as_array) {
            self.reads
                .get_or_insert_default()
                .extend(keys.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        if let Some(data) = result.meta(wire::CONVERSATION).and_then(|said| said.get("data")) {
            self.data = Some(data.clone());
        }
        if let Some(usd) = cost(result) {
            self.cost_usd = Some(self.cost_usd.unwrap_or(0.0) + usd);
        }
    }

    /// The result, or the next run of a case that is repeated.
    pub fn finished(mut self) -> Ended<'a> {
        let result = self.judged_as_a_whole();
        self.conclude(result)
    }

    /// The same when it could not be judged.
    pub fn errored(mut self, why: String) -> Ended<'a> {
        let result = self.error(why);
        self.conclude(result)
    }

    /// The result when another run would only break another child.
    pub fn broken(mut self, why: String) -> Finished {
        let result = self.error(why);
        if self.case.repeats > 1 {
            self.runs.push(result);
            let result = repetition::join(self.runs);
            return Finished { result, goldens: self.goldens, given: self.given };
        }
        Finished { result, goldens: self.goldens, given: self.given }
    }

    fn conclude(&mut self, result: CaseResult) -> Ended<'a> {
        let goldens = std::mem::take(&mut self.goldens);
        let given = std::mem::take(&mut self.given);
        if self.case.repeats == 1 {
            return Ended::Case(Finished { result, goldens, given });
        }
        let mut runs = std::mem::take(&mut self.runs);
        runs.push(result);
        if runs.len() < self.case.repeats as usize {
            return Ended::Run(Self { runs, goldens, ..Self::new(self.case) });
        }
        Ended::Case(Finished { result: repetition::join(runs), goldens, given })
    }

    /// The mean score of the steps that expect something; passed when each of them is.
    fn judged_as_a_whole(&self) -> CaseResult {
        let passed = self.judgements.iter().all(|(_, judgement)| judgement.passed);
        let score = self.judgements.iter().map(|(_, judgement)| judgement.score).sum::<f64>()
            / self.judgements.len() as f64;
        let why = self.judgements.iter().find_map(|(step, judgement)| {
            let why = judgement.why.as_ref()?;
            Some(match step {
                Some(step) if self.case.is_conversation => format!("turn {}: {why}", step + 1),
                _ => why.clone(),
            })
        });
        self.result(if passed { Outcome::Passed } else { Outcome::Failed }, score, why)
    }

    fn error(&self, why: String) -> CaseResult {
        let why =
            if self.case.is_conversation { format!("turn {}: {why}", self.turn()) } else { why };
        self.result(Outcome::Errored, 0.0, Some(why))
    }

    fn result(&self, outcome: Outcome, score: f64, why: Option<String>) -> CaseResult {
        CaseResult {
            outcome,
            score,
            weight: self.case.weight,
            must: self.case.must,
            // a pipe cannot resolve less than microseconds
            ms: (self.ms * 1000.0).round() / 1000.0,
            shown: self.shown.as_ref().filter(|_| why.is_some()).map(|(_, shown)| shown.clone()),
            why,
            place: Some(self.case.place.clone()),
            tags: self.case.tags.clone(),
            reads: self.reads.as_ref().map(|keys| keys.iter().cloned().collect()),
            cost_usd: self.cost_usd,
            quarantine: self.case.quarantine.clone(),
            quarantined: self.case.quarantined,
            ..CaseResult::passed(&self.case.id)
        }
    }
}

/// The cost of a call as reported by the Runner, in US dollars.
pub fn cost(result: &Answer) -> Option<f64> {
    wire::cost_usd(result.meta(wire::COST)?)
}
