//! The body of a POST: one message, or a batch of them.

use crate::mcp::json_rpc::{self, Frame, Incoming, Wrong};
use agent_core::protocol::mcp;

pub(super) enum Posted {
    One(Box<Incoming>),
    Batch(Vec<Incoming>),
}

impl Posted {
    pub fn read(bytes: Vec<u8>) -> Result<Self, Wrong> {
        let text = String::from_utf8(bytes).map_err(|_| Wrong {
            id: None,
            error: json_rpc::error(mcp::PARSE_ERROR, "not UTF-8"),
        })?;
        match json_rpc::read(&text)? {
            Frame::One(message) => Ok(Self::One(message)),
            Frame::Batch(elements) if elements.is_empty() => Err(Wrong::request("an empty batch")),
            Frame::Batch(elements) => {
                let messages = elements.iter().map(|element| Incoming::read(element.get()));
                Ok(Self::Batch(messages.collect::<Result<_, _>>()?))
            }
        }
    }

    pub fn one(&self) -> Option<&Incoming> {
        match self {
            Self::One(message) => Some(message),
            Self::Batch(_) => None,
        }
    }

    pub fn all(&self) -> &[Incoming] {
        match self {
            Self::One(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }

    pub fn into_all(self) -> Vec<Incoming> {
        match self {
            Self::One(message) => vec![*message],
            Self::Batch(messages) => messages,
        }
    }
}
