//! git hooks: arguments and stdin are parsed into a typed event, which the legality table judges.

pub mod event;
pub mod judgement;
pub mod shim;
