//! The pure heart of `agent`: words, formats, rules and plans.
//!
//! Nothing here knows a clock, a file system, a process or git. The rooms around it observe the
//! world, hand in values, and carry out what comes back.

pub mod adoption;
pub mod architect;
pub mod bisection;
pub mod child;
pub mod contract;
pub mod formats;
pub mod gate;
pub mod protocol;
pub mod state;
pub mod statistics;
pub mod testing;
pub mod verification;
pub mod version;
