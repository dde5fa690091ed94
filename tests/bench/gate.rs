//! What the gate lets through: identical candidates that are promoted by noise, and the cases a
//! real gain takes.
//!
//!     cargo bench -p agent-core --bench gate [-- HISTORIES TRIES]
//!
//! Histories (200) of tries (2,000) of a candidate that is what it replaces, each looked at after
//! every batch of ten cases.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use agent_core::gate::ledger;
use agent_core::statistics::bootstrap::SplitMix64;
use agent_core::statistics::e_process::EProcess;
use agent_core::statistics::{binomial, mcnemar, normal};

const ALPHA: f64 = 0.05;
const BATCH: usize = 10;
/// Of a try.
const BATCHES: usize = 20;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .map(|argument| argument.parse().expect("a number"));
    let (histories, tries) = (arguments.next().unwrap_or(200), arguments.next().unwrap_or(2_000));
    println!(
        "{histories} histories of {tries} tries of an identical candidate, {} cases each, looked \
        at after every {BATCH}; alpha {ALPHA}",
        BATCH * BATCHES
    );
    for (name, answers) in [
        ("pass/fail at 0.7", Answers::Outcomes { old: 0.7, new: 0.7 }),
        ("graded scores", Answers::Graded),
    ] {
        println!("\n{name}");
        false_promotions(answers, histories, tries);
    }
    power();
}

/// What a case scores on either side.
#[derive(Clone, Copy)]
enum Answers {
    Outcomes {
        old: f64,
        new: f64,
    },
    /// Uniform, rounded to tenths.
    Graded,
}

impl Answers {
    fn gain(self, random: &mut SplitMix64) -> f64 {
        let outcome =
            |rate: f64, random: &mut SplitMix64| f64::from(u8::from(random.unit() < rate));
        match self {
            Self::Outcomes { old, new } => outcome(new, random) - outcome(old, random),
            Self::Graded => {
                let score = |random: &mut SplitMix64| (random.unit() * 10.0).round() / 10.0;
                score(random) - score(random)
            }
        }
    }
}

/// Ways to decide, as they are told.
const WAYS: [&str; 5] = [
    "e-process, ledger",
    "e-process, alpha each",
    "mid-p McNemar, at the end",
    "mid-p McNemar, peeking",
    "mean is higher, at the end",
];

/// What each way said of one try.
fn attempt(answers: Answers, level: f64, random: &mut SplitMix64) -> [bool; WAYS.len()] {
    let mut process = EProcess::against(0.0);
    let (mut better, mut worse, mut sum) = (0, 0, 0.0);
    let mut said = [false; WAYS.len()];
    for _ in 0..BATCHES {
        for _ in 0..BATCH {
            let gain = answers.gain(random);
            process.take(1.0, gain);
            better += usize::from(gain > 0.0);
            worse += usize::from(gain < 0.0);
            sum += gain;
        }
        said[0] |= process.log() >= -level.ln();
        said[1] |= process.log() >= -ALPHA.ln();
        said[2] = mcnemar::mid_p(better, worse) <= ALPHA;
        said[3] |= said[2];
        said[4] = sum > 0.0;
    }
    said
}

fn false_promotions(answers: Answers, histories: usize, tries: usize) {
    let mut random = SplitMix64::new(20_261_122);
    let mut promoted = [0; WAYS.len()];
    let mut fooled = [0; WAYS.len()];
    for _ in 0..histories {
        let mut once = [0; WAYS.len()];
        for number in 1..=tries {
            let level = ledger::level(ALPHA, number as u64, once[0] as u64).value;
            for (count, said) in once.iter_mut().zip(attempt(answers, level, &mut random)) {
                *count += usize::from(said);
            }
        }
        for way in 0..WAYS.len() {
            promoted[way] += once[way];
            fooled[way] += usize::from(once[way] > 0);
        }
    }
    println!("  {:<28} {:>12} {:>26} {:>24}", "", "per try", "histories with any", "95% interval");
    for way in 0..WAYS.len() {
        let (low, high) = binomial::interval(fooled[way], histories, 0.95);
        let per_try = promoted[way] as f64 / (histories * tries) as f64;
        println!(
            "  {:<28} {per_try:>12.5} {:>26.3} {:>24}",
            WAYS[way],
            fooled[way] as f64 / histories as f64,
            format!("{low:.3} to {high:.3}")
        );
    }
}

/// The cases it takes to see a gain of ten points four times out of five.
fn power() {
    const WANTED: f64 = 0.8;
    println!(
        "\ncases to accept +10 points with power {WANTED}, each side answering by chance of its own"
    );
    println!(
        "  {:<12} {:>16} {:>18} {:>18} {:>26}",
        "base rate", "e-process, t=1", "e-process, t=10", "e-process, 0.05", "fixed McNemar, 0.05"
    );
    for base in [0.3, 0.5, 0.7, 0.85] {
        let answers = Answers::Outcomes { old: base, new: base + 0.1 };
        let at = |level: f64| stopping_quantile(answers, level, WANTED);
        let levels =
            [ledger::level(ALPHA, 1, 0), ledger::level(ALPHA, 10, 0)].map(|level| at(level.value));
        println!(
            "  {base:<12} {:>16} {:>18} {:>18} {:>26}",
            levels[0],
            levels[1],
            at(ALPHA),
            fixed_sample(base, WANTED)
        );
    }
}

/// So many cases are enough in this share of runs that stop as soon as they may.
fn stopping_quantile(answers: Answers, level: f64, share: f64) -> usize {
    const RUNS: usize = 1_000;
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

/// One-sided, looked at once: the usual formula for the test of flips (Connor, 1987).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred cases")]
fn fixed_sample(base: f64, power: f64) -> usize {
    let (better, worse) = ((1.0 - base) * (base + 0.1), base * (0.9 - base));
    let (flips, gain) = (better + worse, better - worse);
    let spread = normal::quantile(1.0 - ALPHA) * flips.sqrt()
        + normal::quantile(power) * (flips - gain * gain).sqrt();
    (spread / gain).powi(2).ceil() as usize
}
