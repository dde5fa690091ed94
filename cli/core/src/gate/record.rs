//! The stored evidence of a version's gate: the requirement, the level and the decision, and the
//! pairs that determine the decision.
//!
//! `evals/{commit}/gate.jsonl`: the first line is the record, each line after it a pair,
//! `[id, weight, [score, passed], [score, passed]]`, the baseline's side first. The commit's
//! trailer `Agent-Gate` is the digest of the file.

use super::bets::Bets;
use super::pairs::Pairs;
use super::{Comparison, GateVerdict, Level, Question};
use crate::formats::manifest::Gated;
use crate::formats::object_id::ObjectId;
use crate::gate::ledger::CandidateTest;
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::definitions::Definitions;
use crate::testing::evaluation::TierSummary;
use serde::{Deserialize, Serialize};

pub const SCHEMA: &str = "agent/gate@2";
/// Records by the bets of `Bets::first`.
const FIRST_SCHEMA: &str = "agent/gate@1";

/// The key of a commit's record in the object store.
pub fn key(commit: &str) -> String {
    format!("evals/{commit}/gate.jsonl")
}

/// The key of the candidate's results by the previous evaluators, case by case; present only if the
/// candidate changes them.
pub fn before_key(commit: &str) -> String {
    format!("evals/{commit}/before.jsonl")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub schema: String,
    /// Digest of the evaluation of the candidate's own tier.
    pub evaluation: String,
    /// The tier and the gate that were requested.
    pub gated: Gated,
    /// Keys of `gated` that the command line gave in place of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Absent for a first version: there was nothing to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// The comparison with the version that was served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub baseline: ObjectId,
    /// The tree that was tested.
    pub candidate: ObjectId,
    /// The evaluators of both sides: the baseline's.
    pub definitions: Definitions,
    pub verdict: GateVerdict,
    /// Digest of the results in the baseline's own evaluation; absent where it has none of this
    /// tier, or they were not at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// Cases of the baseline without a new result, or with a different one than recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub varying: Vec<String>,
    /// The candidate's tier by the baseline's evaluators; present only if the candidate changes
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TierSummary>,
}

impl Compared {
    pub const fn level(&self) -> Level {
        Level { value: self.verdict.level, index: self.verdict.ledger }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
    #[error("its schema is `{0}`; this `agent` reads `{FIRST_SCHEMA}` and `{SCHEMA}`")]
    Unknown(String),
}

/// The pairs of a stored record.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPairs(Pairs);

impl Record {
    pub fn new(evaluation: String, gated: Gated, given: Vec<String>) -> Self {
        Self { schema: SCHEMA.to_owned(), evaluation, gated, given, compared: None }
    }

    /// How the e-process bets that decided it.
    pub fn bets(&self) -> Bets {
        if self.schema == FIRST_SCHEMA { Bets::first() } else { Bets::Targeted }
    }

    /// The question that was decided.
    pub fn question(&self) -> Question {
        Question { bets: self.bets(), ..Question::from(&self.gated) }
    }

    /// The key of its comparison in the ledger.
    pub fn candidate_test(&self, compared: &Compared, pairs: &StoredPairs) -> CandidateTest {
        let Compared { baseline, candidate, definitions, .. } = compared;
        CandidateTest::new(baseline, candidate, &self.gated, definitions, pairs.digest())
            .with_bets(self.bets())
    }

    /// The stored bytes: the record, then the pairs it was judged on.
    pub fn to_bytes(&self, comparison: Option<&Comparison>) -> Vec<u8> {
        let mut text = serde_json::to_string(self).expect("a record serialises") + "\n";
        for line in comparison.iter().flat_map(|comparison| comparison.pairs.lines()) {
            text.push_str(&line);
            text.push('\n');
        }
        text.into_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, StoredPairs), RecordError> {
        let wrong = |line: usize, problem: String| RecordError::Line { line, problem };
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(1, error.to_string()))?;
        let (first, pairs) =
            text.split_once('\n').ok_or_else(|| wrong(1, "it does not end".to_owned()))?;
        let record: Self =
            serde_json::from_str(first).map_err(|error| wrong(1, error.to_string()))?;
        if ![SCHEMA, FIRST_SCHEMA].contains(&record.schema.as_str()) {
            return Err(RecordError::Unknown(record.schema));
        }
        let pairs = Pairs::parse(pairs).map_err(|(line, problem)| wrong(line + 1, problem))?;
        Ok((record, StoredPairs(pairs)))
    }
}

impl StoredPairs {
    /// Repeats the comparison: the baseline's side of the pairs with the candidate's results.
    /// `None` where the pairs differ.
    pub fn again(&self, question: Question, candidate: &[CaseResult]) -> Option<Comparison> {
        let comparison = Comparison::of(question, &self.0.baseline(), candidate);
        comparison.pairs.are(&self.0).then_some(comparison)
    }

    /// The part of a result in a pair.
    pub fn as_kept(result: &CaseResult) -> CaseResult {
        let outcome =
            if result.outcome == Outcome::Passed { Outcome::Passed } else { Outcome::Failed };
        CaseResult { outcome, score: result.score, ..CaseResult::passed(result.id.clone()) }
    }

    /// The key of these pairs in the ledger.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// The baseline's side: id, score, and whether it passed.
    pub fn baseline(&self) -> Vec<CaseResult> {
        self.0.baseline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::manifest::{GateMode, GateTest};
    use serde_json::json;

    fn result(id: &str, score: f64) -> CaseResult {
        let outcome = if score < 1.0 { Outcome::Failed } else { Outcome::Passed };
        CaseResult {
            outcome,
            score,
            place: Some(format!("tests/full/heldout/a.jsonl:{id}")),
            ..CaseResult::passed(id)
        }
    }

    const QUESTION: Question = Question {
        mode: GateMode::Better,
        margin: 0.0,
        test: GateTest::EProcess,
        alpha: 0.05,
        bets: Bets::Targeted,
    };

    fn written(old: &[CaseResult], new: &[CaseResult]) -> (Record, Vec<u8>) {
        let comparison = Comparison::of(QUESTION, old, new);
        let compared = Compared {
            baseline: ObjectId::of_blob(b"baseline"),
            candidate: ObjectId::of_blob(b"candidate"),
            definitions: Definitions::default(),
            verdict: comparison.judged(Level { value: 0.025, index: Some(1) }),
            recorded: None,
            varying: Vec::new(),
            before: None,
        };
        let record = Record {
            compared: Some(compared),
            ..Record::new("sha256:e".to_owned(), Gated::release(), Vec::new())
        };
        let bytes = record.to_bytes(Some(&comparison));
        (record, bytes)
    }

    #[test]
    fn stored_record_reproduces_the_decision() {
        let old: Vec<_> = (0..40).map(|n| result(&format!("c{n:02}"), 0.25)).collect();
        let new: Vec<_> = old.iter().map(|old| result(&old.id, 1.0 / 3.0)).collect();
        let (record, bytes) = written(&old, &new);
        let (read, pairs) = Record::from_bytes(&bytes).unwrap();
        assert_eq!(read, record);
        let again = pairs.again(QUESTION, &new).unwrap();
        let compared = read.compared.unwrap();
        assert_eq!(again.judged(compared.level()), compared.verdict);
        assert_eq!(again.digest(), Comparison::of(QUESTION, &old, &new).digest());
        assert!(compared.verdict.held_out);
        // a different result of the candidate gives different pairs
        let mut other = new;
        other[3].score = 0.3;
        assert!(pairs.again(QUESTION, &other).is_none());
    }

    /// A record as `agent/gate@1` was written, with the figures of that time.
    #[test]
    fn record_of_the_first_schema_is_decided_by_its_own_bets() {
        let record = json!({
            "schema": "agent/gate@1",
            "evaluation": "sha256:e",
            "gated": {
                "tier": "full", "gate": "better", "margin": 0.0, "test": "e-process", "alpha": 0.05,
            },
            "compared": {
                "baseline": ObjectId::of_blob(b"baseline"),
                "candidate": ObjectId::of_blob(b"candidate"),
                "definitions": { "cases": {} },
                "verdict": {
                    "verdict": "pass", "mode": "better", "margin": 0.0, "test": "e-process",
                    "reasons": ["better"], "pairs": 12, "held_out": true, "better": 12, "worse": 0,
                    "baseline_score": 0.0, "candidate_score": 1.0,
                    "p_value": 0.001_569_370_907_254_151, "log_e_value": 6.457_080_435_938_485,
                    "level": 0.025, "ledger": 1, "interval": [0.284_338_958_440_91, 0.999_999_999],
                },
            },
        });
        let pair = |number: usize| format!(r#"["c{number:02}",1.0,[0.0,false],[1.0,true]]"#);
        let lines: Vec<_> = std::iter::once(record.to_string()).chain((0..12).map(pair)).collect();
        let (record, pairs) = Record::from_bytes((lines.join("\n") + "\n").as_bytes()).unwrap();
        let new: Vec<_> = (0..12).map(|number| result(&format!("c{number:02}"), 1.0)).collect();
        let compared = record.compared.as_ref().unwrap();
        let says = &compared.verdict;
        let is = pairs.again(record.question(), &new).unwrap().judged(compared.level());
        assert_eq!((is.verdict, is.pairs, is.ledger), (says.verdict, says.pairs, says.ledger));
        let figures = |verdict: &GateVerdict| {
            let (low, high) = verdict.interval.unwrap();
            [verdict.log_e_value.unwrap(), verdict.p_value, low, high]
        };
        for (is, says) in figures(&is).into_iter().zip(figures(says)) {
            assert!((is - says).abs() < 1e-8, "{is} {says}");
        }
    }

    #[test]
    fn record_names_the_bets_by_its_schema() {
        let (record, bytes) = written(&[result("a", 0.0)], &[result("a", 1.0)]);
        assert_eq!((record.bets(), record.question().bets), (Bets::Targeted, Bets::Targeted));
        let earlier = String::from_utf8(bytes).unwrap().replace("gate@2", "gate@1");
        let (earlier, pairs) = Record::from_bytes(earlier.as_bytes()).unwrap();
        assert_eq!(earlier.question().bets, Bets::Mixture);
        let key =
            |record: &Record| record.candidate_test(record.compared.as_ref().unwrap(), &pairs).bets;
        assert_eq!((key(&earlier), key(&record)), (Bets::Mixture, Bets::Targeted));
    }

    #[test]
    fn a_first_version_has_no_pairs() {
        let record = Record::new("sha256:e".to_owned(), Gated::promote(), vec!["gate".to_owned()]);
        let (read, pairs) = Record::from_bytes(&record.to_bytes(None)).unwrap();
        assert_eq!((read, pairs.baseline()), (record, Vec::new()));
    }

    #[test]
    fn unreadable_line_is_named() {
        let (_, bytes) =
            written(&[result("a", 0.0), result("b", 0.0)], &[result("a", 1.0), result("b", 1.0)]);
        let text = String::from_utf8(bytes).unwrap();
        let error = |text: String| Record::from_bytes(text.as_bytes()).unwrap_err().to_string();
        assert!(error(text.replace("[\"b\"", "[3")).starts_with("line 3: "));
        assert!(
            error(text.replace("[\"b\"", "[\"a\""))
                .starts_with("line 3: `a` is not sorted after `a`")
        );
        assert_eq!(
            error(text.replace("gate@2", "gate@9")),
            "its schema is `agent/gate@9`; this `agent` reads `agent/gate@1` and `agent/gate@2`"
        );
    }
}
