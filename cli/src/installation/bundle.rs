//! An MCP bundle (`.mcpb`, manifest 0.3) with `agent` itself; the user chooses the agent repository
//! when installing it. The repository is not in the bundle: a copy would stop receiving its history
//! and learned state.

use crate::installation::server::Passed;
use crate::installation::zip::{Entry, archive};
use agent_core::child::confinement::is_secret;
use serde_json::{Map, Value, json};

const PROGRAM: &str = "server/agent";

/// The agent that a bundle is made for.
#[derive(Debug)]
pub struct About {
    pub name: String,
    /// Of the version that is served.
    pub version: String,
    pub author: String,
    /// Name and description of each tool.
    pub tools: Vec<(String, Option<String>)>,
    /// The Runner's environment variables: the user fills them in when installing the bundle.
    pub variables: Vec<Passed>,
}

impl About {
    /// The sentence that a registry shows; at most 100 characters.
    fn description(&self) -> String {
        format!("The Runner of {}, versioned and served by agent", self.name)
            .chars()
            .take(100)
            .collect()
    }

    fn manifest(&self) -> Value {
        let tools = self.tools.iter().map(|(name, description)| match description {
            Some(description) => json!({"name": name, "description": description}),
            None => json!({"name": name}),
        });
        json!({
            "manifest_version": "0.3",
            "name": self.name,
            "version": self.version,
            "description": self.description(),
            "long_description": "Serves an agent repository on this machine: its code and learned \
            state are versions in git. It needs git and Python on PATH.",
            "author": {"name": self.author},
            "server": {
                "type": "binary",
                "entry_point": PROGRAM,
                "mcp_config": {
                    "command": format!("${{__dirname}}/{PROGRAM}"),
                    "args": ["-C", "${user_config.repository}", "mcp", "runner"],
                    "env": self.environment(),
                },
            },
            "tools": tools.collect::<Vec<_>>(),
            // a promotion or a release may bring others
            "tools_generated": true,
            "compatibility": {"platforms": [if cfg!(target_os =
                "macos") { "darwin" } else { "linux" }]},
            "user_config": self.user_config(),
        })
    }

    /// Each variable takes the value of the field with its name.
    fn environment(&self) -> Map<String, Value> {
        self.variables
            .iter()
            .map(|Passed { name, .. }| (name.clone(), format!("${{user_config.{name}}}").into()))
            .collect()
    }

    fn user_config(&self) -> Map<String, Value> {
        let repository = json!({
            "type": "directory",
            "title": "Agent repository",
            "description": "The folder of the agent repository to serve.",
            "required": true,
        });
        let asked = |Passed { name, value, .. }: &Passed| {
            let mut field = json!({
                "type": "string",
                "title": name,
                "description": format!("The environment variable {name} of the server."),
                "sensitive": is_secret(name, value.as_deref().unwrap_or_default()),
                "required": value.is_none(),
            });
            if let Some(value) = value {
                field["default"] = json!(value);
            }
            (name.clone(), field)
        };
        std::iter::once(("repository".to_owned(), repository))
            .chain(self.variables.iter().map(asked))
            .collect()
    }
}

/// The bundle's bytes; `None` where `agent` is too large for the format.
pub fn bundle(about: &About, program: &[u8]) -> Option<Vec<u8>> {
    let manifest = serde_json::to_vec_pretty(&about.manifest()).expect("a manifest is JSON");
    archive(&[
        Entry { path: "manifest.json", bytes: &manifest, is_program: false },
        Entry { path: PROGRAM, bytes: program, is_program: true },
    ])
}

/// `server.json` of the MCP registry, for a bundle at a URL.
pub fn server_json(about: &About, name: &str, url: &str, sha256: &str) -> Value {
    json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": name,
        "description": about.description(),
        "version": about.version,
        "packages": [{
            "registryType": "mcpb",
            "identifier": url,
            "version": about.version,
            "fileSha256": sha256,
            "transport": {"type": "stdio"},
        }],
    })
}
