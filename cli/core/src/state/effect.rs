//! Effects: requests of a Tuner's tool to `agent`, so that the tool stays a function of its inputs.
//!
//! A tool that needs an effect ends its call with the requests in the `_meta` of the result. The
//! requests are carried out, and the tool is called again with the results, in the order of the
//! requests, until it requests nothing more. What was used is recorded with the signal in the
//! Journal, by the digest of each request; a replay takes it from there and requests nothing.

use crate::formats::canonical;
use crate::formats::manifest::{EffectLimits, Tier};
use crate::formats::object_id::{digest, short_digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The results used by one signal, as the Journal records them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Effects {
    /// A seed: 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<String>,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// By the digest of the request; the second of equal requests has `#2` after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub results: BTreeMap<String, Value>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The seed of a signal of a repeatable batch: by the batch's number and the signal's place in it.
pub fn derived_seed(batch: u64, place: u64) -> String {
    short_digest(format!("agent/seed {batch} {place}").as_bytes())
}

/// A request of an effect.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Request {
    /// A seed, where none was offered.
    Random {},
    /// The time, where none was offered.
    Now {},
    Http(HttpRequest),
    Evaluate(EvaluateRequest),
}

/// A request over HTTP. It has no secret: a header names an environment variable.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    #[serde(default = "get")]
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderValue>,
    #[serde(default)]
    pub body: Option<String>,
    /// The greatest cost, in US dollars.
    #[serde(default)]
    pub usd: f64,
}

fn get() -> String {
    "GET".to_owned()
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum HeaderValue {
    Text(String),
    Variable(VariableValue),
}

/// The value of an environment variable, after a prefix such as `Bearer `.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableValue {
    pub env: String,
    #[serde(default)]
    pub prefix: String,
}

/// The score of a state on a tier, without its held-out cases.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRequest {
    pub state: Value,
    pub tier: Tier,
}

impl Request {
    /// Why it is not carried out under these limits.
    pub fn refusal(&self, limits: &EffectLimits) -> Option<String> {
        match self {
            Self::Random {} | Self::Now {} => None,
            Self::Http(request) => request.refusal(limits),
            Self::Evaluate(request) => (!limits.tiers.contains(&request.tier)).then(|| {
                format!(
                    "it requests a score on {}; `tiers` of [tuner.effects] in agent.toml are: {}",
                    request.tier,
                    listed(limits.tiers.iter())
                )
            }),
        }
    }

    /// Its cost in US dollars at most, where that is known before.
    pub fn usd(&self) -> f64 {
        match self {
            Self::Http(request) => request.usd,
            Self::Random {} | Self::Now {} | Self::Evaluate(_) => 0.0,
        }
    }

    /// Whether it reaches the network.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// For messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Random {} => "a random seed".to_owned(),
            Self::Now {} => "the time".to_owned(),
            Self::Http(request) => format!("{} {}", request.method, request.url),
            Self::Evaluate(request) => format!("the score of a state on {}", request.tier),
        }
    }
}

impl HttpRequest {
    fn refusal(&self, limits: &EffectLimits) -> Option<String> {
        const TABLE: &str = "of [tuner.effects] in agent.toml";
        if let Some(problem) = url_problem(&self.url) {
            return Some(format!("it requests {:?}; a URL is written {problem}", self.url));
        }
        if !limits.http.iter().any(|prefix| self.url.starts_with(prefix.as_str())) {
            return Some(format!(
                "it requests {}, which begins with none of the URLs in `http` {TABLE} ({})",
                self.url,
                listed(limits.http.iter())
            ));
        }
        if !self.method.chars().all(|letter| letter.is_ascii_uppercase()) {
            return Some("the method of an HTTP request is a word such as POST".to_owned());
        }
        if !(self.usd.is_finite() && self.usd >= 0.0) {
            return Some("`usd` of an HTTP request is an amount of US dollars".to_owned());
        }
        self.headers.values().find_map(|value| match value {
            HeaderValue::Variable(variable) if !limits.env.contains(&variable.env) => {
                Some(format!(
                    "a header takes the variable `{}`, which `env` {TABLE} does not name ({})",
                    variable.env,
                    listed(limits.env.iter())
                ))
            }
            _ => None,
        })
    }
}

/// Why a URL could lead elsewhere than its text shows: a URL parser (WHATWG) takes `\` as `/`,
/// drops tabs and newlines, and resolves `..` and `.`, also with their dots percent-encoded.
fn url_problem(url: &str) -> Option<&'static str> {
    if url.contains('\\') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("in visible ASCII characters without `\\`; others are percent-encoded");
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_relative =
        |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    path.split('/').any(is_relative).then_some("without `.` and `..`")
}

fn listed(names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The `_meta` of a result about effects.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct ToolEffects {
    /// Which of the offered values the tool read: `random`, `now`.
    pub used: Vec<String>,
    /// Requests without a result so far.
    pub requests: Vec<Value>,
}

/// A request of one signal, and the key of its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyed {
    pub key: String,
    pub request: Request,
}

/// The effects of one signal while it is applied: what is offered, and the results so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Supply {
    known: Effects,
    /// The greatest cost of its requests so far, in US dollars.
    usd: f64,
}

impl Supply {
    /// For a signal that is applied for the first time.
    pub fn fresh(random: String, now: String) -> Self {
        Self {
            known: Effects { random: Some(random), now: Some(now), results: BTreeMap::new() },
            usd: 0.0,
        }
    }

    /// For a replay: what was recorded, and nothing else.
    pub fn recorded(effects: Option<&Effects>) -> Self {
        Self { known: effects.cloned().unwrap_or_default(), usd: 0.0 }
    }

    pub fn add(&mut self, key: String, result: Value) {
        self.known.results.insert(key, result);
    }

    pub fn spend(&mut self, usd: f64) {
        self.usd += usd;
    }

    pub fn usd(&self) -> f64 {
        self.usd
    }

    /// The number of requests that have a result.
    pub fn answered(&self) -> usize {
        self.known.results.len()
    }

    pub fn pass(&self) -> Pass<'_> {
        Pass { supply: self, keys: Vec::new(), counts: BTreeMap::new() }
    }
}

/// One application of a signal: the tool is called again and again, each time with more results.
#[derive(Debug)]
pub struct Pass<'a> {
    supply: &'a Supply,
    /// The keys of the results that were given, in the order of the requests.
    keys: Vec<String>,
    counts: BTreeMap<String, usize>,
}

/// The outcome of a call of the tool, as far as effects are concerned.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It requests nothing more: what it used.
    Done(Effects),
    /// It is to be called again: results were added.
    Again,
    /// Results are missing.
    Missing(Vec<Keyed>),
}

impl Pass<'_> {
    /// The member of `_meta` for the next call.
    pub fn meta(&self) -> Value {
        let known = &self.supply.known;
        let mut meta = Map::new();
        if let Some(random) = &known.random {
            meta.insert("random".to_owned(), json!(random));
        }
        if let Some(now) = &known.now {
            meta.insert("now".to_owned(), json!(now));
        }
        let results = self.keys.iter().filter_map(|key| known.results.get(key).cloned());
        meta.insert("results".to_owned(), results.collect());
        Value::Object(meta)
    }

    /// Takes the effects of a result. The error states why they are malformed.
    pub fn take(&mut self, reported: &ToolEffects) -> Result<Step, String> {
        let known = &self.supply.known;
        let mut missing = Vec::new();
        for name in &reported.used {
            if !matches!(name.as_str(), "random" | "now") {
                return Err(format!(
                    "it reports to have used `{name}`; effects are `random`, `now`"
                ));
            }
        }
        if reported.requests.is_empty() {
            let used = |name: &str| reported.used.iter().any(|used| used == name);
            let results = self.keys.iter().filter_map(|key| {
                known.results.get(key).map(|result| (key.clone(), result.clone()))
            });
            return Ok(Step::Done(Effects {
                random: known.random.clone().filter(|_| used("random")),
                now: known.now.clone().filter(|_| used("now")),
                results: results.collect(),
            }));
        }
        for raw in &reported.requests {
            let key = self.key(raw);
            if !known.results.contains_key(&key) {
                let request = serde_json::from_value(raw.clone())
                    .map_err(|error| format!("its request of an effect is malformed: {error}"))?;
                missing.push(Keyed { key: key.clone(), request });
            }
            self.keys.push(key);
        }
        Ok(if missing.is_empty() { Step::Again } else { Step::Missing(missing) })
    }

    fn key(&mut self, request: &Value) -> String {
        let digest = digest(&canonical::to_bytes(request));
        let count = self.counts.entry(digest.clone()).or_default();
        *count += 1;
        if *count == 1 { digest } else { format!("{digest}#{count}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(n: i64) -> Value {
        json!({"kind": "evaluate", "state": {"n": n}, "tier": "fast"})
    }

    fn reported(used: &[&str], requests: &[Value]) -> ToolEffects {
        ToolEffects {
            used: used.iter().map(|name| (*name).to_owned()).collect(),
            requests: requests.to_vec(),
        }
    }

    #[test]
    fn results_are_given_in_the_order_of_the_requests_and_recorded_by_digest() {
        let mut supply = Supply::fresh("ab".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        let two = reported(&["random"], &[evaluate(2), evaluate(1)]);
        let Step::Missing(missing) = supply.pass().take(&two).unwrap() else { panic!() };
        for (index, keyed) in missing.iter().enumerate() {
            supply.add(keyed.key.clone(), json!(index));
        }
        let mut pass = supply.pass();
        assert_eq!(pass.take(&two), Ok(Step::Again));
        assert_eq!(pass.meta()["results"], json!([0, 1]));
        let Step::Done(used) = pass.take(&reported(&["random"], &[])).unwrap() else { panic!() };
        assert_eq!((used.random.as_deref(), used.now), (Some("ab"), None));
        assert_eq!(used.results.len(), 2);
    }

    #[test]
    fn equal_requests_have_results_of_their_own() {
        let supply = Supply::default();
        let mut pass = supply.pass();
        let twice = reported(&[], &[evaluate(1), evaluate(1)]);
        let Step::Missing(missing) = pass.take(&twice).unwrap() else { panic!() };
        assert_ne!(missing[0].key, missing[1].key);
        assert!(missing[1].key.ends_with("#2"));
    }

    #[test]
    fn a_replay_offers_only_what_was_recorded() {
        let recorded = Effects { now: Some("then".to_owned()), ..Effects::default() };
        let supply = Supply::recorded(Some(&recorded));
        assert_eq!(supply.pass().meta(), json!({"now": "then", "results": []}));
        let asks = reported(&[], &[evaluate(1)]);
        assert!(matches!(supply.pass().take(&asks), Ok(Step::Missing(_))));
    }

    #[test]
    fn only_what_the_manifest_allows_is_carried_out() {
        let limits = EffectLimits {
            http: vec!["https://models.example/v1/".to_owned()],
            env: vec!["KEY".to_owned()],
            tiers: vec![Tier::Fast],
            ..EffectLimits::default()
        };
        let check = |request: Value, part: Option<&str>| {
            let request: Request = serde_json::from_value(request).unwrap();
            let refused = request.refusal(&limits);
            match part {
                None => assert_eq!(refused, None),
                Some(part) => assert!(refused.as_deref().unwrap().contains(part), "{refused:?}"),
            }
        };
        let url = "https://models.example/v1/chat";
        check(json!({"kind": "http", "url": url, "headers": {"A": {"env": "KEY"}}}), None);
        let other = json!({"kind": "http", "url": "https://models.example.evil/v1/"});
        check(other, Some("begins with none of"));
        let dots = json!({"kind": "http", "url": "https://models.example/v1/../admin"});
        check(dots, Some("`..`"));
        for escape in
            ["%2e%2e/admin", "..%2Fadmin/.%2E/x", "..\\admin", ".\t./admin", "%2E/x", "\u{e9}"]
        {
            let url = format!("https://models.example/v1/{escape}");
            check(json!({"kind": "http", "url": url}), Some("a URL is written"));
        }
        check(json!({"kind": "http", "url": "https://models.example/v1/a..b?q=..%2e"}), None);
        let secret = json!({"kind": "http", "url": url, "headers": {"A": {"env": "HOME"}}});
        check(secret, Some("`HOME`"));
        check(json!({"kind": "http", "url": url, "usd": -1}), Some("usd"));
        check(json!({"kind": "http", "url": url, "method": "GET\r\nX: y"}), Some("method"));
        check(evaluate(1), None);
        check(json!({"kind": "evaluate", "state": {}, "tier": "full"}), Some("fast"));
    }

    #[test]
    fn malformed_requests_are_refused() {
        let supply = Supply::default();
        let unknown = reported(&[], &[json!({"kind": "shell", "command": "ls"})]);
        assert!(supply.pass().take(&unknown).unwrap_err().contains("unknown variant `shell`"));
        assert!(supply.pass().take(&reported(&["clock"], &[])).is_err());
    }
}
