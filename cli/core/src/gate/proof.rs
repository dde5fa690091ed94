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
//! Only the e-process is valid under optional stopping. The levels of the ledger hold for all of
//! them over attempts: each judged comparison is a new entry.

use super::ROUNDING;
use super::pairs::Pairs;
use crate::formats::manifest::GateTest;
use crate::statistics::bootstrap::Bootstrap;
use crate::statistics::e_process::{self, EProcess};
use crate::statistics::tango::Flips;
use crate::statistics::{mcnemar, normal, wilcoxon};

#[derive(Debug)]
pub enum Proof {
    EProcess {
        gains: Vec<(f64, f64)>,
        process: EProcess,
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

impl Proof {
    pub fn of(test: GateTest, bound: f64, pairs: &Pairs) -> Self {
        if pairs.is_empty() {
            return Self::Nothing;
        }
        let (gains, flips) = (pairs.gains(), pairs.flips());
        match test {
            GateTest::EProcess => Self::EProcess { process: EProcess::of(bound, &gains), gains },
            GateTest::Mcnemar => {
                Self::Outcomes { p_value: mcnemar::mid_p(flips.better, flips.worse), flips }
            }
            GateTest::Tango => Self::Outcomes { p_value: flips.p_value(bound), flips },
            GateTest::Bootstrap => {
                let resampled = Bootstrap::of(&gains);
                Self::Bootstrap { p_value: resampled.p_value(bound + ROUNDING), resampled }
            }
            GateTest::SignedRank => {
                let shifted = gains
                    .iter()
                    .map(|(_, gain)| gain - bound)
                    .map(|gain| if gain.abs() < ROUNDING { 0.0 } else { gain });
                Self::SignedRank { p_value: wilcoxon::signed_rank(shifted) }
            }
        }
    }

    pub fn p_value(&self) -> f64 {
        match self {
            Self::EProcess { process, .. } => (-process.log()).exp().min(1.0),
            Self::Outcomes { p_value, .. }
            | Self::Bootstrap { p_value, .. }
            | Self::SignedRank { p_value } => *p_value,
            Self::Nothing => 1.0,
        }
    }

    pub fn log_e_value(&self) -> Option<f64> {
        match self {
            Self::EProcess { process, .. } => Some(process.log()),
            _ => None,
        }
    }

    pub fn shows(&self, level: f64) -> bool {
        self.log_e_value().map_or_else(|| self.p_value() <= level, |log| log >= -level.ln())
    }

    /// For the gain, each end a bound at the level.
    pub fn interval(&self, level: f64) -> Option<(f64, f64)> {
        let confidence = 1.0 - 2.0 * level;
        match self {
            Self::EProcess { gains, .. } => Some(e_process::interval(gains, level)),
            Self::Outcomes { flips, .. } => Some(flips.interval(confidence)),
            Self::Bootstrap { resampled, .. } => Some(resampled.interval(confidence)),
            Self::SignedRank { .. } | Self::Nothing => None,
        }
    }

    /// The factor by which more cases like these would suffice; `None` where no number would.
    pub fn times_until(&self, level: f64) -> Option<f64> {
        match self {
            Self::EProcess { process, .. } => process.times_until(-level.ln()),
            // a test statistic grows with the root of the number of cases
            _ if self.p_value() < 0.5 => Some(
                (normal::quantile(level) / normal::quantile(self.p_value().max(1e-300))).powi(2),
            ),
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
