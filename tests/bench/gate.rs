//! What the gate lets through, and what a real gain costs: identical candidates that noise
//! promotes, and the cases that a gain takes, before and after the bets aimed at the level.
//!
//!     cargo bench -p agent-core --bench gate [-- HISTORIES TRIES]
//!
//! Histories (200) of tries (2,000) of a candidate that is not better than what it replaces, each
//! looked at after every batch of ten cases. Then the cases that the gate needs, beside the
//! test of `McNemar` of a size that is known in advance.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use agent_core::gate::ledger;
use agent_core::statistics::bootstrap::SplitMix64;
use agent_core::statistics::e_process::EProcess;
use agent_core::statistics::targeted::Targeted;
use agent_core::statistics::{binomial, mcnemar, normal};

const ALPHA: f64 = 0.05;
const BATCH: usize = 10;
/// Of a try.
const BATCHES: usize = 20;
const CASES: usize = BATCH * BATCHES;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .map(|argument| argument.parse().expect("a number"));
    let (histories, tries) = (arguments.next().unwrap_or(200), arguments.next().unwrap_or(2_000));
    println!(
        "{histories} histories of {tries} tries of a candidate that is not better, {CASES} cases \
        each, looked at after every {BATCH}; alpha {ALPHA}"
    );
    for (name, answers) in [
        ("identical, pass/fail at 0.7", Answers::Outcomes { old: 0.7, new: 0.7 }),
        ("identical, graded scores", Answers::Graded { raised: 0.0 }),
        ("half of the cases 20 points better, half 20 points worse", Answers::Traded),
    ] {
        println!("\n{name}");
        false_promotions(answers, histories, tries);
    }
    power();
}

/// What a case scores on either side.
#[derive(Clone, Copy)]
enum Answers {
    /// Each side answers by chance of its own.
    Outcomes { old: f64, new: f64 },
    /// A share of the cases changes.
    Changes { share: f64, gain: f64 },
    /// Uniform, rounded to tenths; this share of the candidate's is raised by a half.
    Graded { raised: f64 },
    /// Each case gains or loses, and all of them nothing.
    Traded,
}

impl Answers {
    fn gain(self, random: &mut SplitMix64) -> f64 {
        let outcome =
            |rate: f64, random: &mut SplitMix64| f64::from(u8::from(random.unit() < rate));
        match self {
            Self::Outcomes { old, new } => outcome(new, random) - outcome(old, random),
            Self::Changes { share, gain } => match random.unit() {
                chance if chance < f64::midpoint(share, gain) => 1.0,
                chance if chance < share => -1.0,
                _ => 0.0,
            },
            Self::Graded { raised } => {
                let score = |random: &mut SplitMix64| (random.unit() * 10.0).round() / 10.0;
                let (old, new) = (score(random), score(random));
                (new + 0.5 * outcome(raised, random)).min(1.0) - old
            }
            Self::Traded => unreachable!("its cases differ"),
        }
    }

    fn gains(self, cases: usize, random: &mut SplitMix64) -> Vec<f64> {
        if !matches!(self, Self::Traded) {
            return (0..cases).map(|_| self.gain(random)).collect();
        }
        let side = |old, new| Self::Outcomes { old, new };
        let mut sides: Vec<_> = (0..cases)
            .map(|case| if case % 2 == 0 { side(0.6, 0.8) } else { side(0.8, 0.6) })
            .collect();
        for case in (1..cases).rev() {
            sides.swap(case, random.below(case + 1));
        }
        sides.into_iter().map(|side| side.gain(random)).collect()
    }

    /// The mean gain, and the mean of its square.
    fn moments(self) -> (f64, f64) {
        match self {
            Self::Outcomes { old, new } => (new - old, new * (1.0 - old) + old * (1.0 - new)),
            Self::Changes { share, gain } => (gain, share),
            Self::Graded { .. } | Self::Traded => {
                const DRAWN: usize = 200_000;
                let gains = self.gains(DRAWN, &mut SplitMix64::new(2));
                let mean =
                    |power| gains.iter().map(|gain| gain.powi(power)).sum::<f64>() / DRAWN as f64;
                (mean(1), mean(2))
            }
        }
    }
}

/// Ways to decide.
const WAYS: [&str; 7] = [
    "targeted bets, ledger",
    "targeted bets, alpha each",
    "mixture (before), ledger",
    "mixture (before), alpha each",
    "mid-p McNemar, at the end",
    "mid-p McNemar, peeking",
    "mean is higher, at the end",
];

/// Which ways promote one try. Levels are those of the ledger, of targeted bets and the mixture.
fn attempt(answers: Answers, levels: [f64; 2], random: &mut SplitMix64) -> [bool; WAYS.len()] {
    let mut targeted = [levels[0], ALPHA].map(|level| Targeted::new(0.0, level, CASES as f64));
    let mut mixture = EProcess::against(0.0);
    let (mut better, mut worse, mut sum) = (0, 0, 0.0);
    let mut promotes = [false; WAYS.len()];
    for batch in answers.gains(CASES, random).chunks(BATCH) {
        for gain in batch {
            for process in &mut targeted {
                process.take(1.0, *gain);
            }
            mixture.take(1.0, *gain);
            better += usize::from(*gain > 0.0);
            worse += usize::from(*gain < 0.0);
            sum += gain;
        }
        promotes[0] |= targeted[0].log() >= -levels[0].ln();
        promotes[1] |= targeted[1].log() >= -ALPHA.ln();
        promotes[2] |= mixture.log() >= -levels[1].ln();
        promotes[3] |= mixture.log() >= -ALPHA.ln();
        promotes[4] = mcnemar::mid_p(better, worse) <= ALPHA;
        promotes[5] |= promotes[4];
        promotes[6] = sum > 0.0;
    }
    promotes
}

fn false_promotions(answers: Answers, histories: usize, tries: usize) {
    let mut random = SplitMix64::new(20_261_122);
    let mut promoted = [0; WAYS.len()];
    let mut with_any = [0; WAYS.len()];
    for _ in 0..histories {
        let mut once = [0; WAYS.len()];
        for number in 1..=tries {
            let level = |way: usize| ledger::level(ALPHA, number as u64, once[way] as u64).value;
            let levels = [level(0), level(2)];
            for (count, promotes) in once.iter_mut().zip(attempt(answers, levels, &mut random)) {
                *count += usize::from(promotes);
            }
        }
        for way in 0..WAYS.len() {
            promoted[way] += once[way];
            with_any[way] += usize::from(once[way] > 0);
        }
    }
    println!("  {:<28} {:>12} {:>26} {:>24}", "", "per try", "histories with any", "95% interval");
    for way in 0..WAYS.len() {
        let (low, high) = binomial::interval(with_any[way], histories, 0.95);
        let per_try = promoted[way] as f64 / (histories * tries) as f64;
        println!(
            "  {:<28} {per_try:>12.5} {:>26.3} {:>24}",
            WAYS[way],
            with_any[way] as f64 / histories as f64,
            format!("{low:.3} to {high:.3}")
        );
    }
}

const RUNS: usize = 1_000;

/// The cases it takes to accept a gain, and their ratio to those of a fixed test.
fn power() {
    println!(
        "\ncases to accept a gain. McNemar: one-sided, its size known in advance (Connor, 1987), \
        with its power by simulation; `now` and `before` judge all cases once, `peek` is `before` \
        after every case. Attempt 1 has the level {:.3}, attempt 10 {:.5}",
        level(1),
        level(10)
    );
    let outcomes = |base: f64, gain: f64| {
        (
            format!("{base:.2} to {:.2}", base + gain),
            Answers::Outcomes { old: base, new: base + gain },
        )
    };
    let changes = |share: f64, gain: f64| {
        (format!("{share:.2} change, +{gain:.2}"), Answers::Changes { share, gain })
    };
    let ten_points: Vec<_> = [0.3, 0.5, 0.7, 0.85].map(|base| outcomes(base, 0.1)).into();
    let others: Vec<_> = [
        changes(0.15, 0.05),
        changes(0.3, 0.05),
        changes(0.5, 0.05),
        changes(0.15, 0.1),
        changes(0.3, 0.1),
        changes(0.5, 0.1),
        changes(0.3, 0.2),
        changes(0.5, 0.2),
        ("graded scores, +0.08".to_owned(), Answers::Graded { raised: 0.2 }),
    ]
    .into();
    for (wanted, rows) in [(0.8, [ten_points.clone(), others].concat()), (0.9, ten_points)] {
        println!(
            "\n  power {wanted:<18} {:>22} {:>8} {:>28} {:>28} {:>22}",
            "McNemar at 0.05 (power)",
            "at 0.025",
            "attempt 1: now, before, peek",
            "to McNemar at 0.05",
            "now, to it at 0.025"
        );
        for (name, answers) in rows {
            print_row(&name, answers, wanted);
        }
    }
    println!(
        "\n  power 0.8, attempt 10 {:>22} {:>14} {:>20}",
        "McNemar, its level", "now, before", "to McNemar"
    );
    for base in [0.3, 0.5, 0.7, 0.85] {
        let (name, answers) = outcomes(base, 0.1);
        let fixed = fixed_sample(answers, 0.8, level(10));
        let [now, before] = once(answers, 0.8, level(10));
        println!(
            "  {name:<21} {fixed:>22} {:>14} {:>20}",
            format!("{now}, {before}"),
            ratios(&[now, before], fixed)
        );
    }
}

fn print_row(name: &str, answers: Answers, wanted: f64) {
    let [fixed, fixed_first] = [ALPHA, level(1)].map(|level| fixed_sample(answers, wanted, level));
    let mid_p = |gains: &[f64]| {
        let count = |sign: f64| gains.iter().filter(|gain| **gain * sign > 0.0).count();
        mcnemar::mid_p(count(1.0), count(-1.0)) <= ALPHA
    };
    let [now, before] = once(answers, wanted, level(1));
    let peeking = stopping_quantile(answers, level(1), wanted);
    println!(
        "  {name:<24} {:>22} {fixed_first:>8} {:>28} {:>28} {:>22.2}",
        format!("{fixed} ({:.2})", accepted(answers, fixed, mid_p)),
        format!("{now}, {before}, {peeking}"),
        ratios(&[now, before, peeking], fixed),
        now as f64 / fixed_first as f64
    );
}

fn ratios(cases: &[usize], fixed: usize) -> String {
    let shown = cases.iter().map(|cases| format!("{:.2}", *cases as f64 / fixed as f64));
    shown.collect::<Vec<_>>().join(", ")
}

/// Of an attempt before which nothing was accepted.
fn level(attempt: u64) -> f64 {
    ledger::level(ALPHA, attempt, 0).value
}

/// The cases that suffice, judged once: by targeted bets, and by the mixture.
fn once(answers: Answers, wanted: f64, level: f64) -> [usize; 2] {
    let weighed = |gains: &[f64]| gains.iter().map(|gain| (1.0, *gain)).collect::<Vec<_>>();
    let least = fixed_sample(answers, wanted, level);
    [
        enough(answers, wanted, least, |gains| {
            Targeted::of(0.0, level, &weighed(gains)).log() >= -level.ln()
        }),
        enough(answers, wanted, least, |gains| {
            EProcess::of(0.0, &weighed(gains)).log() >= -level.ln()
        }),
    ]
}

/// The least number of cases, by bisection to a hundredth, that is accepted this often.
fn enough(answers: Answers, wanted: f64, about: usize, accepts: impl Fn(&[f64]) -> bool) -> usize {
    let (mut few, mut many) = (about / 2, about * 4);
    while many - few > 1 + few / 100 {
        let middle = usize::midpoint(few, many);
        if accepted(answers, middle, &accepts) >= wanted {
            many = middle;
        } else {
            few = middle;
        }
    }
    many
}

/// The share of samples of this size that are accepted.
fn accepted(answers: Answers, cases: usize, accepts: impl Fn(&[f64]) -> bool) -> f64 {
    let mut random = SplitMix64::new(1);
    let count = (0..RUNS).filter(|_| accepts(&answers.gains(cases, &mut random))).count();
    count as f64 / RUNS as f64
}

/// So many cases are enough for the mixture in this share of runs that stop as soon as they may.
fn stopping_quantile(answers: Answers, level: f64, share: f64) -> usize {
    const MOST: usize = 20_000;
    let mut random = SplitMix64::new(1);
    let mut stops: Vec<usize> = (0..RUNS)
        .map(|_| {
            let mut process = EProcess::against(0.0);
            let stop = (1..=MOST).find(|_| {
                process.take(1.0, answers.gain(&mut random));
                process.log() >= -level.ln()
            });
            stop.unwrap_or(MOST)
        })
        .collect();
    stops.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a thousand"
    )]
    let rank = (share * RUNS as f64) as usize;
    stops[rank]
}

/// One-sided, looked at once: the usual formula for the test of flips (Connor, 1987); of graded
/// scores, the same for their mean.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand cases")]
fn fixed_sample(answers: Answers, power: f64, level: f64) -> usize {
    let (gain, square) = answers.moments();
    let spread = normal::quantile(1.0 - level) * square.sqrt()
        + normal::quantile(power) * (square - gain * gain).sqrt();
    (spread / gain).powi(2).ceil() as usize
}
