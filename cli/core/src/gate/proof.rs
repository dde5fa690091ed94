//! The result of each test on the pairs. All are one-sided: the null hypothesis is that the true
//! gain is at most the bound.
//!
//! | test | considers | `better` with margin m | `not-worse` with margin m |
//! | --- | --- | --- | --- |
//! | e-process | weighted scores | mean gain > m | mean gain > -m |
//! | mcnemar | outcomes that flipped | more flips to the better; has no margin | the same: an
//! improvement |
//! | tango | outcomes | gain in pass rate > m | gain in pass rate > -m |
//! | bootstrap | weighted scores | mean gain > m | mean gain > -m |
//! | signed-rank | scores, unweighted | gains symmetric around more than m | around more than -m |
//!
//! The e-process bets towards the level, which is fixed before the results (`targeted`); a record
//! of an earlier `agent` is computed again by the mixture that it was judged by (`e_process`).
//!
//! Only the e-process is valid under optional stopping. The levels of the ledger hold for all of
//! them over attempts: each judged comparison is a new entry.

use super::bets::Bets;
use super::pairs::Pairs;
use super::{Question, ROUNDING};
use crate::formats::manifest::GateTest;
use crate::statistics::bootstrap::Bootstrap;
use crate::statistics::e_process::{self, EProcess};
use crate::statistics::tango::Flips;
use crate::statistics::targeted::{self, Targeted};
use crate::statistics::{mcnemar, normal, wilcoxon};

/// The test with its inputs. The level comes later: the ledger gives it.
#[derive(Debug)]
pub enum Proof {
    Mixture {
        gains: Vec<(f64, f64)>,
        process: EProcess,
    },
    Targeted {
        bound: f64,
        /// In the order of the bets.
        gains: Vec<(f64, f64)>,
    },
    Outcomes {
        flips: Flips,
        p_value: f64,
    },
    Bootstrap {
        resampled: Bootstrap,
        p_value: f64,
    },
    SignedRank {
        p_value: f64,
    },
    /// There are no pairs.
    Nothing,
}

/// The result of the test at a level.
#[derive(Debug)]
pub struct Evidence {
    pub p_value: f64,
    /// Of an e-process.
    pub log_e_value: Option<f64>,
    /// For the gain, each end a bound at the level.
    pub interval: Option<(f64, f64)>,
}

impl Evidence {
    fn of_p_value(p_value: f64, interval: Option<(f64, f64)>) -> Self {
        Self { p_value, log_e_value: None, interval }
    }

    fn of_e_value(log: f64, interval: (f64, f64)) -> Self {
        Self { p_value: (-log).exp().min(1.0), log_e_value: Some(log), interval: Some(interval) }
    }

    pub fn shows(&self, level: f64) -> bool {
        self.log_e_value.map_or(self.p_value <= level, |log| log >= -level.ln())
    }
}

impl Proof {
    pub fn of(question: &Question, pairs: &Pairs) -> Self {
        if pairs.is_empty() {
            return Self::Nothing;
        }
        let (bound, gains, flips) = (question.bound(), pairs.gains(), pairs.flips());
        match (question.test, question.bets) {
            (GateTest::EProcess, Bets::Mixture) => {
                Self::Mixture { process: EProcess::of(bound, &gains), gains }
            }
            (GateTest::EProcess, Bets::Targeted) => {
                Self::Targeted { bound, gains: pairs.gains_in_random_order() }
            }
            (GateTest::Mcnemar, _) => {
                Self::Outcomes { p_value: mcnemar::mid_p(flips.better, flips.worse), flips }
            }
            (GateTest::Tango, _) => Self::Outcomes { p_value: flips.p_value(bound), flips },
            (GateTest::Bootstrap, _) => {
                let resampled = Bootstrap::of(&gains);
                Self::Bootstrap { p_value: resampled.p_value(bound + ROUNDING), resampled }
            }
            (GateTest::SignedRank, _) => {
                let shifted = gains
                    .iter()
                    .map(|(_, gain)| gain - bound)
                    .map(|gain| if gain.abs() < ROUNDING { 0.0 } else { gain });
                Self::SignedRank { p_value: wilcoxon::signed_rank(shifted) }
            }
        }
    }

    pub fn at(&self, level: f64) -> Evidence {
        let confidence = 1.0 - 2.0 * level;
        match self {
            Self::Mixture { gains, process } => {
                Evidence::of_e_value(process.log(), e_process::interval(gains, level))
            }
            Self::Targeted { bound, gains } => {
                let process = Targeted::of(*bound, level, gains);
                Evidence::of_e_value(process.log(), process.interval(level))
            }
            Self::Outcomes { flips, p_value } => {
                Evidence::of_p_value(*p_value, Some(flips.interval(confidence)))
            }
            Self::Bootstrap { resampled, p_value } => {
                Evidence::of_p_value(*p_value, Some(resampled.interval(confidence)))
            }
            Self::SignedRank { p_value } => Evidence::of_p_value(*p_value, None),
            Self::Nothing => Evidence::of_p_value(1.0, None),
        }
    }

    /// The factor by which more cases like these would suffice; `None` where no number would.
    pub fn times_until(&self, level: f64, evidence: &Evidence) -> Option<f64> {
        match self {
            Self::Mixture { process, .. } => process.times_until(-level.ln()),
            Self::Targeted { bound, gains } => targeted::times_until(*bound, level, gains),
            // a test statistic grows with the root of the number of cases
            _ if evidence.p_value < 0.5 => {
                let p_value = evidence.p_value.max(1e-300);
                Some((normal::quantile(level) / normal::quantile(p_value)).powi(2))
            }
            _ => None,
        }
    }
}

/// How much evidence there is, and how much is needed: an e-value and the inverse of the level, or
/// a p-value and the level.
pub fn shown(log_e_value: Option<f64>, p_value: f64, level: f64) -> String {
    match log_e_value {
        Some(log) => format!("evidence {}, needs {:.0}", e_value_shown(log), 1.0 / level),
        None => format!("p = {p_value:.4}, needs at most {}", significant(level)),
    }
}

fn e_value_shown(log: f64) -> String {
    const MILLION: f64 = 1e6;
    match log.exp() {
        value if value >= MILLION => "more than a million".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

/// Levels of late entries are small: two significant digits.
fn significant(level: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a level is in (0, 1) and no smaller than 1e-300"
    )]
    let digits = (1.0 - level.log10().floor()).clamp(2.0, 12.0) as usize;
    format!("{level:.digits$}")
}
