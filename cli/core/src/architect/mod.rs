//! The pure part of the Architect: the state machine of a run, the paths a change may touch, the
//! changes of the builtin coder, and the brief for a coder.

pub mod feedback;

pub mod brief;
pub mod evaluators;
pub mod home;
pub mod inspiration;
pub mod paths;
pub mod run;
