//! Delivers the answer to a request: immediately, or in the frame of its batch.

use crate::mcp::client::Client;
use crate::mcp::frame_sink::RelatedRequest;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Clone)]
pub enum Reply {
    Single,
    Batch(Rc<Batch>),
}

impl Reply {
    pub fn give(&self, client: &Client, answer: String, id: Option<&RawValue>) {
        match self {
            Self::Single => {
                client.deliver(answer, id.map_or(RelatedRequest::Nothing, RelatedRequest::Answer));
            }
            Self::Batch(batch) => {
                batch.answers.borrow_mut().push((answer, id.map(ToOwned::to_owned)));
            }
        }
    }
}

/// Delivered as one frame when the last request of the batch is answered or cancelled.
pub struct Batch {
    client: Rc<Client>,
    answers: RefCell<Vec<(String, Option<Box<RawValue>>)>>,
}

impl Batch {
    pub fn of(client: &Rc<Client>) -> Rc<Self> {
        Rc::new(Self { client: Rc::clone(client), answers: RefCell::default() })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let answers = self.answers.take();
        if answers.is_empty() {
            return;
        }
        let related = answers
            .iter()
            .find_map(|(_, id)| id.as_deref())
            .map_or(RelatedRequest::Nothing, RelatedRequest::Answer);
        let frames: Vec<_> = answers.iter().map(|(answer, _)| answer.as_str()).collect();
        self.client.deliver(format!("[{}]", frames.join(",")), related);
    }
}
