//! What a tier run emits, one JSON object a line: every report and every verdict is a fold over these.

use crate::evaluation::CaseResult;
use crate::manifest::Tier;
use serde::{Deserialize, Serialize};

pub const SCHEMA: &str = "agent/event@1";

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    TierStarted {
        tier: Tier,
        cases: usize,
        shards: usize,
    },
    CaseFinished {
        tier: Tier,
        #[serde(flatten)]
        result: CaseResult,
    },
    /// It ends with cases left that were not run.
    TierStopped {
        tier: Tier,
        why: String,
    },
    TierFinished {
        tier: Tier,
        wall_s: f64,
    },
}

impl Event {
    /// The line, with its newline.
    pub fn to_line(&self) -> String {
        line_of(&Line { schema: SCHEMA, members: self })
    }

    /// The line of a finished case, without an event around a copy of it.
    pub fn case_line(tier: Tier, result: &CaseResult) -> String {
        line_of(&CaseLine { schema: SCHEMA, event: "case-finished", tier, result })
    }

    /// Reads a stored line; `None` when it is of another schema or torn.
    ///
    /// Each member is read by its own type: with exact numbers serde cannot look through a flattened or tagged one.
    pub fn from_line(line: &str) -> Option<Self> {
        let head: Head = serde_json::from_str(line).ok()?;
        match head.event.as_str() {
            _ if head.schema != SCHEMA => None,
            "tier-started" => Some(Self::TierStarted { tier: head.tier, cases: head.cases?, shards: head.shards? }),
            "tier-finished" => Some(Self::TierFinished { tier: head.tier, wall_s: head.wall_s? }),
            "tier-stopped" => Some(Self::TierStopped { tier: head.tier, why: head.why? }),
            "case-finished" => Some(Self::CaseFinished { tier: head.tier, result: serde_json::from_str(line).ok()? }),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    #[serde(flatten)]
    members: &'a Event,
}

#[derive(Serialize)]
struct CaseLine<'a> {
    schema: &'static str,
    event: &'static str,
    tier: Tier,
    #[serde(flatten)]
    result: &'a CaseResult,
}

fn line_of(members: &impl Serialize) -> String {
    let mut line = serde_json::to_string(members).expect("an event serialises");
    line.push('\n');
    line
}

#[derive(Deserialize)]
struct Head {
    schema: String,
    event: String,
    tier: Tier,
    cases: Option<usize>,
    shards: Option<usize>,
    wall_s: Option<f64>,
    why: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Outcome;

    #[test]
    fn a_line_reads_back() {
        let result = CaseResult { outcome: Outcome::Failed, score: 0.5, why: Some("x".to_owned()), ms: 1.25, ..CaseResult::passed("c-1") };
        let case_line = Event::case_line(Tier::Micro, &result);
        let event = Event::CaseFinished { tier: Tier::Micro, result };
        let line = event.to_line();
        assert_eq!(case_line, line);
        assert_eq!(
            line,
            "{\"schema\":\"agent/event@1\",\"event\":\"case-finished\",\"tier\":\"micro\",\"id\":\"c-1\",\"outcome\":\"failed\",\"score\":0.5,\"weight\":1.0,\"ms\":1.25,\"why\":\"x\"}\n"
        );
        let others = [
            Event::TierStarted { tier: Tier::Full, cases: 2, shards: 1 },
            Event::TierStopped { tier: Tier::Full, why: "x".to_owned() },
            Event::TierFinished { tier: Tier::Full, wall_s: 0.1 },
        ];
        for event in others.into_iter().chain([event]) {
            assert_eq!(Event::from_line(&event.to_line()), Some(event));
        }
        assert_eq!(Event::from_line(&line.replace("event@1", "event@2")), None);
        assert_eq!(Event::from_line(&line[..20]), None);
    }
}
