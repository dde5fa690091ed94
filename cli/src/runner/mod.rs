//! Speaks JSON-RPC to the Python children, in raw frames, so that no field is lost in passing.
//!
//! `link` moves frames of one child, `child` matches answers to many callers.

pub mod child;
pub mod link;
