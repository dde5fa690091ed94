//! Canaries: a frozen state is served to a share of the conversations until a comparison with the
//! version that the others are served ends it: in a promotion, in its withdrawal, or at a limit.

pub mod comparison;
pub mod conversations;
pub mod judge;

use crate::formats::canonical;
use crate::formats::object_id::ObjectId;
use crate::protocol::traffic;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const SCHEMA: &str = "agent/canary@1";

/// The record of a canary, from its start to its end. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    pub schema: String,
    pub id: String,
    pub started: String,
    pub by: String,
    /// The version that the other conversations are served, and its commit.
    pub version: String,
    pub base: ObjectId,
    pub frozen: Frozen,
    pub design: Design,
    /// The decision of the comparison. It is recorded before it is carried out.
    #[serde(default)]
    pub decision: Option<Decision>,
    #[serde(default)]
    pub end: Option<End>,
}

/// Staging as it was when the canary was started. Later signals change staging and not this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    pub revision: ObjectId,
    /// The last update in it, and how many there are.
    pub seq: u64,
    pub updates: u64,
}

/// The settings that are fixed before the first conversation, so that results cannot influence
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// Of the conversations that begin, in percent.
    pub share: u32,
    /// Of the assignment to the arms.
    pub seed: String,
    pub measure: Measure,
    pub alpha: f64,
    /// The canary ends without a decision after so many conversations of both arms, or at a time.
    pub limit: u64,
    pub until: String,
    /// A conversation is over when nothing happened in it for so long, in seconds.
    pub idle_s: u64,
}

impl Design {
    /// The chance with which a conversation is served the canary.
    pub fn chance(&self) -> f64 {
        f64::from(self.share) / 100.0
    }
}

/// The measure by which the arms are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The share of a conversation's calls without an error.
    Success,
    /// The mean reward of a conversation; rewards outside of the range count as its ends.
    Reward { low: f64, high: f64 },
}

impl Measure {
    /// A reward on [0, 1].
    fn scaled(self, reward: f64) -> Option<f64> {
        match self {
            Self::Success => None,
            Self::Reward { low, high } => Some(((reward - low) / (high - low)).clamp(0.0, 1.0)),
        }
    }
}

/// The arm of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The version.
    Control,
    /// The frozen state.
    Canary,
}

impl Arm {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Canary => "canary",
        }
    }
}

/// The end of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Better,
    Worse,
    /// More calls fail, whatever the rewards are.
    MoreErrors,
    NotEnoughEvidence,
    /// A person ended it.
    Stopped,
    /// Another version is served by now.
    Overtaken,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub at: String,
    pub verdict: Verdict,
    pub reason: String,
    /// The comparison by then.
    pub figures: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub at: String,
    pub outcome: Outcome,
    pub reason: String,
    /// The version that it became.
    pub version: Option<String>,
}

/// How a canary ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Stopped,
    Overtaken,
    NotEnoughEvidence,
    Withdrawn,
    /// It was better, and the gate of the promotion refused it.
    Refused,
    Promoted,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Overtaken => "overtaken",
            Self::NotEnoughEvidence => "not-enough-evidence",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
            Self::Promoted => "promoted",
        }
    }
}

impl Canary {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let canary: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if canary.schema == SCHEMA {
            Ok(canary)
        } else {
            Err(format!("its schema is `{}`", canary.schema))
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&serde_json::to_value(self).expect("a canary is JSON"))
    }

    /// The arm of a conversation: a function of its id, so that it holds in every process and for
    /// as long as the canary runs.
    pub fn arm(&self, conversation: &str) -> Arm {
        let text = format!("{}\n{conversation}", self.design.seed);
        if traffic::point(&text, 100) < u64::from(self.design.share) {
            Arm::Canary
        } else {
            Arm::Control
        }
    }

    /// Whether conversations are assigned to arms.
    pub const fn is_running(&self) -> bool {
        self.decision.is_none() && self.end.is_none()
    }

    /// Two copies of one record, as one: the one that is further. In any order, and as often as one
    /// likes.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let rank = |canary: &Self| {
            let outcome = canary.end.as_ref().map(|end| end.outcome);
            (outcome, canary.decision.is_some(), canary.to_bytes())
        };
        if rank(&self) < rank(&other) { other } else { self }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn canary(measure: Measure) -> Canary {
        let id = |text: &str| ObjectId::of_blob(text.as_bytes());
        Canary {
            schema: SCHEMA.to_owned(),
            id: "canary-1".to_owned(),
            started: "2026-11-29T00:00:00.000Z".to_owned(),
            by: "A <a@b>".to_owned(),
            version: "0.1.0".to_owned(),
            base: id("base"),
            frozen: Frozen { revision: id("state"), seq: 3, updates: 3 },
            design: Design {
                share: 10,
                seed: "5".to_owned(),
                measure,
                alpha: 0.05,
                limit: 4_000,
                until: "2026-12-29T00:00:00.000Z".to_owned(),
                idle_s: 600,
            },
            decision: None,
            end: None,
        }
    }

    #[test]
    fn a_record_round_trips_and_the_copy_that_is_further_counts() {
        let started = canary(Measure::Reward { low: -1.0, high: 1.0 });
        let mut decided = started.clone();
        decided.decision = Some(Decision {
            at: started.started.clone(),
            verdict: Verdict::Better,
            reason: "it is better".to_owned(),
            figures: Value::Null,
        });
        let mut ended = decided.clone();
        ended.end = Some(End {
            at: started.started.clone(),
            outcome: Outcome::Promoted,
            reason: "it is better".to_owned(),
            version: Some("0.1.1".to_owned()),
        });
        let copies = [started, decided, ended];
        for (place, one) in copies.iter().enumerate() {
            assert_eq!(&Canary::parse(&one.to_bytes()).unwrap(), one);
            for (other_place, other) in copies.iter().enumerate() {
                let joined = one.clone().join(other.clone());
                assert_eq!(joined, copies[place.max(other_place)]);
            }
        }
        let other = canary(Measure::Success).to_bytes();
        let other = String::from_utf8(other).unwrap().replace("canary@1", "canary@9");
        assert!(Canary::parse(other.as_bytes()).unwrap_err().contains("agent/canary@9"));
    }

    #[test]
    fn the_share_of_the_conversations_is_served_the_canary() {
        let canary = canary(Measure::Success);
        let count =
            (0..20_000).filter(|number| canary.arm(&format!("c-{number}")) == Arm::Canary).count();
        assert!((1_850..2_150).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn another_seed_is_another_assignment(seed in "[0-9a-f]{8}") {
            let one = canary(Measure::Success);
            let mut other = one.clone();
            other.design.seed = seed;
            let differ = |number: &u64| {
                let id = format!("c-{number}");
                one.arm(&id) != other.arm(&id)
            };
            prop_assert!((0..1_000u64).filter(differ).count() > 50);
        }
    }
}
