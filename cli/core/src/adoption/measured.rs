//! Limits and budgets from what starting the server and calling its tools took.

use serde_json::{Value, json};

/// Measured durations, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    pub start_ms: u64,
    pub calls_ms: Vec<u64>,
}

/// A machine of the continuous integration is slower, and a busy one slower still.
const MARGIN: u64 = 5;

impl Measured {
    fn slowest(&self) -> u64 {
        self.calls_ms.iter().copied().max().unwrap_or_default()
    }

    /// How long a start and a call may take, in seconds.
    pub fn limits(&self) -> (u32, u32) {
        let seconds =
            |ms: u64| u32::try_from((ms * MARGIN).div_ceil(1000)).unwrap_or(600).clamp(30, 600);
        (seconds(self.start_ms), seconds(self.slowest()))
    }

    /// Budgets of the tier that leave room for what was measured as well; none is lowered.
    pub fn raised(&self, budgets: &Value) -> Value {
        let own = self.budgets();
        let mut raised = budgets.clone();
        for key in ["wall_s", "p95_ms"] {
            let (there, wanted) = (&budgets["tiers"]["micro"][key], &own["tiers"]["micro"][key]);
            if there.as_f64().zip(wanted.as_f64()).is_some_and(|(there, wanted)| wanted > there) {
                raised["tiers"]["micro"][key] = wanted.clone();
            }
        }
        raised
    }

    /// The budget of the tier.
    pub fn budgets(&self) -> Value {
        let wall_s =
            ((self.start_ms + self.calls_ms.iter().sum::<u64>()) * MARGIN).div_ceil(1000).max(30);
        let p95_ms = (self.slowest() * MARGIN).next_multiple_of(100).max(1000);
        json!({
            "schema": "agent/budgets@1",
            "tiers": {"micro": {"wall_s": wall_s, "pass_rate": 1.0, "p95_ms": p95_ms}},
            "slos": [],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_measurements_plus_a_margin() {
        let measured = Measured { start_ms: 9000, calls_ms: vec![10, 350] };
        assert_eq!(measured.limits(), (45, 30));
        assert_eq!(
            measured.budgets()["tiers"]["micro"],
            json!({"wall_s": 47, "pass_rate": 1.0, "p95_ms": 1800})
        );
        assert_eq!(Measured::default().budgets()["tiers"]["micro"]["wall_s"], 30);
        let there = json!({"tiers": {"micro": {"wall_s": 90, "p95_ms": 1000}, "full": {}}});
        assert_eq!(
            measured.raised(&there),
            json!({"tiers": {"micro": {"wall_s": 90, "p95_ms": 1800}, "full": {}}})
        );
        assert_eq!(measured.raised(&json!({})), json!({}));
    }
}
