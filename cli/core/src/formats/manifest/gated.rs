//! `[release]`: the tier that judges a version, and the gate and the statistical test it must pass.

use super::tier::Tier;
use serde::Deserialize;

/// The tier that judges, and the gate it must pass.
#[derive(Debug, Clone, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gated {
    pub tier: Tier,
    #[serde(default)]
    pub gate: GateMode,
    /// In points of mean score: a loss of up to this counts as not worse, a gain of up to this as
    /// not better.
    #[serde(default)]
    pub margin: f64,
    #[serde(default)]
    pub test: GateTest,
    /// The allowed probability that noise passes, over the whole history.
    #[serde(default = "Gated::alpha")]
    pub alpha: f64,
}

impl Gated {
    pub fn promote() -> Self {
        Self {
            tier: Tier::Micro,
            gate: GateMode::NotWorse,
            margin: 0.0,
            test: GateTest::EProcess,
            alpha: Self::alpha(),
        }
    }

    pub fn release() -> Self {
        Self { tier: Tier::Full, ..Self::promote() }
    }

    pub(super) const fn alpha() -> f64 {
        0.05
    }

    /// The key that cannot be, and what is wrong with it.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        if !(0.0..1.0).contains(&self.margin) {
            return Some((
                "margin",
                format!(
                    "is {}; it has to be in points of mean score, from 0 and below 1",
                    self.margin
                ),
            ));
        }
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return Some((
                "alpha",
                format!(
                    "is {}; it has to be a probability above 0 and at most 0.5, such as 0.05",
                    self.alpha
                ),
            ));
        }
        if self.test == GateTest::Mcnemar && self.margin > 0.0 {
            return Some((
                "test",
                format!(
                    "is mcnemar, which takes no margin, but the margin is {}; `tango` is the same \
                    with a margin",
                    self.margin
                ),
            ));
        }
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateMode {
    /// Only a measured improvement passes.
    Better,
    #[default]
    NotWorse,
}

impl GateMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::NotWorse => "not-worse",
        }
    }
}

impl std::str::FromStr for GateMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "better" => Ok(Self::Better),
            "not-worse" => Ok(Self::NotWorse),
            other => Err(format!("`{other}` is not a gate; it has to be one of better, not-worse")),
        }
    }
}

/// The test that separates a gain from noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateTest {
    /// An e-process against "no gain"; valid at any number of interim analyses.
    #[default]
    EProcess,
    /// Exact mid-p, on the outcomes that flipped.
    Mcnemar,
    /// The score test for a difference of paired proportions.
    Tango,
    Bootstrap,
    SignedRank,
}

impl GateTest {
    pub const ALL: [Self; 5] =
        [Self::EProcess, Self::Mcnemar, Self::Tango, Self::Bootstrap, Self::SignedRank];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EProcess => "e-process",
            Self::Mcnemar => "mcnemar",
            Self::Tango => "tango",
            Self::Bootstrap => "bootstrap",
            Self::SignedRank => "signed-rank",
        }
    }
}

impl std::str::FromStr for GateTest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|test| test.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a test; it has to be one of {named}"))
    }
}
