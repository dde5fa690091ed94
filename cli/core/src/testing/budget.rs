//! `ci/budgets.json`: what each tier may cost and must reach, the SLOs of live traffic, and the
//! triggers over it.

use crate::formats::document::{self, DocumentError, Fields};
use crate::formats::manifest::Tier;
use crate::slo::{self, Objective};
use crate::trigger::{self, Rule};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub const FILE: &str = "ci/budgets.json";
pub const SCHEMA: &str = "agent/budgets@1";
const KEYS: [&str; 4] = ["schema", "tiers", "slos", "triggers"];
const TIER_KEYS: [&str; 6] = ["wall_s", "pass_rate", "score", "p95_ms", "limit_s", "spend_usd"];

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Budgets {
    pub tiers: BTreeMap<Tier, Budget>,
    /// Objectives of live traffic, which no tier is held to.
    pub slos: Vec<Objective>,
    pub triggers: Vec<Rule>,
}

/// The limits of a tier; absent ones are not checked, but with neither `pass_rate` nor `score`
/// every case has to pass.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Budget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// When the tier is ended with what it has by then, in seconds; `wall_s` judges, this one acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_s: Option<f64>,
    /// The limit on the cost that the Runner reports: once exceeded, no further case is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_usd: Option<f64>,
}

impl Budget {
    pub fn limit(&self) -> Option<Duration> {
        self.limit_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

impl Budgets {
    /// Reads the file; `file` names it in errors.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, DocumentError> {
        Self::parse(document::text(bytes, file)?, file)
    }

    pub fn parse(text: &str, file: &str) -> Result<Self, DocumentError> {
        let value: Value = document::parse(text).map_err(|flaw| flaw.within(file))?;
        let mut fields = Fields::new(value, file, "the budgets", &KEYS)?;
        match fields.text("schema")? {
            Some(schema) if schema == SCHEMA => {}
            Some(schema) => {
                return Err(fields.error(
                    format!("\"schema\" is \"{schema}\""),
                    format!("this `agent` reads \"{SCHEMA}\""),
                ));
            }
            None => return Err(fields.missing("schema", &format!("add \"schema\": \"{SCHEMA}\""))),
        }
        let tiers = match fields.take("tiers") {
            None => BTreeMap::new(),
            Some(tiers) => parse_tiers(tiers, file)?,
        };
        let slos = fields.list("slos")?.unwrap_or_default();
        let slos = slo::parse(slos, &format!("{file}: slos"))?;
        let triggers = fields.list("triggers")?.unwrap_or_default();
        let triggers = trigger::parse::rules(triggers, &slos, &format!("{file}: triggers"))?;
        Ok(Self { tiers, slos, triggers })
    }

    pub fn of(&self, tier: Tier) -> Budget {
        self.tiers.get(&tier).copied().unwrap_or_default()
    }
}

fn parse_tiers(value: Value, file: &str) -> Result<BTreeMap<Tier, Budget>, DocumentError> {
    let mut fields =
        Fields::new(value, &format!("{file}: tiers"), "\"tiers\"", &Tier::ALL.map(Tier::as_str))?;
    let mut tiers = BTreeMap::new();
    for tier in Tier::ALL {
        if let Some(value) = fields.take(tier.as_str()) {
            tiers.insert(tier, parse_budget(value, &format!("{file}: tiers.{tier}"))?);
        }
    }
    Ok(tiers)
}

fn parse_budget(value: Value, place: &str) -> Result<Budget, DocumentError> {
    let mut fields = Fields::new(value, place, "a tier's budget", &TIER_KEYS)?;
    Ok(Budget {
        wall_s: bounded(&mut fields, "wall_s", f64::MAX, "a number of seconds above 0")?,
        pass_rate: bounded(&mut fields, "pass_rate", 1.0, "a share from 0 to 1")?,
        score: bounded(&mut fields, "score", 1.0, "a score from 0 to 1")?,
        p95_ms: bounded(&mut fields, "p95_ms", f64::MAX, "a number of milliseconds above 0")?,
        limit_s: limit(&mut fields)?,
        spend_usd: bounded(
            &mut fields,
            "spend_usd",
            f64::MAX,
            "a number of US dollars, 0 or more",
        )?,
    })
}

fn bounded(
    fields: &mut Fields,
    key: &str,
    most: f64,
    wanted: &str,
) -> Result<Option<f64>, DocumentError> {
    match fields.number(key)? {
        Some(number) if !(0.0..=most).contains(&number) => {
            Err(fields.error(format!("\"{key}\" is {number}"), format!("make \"{key}\" {wanted}")))
        }
        number => Ok(number),
    }
}

fn limit(fields: &mut Fields) -> Result<Option<f64>, DocumentError> {
    let wanted = "a number of seconds, 0.001 or more";
    match bounded(fields, "limit_s", f64::MAX, wanted)? {
        Some(seconds) if seconds < 0.001 => {
            Err(fields
                .error(format!("\"limit_s\" is {seconds}"), format!("make \"limit_s\" {wanted}")))
        }
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any value under a key is a budget or an error that names the file.
        #[test]
        fn arbitrary_budget_never_panics(key in prop::sample::select(TIER_KEYS.to_vec()),
            number in any::<f64>(), text in ".{0,8}", torn in 0usize..90) {
            for value in [Value::from(number), Value::from(text), Value::Null] {
                let whole = serde_json::json!({"schema": SCHEMA,
                    "tiers": {"fast": {key: value}}}).to_string();
                let cut: String = whole.chars().take(torn).collect();
                for text in [whole, cut] {
                    match Budgets::parse(&text, FILE) {
                        Ok(budgets) => {
                            let limit = budgets.of(Tier::Fast).limit();
                            prop_assert!(limit.is_none_or(|limit| !limit.is_zero()));
                        }
                        Err(error) => prop_assert!(error.place.starts_with(FILE)
                            && !error.hint.is_empty()),
                    }
                }
            }
        }
    }

    #[test]
    fn budget_keys_are_read() {
        let text = r#"{"schema":"agent/budgets@1","tiers":{"micro":{"wall_s":10,"score":0.5}},"slos":[{"name":"a",
            "indicator":{"type":"success"},"target":0.9,"window":"1d"}]}"#;
        let budgets = Budgets::parse(text, FILE).unwrap();
        assert_eq!(
            budgets.of(Tier::Micro),
            Budget { wall_s: Some(10.0), score: Some(0.5), ..Budget::default() }
        );
        assert_eq!(budgets.of(Tier::Full), Budget::default());
        assert_eq!(budgets.slos.len(), 1);
    }

    #[track_caller]
    fn check(text: &str, message: &str) {
        assert_eq!(
            Budgets::parse(text, "ci/budgets.json").unwrap_err().to_string(),
            format!("ci/budgets.json{message}")
        );
    }

    #[test]
    fn budget_error_names_the_key() {
        check("{\n\"schema\":", ":2:9: no JSON: EOF while parsing a value");
        check("{}", ": \"schema\" is missing");
        check(r#"{"schema":"agent/budgets@9"}"#, ": \"schema\" is \"agent/budgets@9\"");
        check(
            r#"{"schema":"agent/budgets@1","tier":{}}"#,
            ": \"tier\" is not a key of the budgets (did you mean \"tiers\"?)",
        );
        check(
            r#"{"schema":"agent/budgets@1","tiers":{"mikro":{}}}"#,
            ": tiers: \"mikro\" is not a key of \"tiers\" (did you mean \"micro\"?)",
        );
        check(
            r#"{"schema":"agent/budgets@1","tiers":{"fast":{"score":2}}}"#,
            ": tiers.fast: \"score\" is 2",
        );
        check(
            r#"{"schema":"agent/budgets@1","tiers":{"fast":{"limit_s":0}}}"#,
            ": tiers.fast: \"limit_s\" is 0",
        );
        check(
            r#"{"schema":"agent/budgets@1","tiers":{"fast":{"spend_usd":-1}}}"#,
            ": tiers.fast: \"spend_usd\" is -1",
        );
        check(
            r#"{"schema":"agent/budgets@1","tiers":{"fast":{"spend_usd":"1"}}}"#,
            ": tiers.fast: \"spend_usd\" is a text, not a number",
        );
        check(
            r#"{"schema":"agent/budgets@1","tiers":{"fast":{"walls":2}}}"#,
            ": tiers.fast: \"walls\" is not a key of a tier's budget (did you mean \"wall_s\"?)",
        );
    }
}
