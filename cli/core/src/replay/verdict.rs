//! The answers of two sides to recorded calls, side by side, as pairs for the gate.
//!
//! An answer that something is expected of has the score of its judgement. Where nothing is
//! expected, equal answers are a pair without a difference, whatever might be expected of them; a
//! failure where the other side answers is a loss; and any other difference decides nothing.

use crate::formats::diagnose::FailureKind;
use crate::gate::{self, GateVerdict, Question};
use crate::replay::expectations::Expectations;
use crate::replay::units::Unit;
use crate::testing::attempt::Given;
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::evaluation::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;

/// The outcome of a unit on one side.
#[derive(Debug, Clone)]
pub struct Ran {
    pub result: CaseResult,
    /// The answer of each step that was reached.
    pub given: Vec<Given>,
}

impl Ran {
    fn fails_at(&self, step: usize) -> bool {
        self.given.get(step).is_none_or(|given| given.is_error)
    }
}

/// How the candidate's answers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    Worse,
    Better,
    /// They differ, and nothing is expected of them.
    Undecided,
    /// It was answered in service, and fails on both sides here.
    Unrepeatable,
    Same,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    pub id: String,
    pub tools: Vec<String>,
    /// The recorded calls that it stands for.
    pub calls: usize,
    pub how: How,
    /// Whether the answers differ.
    pub differs: bool,
    /// The first difference, or why the candidate's answer is worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A unit with its two sides.
pub struct Sides<'a> {
    pub unit: &'a Unit,
    /// Whether something is expected of one of its answers.
    pub is_judged: bool,
    pub baseline: &'a Ran,
    pub candidate: &'a Ran,
}

#[derive(Debug)]
pub struct Report {
    /// The most serious first.
    pub compared: Vec<Compared>,
    pub gate: GateVerdict,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

impl Report {
    pub fn of(question: Question, sides: &[Sides<'_>], expectations: &Expectations) -> Self {
        let mut compared = Vec::with_capacity(sides.len());
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for sides in sides {
            let found = sides.compared(expectations);
            if let Some([baseline, candidate]) = sides.pair(found.how) {
                old.push(baseline);
                new.push(candidate);
            }
            compared.push(found);
        }
        compared.sort_by(|one, other| (one.how, &one.id).cmp(&(other.how, &other.id)));
        let gate = gate::judge(question, &old, &new);
        let (mut verdict, mut reasons) = (gate.verdict, gate.reasons.clone());
        if let Some(why) = undecided(&compared).filter(|_| verdict != Verdict::Fail) {
            verdict = Verdict::NotEnoughEvidence;
            reasons.push(why);
        }
        Self { compared, gate, verdict, reasons }
    }

    pub fn count(&self, how: How) -> usize {
        self.compared.iter().filter(|compared| compared.how == how).count()
    }

    /// The compared units that differ or are not `Same`, the most serious first.
    pub fn shown(&self) -> impl Iterator<Item = &Compared> {
        self.compared.iter().filter(|one| one.differs || one.how != How::Same)
    }

    pub fn refusal(&self) -> Option<FailureKind> {
        match self.verdict {
            Verdict::Pass => None,
            Verdict::Fail => Some(FailureKind::Refused),
            Verdict::NotEnoughEvidence => Some(FailureKind::NotEnoughEvidence),
        }
    }
}

/// Why differences without an expectation leave the question open.
fn undecided(compared: &[Compared]) -> Option<String> {
    let mut by_tool: BTreeMap<&str, usize> = BTreeMap::new();
    for one in compared.iter().filter(|one| one.how == How::Undecided) {
        for tool in &one.tools {
            *by_tool.entry(tool).or_default() += 1;
        }
    }
    (!by_tool.is_empty()).then(|| {
        let named: Vec<_> =
            by_tool.iter().map(|(tool, count)| format!("{tool} ({count})")).collect();
        format!("answers without an expectation differ: {}", named.join(", "))
    })
}

impl Sides<'_> {
    fn compared(&self, expectations: &Expectations) -> Compared {
        let difference = self.difference(expectations);
        let how = self.how(difference.is_some());
        let own = self.candidate.result.why.clone().filter(|_| how == How::Worse);
        Compared {
            id: self.unit.id.clone(),
            tools: self.unit.tools().into_iter().map(str::to_owned).collect(),
            calls: self.unit.calls,
            how,
            differs: difference.is_some(),
            why: own.or(difference),
        }
    }

    fn how(&self, differs: bool) -> How {
        let (old, new) = (&self.baseline.result, &self.candidate.result);
        if self.is_unrepeatable() {
            return How::Unrepeatable;
        }
        if !self.is_judged {
            let fails = (0..self.unit.steps.len())
                .any(|step| self.candidate.fails_at(step) && !self.baseline.fails_at(step));
            return match (differs, fails) {
                (false, _) => How::Same,
                (true, true) => How::Worse,
                (true, false) => How::Undecided,
            };
        }
        match new.score.total_cmp(&old.score) {
            std::cmp::Ordering::Less => How::Worse,
            std::cmp::Ordering::Greater => How::Better,
            std::cmp::Ordering::Equal => How::Same,
        }
    }

    /// Whether a step that was answered in service fails on both sides: for lack of a network, of
    /// the Runner's own files, or of what the conversation began with.
    fn is_unrepeatable(&self) -> bool {
        self.unit.steps.iter().enumerate().any(|(step, recorded)| {
            !recorded.recorded.given.is_error
                && self.baseline.fails_at(step)
                && self.candidate.fails_at(step)
        })
    }

    fn difference(&self, expectations: &Expectations) -> Option<String> {
        self.unit.steps.iter().enumerate().find_map(|(number, step)| {
            let call = (step.tool.as_str(), &step.arguments);
            let why = match (self.baseline.given.get(number), self.candidate.given.get(number)) {
                (Some(old), Some(new)) => expectations.difference(call, old, new),
                (None, None) => None,
                (Some(_), None) => Some(self.candidate.stopped()),
                (None, Some(_)) => Some(format!("answered; before: {}", self.baseline.stopped())),
            }?;
            let is_turn = self.unit.is_conversation;
            Some(if is_turn { format!("turn {}: {why}", number + 1) } else { why })
        })
    }

    /// The results for the gate; `None` where the unit decides nothing.
    fn pair(&self, how: How) -> Option<[CaseResult; 2]> {
        let id = &self.unit.id;
        let lost = || CaseResult { outcome: Outcome::Failed, score: 0.0, ..CaseResult::passed(id) };
        match how {
            How::Undecided | How::Unrepeatable => None,
            _ if self.is_judged => {
                Some([self.baseline, self.candidate].map(|ran| ran.result.clone()))
            }
            How::Worse => Some([CaseResult::passed(id), lost()]),
            How::Same | How::Better => Some([CaseResult::passed(id), CaseResult::passed(id)]),
        }
    }
}

impl Ran {
    fn stopped(&self) -> String {
        self.result.why.clone().unwrap_or_else(|| "no answer".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::manifest::Gated;
    use crate::replay::units::{Units, tests::call};
    use serde_json::{Value, json};

    fn question() -> Question {
        (&Gated::promote()).into()
    }

    fn unit(n: u64) -> Unit {
        Units::of(vec![call("t", n, "recorded")], &|_| true).list.remove(0)
    }

    fn ran(unit: &Unit, score: f64, value: Option<Value>) -> Ran {
        let outcome = if score < 1.0 { Outcome::Failed } else { Outcome::Passed };
        let is_error = value.is_none();
        let given =
            vec![Given { is_error, value: value.unwrap_or(json!("it failed")), content: None }];
        Ran { result: CaseResult { outcome, score, ..CaseResult::passed(&unit.id) }, given }
    }

    /// The outcome of one unit, and the verdict on it alone.
    #[track_caller]
    fn check(
        is_judged: bool,
        baseline: (f64, Option<Value>),
        candidate: (f64, Option<Value>),
        expected: (How, Verdict),
    ) {
        let unit = unit(1);
        let [baseline, candidate] =
            [baseline, candidate].map(|(score, value)| ran(&unit, score, value));
        let sides = [Sides { unit: &unit, is_judged, baseline: &baseline, candidate: &candidate }];
        let report = Report::of(question(), &sides, &Expectations::default());
        assert_eq!((report.compared[0].how, report.verdict), expected, "{report:?}");
    }

    #[test]
    fn a_difference_without_an_expectation_decides_nothing() {
        let (a, b) = (Some(json!("a")), Some(json!("b")));
        check(false, (1.0, a.clone()), (1.0, a.clone()), (How::Same, Verdict::Pass));
        check(
            false,
            (1.0, a.clone()),
            (1.0, b.clone()),
            (How::Undecided, Verdict::NotEnoughEvidence),
        );
        check(false, (1.0, a.clone()), (0.0, None), (How::Worse, Verdict::Fail));
        // in service it was answered, so the two failures are no evidence about the candidate
        check(false, (0.0, None), (0.0, None), (How::Unrepeatable, Verdict::NotEnoughEvidence));
        check(true, (1.0, a.clone()), (0.0, b.clone()), (How::Worse, Verdict::Fail));
        check(true, (0.5, a.clone()), (1.0, b.clone()), (How::Better, Verdict::Pass));
        check(true, (1.0, a), (1.0, b), (How::Same, Verdict::Pass));
    }

    #[test]
    fn text_beside_the_same_structured_content_is_compared() {
        let unit = unit(1);
        let with = |content: &str| {
            let mut ran = ran(&unit, 1.0, Some(json!({"a": 1})));
            ran.given[0].content = Some(json!(content));
            ran
        };
        let (baseline, candidate) = (with("one"), with("garbage"));
        let sides =
            [Sides { unit: &unit, is_judged: false, baseline: &baseline, candidate: &candidate }];
        let report = Report::of(question(), &sides, &Expectations::default());
        assert_eq!(report.compared[0].how, How::Undecided);
        let why = report.compared[0].why.as_deref().unwrap_or_default();
        assert!(why.starts_with("its text content: "), "{why}");
    }

    #[test]
    fn a_loss_outweighs_what_is_undecided() {
        let units = [unit(1), unit(2)];
        let baseline = units.each_ref().map(|unit| ran(unit, 1.0, Some(json!("a"))));
        let candidate = [ran(&units[0], 1.0, Some(json!("b"))), ran(&units[1], 0.0, None)];
        let sides: Vec<_> = (0..2)
            .map(|at| Sides {
                unit: &units[at],
                is_judged: false,
                baseline: &baseline[at],
                candidate: &candidate[at],
            })
            .collect();
        let report = Report::of(question(), &sides, &Expectations::default());
        assert_eq!(report.verdict, Verdict::Fail);
        assert_eq!(report.compared[0].how, How::Worse, "the gravest is first");
    }
}
