//! The ledger of the gate: every judged attempt spends part of one alpha, so that repeated attempts
//! do not let noise pass.
//!
//! e-LOND (Xu and Ramdas, 2024: Online multiple testing with e-values): attempt t has the level
//! `alpha · γ_t · (D + 1)`, with `γ_t = 1/(t(t+1))` and D the discoveries it builds on: accepted
//! attempts whose candidates became the versions below its baseline. With e-values the expected
//! share of false ones among all that were ever accepted is at most alpha, however the attempts
//! depend on one another. As long as nothing was accepted the levels sum to at most alpha, so where
//! every candidate is noise, alpha bounds the chance of ever accepting one: for any test, p-values
//! too. (With p-values the share is bounded for attempts that are independent or depend positively:
//! Javanmard and Montanari, 2018.)
//!
//! **Bets that aim at the level.** The evidence of an attempt is made for its level
//! (`statistics::targeted`), which its index and its baseline fix before the candidate is compared.
//! So what is required of the e-value, that it is at most 1 on average, is required for a given
//! baseline; given that, attempts may depend on one another as they like. Where nothing was
//! accepted the levels are constants, and nothing is required of the baseline either.
//!
//! **Two clones.** Each attempt is a line, written with the level it was judged at; a join of two
//! ledgers is the union of their lines, so a level that was spent stays what it was, and nothing is
//! spent twice. The attempt after a join has the index after all of both, and D is counted along
//! `active`, which is a linear history: its level is at most the one that either ledger alone
//! would have given. Why the bound holds for what is served: with R discoveries on `active` in the
//! end, an attempt i that became one of them had `D_i + 1 <= R`, so the expected share of false
//! ones, `Σ E[1{E_i >= 1/α_i} / R]`, is at most `Σ α γ_{t_i} E[E_i] <= α Σ γ_{t_i}`: e-values need
//! no further assumption on order or independence. Attempts recorded in one ledger have distinct
//! indices, and their γ sum to less than 1. Attempts made at the same time in clones that had not
//! fetched each other's ledger may share an index, and each adds its γ: the bound is then alpha
//! times `Σ γ_{t_i}`, which `spent` gives. A candidate that was accepted in a clone and lost the
//! race for `active` is no discovery: it is not in D, its attempt stays charged.

use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::manifest::{GateMode, GateTest, Gated, Tier};
use crate::formats::object_id::ObjectId;
use crate::gate::Level;
use crate::gate::bets::Bets;
use crate::testing::definitions::Definitions;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

pub const SCHEMA: &str = "agent/ledger@2";
/// Lines before the bets were named.
const FIRST_SCHEMA: &str = "agent/ledger@1";

/// One test of one candidate. A repeated test is not charged again: its entry is reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateTest {
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
    /// Of the e-process: other bets on the same results are another attempt.
    #[serde(default = "Bets::first", skip_serializing_if = "Bets::is_first")]
    pub bets: Bets,
}

impl CandidateTest {
    /// `definitions` are those that scored both sides, `results` is the digest of the pairs.
    pub fn new(
        baseline: &ObjectId,
        candidate: &ObjectId,
        gated: &Gated,
        definitions: &Definitions,
        results: String,
    ) -> Self {
        Self {
            baseline: baseline.clone(),
            candidate: candidate.clone(),
            tier: gated.tier,
            mode: gated.gate,
            test: gated.test,
            margin: gated.margin,
            definitions: definitions.digest(gated.tier),
            results,
            bets: Bets::first(),
        }
        .with_bets(Bets::default())
    }

    /// This test with the bets of a record.
    #[must_use]
    pub fn with_bets(self, bets: Bets) -> Self {
        let bets = if self.test == GateTest::EProcess { bets } else { Bets::first() };
        Self { bets, ..self }
    }
}

/// An attempt, as recorded in a line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub schema: String,
    /// From 1. Attempts that two clones made without knowing of each other may have the same.
    pub index: u64,
    /// RFC 3339, UTC.
    pub at: String,
    #[serde(rename = "asked")]
    pub test: CandidateTest,
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

    /// D, the discoveries that the attempt built on, recovered from its level.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an integer from 1; any other value is not a level of this ledger"
    )]
    pub fn discoveries(&self) -> u64 {
        (self.level / (self.alpha * share(self.index))).round().max(1.0) as u64 - 1
    }

    /// Why its level does not match its index.
    fn level_problem(&self) -> Option<String> {
        let given = level(self.alpha, self.index, self.discoveries()).value;
        let fits =
            (self.level - given).abs() <= 1e-9 * given && self.discoveries() < self.index.max(1);
        (!fits).then(|| {
            format!(
                "its level is {}, which attempt {} cannot have at alpha {}",
                self.level, self.index, self.alpha
            )
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("{origin}:{line}: {problem}")]
    Line { origin: String, line: usize, problem: String },
}

impl Diagnose for LedgerError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(
            "nothing is promoted or released while the ledger cannot be read; fetch \
            refs/agent/ledger of a clone that can"
                .to_owned(),
        )
    }
}

/// An entry and the bytes it was read from: a join keeps lines as they were written.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    entry: Entry,
    text: String,
}

impl Line {
    fn key(&self) -> (u64, &str, &str) {
        (self.entry.index, &self.entry.at, &self.text)
    }
}

/// The comparisons judged so far, by index.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    lines: Vec<Line>,
}

impl Ledger {
    pub fn parse(text: &str, origin: &str) -> Result<Self, LedgerError> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |problem| LedgerError::Line {
                origin: origin.to_owned(),
                line: number + 1,
                problem,
            };
            let entry: Entry =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if ![SCHEMA, FIRST_SCHEMA].contains(&entry.schema.as_str()) {
                return Err(wrong(format!(
                    "its schema is `{}`; this `agent` reads `{FIRST_SCHEMA}` and `{SCHEMA}`",
                    entry.schema
                )));
            }
            if let Some(problem) = entry.level_problem() {
                return Err(wrong(problem));
            }
            lines.push(Line { entry, text: line.to_owned() });
        }
        let ledger = Self::of_lines(lines);
        // each attempt was made after all those that its index counts
        let early = ledger
            .lines
            .iter()
            .enumerate()
            .find(|(number, line)| line.entry.index > *number as u64 + 1);
        match early {
            Some((number, line)) => {
                let problem = format!(
                    "it is entry {}, but {} was expected: a line is missing",
                    line.entry.index,
                    number + 1
                );
                Err(LedgerError::Line { origin: origin.to_owned(), line: number + 1, problem })
            }
            None => Ok(ledger),
        }
    }

    fn of_lines(mut lines: Vec<Line>) -> Self {
        lines.sort_by(|one, other| one.key().cmp(&other.key()));
        lines.dedup_by(|one, other| one.text == other.text);
        Self { lines }
    }

    pub fn to_text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }

    /// Every attempt of both, each as it was charged.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self::of_lines([self.lines.as_slice(), other.lines.as_slice()].concat())
    }

    #[must_use]
    pub fn with(&self, entry: Entry) -> Self {
        let text = entry.to_line().trim_end().to_owned();
        Self::of_lines([self.lines.as_slice(), &[Line { entry, text }]].concat())
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().map(|line| &line.entry)
    }

    /// The number of entries of another ledger that are missing here or altered.
    pub fn lacks(&self, other: &Self) -> usize {
        let known: HashSet<&str> = self.lines.iter().map(|line| line.text.as_str()).collect();
        other.lines.iter().filter(|line| !known.contains(line.text.as_str())).count()
    }

    /// The entry of the identical test; where two clones made it, the one at the stricter level.
    pub fn of(&self, test: &CandidateTest) -> Option<&Entry> {
        self.all_of(test).min_by(|one, other| one.level.total_cmp(&other.level))
    }

    /// All entries of the identical test.
    pub fn all_of<'a>(&'a self, test: &CandidateTest) -> impl Iterator<Item = &'a Entry> {
        self.entries().filter(move |entry| entry.test == *test)
    }

    /// D after the attempt that made a version of this candidate on that baseline; `None` where no
    /// attempt did.
    pub fn discoveries_with(&self, baseline: &ObjectId, candidate: &ObjectId) -> Option<u64> {
        let made = |entry: &&Entry| {
            entry.accepted && entry.test.baseline == *baseline && entry.test.candidate == *candidate
        };
        self.entries().filter(made).map(|entry| entry.discoveries() + 1).min()
    }

    pub fn has_discoveries(&self) -> bool {
        self.entries().any(|entry| entry.accepted)
    }

    /// The level of the next attempt, given the number of discoveries below its baseline.
    pub fn next(&self, alpha: f64, discoveries: u64) -> Level {
        level(alpha, self.next_index(), discoveries)
    }

    /// A comparison that two clones made is one attempt; an index is unique within one sequence of
    /// attempts.
    fn next_index(&self) -> u64 {
        let highest = self.lines.last().map_or(0, |line| line.entry.index);
        highest.max(self.attempts().len() as u64) + 1
    }

    /// `Σ γ_t` over all attempts: the used share of alpha. Above 1 only after concurrent attempts
    /// in clones that had not synchronised.
    pub fn spent(&self) -> f64 {
        self.attempts().values().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn count(&self) -> usize {
        self.attempts().len()
    }

    /// Every comparison, with the share of alpha it was charged.
    fn attempts(&self) -> HashMap<String, f64> {
        let mut attempts = HashMap::new();
        for entry in self.entries() {
            let test = serde_json::to_string(&entry.test).expect("a question is JSON");
            let charged = attempts.entry(test).or_insert(0.0_f64);
            *charged = charged.max(share(entry.index));
        }
        attempts
    }
}

/// The level of the attempt `index`, from 1, given the number of discoveries below it.
pub fn level(alpha: f64, index: u64, discoveries: u64) -> Level {
    Level { value: alpha * share(index) * (discoveries + 1) as f64, index: Some(index) }
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
    use crate::statistics::targeted::Targeted;
    use proptest::prelude::*;

    fn test(results: &str) -> CandidateTest {
        let id = ObjectId::of_blob(b"x");
        let text = |text: &str| text.to_owned();
        CandidateTest {
            baseline: id.clone(),
            candidate: id,
            tier: Tier::Micro,
            mode: GateMode::Better,
            test: GateTest::EProcess,
            margin: 0.05,
            definitions: text("sha256:d"),
            results: text(results),
            bets: Bets::Targeted,
        }
    }

    fn entry(ledger: &Ledger, results: &str, discoveries: u64, accepted: bool) -> Entry {
        let Level { value, index } = ledger.next(0.05, discoveries);
        Entry {
            schema: SCHEMA.to_owned(),
            index: index.unwrap(),
            at: "2026-11-22T12:00:00.000Z".to_owned(),
            test: test(results),
            state: ObjectId::of_blob(b"{}\n"),
            alpha: 0.05,
            level: value,
            log_e_value: Some(3.25),
            p_value: 0.04,
            accepted,
        }
    }

    /// Appends a sequence of attempts: each accepted one is a discovery for later ones. `who`
    /// distinguishes the comparisons of two clones.
    fn continued(ledger: &Ledger, who: &str, decisions: &[bool]) -> Ledger {
        let mut discoveries = ledger.entries().filter(|entry| entry.accepted).count() as u64;
        let mut ledger = ledger.clone();
        for (number, accepted) in decisions.iter().enumerate() {
            ledger = ledger.with(entry(&ledger, &format!("{who}{number}"), discoveries, *accepted));
            discoveries += u64::from(*accepted);
        }
        ledger
    }

    fn ledger(decisions: &[bool]) -> Ledger {
        continued(&Ledger::default(), "", decisions)
    }

    #[test]
    fn levels_shrink_per_attempt_and_grow_per_discovery() {
        for (decisions, discoveries, wanted) in [
            (&[][..], 0, 0.025),
            (&[false], 0, 0.05 / 6.0),
            (&[true], 1, 0.1 / 6.0),
            (&[true, false, true], 2, 0.15 / 20.0),
        ] {
            assert!(
                (ledger(decisions).next(0.05, discoveries).value - wanted).abs() < 1e-15,
                "{decisions:?}"
            );
        }
        let all: f64 = (1..100_000).map(share).sum();
        assert!(all < 1.0 && all > 0.9999);
    }

    #[test]
    fn lines_read_back_and_the_same_test_is_found_again() {
        let written = ledger(&[true, false]);
        let read = Ledger::parse(&written.to_text(), "ledger").unwrap();
        assert_eq!(read, written);
        assert_eq!(read.of(&test("1")).map(|entry| entry.index), Some(2));
        assert_eq!(read.of(&CandidateTest { margin: 0.1, ..test("1") }), None);
        assert_eq!(read.of(&test("2")), None);
    }

    #[test]
    fn line_of_an_earlier_ledger_is_of_the_bets_of_its_time() {
        let written = ledger(&[true]).to_text();
        let earlier = written.replace("ledger@2", "ledger@1").replace(",\"bets\":\"targeted\"", "");
        let read = Ledger::parse(&earlier, "L").unwrap();
        assert_eq!(read.to_text(), earlier);
        assert_eq!(read.of(&test("0")), None, "other bets are another attempt");
        let first = test("0").with_bets(Bets::Mixture);
        assert_eq!(read.of(&first).map(|entry| entry.index), Some(1));
        // and both are charged
        let both = read.with(entry(&read, "0", 0, false));
        assert_eq!((both.count(), both.of(&test("0")).map(|entry| entry.index)), (2, Some(2)));
        let mcnemar = CandidateTest { test: GateTest::Mcnemar, ..test("0") };
        let named = |bets| serde_json::to_string(&mcnemar.clone().with_bets(bets)).unwrap();
        assert_eq!(named(Bets::Targeted), named(Bets::Mixture), "no other test bets");
    }

    #[test]
    fn ledger_with_a_gap_or_an_unknown_line_is_refused() {
        let text = ledger(&[true, false]).to_text();
        let tail = text.split_once('\n').unwrap().1;
        let error = |text: &str| Ledger::parse(text, "L").unwrap_err().to_string();
        assert_eq!(error(tail), "L:1: it is entry 2, but 1 was expected: a line is missing");
        assert_eq!(
            error(&text.replace("ledger@2", "ledger@9")),
            "L:1: its schema is `agent/ledger@9`; this `agent` reads `agent/ledger@1` and \
            `agent/ledger@2`"
        );
        assert!(error("nonsense\n").starts_with("L:1: expected"));
        assert_eq!(
            error(&text.replacen("\"level\":0.025", "\"level\":0.04", 1)),
            "L:1: its level is 0.04, which attempt 1 cannot have at alpha 0.05"
        );
    }

    #[test]
    fn discoveries_of_a_version_come_from_its_attempt() {
        let mut ledger = ledger(&[true, false]);
        let [first, second, other] = ["1", "2", "3"].map(|text| ObjectId::of_blob(text.as_bytes()));
        let made = Entry { accepted: true, ..entry(&ledger, "made", 1, true) };
        ledger = ledger.with(Entry {
            test: CandidateTest {
                baseline: first.clone(),
                candidate: second.clone(),
                ..made.test.clone()
            },
            ..made
        });
        assert_eq!(ledger.discoveries_with(&first, &second), Some(2));
        assert_eq!(ledger.discoveries_with(&first, &other), None);
    }

    #[test]
    fn same_comparison_of_two_clones_is_one_attempt_at_the_stricter_level() {
        let base = ledger(&[false]);
        let one = base.with(entry(&base, "same", 0, true));
        let more = continued(&base, "b", &[false, false]);
        let two = more.with(entry(&more, "same", 0, false));
        let joined = one.join(&two);
        assert_eq!((joined.count(), joined.entries().count()), (4, 5));
        assert_eq!(
            joined.of(&test("same")).map(|entry| (entry.index, entry.accepted)),
            Some((4, false))
        );
        // the first, the shared one at its larger share, and two of the second clone's
        let charged: f64 = [1, 2, 2, 3].map(share).iter().sum();
        assert!((joined.spent() - charged).abs() < 1e-12);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Three clones that part from one ledger and try on, as often as they like.
        #[test]
        fn join_is_a_commutative_union_with_the_strictest_next_level(
            common in proptest::collection::vec(any::<bool>(), 0..6),
            tries in proptest::array::uniform3(proptest::collection::vec(any::<bool>(), 0..6)),
            discoveries in 0u64..3,
        ) {
            let base = ledger(&common);
            let [one, two, three] = ["a", "b", "c"].map(|who| continued(&base, who,
                &tries[usize::from(who.as_bytes()[0] - b'a')]));
            let all = one.join(&two).join(&three);
            prop_assert_eq!(&one.join(&two), &two.join(&one));
            prop_assert_eq!(&all, &one.join(&two.join(&three)));
            prop_assert_eq!(&all, &all.join(&one));
            prop_assert_eq!(&one.join(&one), &one);
            prop_assert_eq!(&Ledger::parse(&all.to_text(), "joined").unwrap(), &all);
            for clone in [&base, &one, &two, &three] {
                prop_assert_eq!(all.lacks(clone), 0);
                prop_assert!(all.next(0.05, discoveries).value <= clone.next(0.05,
                    discoveries).value);
            }
            let grown = tries.iter().map(Vec::len).sum::<usize>() + common.len();
            prop_assert_eq!(all.entries().count(), grown);
            prop_assert_eq!(grown > one.entries().count(), one.lacks(&all) > 0);
        }

        #[test]
        fn removed_ledger_line_is_detected(decisions in proptest::collection::vec(any::<bool>(),
            2..9), gone in any::<prop::sample::Index>()) {
            let whole = ledger(&decisions);
            let gone = gone.index(decisions.len());
            let left: Vec<_> = whole.to_text().lines().enumerate().filter(|(number,
                _)| *number != gone).map(|(_, line)| format!("{line}\n")).collect();
            let read = Ledger::parse(&left.concat(), "L");
            // the last one leaves no gap: that a version names the ledger it was made with finds it
            prop_assert_eq!(read.is_err(), gone + 1 < decisions.len());
            if let Ok(read) = read {
                prop_assert_eq!(read.lacks(&whole), 1);
            }
        }
    }

    /// 300 histories of 40 attempts with a candidate identical to its baseline, each with an
    /// interim analysis after every ten cases.
    #[test]
    fn noise_passes_the_ledger_at_most_alpha_often() {
        const HISTORIES: usize = 300;
        let mut random = SplitMix64::new(11);
        let fooled = (0..HISTORIES)
            .filter(|_| {
                (1..=40).any(|attempt| accepts_noise(level(0.05, attempt, 0).value, &mut random))
            })
            .count();
        assert!(fooled as f64 <= 0.05 * HISTORIES as f64, "{fooled} of {HISTORIES}");
    }

    fn accepts_noise(level: f64, random: &mut SplitMix64) -> bool {
        let mut process = Targeted::new(0.0, level, 100.0);
        (0..10).any(|_| {
            for _ in 0..10 {
                let [old, new] = [(); 2].map(|()| f64::from(u8::from(random.unit() < 0.7)));
                process.take(1.0, new - old);
            }
            process.log() >= -level.ln()
        })
    }
}
