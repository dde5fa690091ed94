//! The expectation `ranking`: how well the items of an answer are ordered, by a measure of
//! information retrieval.

use crate::formats::document::{DocumentError, Fields};
use crate::formats::number;
use crate::formats::suggestion::did_you_mean;
use crate::testing::judgement::{Judgement, shortened};
use serde_json::Value;
use std::collections::HashMap;

const MEND: &str = "\"ranking\" is {\"relevant\": [ids] or {id: gain}, \"metric\": \"mrr\", \"k\": \
    10, \"path\": \"/results\", \"id\": \"key\", \"at_least\": 0.5}";
const DEFAULT_K: u32 = 10;
/// No sum of gains is beyond what a double holds.
const MOST_GAIN: f64 = 1e9;
const MOST_K: u32 = 100_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// The relevant items, with their gains.
    relevant: HashMap<String, f64>,
    metric: Metric,
    k: usize,
    /// JSON pointer to the list in the answer; empty for the answer itself.
    path: String,
    /// The key of an item that is its id; without it the items are ids themselves.
    id: Option<String>,
    at_least: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    /// 1 over the rank of the first relevant item.
    Mrr,
    /// Discounted cumulative gain over that of the best order: gains as they are, discounts of
    /// log2(rank + 1) (Järvelin and Kekäläinen 2002).
    Ndcg,
    /// The share of the first k places that hold a relevant item.
    Precision,
    /// The share of the relevant items in the first k ranks (recall at k).
    Recall,
}

impl Metric {
    const ALL: [Self; 4] = [Self::Mrr, Self::Ndcg, Self::Precision, Self::Recall];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Mrr => "mrr",
            Self::Ndcg => "ndcg",
            Self::Precision => "precision",
            Self::Recall => "recall",
        }
    }
}

impl Ranking {
    /// Reads the object under `ranking`.
    pub fn parse(value: Value, place: &str) -> Result<Self, DocumentError> {
        let mut fields = Fields::new(
            value,
            place,
            "\"ranking\"",
            &["relevant", "metric", "k", "path", "id", "at_least"],
        )?;
        let relevant = fields.take("relevant").ok_or_else(|| fields.missing("relevant", MEND))?;
        let relevant = gains(&relevant).map_err(|problem| fields.error(problem, MEND))?;
        let metric = fields.text("metric")?.ok_or_else(|| fields.missing("metric", MEND))?;
        let names = Metric::ALL.map(Metric::as_str);
        let known = Metric::ALL.into_iter().find(|known| known.as_str() == metric);
        let metric = known.ok_or_else(|| {
            let problem = format!(
                "\"{metric}\" is not a metric of a ranking{}",
                did_you_mean(&metric, names)
            );
            fields.error(problem, format!("make it one of {}", names.join(", ")))
        })?;
        let k = fields.count("k", 1..=MOST_K)?.unwrap_or(DEFAULT_K) as usize;
        let path = fields.text("path")?.unwrap_or_default();
        if !path.is_empty() && !path.starts_with('/') {
            return Err(fields.error(
                format!("\"path\" is \"{path}\", no JSON pointer"),
                "start it with `/`, such as \"/results\"",
            ));
        }
        let id = fields.text("id")?;
        Ok(Self {
            relevant,
            metric,
            k,
            path,
            id,
            at_least: fields.share("at_least")?.unwrap_or(1.0),
        })
    }

    /// Judges an answer, which may be wrapped as `{"result": answer}`.
    pub fn judge(&self, answer: &Value) -> Judgement {
        let found = answer.pointer(&self.path).filter(|found| found.is_array());
        let Some(items) =
            found.or_else(|| answer.get("result")?.pointer(&self.path)).and_then(Value::as_array)
        else {
            let place = if self.path.is_empty() { "the answer" } else { &self.path };
            return Judgement::failed(format!(
                "{place} is not a list to rank: {}",
                shortened(&answer.to_string())
            ));
        };
        match self.ids(items) {
            Err(problem) => Judgement::failed(problem),
            Ok(ids) => self.judge_order(&ids),
        }
    }

    fn ids(&self, items: &[Value]) -> Result<Vec<String>, String> {
        let id_of =
            |item: &Value| id_text(self.id.as_ref().map_or(Some(item), |key| item.get(key))?);
        let number =
            |(index, item): (usize, &Value)| id_of(item).ok_or_else(|| self.no_id(index, item));
        items.iter().take(self.k).enumerate().map(number).collect()
    }

    fn no_id(&self, index: usize, item: &Value) -> String {
        let wanted = self.id.as_ref().map_or_else(
            || "\"id\" should name its key".to_owned(),
            |key| format!("there is no \"{key}\" in it"),
        );
        format!(
            "item {} of the ranking has no id ({wanted}): {}",
            index + 1,
            shortened(&item.to_string())
        )
    }

    fn judge_order(&self, ids: &[String]) -> Judgement {
        let gains = self.gains_in_order(ids);
        let score = self.score(&gains);
        let passed = score >= self.at_least;
        let why = (!passed).then(|| {
            let (metric, k, at_least) = (self.metric.as_str(), self.k, self.at_least);
            format!(
                "{metric}@{k} is {score:.3}, needs at least {at_least}: {}",
                self.description(ids, &gains)
            )
        });
        Judgement { score, passed, why }
    }

    /// The gain of each rank; a duplicated item counts at its first rank.
    fn gains_in_order(&self, ids: &[String]) -> Vec<f64> {
        let mut left = self.relevant.clone();
        ids.iter().map(|id| left.remove(id).unwrap_or(0.0)).collect()
    }

    fn score(&self, gains: &[f64]) -> f64 {
        let hits = gains.iter().filter(|gain| **gain > 0.0).count() as f64;
        match self.metric {
            Metric::Mrr => gains
                .iter()
                .position(|gain| *gain > 0.0)
                .map_or(0.0, |index| 1.0 / (index + 1) as f64),
            Metric::Precision => hits / self.k as f64,
            Metric::Recall => hits / self.relevant.len() as f64,
            Metric::Ndcg => {
                let mut ideal: Vec<_> = self.relevant.values().copied().collect();
                ideal.sort_by(|one, other| other.total_cmp(one));
                ideal.truncate(self.k);
                // rounding may put a perfect order a little above itself
                (discounted(gains) / discounted(&ideal)).min(1.0)
            }
        }
    }

    fn description(&self, ids: &[String], gains: &[f64]) -> String {
        let ranks: Vec<_> = gains
            .iter()
            .enumerate()
            .filter(|(_, gain)| **gain > 0.0)
            .map(|(index, _)| (index + 1).to_string())
            .collect();
        let stand =
            if ranks.is_empty() { String::new() } else { format!(", at {},", ranks.join(", ")) };
        format!(
            "{} of {} relevant{stand} in {}",
            ranks.len(),
            self.relevant.len(),
            shortened(&ids.join(", "))
        )
    }
}

fn discounted(gains: &[f64]) -> f64 {
    gains.iter().enumerate().map(|(index, gain)| gain / ((index + 2) as f64).log2()).sum()
}

/// Ids are texts, or numbers.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number::as_name(number)),
        _ => None,
    }
}

fn gains(relevant: &Value) -> Result<HashMap<String, f64>, String> {
    let gains: Option<HashMap<_, _>> = match relevant {
        Value::Array(ids) => ids.iter().map(|id| Some((id_text(id)?, 1.0))).collect(),
        Value::Object(map) => {
            map.iter().map(|(id, gain)| Some((id.clone(), gain.as_f64()?))).collect()
        }
        _ => None,
    };
    let gains = gains.ok_or("\"relevant\" is neither a list of ids nor an object of gains")?;
    if gains.is_empty() {
        return Err("\"relevant\" is empty".to_owned());
    }
    match gains.iter().find(|(_, gain)| !(**gain > 0.0 && **gain <= MOST_GAIN)) {
        Some((id, gain)) => {
            Err(format!("the gain of \"{id}\" is {gain}, not above 0 and at most {MOST_GAIN}"))
        }
        None => Ok(gains),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn score(relevant: &Value, metric: &str, k: u32, ranked: &Value) -> f64 {
        let ranking =
            Ranking::parse(json!({"relevant": relevant, "metric": metric, "k": k}), "c.jsonl:1")
                .unwrap();
        ranking.judge(ranked).score
    }

    /// Values of scikit-learn 1.9.1, `ndcg_score` with the items in the order given.
    #[test]
    fn ndcg_is_that_of_scikit_learn() {
        #[track_caller]
        fn check(relevant: &Value, ranked: &Value, k: u32, reference: f64) {
            let ndcg = score(relevant, "ndcg", k, ranked);
            assert!((ndcg - reference).abs() < 1e-9, "{ndcg} is not {reference}");
        }
        check(&json!({"a": 1, "b": 1}), &json!(["a", "x", "b"]), 3, 0.919_720_789_148_187_7);
        check(&json!(["a", "b"]), &json!(["x", "a", "b"]), 2, 0.386_852_807_234_541_5);
        check(
            &json!({"a": 3, "b": 2, "c": 1}),
            &json!(["c", "x", "a", "b"]),
            10,
            0.705_890_862_824_631_3,
        );
        check(
            &json!({"a": 3, "b": 2, "c": 1}),
            &json!(["b", "a", "x", "y"]),
            3,
            0.817_493_513_799_616_7,
        );
        check(
            &json!({"a": 3, "b": 2, "c": 0.5, "d": 1}),
            &json!(["d", "b", "x", "a"]),
            2,
            0.530_721_273_977_243_4,
        );
        check(&json!({"a": 1}), &json!(["x", "y", "z", "a"]), 3, 0.0);
    }

    #[test]
    fn other_ranking_measures_match_their_definitions() {
        let relevant = json!(["a", "b", 7]);
        let ranked = json!(["x", "b", "b", 7, "a"]);
        let of = |metric, k| score(&relevant, metric, k, &ranked);
        assert_eq!((of("mrr", 10), of("mrr", 1)), (0.5, 0.0));
        // the second b is no second hit
        assert_eq!((of("precision", 4), of("recall", 4), of("recall", 10)), (0.5, 2.0 / 3.0, 1.0));
        assert_eq!(Some(score(&relevant, "precision", 2, &json!([]))), Some(0.0));
    }

    #[test]
    fn items_are_found_by_path_and_key() {
        let written = json!({"relevant": ["b"], "metric": "mrr", "path": "/results", "id": "title",
            "at_least": 0.6});
        let ranking = Ranking::parse(written, "c.jsonl:1").unwrap();
        let answer = json!({"results": [{"title": "a"}, {"title": "b"}]});
        let judged = ranking.judge(&answer);
        assert_eq!((judged.score, judged.passed), (0.5, false));
        assert_eq!(
            judged.why.unwrap(),
            "mrr@10 is 0.500, needs at least 0.6: 1 of 1 relevant, at 2, in a, b"
        );
        assert_eq!(ranking.judge(&json!({"result": answer})), ranking.judge(&answer));
        let why = |answer| ranking.judge(&answer).why.unwrap();
        assert_eq!(why(json!({"hits": []})), "/results is not a list to rank: {\"hits\":[]}");
        assert_eq!(
            why(json!({"results": [{"name": "a"}]})),
            "item 1 of the ranking has no id (there is no \"title\" in it): {\"name\":\"a\"}"
        );
    }

    #[track_caller]
    fn check_wrong(value: Value, message: &str) {
        let error = Ranking::parse(value, "c.jsonl:1").unwrap_err();
        assert_eq!(error.to_string(), format!("c.jsonl:1: {message}"));
    }

    #[test]
    fn a_wrong_ranking_names_its_key() {
        check_wrong(json!({"metric": "mrr"}), "\"relevant\" is missing");
        check_wrong(json!({"relevant": []}), "\"relevant\" is empty");
        check_wrong(
            json!({"relevant": [null]}),
            "\"relevant\" is neither a list of ids nor an object of gains",
        );
        check_wrong(
            json!({"relevant": {"a": 0}}),
            "the gain of \"a\" is 0, not above 0 and at most 1000000000",
        );
        check_wrong(json!({"relevant": ["a"]}), "\"metric\" is missing");
        check_wrong(
            json!({"relevant": ["a"], "metric": "ndgc"}),
            "\"ndgc\" is not a metric of a ranking (did you mean \"ndcg\"?)",
        );
        check_wrong(
            json!({"relevant": ["a"], "metric": "mrr", "k": 0}),
            "\"k\" is 0, not a whole number from 1 to 100000",
        );
        check_wrong(
            json!({"relevant": ["a"], "metric": "mrr", "path": "results"}),
            "\"path\" is \"results\", no JSON pointer",
        );
        check_wrong(
            json!({"relevant": ["a"], "metric": "mrr", "at_least": 1.5}),
            "\"at_least\" is 1.5, not a number from 0 to 1",
        );
    }
}
