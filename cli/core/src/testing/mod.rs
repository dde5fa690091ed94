//! Cases and their results: expectations, scores, budgets, evaluations, cached results.

pub mod attempt;
pub mod budget;
pub mod budget_edit;
pub mod cached_result;
pub mod case;
pub mod case_result;
pub mod comparison;
pub mod definitions;
pub mod evaluation;
pub mod event;
pub mod expectation;
pub mod grouping;
pub mod judgement;
pub mod merge;
pub mod opinion;
pub mod part;
pub mod quarantine;
pub mod ranking;
pub mod repetition;
pub mod scratch;
pub mod similarity;
