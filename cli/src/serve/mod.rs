//! The MCP shim: a host's door to the Runner and the Tuner.

pub mod frame;
pub mod runner;
pub mod stdio;
