//! A server's discovery results, recorded per code digest: the shim answers discovery from this
//! record while Python starts.

use crate::protocol::mcp::{Era, HANDSHAKES, META_SERVER, STATELESS};
use crate::protocol::raw_object::RawObject;
use crate::protocol::wire;
use crate::state::signal::CONVERSATION_ARGUMENT;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub const SCHEMA: &str = "agent/discovery@1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Discovery {
    pub schema: String,
    /// The answer to `initialize`; absent where the server supports the stateless era only.
    pub handshake: Option<Value>,
    /// The answer to `server/discover`; absent where the server does not support it.
    pub stateless: Option<Value>,
    /// As listed, in that order.
    pub tools: Vec<Value>,
    /// The tools as listed in the stateless era, where the server was queried in both eras: some
    /// serialise a tool's members in another order there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateless_tools: Option<Vec<Value>>,
    /// Tools that the server hides from a client without capabilities.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub conditional: BTreeSet<String>,
    /// Its other lists, by method; absent in a record of an earlier `agent`, which recorded tools
    /// only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, Vec<Value>>,
}

/// What a server lists besides tools: the capability, the method, and the member of the result.
pub const LISTS: [(&str, &str, &str); 3] = [
    ("prompts", "prompts/list", "prompts"),
    ("resources", "resources/list", "resources"),
    ("resources", "resources/templates/list", "resourceTemplates"),
];

/// For how long a host may cache an answer, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime(pub u64);

impl Discovery {
    pub fn new(handshake: Option<Value>, stateless: Option<Value>, tools: Vec<Value>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            handshake,
            stateless,
            tools,
            stateless_tools: None,
            conditional: BTreeSet::new(),
            lists: BTreeMap::new(),
        }
    }

    /// With what a client without capabilities is listed: the rest is conditional.
    #[must_use]
    pub fn with_plain(self, plain: &[Value]) -> Self {
        let is_plain = |tool: &&Value| plain.iter().any(|other| other["name"] == tool["name"]);
        let hidden = self
            .tools
            .iter()
            .filter(|tool| !is_plain(tool))
            .filter_map(|tool| tool["name"].as_str().map(str::to_owned));
        Self { conditional: hidden.collect(), ..self }
    }

    /// The result of one of `LISTS`, where it was recorded.
    pub fn listed(&self, method: &str) -> Option<Value> {
        let (_, _, member) = LISTS.into_iter().find(|(_, known, _)| *known == method)?;
        Some(json!({ member: self.lists.get(method)? }))
    }

    /// With the server's results in the stateless era added.
    #[must_use]
    pub fn with_stateless(self, discovered: Value, tools: Vec<Value>) -> Self {
        Self { stateless: Some(discovered), stateless_tools: Some(tools), ..self }
    }

    /// Reads a record; `None` for another format.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|record: &Self| record.schema == SCHEMA)
    }

    /// Whether the record was made in that era.
    pub fn has_era(&self, era: Era) -> bool {
        match era {
            Era::Handshake => self.handshake.is_some(),
            Era::Stateless => self.stateless.is_some(),
        }
    }

    /// The server's capabilities for a host of that era.
    pub fn capabilities(&self, era: Era) -> &Value {
        let (own, other) = match era {
            Era::Handshake => (&self.handshake, &self.stateless),
            Era::Stateless => (&self.stateless, &self.handshake),
        };
        own.as_ref().or(other.as_ref()).map_or(&Value::Null, |result| &result["capabilities"])
    }

    /// Whether the server accepts the state with each call, as `agent_runtime` does: any other is
    /// restarted for another state.
    pub fn takes_state_by_call(&self) -> bool {
        self.capabilities(Era::Handshake)["experimental"].get(wire::STATE).is_some()
    }

    /// The newest revision of the handshake era it supports, where that is not the latest.
    pub fn newest_handshake(&self) -> Option<&'static str> {
        let version = self.handshake.as_ref()?["protocolVersion"].as_str()?;
        HANDSHAKES.into_iter().find(|known| *known == version)
    }

    /// The result of `initialize`.
    pub fn initialize(&self, revision: &str) -> Value {
        let mut result = match (&self.handshake, &self.stateless) {
            (Some(result), _) => result.clone(),
            (None, Some(discovered)) => {
                let mut result = json!({
                    "protocolVersion": revision, "capabilities": discovered["capabilities"],
                        "serverInfo": discovered["_meta"][META_SERVER],
                });
                copy(discovered, &mut result, "instructions");
                result
            }
            (None, None) => json!({"capabilities": {}}),
        };
        result["protocolVersion"] = json!(revision);
        self.add_ours(&mut result);
        result
    }

    /// The result of `server/discover`.
    pub fn discover(&self, lifetime: Lifetime) -> Value {
        let mut result = match (&self.stateless, &self.handshake) {
            (Some(discovered), _) => discovered.clone(),
            (None, Some(initialize_result)) => {
                let mut discovered = json!({"capabilities": initialize_result["capabilities"],
                    "_meta": {META_SERVER: initialize_result["serverInfo"]}});
                copy(initialize_result, &mut discovered, "instructions");
                discovered
            }
            (None, None) => json!({"capabilities": {}}),
        };
        result["resultType"] = json!("complete");
        result["supportedVersions"] = json!([STATELESS]);
        lifetime.stamp(&mut result);
        self.add_ours(&mut result);
        result
    }

    /// The result of `tools/list`: everything is on one page. `is_plain` for a host without
    /// capabilities.
    pub fn list(&self, era: Era, is_plain: bool, lifetime: Lifetime) -> Value {
        let listed =
            self.stateless_tools.as_ref().filter(|_| era == Era::Stateless).unwrap_or(&self.tools);
        let is_shown = |tool: &&Value| {
            !(is_plain && tool["name"].as_str().is_some_and(|name| self.conditional.contains(name)))
        };
        let tools: Vec<Value> = listed.iter().filter(is_shown).map(with_conversation).collect();
        let mut result = json!({ "tools": tools });
        if era == Era::Stateless {
            result["resultType"] = json!("complete");
            lifetime.stamp(&mut result);
            if let Some(server) =
                self.stateless.as_ref().and_then(|discovered| discovered["_meta"].get(META_SERVER))
            {
                result["_meta"] = json!({ META_SERVER: server });
            }
        }
        result
    }

    /// Capabilities the shim adds: `listChanged` for tools, and conversations as resources.
    fn add_ours(&self, initialize_result: &mut Value) {
        let capabilities = &mut initialize_result["capabilities"];
        if capabilities["tools"].is_object() {
            capabilities["tools"]["listChanged"] = json!(true);
        }
        if self.has_conversations() {
            if !capabilities["resources"].is_object() {
                capabilities["resources"] = json!({"listChanged": false});
            }
            capabilities["resources"]["subscribe"] = json!(true);
        }
    }

    /// Whether any tool takes part in conversations.
    pub fn has_conversations(&self) -> bool {
        self.tools.iter().any(|tool| is_stateful(tool) || takes_conversation(tool))
    }

    pub fn tool(&self, name: &str) -> Option<&Value> {
        self.tools.iter().find(|tool| tool["name"] == name)
    }

    /// Tools that are not what was recorded, with the way in which they differ.
    pub fn undeclared_tools(&self, real: &[Value]) -> BTreeMap<String, &'static str> {
        let by_name = |tools: &[Value]| -> BTreeMap<String, Value> {
            tools
                .iter()
                .filter_map(|tool| Some((tool["name"].as_str()?.to_owned(), tool.clone())))
                .collect()
        };
        let (recorded, real) = (by_name(&self.tools), by_name(real));
        let is_missing =
            |name: &&String| !real.contains_key(*name) && !self.conditional.contains(*name);
        let missing = recorded.keys().filter(is_missing).map(|name| (name.clone(), "is missing"));
        let others = real.iter().filter_map(|(name, tool)| match recorded.get(name) {
            None => Some((name.clone(), "is new")),
            Some(old) => (old != tool).then(|| (name.clone(), "is another")),
        });
        missing.chain(others).collect()
    }
}

/// `serverInfo` for a host: the name of the agent and the served version replace the name and
/// version of the server. Its other members (title, icons) are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub version: String,
}

impl Identity {
    /// Into the result of `initialize`.
    pub fn sign_initialize_result(&self, result: &mut Value) {
        self.sign(&mut result["serverInfo"]);
    }

    /// Into a result of the stateless era.
    pub fn sign_result(&self, result: &mut Value) {
        self.sign(&mut result["_meta"][META_SERVER]);
    }

    /// Replaces the server's own identity in a result; all other bytes stay as they are.
    pub fn signed(&self, result: Box<RawValue>) -> Box<RawValue> {
        if !result.get().contains(META_SERVER) {
            return result;
        }
        let Some(mut members) = RawObject::parse(&result) else { return result };
        let Some(mut meta) = members.object("_meta").filter(|meta| meta.get(META_SERVER).is_some())
        else {
            return result;
        };
        let mut server = meta.object(META_SERVER).unwrap_or_default();
        server.set("name", &self.name);
        server.set("version", &self.version);
        meta.set(META_SERVER, &server);
        members.set("_meta", &meta);
        members.to_raw()
    }

    fn sign(&self, server: &mut Value) {
        if !server.is_object() {
            *server = json!({});
        }
        server["name"] = json!(self.name);
        server["version"] = json!(self.version);
    }
}

impl Lifetime {
    fn stamp(self, result: &mut Value) {
        result["ttlMs"] = json!(self.0);
        result["cacheScope"] = json!("public");
    }
}

fn copy(from: &Value, to: &mut Value, member: &str) {
    if let Some(value) = from.get(member) {
        to[member] = value.clone();
    }
}

/// Whether the tool declares that it belongs to a conversation.
pub fn is_stateful(tool: &Value) -> bool {
    tool["_meta"].get(wire::CONVERSATION).is_some()
}

/// Whether the tool has the conversation's id among its own arguments.
pub fn takes_conversation(tool: &Value) -> bool {
    tool["inputSchema"]["properties"].get(CONVERSATION_ARGUMENT).is_some()
}

/// Whether a result of the tool may have the conversation's id among its structured content. A
/// schema that is more than a plain object is not second-guessed.
pub fn gives_conversation(tool: &Value) -> bool {
    const DECIDE_MORE: [&str; 12] = [
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "$ref",
        "enum",
        "const",
        "patternProperties",
        "propertyNames",
        "maxProperties",
        "unevaluatedProperties",
    ];
    let Some(schema) = tool.get("outputSchema") else { return true };
    let Some(schema) = schema.as_object() else { return false };
    let is_text = |schema: &Value| {
        *schema == json!(true) || *schema == json!({}) || *schema == json!({"type": "string"})
    };
    let is_named = schema
        .get("properties")
        .and_then(|properties| properties.get(CONVERSATION_ARGUMENT))
        .is_some();
    let takes_others = schema.get("additionalProperties").is_none_or(is_text);
    !is_named && takes_others && DECIDE_MORE.iter().all(|word| !schema.contains_key(*word))
}

/// A stateful tool with the optional argument by which a host continues a conversation.
fn with_conversation(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if !is_stateful(&tool) || takes_conversation(&tool) {
        return tool;
    }
    let schema = tool.get_mut("inputSchema").and_then(Value::as_object_mut);
    let properties = schema
        .and_then(|schema| schema.entry("properties").or_insert_with(|| json!({})).as_object_mut());
    if let Some(properties) = properties {
        let argument = json!({
            "type": "string",
            "description": "The conversation to go on with: the id that the first call gave back. \
            Leave it out to begin a new one.",
        });
        properties.insert(CONVERSATION_ARGUMENT.to_owned(), argument);
    }
    tool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_id_is_placed_where_the_output_schema_allows_it() {
        let given = |schema: Value| gives_conversation(&json!({"outputSchema": schema}));
        assert!(
            gives_conversation(&json!({}))
                && given(json!({"type": "object", "properties": {"n": {"type": "integer"}}}))
        );
        assert!(given(json!({"additionalProperties": {"type": "string"}})));
        for closed in [
            json!({"additionalProperties": false}),
            json!({"additionalProperties": {"type": "integer"}}),
            json!({"properties": {"conversation_id": {"type": "integer"}}}),
            json!({"anyOf": []}),
            json!(false),
        ] {
            assert!(!given(closed.clone()), "{closed}");
        }
    }

    fn tool(name: &str, extra: &Value) -> Value {
        let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
        for (key, value) in extra.as_object().unwrap() {
            tool[key] = value.clone();
        }
        tool
    }

    fn record(tools: Vec<Value>) -> Discovery {
        let initialize_result = json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "a", "version": "1"},
            "instructions": "ask",
        });
        Discovery::new(Some(initialize_result), None, tools)
    }

    #[test]
    fn either_protocol_era_is_answered_from_the_other() {
        let record = record(vec![tool("t", &json!({}))]);
        let discovered = record.discover(Lifetime(7));
        assert_eq!(
            discovered,
            json!({
                "capabilities": {"tools": {"listChanged": true}, "logging": {}},
                    "_meta": {META_SERVER: {"name": "a", "version": "1"}},
                "instructions": "ask", "resultType": "complete", "supportedVersions": [STATELESS],
                    "ttlMs": 7, "cacheScope": "public",
            })
        );
        let back = Discovery::new(None, Some(discovered), record.tools.clone());
        assert_eq!(
            back.initialize("2025-06-18")["serverInfo"],
            json!({"name": "a", "version": "1"})
        );
        assert_eq!(back.initialize("2025-06-18")["instructions"], "ask");
        assert_eq!(back.initialize("2025-06-18")["protocolVersion"], "2025-06-18");
        assert_eq!(record.list(Era::Handshake, true, Lifetime(7)), json!({"tools": record.tools}));
        assert_eq!(back.list(Era::Stateless, true, Lifetime(7))["_meta"][META_SERVER]["name"], "a");
    }

    #[test]
    fn server_info_names_the_agent_and_keeps_the_servers_members() {
        let own = Identity { name: "agent".to_owned(), version: "1.4.2".to_owned() };
        let mut record = record(Vec::new());
        record.handshake.as_mut().unwrap()["serverInfo"]["title"] = json!("A title");
        let expected = json!({"name": "agent", "version": "1.4.2", "title": "A title"});
        let mut initialize_result = record.initialize("2025-11-25");
        own.sign_initialize_result(&mut initialize_result);
        assert_eq!(
            (&initialize_result["serverInfo"], &initialize_result["instructions"]),
            (&expected, &json!("ask"))
        );
        let mut discovered = record.discover(Lifetime(7));
        own.sign_result(&mut discovered);
        assert_eq!(discovered["_meta"][META_SERVER], expected);
        // one without `serverInfo`
        let mut bare = Discovery::new(None, Some(json!({"capabilities": {}})), Vec::new())
            .initialize("2025-11-25");
        own.sign_initialize_result(&mut bare);
        assert_eq!(bare["serverInfo"], json!({"name": "agent", "version": "1.4.2"}));
        let signed = |text: &str| {
            own.signed(RawValue::from_string(text.to_owned()).unwrap()).get().to_owned()
        };
        let of_the_server = format!(
            r#"{{"n":1.10,"_meta":{{"x":1.0,"{META_SERVER}":{{"name":"s","title":"T","version":"9"}}}}}}"#
        );
        let of_ours = format!(
            r#"{{"n":1.10,"_meta":{{"x":1.0,"{META_SERVER}":{{"name":"agent","title":"T","version":"1.4.2"}}}}}}"#
        );
        assert_eq!(signed(&of_the_server), of_ours);
        for untouched in
            [r#"{"n":1.10}"#.to_owned(), format!(r#"{{"content":["{META_SERVER}"],"n":1.10}}"#)]
        {
            assert_eq!(signed(&untouched), untouched);
        }
    }

    #[test]
    fn a_stateful_tool_takes_a_conversation() {
        let stateful = tool("ask", &json!({"_meta": {wire::CONVERSATION: {}}}));
        let plain = tool("add", &json!({}));
        let own = tool(
            "own",
            &json!({"inputSchema": {"properties": {"conversation_id": {"type": "integer"}}}}),
        );
        let record = record(vec![stateful, plain.clone(), own.clone()]);
        let listed = record.list(Era::Handshake, true, Lifetime(0));
        assert_eq!(
            listed["tools"][0]["inputSchema"]["properties"][CONVERSATION_ARGUMENT]["type"],
            "string"
        );
        assert_eq!((&listed["tools"][1], &listed["tools"][2]), (&plain, &own));
        assert_eq!(record.initialize("2025-11-25")["capabilities"]["resources"]["subscribe"], true);
    }

    #[test]
    fn tool_that_needs_a_capability_is_listed_for_capable_clients() {
        let (plain, asks) = (tool("plain", &json!({})), tool("asks", &json!({})));
        let record = record(vec![plain.clone(), asks]).with_plain(std::slice::from_ref(&plain));
        let names = |is_plain| {
            record.list(Era::Handshake, is_plain, Lifetime(0))["tools"].as_array().map(Vec::len)
        };
        assert_eq!((names(true), names(false)), (Some(1), Some(2)));
        assert!(record.undeclared_tools(&[plain]).is_empty(), "to a client that lacks it");
        assert_eq!(record.undeclared_tools(&[]).into_keys().collect::<Vec<_>>(), ["plain"]);
        let kept = Discovery::parse(&serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!((kept.listed("prompts/list"), kept), (None, record));
    }

    #[test]
    fn difference_from_the_recorded_contract_is_named() {
        let record = record(vec![
            tool("same", &json!({})),
            tool("gone", &json!({})),
            tool("other", &json!({})),
        ]);
        let real = [
            tool("same", &json!({})),
            tool("other", &json!({"title": "x"})),
            tool("more", &json!({})),
        ];
        let undeclared_tools: Vec<_> = record.undeclared_tools(&real).into_iter().collect();
        assert_eq!(
            undeclared_tools,
            [
                ("gone".to_owned(), "is missing"),
                ("more".to_owned(), "is new"),
                ("other".to_owned(), "is another")
            ]
        );
    }
}
