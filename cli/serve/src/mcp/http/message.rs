//! The body of a POST: one message, or a batch of them.

use crate::mcp::json_rpc::{self, Incoming, Wrong};
use agent_core::protocol::mcp;
use serde_json::value::RawValue;

/// A message with the text it was read from.
pub(super) struct Message {
    pub text: String,
    pub incoming: Incoming,
}

impl Message {
    fn read(text: String) -> Result<Self, Wrong> {
        Ok(Self { incoming: Incoming::read(&text)?, text })
    }

    /// The id, when it is a request: it asks for an answer.
    pub fn request(&self) -> Option<&RawValue> {
        self.incoming.id.as_deref().filter(|_| self.incoming.method.is_some())
    }

    pub fn is(&self, method: &str) -> bool {
        self.incoming.method.as_deref() == Some(method)
    }
}

pub(super) enum Posted {
    One(Message),
    Batch(Vec<Message>),
}

impl Posted {
    pub fn read(bytes: Vec<u8>) -> Result<Self, Wrong> {
        let text = String::from_utf8(bytes).map_err(|_| Wrong { id: None, error: json_rpc::error(mcp::PARSE_ERROR, "not UTF-8") })?;
        match json_rpc::batch(&text)? {
            None => Ok(Self::One(Message::read(text)?)),
            Some(elements) if elements.is_empty() => Err(Wrong::request("an empty batch")),
            Some(elements) => {
                let messages = elements.iter().map(|element| Message::read(element.get().to_owned()));
                Ok(Self::Batch(messages.collect::<Result<_, _>>()?))
            }
        }
    }

    pub fn one(&self) -> Option<&Message> {
        match self {
            Self::One(message) => Some(message),
            Self::Batch(_) => None,
        }
    }

    pub fn all(&self) -> &[Message] {
        match self {
            Self::One(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }
}
