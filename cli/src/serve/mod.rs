//! The MCP shim: a host's door to the Runner and the Tuner.
//!
//! `stdio` and `http` carry frames, `session` is one host, `shim` answers, `pool` keeps the right children running and `hearing` passes on what they
//! say unasked; `runner` and `tuner` say what a call is, `tasks` who made one whose result comes later, `resources` shows conversations, `watching` sees what moves.
//! `promoting` has staging promote itself.

pub(crate) mod access;
pub(crate) mod architect;
pub(crate) mod budget;
pub(crate) mod frame;
pub(crate) mod hearing;
pub(crate) mod http;
pub(crate) mod listen;
pub(crate) mod pool;
pub(crate) mod promoting;
pub(crate) mod resources;
pub(crate) mod rest;
pub(crate) mod runner;
pub(crate) mod session;
pub(crate) mod shim;
pub(crate) mod stdio;
pub(crate) mod tasks;
pub(crate) mod tuner;
pub(crate) mod versions;
pub(crate) mod watching;
