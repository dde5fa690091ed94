//! How versions are made: promotion, release, rollback. Each observes, plans (in core), gathers
//! evidence, and publishes. And how they are compared afterwards, by what is kept of them.

pub mod kpi;
pub mod live;

pub mod bisection;
pub mod difference;
mod error;
pub mod evaluators;
pub mod evidence;
mod execution;
pub mod promotion;
pub mod publish;
mod pushed;
pub mod release;
pub mod rollback;
pub mod stored;

pub use error::{CandidateError, ReleaseError};
pub use publish::Outcome;
pub use pushed::{made_and_pushed, push_made, pushes_by_manifest, require_up_to_date};

/// The number of retries after a lost race before a conflict is reported.
const ATTEMPTS: usize = 8;
