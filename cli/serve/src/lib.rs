//! What others connect to: the MCP shim over stdio and HTTP (`mcp`), and the REST APIs of versions
//! and of the Architect (`api` on `rest`). `access` decides who may connect, `listen` binds,
//! `budget` bounds what bodies hold in memory.

pub mod access;
pub mod api;
pub mod budget;
pub mod listen;
pub mod mcp;
pub mod rest;
