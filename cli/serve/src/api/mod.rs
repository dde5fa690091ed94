//! The two REST APIs, and the Architect as an MCP server.

pub mod architect;
pub mod versions;
