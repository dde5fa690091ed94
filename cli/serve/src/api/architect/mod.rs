//! The Architect for other programs: as a REST API and as MCP tools. Both map the operations of
//! `architect::operations` to their protocol.

pub mod mcp;
mod rest;
mod schemas;

pub use rest::service;
