//! Textual feedback: an item of the inbox, and what became of it.

use crate::canonical;
use crate::diagnose::{Diagnose, Exit};
use crate::object_id::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub const SCHEMA: &str = "agent/feedback@1";
/// Longer than this is no feedback but a document; it belongs into the repository.
pub const TEXT_LIMIT: usize = 32 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    pub schema: String,
    pub id: String,
    pub text: String,
    /// The conversation it is about.
    pub conversation: Option<String>,
    /// Who or what said it: `person`, `trigger`, `api`.
    pub source: String,
    /// RFC 3339, UTC.
    pub at: String,
    pub status: Status,
}

/// What became of an item. The run tells the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Status {
    /// Waits for a run.
    Open,
    /// A run works on it.
    Taken { run: String },
    /// A version answers it.
    Answered { run: String, version: String },
    /// A run tried and did not get there; it can be run again.
    Refused { run: String },
    /// No run can do it alone.
    NeedsPerson { run: String },
    /// Taken back by whoever gave it.
    Withdrawn,
}

impl Status {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Taken { .. } => "taken",
            Self::Answered { .. } => "answered",
            Self::Refused { .. } => "refused",
            Self::NeedsPerson { .. } => "needs-person",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether a run may take the item; `again` says that somebody asked for this very item.
    pub const fn can_be_run(&self, again: bool) -> bool {
        match self {
            Self::Open => true,
            Self::Refused { .. } | Self::NeedsPerson { .. } => again,
            Self::Taken { .. } | Self::Answered { .. } | Self::Withdrawn => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    #[error("the feedback is empty")]
    Empty,
    #[error("the feedback has {bytes} bytes; at most {TEXT_LIMIT} are taken")]
    TooLong { bytes: usize },
    #[error("{origin} is no feedback item: {problem}")]
    Document { origin: String, problem: String },
}

impl Diagnose for FeedbackError {
    fn exit(&self) -> Exit {
        match self {
            Self::Empty | Self::TooLong { .. } => Exit::Usage,
            Self::Document { .. } => Exit::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some("say what should be better: agent architect 'it does not understand plurals'".to_owned()),
            Self::TooLong { .. } => Some("commit the long part to the repository and name it".to_owned()),
            Self::Document { .. } => None,
        }
    }
}

impl Feedback {
    /// A new item. The same words at the same moment are the same item, so that a repeated request adds nothing.
    pub fn new(text: &str, conversation: Option<&str>, source: &str, at: &str) -> Result<Self, FeedbackError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(FeedbackError::Empty);
        }
        if text.len() > TEXT_LIMIT {
            return Err(FeedbackError::TooLong { bytes: text.len() });
        }
        let identity = digest(canonical::to_compact(&json!([text, conversation, source, at])).as_bytes());
        let short = identity.trim_start_matches("sha256:").get(..10).unwrap_or_default();
        Ok(Self {
            schema: SCHEMA.to_owned(),
            id: format!("f-{short}"),
            text: text.to_owned(),
            conversation: conversation.map(str::to_owned),
            source: source.to_owned(),
            at: at.to_owned(),
            status: Status::Open,
        })
    }

    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, FeedbackError> {
        let problem = |problem: String| FeedbackError::Document { origin: origin.to_owned(), problem };
        let item: Self = serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
        if item.schema == SCHEMA { Ok(item) } else { Err(problem(format!("its schema is `{}`", item.schema))) }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&serde_json::to_value(self).expect("an item is JSON"))
    }

    /// The first line, cut to fit where one line is shown, without what is no character to be shown.
    pub fn headline(&self, most: usize) -> String {
        let line = self.text.lines().next().unwrap_or_default().replace(char::is_control, " ");
        if line.chars().count() <= most {
            return line;
        }
        let kept: String = line.chars().take(most.saturating_sub(1)).collect();
        format!("{}…", kept.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-22T12:00:00.000Z";

    #[test]
    fn an_item_reads_back_and_keeps_its_id() {
        let item = Feedback::new(" it does not understand plurals\n", Some("c1"), "person", AT).unwrap();
        assert_eq!(Feedback::parse(&item.to_bytes(), "items/x.json").unwrap(), item);
        assert_eq!(item.id, Feedback::new("it does not understand plurals", Some("c1"), "person", AT).unwrap().id);
        assert_ne!(item.id, Feedback::new("it does not understand plurals", None, "person", AT).unwrap().id);
    }

    #[test]
    fn empty_and_endless_feedback_is_refused() {
        assert_eq!(Feedback::new(" \n", None, "person", AT), Err(FeedbackError::Empty));
        let long = "x".repeat(TEXT_LIMIT + 1);
        assert_eq!(Feedback::new(&long, None, "person", AT), Err(FeedbackError::TooLong { bytes: TEXT_LIMIT + 1 }));
    }

    #[test]
    fn a_headline_fits_and_is_cut_between_characters() {
        let item = Feedback::new("für alle Fälle\nmehr", None, "person", AT).unwrap();
        assert_eq!(item.headline(40), "für alle Fälle");
        assert_eq!(item.headline(5), "für…");
        assert_eq!(Feedback::new("a\0b\tc", None, "person", AT).unwrap().headline(9), "a b c");
    }
}
