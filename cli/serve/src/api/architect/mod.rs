//! The Architect for other programs: as a REST API, and as MCP tools. Both are the operations of
//! `architect::operations` in the words of their door.

pub mod mcp;
mod rest;
mod schemas;

pub use rest::service;
