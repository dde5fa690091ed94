//! How canaries end whose state is better, worse or identical, and after how many conversations.
//!
//!     cargo bench -p agent-core --bench canary [-- CANARIES]
//!
//! Canaries (1,000) of each kind at alpha 0.05, with shares of 10 % and 50 % and a limit of 4,000
//! conversations of both arms, looked at after every conversation. Beside them the comparison of
//! the i-th conversation of one arm with the i-th of the other, by the same e-process.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use agent_core::canary::conversations::Taken;
use agent_core::canary::judge::Judge;
use agent_core::canary::{Arm, Design, Measure, Verdict};
use agent_core::statistics::bootstrap::SplitMix64;
use agent_core::statistics::e_process::EProcess;
use std::collections::VecDeque;

const ALPHA: f64 = 0.05;
const SHARES: [u32; 2] = [10, 50];
const LIMIT: u64 = 4_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let canaries = arguments.next().map_or(1_000, |argument| argument.parse().expect("a number"));
    println!("{canaries} canaries each, alpha {ALPHA}, limit {LIMIT} conversations of both arms\n");
    println!(
        "rewards                              promoted  withdrawn  undecided  median     90 %"
    );
    for share in SHARES {
        for kind in KINDS {
            report(kind, share, canaries);
        }
    }
}

/// What the conversations of the arms are worth.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    control: [f64; 3],
    canary: [f64; 3],
    /// By how much both fall from the first conversation to the last.
    falls: f64,
}

/// Chances of the rewards 0, 0.5 and 1.
const KINDS: [Kind; 8] = [
    kind("1 or 0: 0.7, 10 points worse", [0.3, 0.0, 0.7], [0.4, 0.0, 0.6]),
    kind("1 or 0: 0.7, 10 points better", [0.3, 0.0, 0.7], [0.2, 0.0, 0.8]),
    kind("1 or 0: 0.7, identical", [0.3, 0.0, 0.7], [0.3, 0.0, 0.7]),
    Kind { falls: 0.4, ..kind("the same, falls by 40 points", [0.3, 0.0, 0.7], [0.3, 0.0, 0.7]) },
    Kind { falls: -0.3, ..kind("the same, rises by 30 points", [0.3, 0.0, 0.7], [0.3, 0.0, 0.7]) },
    kind("three values: 10 points worse", [0.15, 0.3, 0.55], [0.25, 0.3, 0.45]),
    kind("three values: 10 points better", [0.15, 0.3, 0.55], [0.05, 0.3, 0.65]),
    kind("three values: identical", [0.15, 0.3, 0.55], [0.15, 0.3, 0.55]),
];

const fn kind(name: &'static str, control: [f64; 3], canary: [f64; 3]) -> Kind {
    Kind { name, control, canary, falls: 0.0 }
}

fn report(kind: Kind, share: u32, canaries: u64) {
    let design = Design {
        share,
        seed: String::new(),
        measure: Measure::Reward { low: 0.0, high: 1.0 },
        alpha: ALPHA,
        limit: LIMIT,
        until: String::new(),
        idle_s: 0,
    };
    let mut random = SplitMix64::new(u64::from(share));
    let ended: Vec<_> = (0..canaries)
        .map(|_| {
            let mut judge = Judge::new(&design);
            run(kind, &design, &mut random, |taken| {
                judge.take(taken);
                judge.verdict()
            })
        })
        .collect();
    line(kind.name, share, &ended);
    let ended: Vec<_> = (0..canaries)
        .map(|_| {
            let mut pairs = Pairs::new();
            run(kind, &design, &mut random, |taken| pairs.take(taken))
        })
        .collect();
    line("  in pairs", share, &ended);
}

fn line(name: &str, share: u32, ended: &[(Verdict, u64)]) {
    let count = |wanted: Verdict| ended.iter().filter(|(verdict, _)| *verdict == wanted).count();
    let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / ended.len() as f64);
    let mut took: Vec<_> = ended
        .iter()
        .filter(|(verdict, _)| *verdict != Verdict::NotEnoughEvidence)
        .map(|(_, took)| *took)
        .collect();
    took.sort_unstable();
    let quantile = |percent: usize| {
        took.get(took.len() * percent / 100).map_or_else(|| "-".to_owned(), ToString::to_string)
    };
    println!(
        "{name:<32} {share:>2} %  {:>7}  {:>9}  {:>9}  {:>6}  {:>7}",
        percent(count(Verdict::Better)),
        percent(count(Verdict::Worse) + count(Verdict::MoreErrors)),
        percent(count(Verdict::NotEnoughEvidence)),
        quantile(50),
        quantile(90)
    );
}

/// The verdict, and after how many conversations of both arms it was reached.
fn run(
    kind: Kind,
    design: &Design,
    random: &mut SplitMix64,
    mut take: impl FnMut(&Taken) -> Option<Verdict>,
) -> (Verdict, u64) {
    for number in 0..LIMIT {
        let (arm, chances) = if random.unit() < design.chance() {
            (Arm::Canary, kind.canary)
        } else {
            (Arm::Control, kind.control)
        };
        let fallen = kind.falls * number as f64 / LIMIT as f64;
        let point = random.unit();
        let reward = if point < chances[0] + fallen {
            0.0
        } else if point < chances[0] + fallen + chances[1] {
            0.5
        } else {
            1.0
        };
        let taken = Taken { conversation: String::new(), arm, success: 1.0, reward: Some(reward) };
        if let Some(verdict) = take(&taken) {
            return (verdict, number + 1);
        }
    }
    (Verdict::NotEnoughEvidence, LIMIT)
}

/// The i-th conversation of one arm beside the i-th of the other.
struct Pairs {
    /// Of the arm that is ahead.
    waiting: VecDeque<f64>,
    ahead: Arm,
    better: EProcess,
    worse: EProcess,
}

impl Pairs {
    fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            ahead: Arm::Control,
            better: EProcess::against(0.0),
            worse: EProcess::against(0.0),
        }
    }

    fn take(&mut self, taken: &Taken) -> Option<Verdict> {
        let value = taken.reward?;
        if self.waiting.is_empty() || taken.arm == self.ahead {
            self.ahead = taken.arm;
            self.waiting.push_back(value);
            return None;
        }
        let other = self.waiting.pop_front()?;
        let gain = if taken.arm == Arm::Canary { value - other } else { other - value };
        self.better.take(1.0, gain);
        self.worse.take(1.0, -gain);
        let wanted = -ALPHA.ln();
        let reached = |process: &EProcess, verdict| (process.log() >= wanted).then_some(verdict);
        reached(&self.worse, Verdict::Worse).or(reached(&self.better, Verdict::Better))
    }
}
