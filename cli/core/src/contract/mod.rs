//! The Contract: the interface of a version towards its callers and the owners of its state.
//!
//! It is made of what Runner and Tuner answer to `tools/list`, and of the state's schema. Its
//! digest is in the commit's trailers, and the difference between two Contracts determines the bump
//! of a release.

pub mod assessment;
pub mod new_keys;

mod diff;
mod inclusion;
pub mod rules;
mod schemas;

pub use diff::{Change, bump, diff};

use crate::formats::canonical;
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::object_id::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const SCHEMA: &str = "agent/contract@1";
/// The keyword of a state schema that holds its version.
pub const STATE_VERSION_KEY: &str = "x-schema-version";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    schema: String,
    pub runner: Server,
    /// Absent where the manifest names no Tuner.
    pub tuner: Option<Server>,
    /// The state's JSON Schema; absent in a repository without one.
    pub state: Option<Value>,
}

/// The tools of one server by name, each as the server described it: nothing is dropped, so that
/// discovery can be answered from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub tools: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    #[error("the {server} lists a tool without a name: {tool}")]
    Nameless { server: &'static str, tool: String },
    #[error("the {server} lists the tool `{name}` twice")]
    Twice { server: &'static str, name: String },
    #[error("the {server}'s tool `{name}` has an `{key}` that is not a JSON object")]
    NoSchema { server: &'static str, name: String, key: &'static str },
    #[error("{origin}: {problem}")]
    Document { origin: String, problem: String },
}

impl Diagnose for ContractError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Nameless { .. } | Self::Twice { .. } | Self::NoSchema { .. } => {
                FailureKind::Child
            }
            Self::Document { .. } => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Twice { .. } => Some("give each tool a unique name".to_owned()),
            Self::Nameless { .. } | Self::NoSchema { .. } => {
                Some("see what the server answers to `tools/list`".to_owned())
            }
            Self::Document { .. } => None,
        }
    }
}

impl Contract {
    /// From the answers to `tools/list` and the parsed `state/schema.json`.
    pub fn new(
        runner: Vec<Value>,
        tuner: Option<Vec<Value>>,
        state: Option<Value>,
    ) -> Result<Self, ContractError> {
        Ok(Self {
            schema: SCHEMA.to_owned(),
            runner: Server::new("Runner", runner)?,
            tuner: tuner.map(|tools| Server::new("Tuner", tools)).transpose()?,
            state,
        })
    }

    /// Reads a stored Contract; `origin` names it in errors.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, ContractError> {
        let problem =
            |problem: String| ContractError::Document { origin: origin.to_owned(), problem };
        let contract: Self =
            serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
        if contract.schema == SCHEMA {
            return Ok(contract);
        }
        Err(problem(format!("its schema is `{}`; this `agent` reads `{SCHEMA}`", contract.schema)))
    }

    /// Canonical bytes: equal Contracts have equal bytes, whatever the order in which the servers
    /// listed things.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&serde_json::to_value(self).expect("a Contract is JSON"))
    }

    /// `sha256:<hex>` of the canonical bytes.
    pub fn digest(&self) -> String {
        digest(&self.to_bytes())
    }

    /// The version of the state schema, where it declares one.
    pub fn state_version(&self) -> Option<u64> {
        self.state.as_ref()?.get(STATE_VERSION_KEY)?.as_u64()
    }
}

impl Server {
    fn new(server: &'static str, listed: Vec<Value>) -> Result<Self, ContractError> {
        let mut tools = BTreeMap::new();
        for tool in listed {
            let Some(name) = tool.get("name").and_then(Value::as_str).map(str::to_owned) else {
                return Err(ContractError::Nameless { server, tool: tool.to_string() });
            };
            for key in ["inputSchema", "outputSchema"] {
                if tool.get(key).is_some_and(|schema| !schema.is_object()) {
                    return Err(ContractError::NoSchema { server, name, key });
                }
            }
            if tools.insert(name.clone(), tool).is_some() {
                return Err(ContractError::Twice { server, name });
            }
        }
        Ok(Self { tools })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_listing_changes_neither_bytes_nor_digest() {
        let (ask, search) = (
            json!({"name": "ask", "inputSchema": {"type": "object"}}),
            json!({"inputSchema": {"type": "object"}, "name": "search"}),
        );
        let one = Contract::new(vec![ask.clone(), search.clone()], None, None).unwrap();
        let two = Contract::new(vec![search, ask], None, None).unwrap();
        assert_eq!(one.to_bytes(), two.to_bytes());
        assert_eq!(Contract::parse(&one.to_bytes(), "stored").unwrap().digest(), two.digest());
    }

    #[test]
    fn invalid_tool_listings_are_reported() {
        let check = |tools: Value, expected: &str| {
            let error = Contract::new(tools.as_array().unwrap().clone(), None, None).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(json!([{"title": "x"}]), "the Runner lists a tool without a name: {\"title\":\"x\"}");
        check(json!([{"name": "a"}, {"name": "a"}]), "the Runner lists the tool `a` twice");
        check(
            json!([{"name": "a", "outputSchema": []}]),
            "the Runner's tool `a` has an `outputSchema` that is not a JSON object",
        );
    }

    #[test]
    fn a_document_of_another_schema_is_refused() {
        let error = Contract::parse(
            br#"{"schema":"agent/contract@9","runner":{"tools":{}},"tuner":null,"state":null}"#,
            "contracts/x.json",
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "contracts/x.json: its schema is `agent/contract@9`; this `agent` reads \
            `agent/contract@1`"
        );
    }
}
