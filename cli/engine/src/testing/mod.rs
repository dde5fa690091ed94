//! Tiers of a target: from the cache or run, and the evaluation they make.

pub mod cases;
mod error;
mod evaluation;
pub mod explain;
mod free;
mod history;
mod job;
pub mod judge;
mod known;
mod memo;
mod memory;
mod outcome;
pub mod parts;
mod pending;
pub mod precheck;
mod queue;
pub mod ray;
mod record;
mod request;
mod run;
mod scratch;
mod subject;
mod tier;
mod worker;

pub use error::TierFailure;
pub use evaluation::{ResultsKey, evaluation, evaluation_of, keep_once, store_evaluation};
pub use memo::{CacheKey, look_up};
pub use outcome::TierOutcome;
pub use request::{Executor, Request};
pub use run::{CasesRun, run_cases, run_tier, slow_cases};
pub use subject::defined;
