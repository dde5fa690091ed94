//! One call of a Runner tool: the state and the conversation go in with it, the turn is kept.

use crate::conversations::{self, Conversation, ConversationError, Header, Turn};
use crate::runner::child::{CallResult, Child, ChildError};
use crate::target::Target;
use crate::world::clock;
use crate::world::layout::Layout;
use agent_core::wire;
use serde_json::{Map, Value, json};
use std::time::Instant;

/// What a call is made under.
pub struct Call<'a> {
    pub target: &'a Target,
    pub layout: &'a Layout,
    pub conversation: Option<&'a str>,
    pub tool: &'a str,
    pub arguments: &'a Map<String, Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Conversation(#[from] ConversationError),
}

impl agent_core::diagnose::Diagnose for CallError {
    fn exit(&self) -> agent_core::diagnose::Exit {
        match self {
            Self::Child(error) => error.exit(),
            Self::Conversation(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Child(error) => error.hint(),
            Self::Conversation(error) => error.hint(),
        }
    }
}

/// A finished call.
pub struct Called {
    pub result: CallResult,
    pub duration_ms: f64,
}

impl Call<'_> {
    pub async fn make(&self, child: &Child) -> Result<Called, CallError> {
        let kept = self.conversation.map(|id| conversations::load(self.layout, id)).transpose()?.flatten();
        let started = Instant::now();
        let mut arguments = self.arguments.clone();
        self.name_conversation(&mut arguments, child).await?;
        let result = child.call(self.tool, &Value::Object(arguments), self.meta(kept.as_ref())).await?;
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        if let Some(id) = self.conversation {
            self.keep_turn(id, kept, &result, duration_ms)?;
        }
        Ok(Called { result, duration_ms })
    }

    /// A tool that takes a `conversation_id` is told the one that was named beside the arguments.
    async fn name_conversation(&self, arguments: &mut Map<String, Value>, child: &Child) -> Result<(), ChildError> {
        const ARGUMENT: &str = "conversation_id";
        let Some(id) = self.conversation.filter(|_| !arguments.contains_key(ARGUMENT)) else {
            return Ok(());
        };
        let tools = child.tools().await?;
        let takes_it = tools.iter().any(|tool| tool["name"] == self.tool && tool["inputSchema"]["properties"].get(ARGUMENT).is_some());
        if takes_it {
            arguments.insert(ARGUMENT.to_owned(), json!(id));
        }
        Ok(())
    }

    fn meta(&self, kept: Option<&Conversation>) -> Map<String, Value> {
        let state = &self.target.state;
        let mut meta = Map::from_iter([(wire::STATE.to_owned(), json!({"revision": state.revision, "path": state.path}))]);
        if let Some(id) = self.conversation {
            let turn = kept.map_or(1, Conversation::next_turn);
            let data = kept.map(Conversation::data).unwrap_or_default();
            meta.insert(wire::CONVERSATION.to_owned(), json!({"id": id, "turn": turn, "data": data}));
        }
        meta
    }

    fn keep_turn(&self, id: &str, kept: Option<Conversation>, result: &CallResult, duration_ms: f64) -> Result<(), ConversationError> {
        let now = clock::rfc3339(clock::now());
        let version = self.target.version.as_ref().map(ToString::to_string);
        let revision = self.target.state.revision.clone();
        let said = result.meta(wire::CONVERSATION);
        let part = |name: &str| said.and_then(|said| said.get(name)).and_then(Value::as_object).cloned();
        let data = part("data").or_else(|| kept.as_ref().map(Conversation::data)).unwrap_or_default();
        let turn = Turn {
            turn: kept.as_ref().map_or(1, Conversation::next_turn),
            tool: self.tool.to_owned(),
            arguments: Value::Object(self.arguments.clone()),
            is_error: result.is_error(),
            facts: part("facts").unwrap_or_default(),
            data,
            version: version.clone(),
            revision: revision.clone(),
            at: now.clone(),
            duration_ms,
        };
        let header = kept.map_or_else(
            || Header {
                schema: conversations::SCHEMA.to_owned(),
                id: id.to_owned(),
                version,
                commit: self.target.commit.clone(),
                revision,
                opened: now,
            },
            |kept| kept.header,
        );
        conversations::append(self.layout, &header, &turn)
    }
}
