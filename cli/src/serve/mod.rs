//! The MCP shim: a host's door to the Runner and the Tuner.
//!
//! `stdio` reads and answers lines, `shim` keeps the right child running, `runner` and `tuner` say what a call is.

pub(crate) mod frame;
pub(crate) mod rest;
pub(crate) mod runner;
pub(crate) mod shim;
pub(crate) mod stdio;
pub(crate) mod tuner;
pub(crate) mod versions;
