//! The servers: the MCP shim over stdio and HTTP (`mcp`), and the REST APIs of versions and of the
//! Architect (`api` on `rest`). `access` checks Host, Origin and the token, `listen` binds sockets,
//! `budget` bounds the memory of request bodies.

pub mod access;
pub mod api;
pub mod budget;
pub mod listen;
pub mod mcp;
pub mod rest;
