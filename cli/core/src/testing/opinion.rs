//! The answer of a scorer or judging command on a result, and the judgement that several such votes
//! result in.

use crate::formats::document::{DocumentError, Fields};
use crate::formats::number;
use crate::testing::judgement::Judgement;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const MEND: &str = "\"command\" is {\"run\": [\"python\", \"tests/judge.py\"], \"at_least\": \
    0.5, \"votes\": 3, \"agree\": 0.67}";
const MOST_VOTES: u32 = 25;

/// Judged by a program of the repository, an LLM judge for instance.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandCall {
    /// Program and arguments; `python` is replaced by the environment's interpreter.
    pub run: Vec<String>,
    /// The passing score, where the program does not decide.
    pub at_least: f64,
    /// The number of votes.
    pub votes: u32,
    /// The share of votes that must agree; a tie is never enough.
    pub agree: f64,
}

impl CommandCall {
    /// Reads the object under `command`.
    pub fn parse(value: Value, place: &str) -> Result<Self, DocumentError> {
        let mut fields =
            Fields::new(value, place, "\"command\"", &["run", "at_least", "votes", "agree"])?;
        let run = fields.list("run")?.ok_or_else(|| fields.missing("run", MEND))?;
        let words: Option<Vec<_>> =
            run.iter().map(|word| word.as_str().map(str::to_owned)).collect();
        let run = words.filter(|words| words.first().is_some_and(|program| !program.is_empty()));
        let run =
            run.ok_or_else(|| fields.error("\"run\" is not a program with its arguments", MEND))?;
        Ok(Self {
            run,
            at_least: fields.share("at_least")?.unwrap_or(1.0),
            votes: fields.count("votes", 1..=MOST_VOTES)?.unwrap_or(1),
            agree: fields.share("agree")?.unwrap_or(0.5),
        })
    }

    /// The result of the votes: the mean score and the majority; an error where too few agree.
    pub fn judgement(&self, votes: &[Opinion]) -> Result<Judgement, String> {
        let count = votes.len();
        let passed = votes.iter().filter(|vote| vote.passed).count();
        let agreed = passed.max(count - passed);
        if count == 0 || 2 * agreed == count || (agreed as f64) < self.agree * count as f64 {
            return Err(format!("the judge's votes differ: {agreed} of {count}"));
        }
        let passed = 2 * passed > count;
        let score = votes.iter().map(|vote| vote.score).sum::<f64>() / count as f64;
        let reason =
            votes.iter().filter(|vote| vote.passed == passed).find_map(|vote| vote.why.clone());
        let why = (!passed).then(|| {
            reason.unwrap_or_else(|| {
                format!("the judge's score is {score:.3}, needs at least {}", self.at_least)
            })
        });
        Ok(Judgement { score, passed, why })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// From 0 to 1.
    pub score: f64,
    pub passed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Opinion {
    /// Reads `{"score", "passed", "why"}`, where one of the first two is enough; `None` when
    /// neither is present and valid.
    pub fn read(answer: &Value, at_least: f64) -> Option<Self> {
        let passed = answer.get("passed").and_then(Value::as_bool);
        let score = match answer.get("score") {
            None | Some(Value::Null) => f64::from(u8::from(passed?)),
            Some(score) => score.as_f64().and_then(number::as_score)?,
        };
        let why = answer.get("why").and_then(Value::as_str).map(str::to_owned);
        Some(Self { score, passed: passed.unwrap_or(score >= at_least), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn judge_answer_is_a_score_or_a_label() {
        let read =
            |answer| Opinion::read(&answer, 0.5).map(|opinion| (opinion.score, opinion.passed));
        assert_eq!(read(json!({"score": 0.5})), Some((0.5, true)));
        assert_eq!(read(json!({"score": 0.4, "passed": true, "why": "so"})), Some((0.4, true)));
        assert_eq!(read(json!({"score": null, "passed": false})), Some((0.0, false)));
        assert_eq!(read(json!({"score": 1.000_000_000_000_000_2})), Some((1.0, true)));
        for rubbish in [
            json!({}),
            json!({"score": 2}),
            json!({"score": "1"}),
            json!("good"),
            json!([1]),
            json!(null),
        ] {
            assert_eq!(read(rubbish), None);
        }
    }

    #[test]
    fn votes_have_to_agree() {
        let call = CommandCall::parse(json!({"run": ["x"], "agree": 0.67}), "c.jsonl:1").unwrap();
        let vote = |score| Opinion {
            score,
            passed: score >= 0.5,
            why: (score < 0.5).then(|| "bad".to_owned()),
        };
        let judged =
            |scores: &[f64]| call.judgement(&scores.iter().copied().map(vote).collect::<Vec<_>>());
        assert_eq!(
            judged(&[1.0, 0.5]).unwrap(),
            Judgement { score: 0.75, passed: true, why: None }
        );
        assert_eq!(
            judged(&[0.0, 0.0, 0.25, 1.0]).unwrap(),
            Judgement { score: 0.3125, passed: false, why: Some("bad".to_owned()) }
        );
        assert_eq!(judged(&[1.0, 0.0, 1.0]).unwrap_err(), "the judge's votes differ: 2 of 3");
        assert!(judged(&[1.0, 0.0]).is_err());
    }

    #[track_caller]
    fn check_wrong(value: Value, message: &str) {
        assert_eq!(
            CommandCall::parse(value, "c.jsonl:1").unwrap_err().to_string(),
            format!("c.jsonl:1: {message}")
        );
    }

    #[test]
    fn a_wrong_command_names_its_key() {
        check_wrong(json!({}), "\"run\" is missing");
        check_wrong(json!({"run": "python x"}), "\"run\" is a text, not a list");
        check_wrong(json!({"run": []}), "\"run\" is not a program with its arguments");
        check_wrong(json!({"run": ["x", 1]}), "\"run\" is not a program with its arguments");
        check_wrong(
            json!({"run": ["x"], "votes": 26}),
            "\"votes\" is 26, not a whole number from 1 to 25",
        );
        check_wrong(json!({"run": ["x"], "agree": "all"}), "\"agree\" is a text, not a number");
        check_wrong(
            json!({"run": ["x"], "vote": 3}),
            "\"vote\" is not a key of \"command\" (did you mean \"votes\"?)",
        );
    }
}
