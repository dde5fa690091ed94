//! From WHAT to what runs: a checkout of the code, one state, the manifest; its Runner, its Tuner,
//! its evaluators.

pub mod batch;
pub mod call;
pub mod confinement;
pub mod contracts;
mod definition;
pub mod effects;
mod error;
pub mod evaluators;
pub mod kept_staging;
pub mod migrations;
pub mod overlay;
pub mod replay;
mod resolution;
pub mod runner;
pub mod spec;
pub mod state_merge;
pub mod tuner;
pub mod withdrawal;

pub use definition::{STATE_SCHEMA_FILE, State, Target};
pub use error::{TargetError, TuningError};
