//! Off-policy evaluation: the value of a policy from decisions that another policy made.
//!
//! Each decision was logged with the probability that its arm was chosen (its propensity), and with
//! the reward that followed. A weight, the evaluated policy's probability over the propensity,
//! makes the logged rewards those of the evaluated policy on average: importance sampling.
//! `estimators` has four such estimators, `intervals` and `sequence` how far they can be off,
//! `weights` how many decisions they rest on. All are pure: equal logs give equal figures.

mod estimators;
mod evaluation;
mod features;
mod intervals;
pub mod log;
mod logged;
mod report;
mod reward_model;
pub mod rows;
mod sequence;
mod verdict;
mod weights;

pub use estimators::Estimator;
pub use evaluation::{Estimate, Evaluation, Method, PolicyValue, evaluate};
pub use intervals::Interval;
pub use logged::{Decision, Log, Policy, Range};
pub use report::{Names, SCHEMA};
pub use reward_model::Model;
pub use verdict::{Answer, Requirement, Verdict};
pub use weights::Weights;

#[cfg(test)]
mod tests;
