//! The Architect, as far as it is pure: how a run goes on, which paths a change may touch, what the
//! builtin coder can apply, what a coder is told.

pub mod feedback;

pub mod brief;
pub mod evaluators;
pub mod home;
pub mod inspiration;
pub mod paths;
pub mod run;
