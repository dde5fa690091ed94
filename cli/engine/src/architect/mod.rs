//! The Architect: feedback in, a change to the code, the tiers, a version or a branch with a report
//! of why not.
//!
//! The state machine is in core (`architect::run`); this module carries its steps out.

mod briefing;
mod builtin;
mod cancellation;
mod change;
mod coder;
mod coders;
mod command;
mod error;
pub mod events;
mod failing_case;
mod footprint;
mod home;
mod not_started;
pub mod operations;
mod program;
mod run;
mod trial;
mod workplace;

pub use not_started::NotStarted;
pub use workplace::leftovers;
