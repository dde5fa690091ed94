//! Quarantine: a case that is run and shown, and counts for nothing until a day that is written
//! beside it.

use crate::formats::document::{DocumentError, Fields};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Dates are `YYYY-MM-DD` in UTC, so that they compare as texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quarantine {
    /// The first day on which the case counts again.
    pub until: String,
    pub why: String,
}

impl Quarantine {
    /// Reads the object under `quarantine`.
    pub fn parse(value: Value, place: &str) -> Result<Self, DocumentError> {
        let form = "\"quarantine\" is {\"until\": \"YYYY-MM-DD\", \"why\": \"...\"}";
        let mut fields = Fields::new(value, place, "\"quarantine\"", &["until", "why"])?;
        let until = fields.text("until")?.ok_or_else(|| fields.missing("until", form))?;
        let why = fields.text("why")?.ok_or_else(|| fields.missing("why", form))?;
        match until.parse::<Date>() {
            Ok(date) if until.len() == 10 => Ok(Self { until: date.to_string(), why }),
            _ => Err(fields.error(
                format!("\"until\" is \"{until}\", no date"),
                "write an existing date as YYYY-MM-DD",
            )),
        }
    }

    pub fn is_in_force(&self, today: &str) -> bool {
        today < self.until.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_ends_on_its_day() {
        let quarantine =
            Quarantine::parse(json!({"until": "2027-02-28", "why": "flaky network"}), "c.jsonl:1")
                .unwrap();
        let on = |today| quarantine.is_in_force(today);
        assert_eq!(
            [on("2026-11-22"), on("2027-02-27"), on("2027-02-28"), on("2028-01-01")],
            [true, true, false, false]
        );
    }

    #[track_caller]
    fn check(value: Value, message: &str) {
        let error = Quarantine::parse(value, "c.jsonl:1").unwrap_err();
        assert_eq!(error.to_string(), format!("c.jsonl:1: {message}"));
        assert!(!error.hint.is_empty());
    }

    #[test]
    fn it_has_a_real_date_and_a_reason() {
        check(json!({"until": "2027-02-29", "why": "x"}), "\"until\" is \"2027-02-29\", no date");
        check(json!({"until": "20270228", "why": "x"}), "\"until\" is \"20270228\", no date");
        check(json!({"until": "next week", "why": "x"}), "\"until\" is \"next week\", no date");
        check(
            json!({"until": 2027, "why": "x"}),
            "\"until\" is 2027, not a text that is not empty",
        );
        check(json!({"why": "x"}), "\"until\" is missing");
        check(json!({"until": "2027-02-28"}), "\"why\" is missing");
        check(
            json!({"untill": "2027-02-28"}),
            "\"untill\" is not a key of \"quarantine\" (did you mean \"until\"?)",
        );
        check(json!(true), "\"quarantine\" is true, not an object");
    }
}
