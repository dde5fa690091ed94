//! The Architect: feedback in, a change to the code, the tiers, a version or a branch with a report
//! of why not.
//!
//! The state machine is in core (`architect::run`); this room carries its steps out.

mod briefing;
mod builtin;
mod cancellation;
mod change;
mod coder;
mod coders;
mod command;
pub mod events;
mod failing_case;
mod footprint;
mod home;
pub mod operations;
mod program;
mod run;
mod trial;
mod workplace;

pub use run::{Assignment, accept, cancel, conduct, runnable};
pub use workplace::left_in;
