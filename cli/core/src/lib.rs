//! The pure core of `agent`: types, formats, rules and plans.
//!
//! Nothing here depends on a clock, a file system, a process or git. The surrounding crates observe
//! the world, pass in values, and execute the plans that are returned.

pub mod adoption;
pub mod architect;
pub mod bisection;
pub mod canary;
pub mod child;
pub mod contract;
pub mod formats;
pub mod gate;
pub mod off_policy;
pub mod overlay;
pub mod protocol;
pub mod replay;
pub mod slo;
pub mod state;
pub mod statistics;
pub mod testing;
pub mod trigger;
pub mod verification;
pub mod version;
