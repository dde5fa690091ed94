//! The events of a tier run, one JSON object a line: every report and every verdict is a fold over
//! these.

use crate::formats::manifest::Tier;
use crate::testing::case_result::CaseResult;
use crate::testing::part::PartHead;
use serde::{Deserialize, Serialize};

pub const SCHEMA: &str = "agent/event@1";
const CASE_FINISHED: &str = "case-finished";
const CACHED: &str = ",\"cached\":true}";
const CASE_LINE: &str = "{\"schema\":\"agent/event@1\",\"event\":\"case-finished\",\"tier\":\"";

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are results, and a box for each is one allocation more"
)]
pub enum Event {
    /// The whole that the events after it are a part of.
    PartStarted(Box<PartHead>),
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
    /// Cases with two different earlier results.
    KnownFlaky {
        tier: Tier,
        ids: Vec<String>,
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
    pub fn tier(&self) -> Tier {
        match self {
            Self::PartStarted(head) => head.tier,
            Self::TierStarted { tier, .. }
            | Self::CaseFinished { tier, .. }
            | Self::KnownFlaky { tier, .. }
            | Self::TierStopped { tier, .. }
            | Self::TierFinished { tier, .. } => *tier,
        }
    }

    /// The line, with its newline.
    pub fn to_line(&self) -> String {
        match self {
            Self::CaseFinished { tier, result } => line_of(&CaseLine {
                schema: SCHEMA,
                event: CASE_FINISHED,
                tier: *tier,
                result,
                cached: result.cached,
            }),
            other => line_of(&Line { schema: SCHEMA, members: other }),
        }
    }

    /// The line of a finished case as evaluations keep it: whether it was run then or known before
    /// is no part of that.
    pub fn case_line(tier: Tier, result: &CaseResult) -> String {
        line_of(&CaseLine { schema: SCHEMA, event: CASE_FINISHED, tier, result, cached: false })
    }

    /// Reads a stored line; `None` when it is of another schema or torn.
    ///
    /// Each member is read by its own type: with exact numbers serde cannot deserialise a flattened
    /// or tagged type.
    pub fn from_line(line: &str) -> Option<Self> {
        if let Some(tier) = tier_of_case_line(line) {
            let result = CaseResult {
                cached: line.trim_end().ends_with(CACHED),
                ..serde_json::from_str(line).ok()?
            };
            return Some(Self::CaseFinished { tier, result });
        }
        let head: Head = serde_json::from_str(line).ok()?;
        match head.event.as_str() {
            _ if head.schema != SCHEMA => None,
            "part-started" => Some(Self::PartStarted(serde_json::from_str(line).ok()?)),
            "tier-started" => Some(Self::TierStarted {
                tier: head.tier,
                cases: head.cases?,
                shards: head.shards?,
            }),
            "tier-finished" => Some(Self::TierFinished { tier: head.tier, wall_s: head.wall_s? }),
            "known-flaky" => Some(Self::KnownFlaky { tier: head.tier, ids: head.ids? }),
            "tier-stopped" => Some(Self::TierStopped { tier: head.tier, why: head.why? }),
            CASE_FINISHED => {
                let result = CaseResult { cached: head.cached, ..serde_json::from_str(line).ok()? };
                Some(Self::CaseFinished { tier: head.tier, result })
            }
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
}

/// The tier of a finished case, when the line begins as `case_line` writes it: then it need not be
/// parsed twice.
fn tier_of_case_line(line: &str) -> Option<Tier> {
    let tier = line.strip_prefix(CASE_LINE)?;
    tier[..tier.find('"')?].parse().ok()
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
    ids: Option<Vec<String>>,
    #[serde(default)]
    cached: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::case_result::Outcome;

    #[test]
    fn a_line_reads_back() {
        let result = CaseResult {
            outcome: Outcome::Failed,
            score: 0.5,
            why: Some("x".to_owned()),
            ms: 1.25,
            ..CaseResult::passed("c-1")
        };
        let case_line = Event::case_line(Tier::Micro, &result);
        let event = Event::CaseFinished { tier: Tier::Micro, result };
        let line = event.to_line();
        assert_eq!(case_line, line);
        assert_eq!(tier_of_case_line(&line), Some(Tier::Micro));
        assert_eq!(
            line,
            "{\"schema\":\"agent/event@1\",\"event\":\"case-finished\",\"tier\":\"micro\",\"id\":\"c-1\",\"outcome\":\"failed\",\"score\":0.5,\"weight\":1.0,\"ms\":1.25,\"why\":\"x\"}\n"
        );
        let known = Event::CaseFinished {
            tier: Tier::Micro,
            result: CaseResult { cached: true, ..CaseResult::passed("c-1") },
        };
        assert!(
            known.to_line().ends_with(",\"cached\":true}\n"),
            "whether it was known travels with a part"
        );
        let others = [
            known,
            Event::TierStarted { tier: Tier::Full, cases: 2, shards: 1 },
            Event::TierStopped { tier: Tier::Full, why: "x".to_owned() },
            Event::KnownFlaky { tier: Tier::Full, ids: vec!["c-1".to_owned()] },
            Event::TierFinished { tier: Tier::Full, wall_s: 0.1 },
        ];
        for event in others.into_iter().chain([event]) {
            assert_eq!(Event::from_line(&event.to_line()), Some(event));
        }
        assert_eq!(Event::from_line(&line.replace("event@1", "event@2")), None);
        assert_eq!(Event::from_line(&line[..20]), None);
    }
}
