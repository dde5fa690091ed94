//! The expectation `similar`: how alike two texts are.

use crate::formats::document::{DocumentError, Fields};
use crate::formats::suggestion::did_you_mean;
use crate::testing::judgement::{Judgement, quoted};
use serde_json::Value;

const MEND: &str =
    "\"similar\" is {\"text\": \"...\", \"metric\": \"jaro-winkler\", \"at_least\": 0.8}";
/// The time of these metrics grows with the product of both lengths.
const MOST_CHARACTERS: usize = 10_000;

/// The similarity of two texts, from 0 to 1.
type Metric = fn(&str, &str) -> f64;

const METRICS: [(&str, Metric); 3] = [
    ("jaro-winkler", strsim::jaro_winkler),
    ("levenshtein", strsim::normalized_levenshtein),
    ("sorensen-dice", strsim::sorensen_dice),
];

#[derive(Debug, Clone)]
pub struct Similar {
    text: String,
    name: &'static str,
    metric: Metric,
    at_least: f64,
}

impl Similar {
    /// Reads the object under `similar`.
    pub fn parse(value: Value, place: &str) -> Result<Self, DocumentError> {
        let mut fields = Fields::new(value, place, "\"similar\"", &["text", "metric", "at_least"])?;
        let text = fields.text("text")?.ok_or_else(|| fields.missing("text", MEND))?;
        if text.chars().count() > MOST_CHARACTERS {
            return Err(fields.error(
                format!("\"text\" has more than {MOST_CHARACTERS} characters"),
                "use a golden file, or a scorer",
            ));
        }
        let wanted = fields.text("metric")?.ok_or_else(|| fields.missing("metric", MEND))?;
        let names = METRICS.map(|(name, _)| name);
        let (name, metric) =
            METRICS.into_iter().find(|(name, _)| *name == wanted).ok_or_else(|| {
                let problem = format!(
                    "\"{wanted}\" is not a similarity metric{}",
                    did_you_mean(&wanted, names)
                );
                fields.error(problem, format!("make it one of {}", names.join(", ")))
            })?;
        let at_least = fields.share("at_least")?.unwrap_or(1.0);
        Ok(Self { text, name, metric, at_least })
    }

    pub fn judge(&self, got: &str) -> Judgement {
        if got.chars().nth(MOST_CHARACTERS).is_some() {
            return Judgement::failed(format!(
                "the answer has more than {MOST_CHARACTERS} characters: {}",
                quoted(got)
            ));
        }
        let score = (self.metric)(&self.text, got).clamp(0.0, 1.0);
        let passed = score >= self.at_least;
        let why = (!passed).then(|| {
            format!(
                "{} is {score:.3}, needs at least {}: got {}",
                self.name,
                self.at_least,
                quoted(got)
            )
        });
        Judgement { score, passed, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Textbook values: MARTHA/MARHTA and kitten/sitting, night/nacht.
    #[test]
    fn similarity_is_measured() {
        let of = |metric: &str, text: &str, got: &str| {
            Similar::parse(json!({"text": text, "metric": metric, "at_least": 0.9}), "c.jsonl:1")
                .unwrap()
                .judge(got)
        };
        assert!(
            (of("jaro-winkler", "MARTHA", "MARHTA").score - 0.961_111_111_111_111).abs() < 1e-9
        );
        assert!((of("levenshtein", "kitten", "sitting").score - (1.0 - 3.0 / 7.0)).abs() < 1e-9);
        assert!((of("sorensen-dice", "night", "nacht").score - 0.25).abs() < 1e-9);
        assert!(of("jaro-winkler", "MARTHA", "MARHTA").passed);
        assert_eq!(
            of("levenshtein", "kitten", "sitting").why.unwrap(),
            "levenshtein is 0.571, needs at least 0.9: got \"sitting\""
        );
        assert!(
            of("levenshtein", "a", &"é".repeat(10_001))
                .why
                .unwrap()
                .starts_with("the answer has more than 10000 characters")
        );
    }

    #[track_caller]
    fn check_wrong(value: Value, message: &str) {
        assert_eq!(
            Similar::parse(value, "c.jsonl:1").unwrap_err().to_string(),
            format!("c.jsonl:1: {message}")
        );
    }

    #[test]
    fn similarity_error_names_the_key() {
        check_wrong(json!({"metric": "levenshtein"}), "\"text\" is missing");
        check_wrong(json!({"text": "a"}), "\"metric\" is missing");
        check_wrong(
            json!({"text": "a", "metric": "levenstein"}),
            "\"levenstein\" is not a similarity metric (did you mean \"levenshtein\"?)",
        );
        check_wrong(
            json!({"text": "a", "metric": "levenshtein", "at_least": -1}),
            "\"at_least\" is -1, not a number from 0 to 1",
        );
        check_wrong(
            json!({"text": "a".repeat(10_001), "metric": "levenshtein"}),
            "\"text\" has more than 10000 characters",
        );
    }
}
