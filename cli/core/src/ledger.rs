//! The ledger of the gate: every judged attempt spends of one alpha, so that whoever tries often enough does not get noise through.
//!
//! e-LOND (Xu and Ramdas, 2024: Online multiple testing with e-values): attempt t has the level `alpha · γ_t · (D + 1)`, with `γ_t = 1/(t(t+1))` and D the attempts accepted
//! before. With e-values the expected share of false ones among all that were ever accepted is at most alpha, however the attempts depend on one another. As long as
//! nothing was accepted the levels sum to at most alpha, so where every candidate is noise, alpha bounds the chance of ever accepting one: for any test, p-values
//! too. (With p-values the share is bounded for attempts that are independent or depend positively: Javanmard and Montanari, 2018.)

use crate::diagnose::{Diagnose, Exit};
use crate::evaluation::Definitions;
use crate::gate::Level;
use crate::manifest::{GateMode, GateTest, Gated, Tier};
use crate::object_id::ObjectId;
use serde::{Deserialize, Serialize};

pub const SCHEMA: &str = "agent/ledger@1";

/// One test of one candidate. The very same asked again is not charged again: its entry stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub baseline: ObjectId,
    /// The tree that was tested.
    pub candidate: ObjectId,
    pub tier: Tier,
    pub mode: GateMode,
    pub test: GateTest,
    pub margin: f64,
    /// Digest of the cases and scorers that judged.
    pub definitions: String,
    /// Digest of the paired results.
    pub results: String,
}

impl Asked {
    /// `definitions` are those that scored both sides, `results` is the digest of the pairs.
    pub fn new(baseline: &ObjectId, candidate: &ObjectId, gated: &Gated, definitions: &Definitions, results: String) -> Self {
        Self {
            baseline: baseline.clone(),
            candidate: candidate.clone(),
            tier: gated.tier,
            mode: gated.gate,
            test: gated.test,
            margin: gated.margin,
            definitions: definitions.digest(gated.tier),
            results,
        }
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub schema: String,
    /// From 1.
    pub index: u64,
    /// RFC 3339, UTC.
    pub at: String,
    pub asked: Asked,
    /// The Revision of the candidate's state.
    pub state: ObjectId,
    pub alpha: f64,
    pub level: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_e_value: Option<f64>,
    pub p_value: f64,
    pub accepted: bool,
}

impl Entry {
    pub const fn level(&self) -> Level {
        Level { value: self.level, index: Some(self.index) }
    }

    pub fn to_line(&self) -> String {
        let line = serde_json::to_string(self).expect("an entry is JSON");
        format!("{line}\n")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("{origin}:{line}: {problem}")]
    Line { origin: String, line: usize, problem: String },
}

impl Diagnose for LedgerError {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some("nothing is promoted or released while the ledger cannot be read; fetch refs/agent/ledger of a clone that can".to_owned())
    }
}

/// What was asked of the gate so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    pub fn parse(text: &str, origin: &str) -> Result<Self, LedgerError> {
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |problem| LedgerError::Line { origin: origin.to_owned(), line: number + 1, problem };
            let entry: Entry = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if entry.schema != SCHEMA {
                return Err(wrong(format!("its schema is `{}`; this `agent` reads `{SCHEMA}`", entry.schema)));
            }
            if entry.index != number as u64 + 1 {
                return Err(wrong(format!("it is entry {}, where {} was due: a line is missing", entry.index, number + 1)));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// The entry of the very same test.
    pub fn of(&self, asked: &Asked) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.asked == *asked)
    }

    /// What the next attempt has to meet.
    pub fn next(&self, alpha: f64) -> Level {
        let accepted = self.entries.iter().filter(|entry| entry.accepted).count();
        level(alpha, self.entries.len() as u64 + 1, accepted)
    }
}

/// The level of the attempt `index`, from 1, after so many were accepted.
pub fn level(alpha: f64, index: u64, accepted: usize) -> Level {
    Level { value: alpha * share(index) * (accepted + 1) as f64, index: Some(index) }
}

/// `γ_t`: sums to 1 over all t.
fn share(index: u64) -> f64 {
    let t = index as f64;
    1.0 / (t * (t + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::bootstrap::SplitMix64;
    use crate::statistics::e_process::EProcess;

    fn asked(results: &str) -> Asked {
        let id = ObjectId::of_blob(b"x");
        let text = |text: &str| text.to_owned();
        Asked {
            baseline: id.clone(),
            candidate: id,
            tier: Tier::Micro,
            mode: GateMode::Better,
            test: GateTest::EProcess,
            margin: 0.05,
            definitions: text("sha256:d"),
            results: text(results),
        }
    }

    fn entry(ledger: &Ledger, results: &str, accepted: bool) -> Entry {
        let Level { value, index } = ledger.next(0.05);
        Entry {
            schema: SCHEMA.to_owned(),
            index: index.unwrap(),
            at: "2026-11-22T12:00:00.000Z".to_owned(),
            asked: asked(results),
            state: ObjectId::of_blob(b"{}\n"),
            alpha: 0.05,
            level: value,
            log_e_value: Some(3.25),
            p_value: 0.04,
            accepted,
        }
    }

    fn ledger(decisions: &[bool]) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, accepted) in decisions.iter().enumerate() {
            let next = entry(&ledger, &number.to_string(), *accepted);
            ledger.entries.push(next);
        }
        ledger
    }

    #[test]
    fn levels_shrink_with_every_try_and_grow_with_every_success() {
        for (decisions, wanted) in [(&[][..], 0.025), (&[false], 0.05 / 6.0), (&[true], 0.1 / 6.0), (&[true, false, true], 0.15 / 20.0)] {
            assert!((ledger(decisions).next(0.05).value - wanted).abs() < 1e-15, "{decisions:?}");
        }
        let all: f64 = (1..100_000).map(share).sum();
        assert!(all < 1.0 && all > 0.9999);
    }

    #[test]
    fn lines_read_back_and_the_same_test_is_found_again() {
        let written = ledger(&[true, false]);
        let text: String = written.entries.iter().map(Entry::to_line).collect();
        let read = Ledger::parse(&text, "ledger").unwrap();
        assert_eq!(read, written);
        assert_eq!(read.of(&asked("1")).map(|entry| entry.index), Some(2));
        assert_eq!(read.of(&Asked { margin: 0.1, ..asked("1") }), None);
        assert_eq!(read.of(&asked("2")), None);
    }

    #[test]
    fn a_ledger_with_a_gap_or_a_strange_line_is_not_read() {
        let text: String = ledger(&[true, false]).entries.iter().map(Entry::to_line).collect();
        let tail = text.split_once('\n').unwrap().1;
        let error = |text: &str| Ledger::parse(text, "L").unwrap_err().to_string();
        assert_eq!(error(tail), "L:1: it is entry 2, where 1 was due: a line is missing");
        assert_eq!(
            error(&text.replace("ledger@1", "ledger@9")),
            "L:1: its schema is `agent/ledger@9`; this `agent` reads `agent/ledger@1`"
        );
        assert!(error("nonsense\n").starts_with("L:1: expected"));
    }

    /// 300 histories of 40 tries of a candidate that is what it replaces, each looked at after every ten cases.
    #[test]
    fn histories_of_noise_pass_the_ledger_no_more_often_than_alpha() {
        const HISTORIES: usize = 300;
        let mut random = SplitMix64::new(11);
        let fooled = (0..HISTORIES)
            .filter(|_| {
                let mut ledger = Ledger::default();
                (0..40).any(|attempt| {
                    let accepted = accepts_noise(ledger.next(0.05).value, &mut random);
                    let next = entry(&ledger, &attempt.to_string(), accepted);
                    ledger.entries.push(next);
                    accepted
                })
            })
            .count();
        assert!(fooled as f64 <= 0.05 * HISTORIES as f64, "{fooled} of {HISTORIES}");
    }

    fn accepts_noise(level: f64, random: &mut SplitMix64) -> bool {
        let mut process = EProcess::against(0.0);
        (0..10).any(|_| {
            for _ in 0..10 {
                let [old, new] = [(); 2].map(|()| f64::from(u8::from(random.unit() < 0.7)));
                process.take(1.0, new - old);
            }
            process.log() >= -level.ln()
        })
    }
}
