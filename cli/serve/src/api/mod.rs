//! The REST APIs of versions and of the Architect, and the Architect as an MCP server.

pub mod architect;
pub mod versions;
