//! A model of the reward of each arm, cross-fitted: the model that predicts a decision has not seen
//! it (Chernozhukov et al., 2018), so that a doubly robust estimate stays unbiased.

use super::features;
use super::logged::{Decision, Log};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Model {
    /// The mean reward of the arm.
    #[default]
    Arm,
    /// For each arm a ridge regression on the context.
    Linear,
}

impl Model {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arm => "arm",
            Self::Linear => "linear",
        }
    }
}

const FOLDS: usize = 5;
/// An arm's mean is drawn to the mean of all by as much as this many decisions would.
const PRIOR: f64 = 1.0;

/// At each decision, the reward of every arm, within the range of rewards.
pub(super) fn predict(log: &Log, model: Model) -> Vec<Vec<f64>> {
    let rows = match model {
        Model::Arm => vec![Vec::new(); log.decisions.len()],
        Model::Linear => features::of(&log.decisions),
    };
    let folds: Vec<Fitted> = (0..FOLDS).map(|fold| Fitted::without(fold, log, &rows)).collect();
    let predicted = rows.iter().enumerate().map(|(index, row)| {
        let arms = 0..log.arms.len();
        arms.map(|arm| log.rewards.clamp(folds[index % FOLDS].predict(arm, row))).collect()
    });
    predicted.collect()
}

/// The mean of all rewards, and by arm what is added to it: a constant, and a slope by column.
struct Fitted {
    mean: f64,
    arms: Vec<Vec<f64>>,
}

impl Fitted {
    /// By every decision but those of one fold.
    fn without(fold: usize, log: &Log, rows: &[Vec<f64>]) -> Self {
        let others = || {
            let decisions = log.decisions.iter().zip(rows).enumerate();
            decisions.filter(move |(index, _)| index % FOLDS != fold).map(|(_, both)| both)
        };
        let (count, sum) = others()
            .fold((0.0, 0.0), |(count, sum), (decision, _)| (count + 1.0, sum + decision.reward));
        let mean = if count > 0.0 {
            sum / count
        } else {
            f64::midpoint(log.rewards.low, log.rewards.high)
        };
        let mut of_arms: Vec<Vec<(&Decision, &Vec<f64>)>> = vec![Vec::new(); log.arms.len()];
        others().for_each(|(decision, row)| of_arms[decision.arm].push((decision, row)));
        let width = 1 + rows.first().map_or(0, Vec::len);
        let arms = of_arms.iter().map(|of_arm| ridge(of_arm, mean, width)).collect();
        Self { mean, arms }
    }

    fn predict(&self, arm: usize, row: &[f64]) -> f64 {
        let added = self.arms[arm].iter().zip(with_constant(row));
        self.mean + added.map(|(slope, value)| slope * value).sum::<f64>()
    }
}

fn with_constant(row: &[f64]) -> impl Iterator<Item = f64> + '_ {
    std::iter::once(1.0).chain(row.iter().copied())
}

/// The `b` with the least `sum (reward - mean - b x)^2 + PRIOR b^2` (Hoerl and Kennard, 1970).
fn ridge(decisions: &[(&Decision, &Vec<f64>)], mean: f64, width: usize) -> Vec<f64> {
    let mut products = vec![vec![0.0; width]; width];
    let mut sums = vec![0.0; width];
    for (decision, row) in decisions {
        let row: Vec<f64> = with_constant(row).collect();
        for (one, value) in row.iter().enumerate() {
            sums[one] += value * (decision.reward - mean);
            for (other, second) in row.iter().enumerate().take(one + 1) {
                products[one][other] += value * second;
            }
        }
    }
    for (index, row) in products.iter_mut().enumerate() {
        row[index] += PRIOR;
    }
    solve(products, sums)
}

/// Of a symmetric positive definite matrix, of which the lower half is given: Cholesky's
/// decomposition in place, then forward and back substitution.
fn solve(mut matrix: Vec<Vec<f64>>, mut values: Vec<f64>) -> Vec<f64> {
    let width = values.len();
    for row in 0..width {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| matrix[row][k] * matrix[column][k]).sum();
            let rest = matrix[row][column] - known;
            matrix[row][column] =
                if row == column { rest.sqrt() } else { rest / matrix[column][column] };
        }
    }
    for row in 0..width {
        let known: f64 = (0..row).map(|k| matrix[row][k] * values[k]).sum();
        values[row] = (values[row] - known) / matrix[row][row];
    }
    for row in (0..width).rev() {
        let known: f64 = (row + 1..width).map(|k| matrix[k][row] * values[k]).sum();
        values[row] = (values[row] - known) / matrix[row][row];
    }
    values
}

#[cfg(test)]
mod tests {
    use super::super::logged::Range;
    use super::*;
    use serde_json::json;

    #[test]
    fn matrix_is_solved() {
        let matrix = vec![vec![4.0, 0.0], vec![2.0, 3.0]];
        let solved = solve(matrix, vec![2.0, 5.0]);
        assert!((solved[0] + 0.5).abs() < 1e-12 && (solved[1] - 2.0).abs() < 1e-12, "{solved:?}");
    }

    #[test]
    fn linear_model_follows_the_context_and_the_arms_mean_does_not() {
        let decisions = (0..200).map(|index| {
            let x = f64::from(index % 10) / 10.0;
            Decision { arm: 0, reward: x, propensity: 1.0, context: json!({"x": x, "kind": "a"}) }
        });
        let log = Log {
            arms: vec!["a".to_owned()],
            decisions: decisions.collect(),
            rewards: Range::UNIT,
        };
        let error = |model| {
            let predicted = predict(&log, model);
            let errors = log.decisions.iter().zip(predicted);
            errors.map(|(decision, rewards)| (decision.reward - rewards[0]).abs()).sum::<f64>()
        };
        assert!(error(Model::Linear) < 2.0 && error(Model::Arm) > 40.0);
    }
}
