//! The filter of `subscriptions/listen`.

use crate::mcp::conversation_uri::{SCHEME, UPDATED};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The notifications that a client of the stateless era subscribes to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    pub resource_subscriptions: Vec<String>,
}

impl Filter {
    /// The part of the filter that can be served.
    pub fn agreed(mut self, capabilities: &Value, has_conversations: bool) -> Self {
        let offers = |list: &str, what: &str| capabilities[list][what] == true;
        self.prompts_list_changed &= offers("prompts", "listChanged");
        self.resources_list_changed &= offers("resources", "listChanged");
        let subscribes = offers("resources", "subscribe");
        self.resource_subscriptions
            .retain(|uri| if uri.starts_with(SCHEME) { has_conversations } else { subscribes });
        self
    }

    pub fn shown(&self) -> Value {
        let kinds = [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ];
        let mut shown: Map<String, Value> = kinds
            .iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(kind, _)| ((*kind).to_owned(), json!(true)))
            .collect();
        if !self.resource_subscriptions.is_empty() {
            shown.insert("resourceSubscriptions".to_owned(), json!(self.resource_subscriptions));
        }
        Value::Object(shown)
    }

    /// The part of the filter that is forwarded to the server.
    pub fn upstream(&self) -> Self {
        let mut forwarded = self.clone();
        forwarded.resource_subscriptions.retain(|uri| !uri.starts_with(SCHEME));
        forwarded
    }

    pub fn is_empty(&self) -> bool {
        self.shown().as_object().is_none_or(Map::is_empty)
    }

    pub fn matches(&self, method: &str, uri: Option<&str>) -> bool {
        match (method, uri) {
            (UPDATED, Some(uri)) => self.resource_subscriptions.iter().any(|wanted| wanted == uri),
            ("notifications/tools/list_changed", _) => self.tools_list_changed,
            ("notifications/prompts/list_changed", _) => self.prompts_list_changed,
            ("notifications/resources/list_changed", _) => self.resources_list_changed,
            _ => false,
        }
    }
}
