//! Textual feedback: an item of the inbox, and its status.

use crate::formats::canonical;
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::object_id::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub const SCHEMA: &str = "agent/feedback@1";
/// The length limit: longer text is a document, which belongs in the repository.
pub const TEXT_LIMIT: usize = 32 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    pub schema: String,
    pub id: String,
    pub text: String,
    /// The conversation it is about.
    pub conversation: Option<String>,
    /// The source: `person`, `trigger`, `api`.
    pub source: String,
    /// RFC 3339, UTC.
    pub at: String,
    pub status: Status,
    /// The number of status changes: of two clones' copies, the one with more changes is newer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changes: u64,
    /// The number of withdrawn answers, whose version is no longer on `active`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reopened: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The status of an item. The run has the details.
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
    /// Withdrawn by its author.
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

    /// The precedence where two clones have different statuses of one item: a served answer, then
    /// the author's withdrawal.
    const fn weight(&self) -> u8 {
        match self {
            Self::Open | Self::Taken { .. } | Self::Refused { .. } | Self::NeedsPerson { .. } => 0,
            Self::Withdrawn => 1,
            Self::Answered { .. } => 2,
        }
    }

    /// The progress of a run, to break ties.
    const fn progress(&self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Taken { .. } => 1,
            Self::Refused { .. } => 2,
            Self::NeedsPerson { .. } => 3,
            Self::Withdrawn | Self::Answered { .. } => 4,
        }
    }

    /// Whether a run may take the item; `again`: the user requested this item explicitly.
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
    #[error("the feedback has {bytes} bytes; at most {TEXT_LIMIT} are accepted")]
    TooLong { bytes: usize },
    #[error("{origin} is not a feedback item: {problem}")]
    Document { origin: String, problem: String },
}

impl Diagnose for FeedbackError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Empty | Self::TooLong { .. } => FailureKind::Usage,
            Self::Document { .. } => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some(
                "describe the improvement: agent architect 'it does not understand plurals'"
                    .to_owned(),
            ),
            Self::TooLong { .. } => {
                Some("commit the long part to the repository and name it".to_owned())
            }
            Self::Document { .. } => None,
        }
    }
}

impl Feedback {
    /// A new item. The same text at the same time is the same item, so that a repeated request adds
    /// nothing.
    pub fn new(
        text: &str,
        conversation: Option<&str>,
        source: &str,
        at: &str,
    ) -> Result<Self, FeedbackError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(FeedbackError::Empty);
        }
        if text.len() > TEXT_LIMIT {
            return Err(FeedbackError::TooLong { bytes: text.len() });
        }
        let identity =
            digest(canonical::to_compact(&json!([text, conversation, source, at])).as_bytes());
        let short = identity.trim_start_matches("sha256:").get(..10).unwrap_or_default();
        Ok(Self {
            schema: SCHEMA.to_owned(),
            id: format!("f-{short}"),
            text: text.to_owned(),
            conversation: conversation.map(str::to_owned),
            source: source.to_owned(),
            at: at.to_owned(),
            status: Status::Open,
            changes: 0,
            reopened: 0,
        })
    }

    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, FeedbackError> {
        let problem =
            |problem: String| FeedbackError::Document { origin: origin.to_owned(), problem };
        let item: Self =
            serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
        if item.schema == SCHEMA {
            Ok(item)
        } else {
            Err(problem(format!("its schema is `{}`", item.schema)))
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&serde_json::to_value(self).expect("an item is JSON"))
    }

    /// The item with its status since.
    #[must_use]
    pub fn now(&self, status: Status) -> Self {
        let taken_back = matches!(self.status, Status::Answered { .. })
            && !matches!(status, Status::Answered { .. });
        Self {
            status,
            changes: self.changes + 1,
            reopened: self.reopened + u64::from(taken_back),
            ..self.clone()
        }
    }

    /// Merges two clones' records of one item: the greater in a total order, so that the join is
    /// commutative and idempotent.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let rank = |item: &Self| {
            (
                item.reopened,
                item.status.weight(),
                item.changes,
                item.status.progress(),
                item.to_bytes(),
            )
        };
        if rank(&other) > rank(&self) { other } else { self }
    }

    /// The first line, truncated for display, without control characters.
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
    use proptest::prelude::*;

    const AT: &str = "2026-11-22T12:00:00.000Z";

    #[test]
    fn an_item_reads_back_and_keeps_its_id() {
        let item =
            Feedback::new(" it does not understand plurals\n", Some("c1"), "person", AT).unwrap();
        assert_eq!(Feedback::parse(&item.to_bytes(), "items/x.json").unwrap(), item);
        assert_eq!(
            item.id,
            Feedback::new("it does not understand plurals", Some("c1"), "person", AT).unwrap().id
        );
        assert_ne!(
            item.id,
            Feedback::new("it does not understand plurals", None, "person", AT).unwrap().id
        );
    }

    #[test]
    fn empty_and_endless_feedback_is_refused() {
        assert_eq!(Feedback::new(" \n", None, "person", AT), Err(FeedbackError::Empty));
        let long = "x".repeat(TEXT_LIMIT + 1);
        assert_eq!(
            Feedback::new(&long, None, "person", AT),
            Err(FeedbackError::TooLong { bytes: TEXT_LIMIT + 1 })
        );
    }

    #[test]
    fn a_headline_fits_and_is_cut_between_characters() {
        let item = Feedback::new("für alle Fälle\nmehr", None, "person", AT).unwrap();
        assert_eq!(item.headline(40), "für alle Fälle");
        assert_eq!(item.headline(5), "für…");
        assert_eq!(Feedback::new("a\0b\tc", None, "person", AT).unwrap().headline(9), "a b c");
    }

    fn item(statuses: &[Status]) -> Feedback {
        let item = Feedback::new("it does not understand plurals", None, "person", AT).unwrap();
        statuses.iter().fold(item, |item, status| item.now(status.clone()))
    }

    fn run() -> String {
        "r-1".to_owned()
    }

    fn joined(one: &[Status], other: &[Status]) -> Status {
        let (one, other) = (item(one), item(other));
        assert_eq!(one.clone().join(other.clone()), other.clone().join(one.clone()));
        one.join(other).status
    }

    #[test]
    fn furthest_status_wins_when_clones_merge() {
        let (taken, refused) = (Status::Taken { run: run() }, Status::Refused { run: run() });
        let answered = Status::Answered { run: run(), version: "v0.2.0".to_owned() };
        assert_eq!(joined(&[], std::slice::from_ref(&taken)), taken);
        assert_eq!(
            joined(std::slice::from_ref(&taken), &[taken.clone(), Status::Open]),
            Status::Open,
            "the run was cancelled"
        );
        assert_eq!(
            joined(&[taken.clone(), refused.clone()], std::slice::from_ref(&Status::Withdrawn)),
            Status::Withdrawn
        );
        let again = [taken.clone(), refused.clone(), taken.clone(), refused.clone()];
        assert_eq!(joined(&again, &[taken.clone(), answered.clone()]), answered);
        assert_eq!(
            joined(std::slice::from_ref(&Status::Withdrawn), &[taken.clone(), answered.clone()]),
            answered
        );
        // a superseded version answers nothing
        assert_eq!(
            joined(&[taken.clone(), answered.clone(), refused.clone()], &[taken, answered]),
            refused
        );
    }

    #[test]
    fn item_without_a_change_counter_is_readable() {
        let item = Feedback::new("x", None, "person", AT).unwrap();
        assert!(!String::from_utf8(item.to_bytes()).unwrap().contains("changes"));
        assert_eq!(Feedback::parse(&item.to_bytes(), "items/x.json").unwrap().changes, 0);
    }

    fn any_status() -> impl Strategy<Value = Status> {
        let run = || "r-[12]";
        prop_oneof![
            Just(Status::Open),
            run().prop_map(|run| Status::Taken { run }),
            (run(), "v0\\.[12]\\.0").prop_map(|(run, version)| Status::Answered { run, version }),
            run().prop_map(|run| Status::Refused { run }),
            run().prop_map(|run| Status::NeedsPerson { run }),
            Just(Status::Withdrawn),
        ]
    }

    proptest! {
        #[test]
        fn items_join_in_any_order(
            statuses in proptest::array::uniform3(proptest::collection::vec(any_status(), 0..5)),
        ) {
            let [one, two, three] = statuses.map(|statuses| item(&statuses));
            let join = |one: &Feedback, two: &Feedback| one.clone().join(two.clone());
            prop_assert_eq!(join(&one, &two), join(&two, &one));
            prop_assert_eq!(join(&join(&one, &two), &three), join(&one, &join(&two, &three)));
            prop_assert_eq!(join(&one, &one), one.clone());
            // a later status of one clone wins over the earlier status of the other
            let later = two.now(Status::Withdrawn);
            prop_assert_eq!(join(&later, &two), later);
        }
    }
}
