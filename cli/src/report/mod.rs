//! What people and other programs are shown: folds over events and outcomes.

pub mod progress;
pub mod svg;
