//! Commit trailers: the version, and the digests of its evidence, live in the commit itself.
//!
//! Tags and everything else are a function of these, so a command that finds something missing can
//! make it again.

use crate::formats::object_id::ObjectId;
use crate::version::{self, Kind};
use semver::Version;

pub const KIND: &str = "Agent-Kind";
pub const VERSION: &str = "Agent-Version";
pub const STATE: &str = "Agent-State";
pub const BASE: &str = "Agent-Base";
pub const JOURNAL: &str = "Agent-Journal";
pub const EVAL: &str = "Agent-Eval";
pub const GATE: &str = "Agent-Gate";
pub const CONTRACT: &str = "Agent-Contract";
pub const FEEDBACK: &str = "Agent-Feedback";
pub const CODER: &str = "Agent-Coder";
pub const UNDOES: &str = "Agent-Undoes";
pub const LEDGER: &str = "Agent-Ledger";
pub const INBOX: &str = "Agent-Inbox";

/// The trailer value for an empty record.
const NO_RECORD: &str = "none";

/// The commit of a record (the gate's ledger, the inbox) that a version was made with.
///
/// It is the commit and not a digest of the content: a join of two clones' records has both their
/// commits among its ancestors, so a version can still be found in a record that has grown since,
/// and what it was made with can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordHead {
    /// There was no record yet.
    None,
    At(ObjectId),
}

impl RecordHead {
    /// The commit, where there was a record.
    pub const fn commit(&self) -> Option<&ObjectId> {
        match self {
            Self::None => None,
            Self::At(commit) => Some(commit),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == NO_RECORD { Some(Self::None) } else { ObjectId::parse(text).map(Self::At) }
    }
}

impl std::fmt::Display for RecordHead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.commit().map_or(NO_RECORD, ObjectId::as_str))
    }
}

/// The coder of a change that a maintainer accepted.
pub const PERSON: &str = "person";

/// Whether a version by this coder was released without a maintainer's decision.
pub fn is_unattended(coder: Option<&str>) -> bool {
    coder.is_some_and(|coder| coder != PERSON)
}

/// The trailers in the last paragraph of a commit message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trailers {
    pub kind: Option<Kind>,
    pub version: Option<Version>,
    /// The Revision of `state/active.state.json` in the commit's tree.
    pub state: Option<ObjectId>,
    /// The commit of the version this one was made from and compared with.
    pub base: Option<ObjectId>,
    /// Digest of the sealed Journal that led from the base's state to this one.
    pub journal: Option<String>,
    /// Digest of the evaluation that let the version pass.
    pub eval: Option<String>,
    /// Digest of the gate's record; absent in versions of an `agent` that kept none.
    pub gate: Option<String>,
    /// Digest of the Contract.
    pub contract: Option<String>,
    /// Feedback items this version answers.
    pub feedback: Vec<String>,
    pub coder: Option<String>,
    /// Versions a rollback takes out of service: they count as yanked.
    pub undoes: Vec<Version>,
    /// The gate's ledger that the version was made with; `None` for versions from before this was
    /// recorded.
    pub ledger: Option<RecordHead>,
    /// The inbox that the version was made with; `None` likewise.
    pub inbox: Option<RecordHead>,
    /// Other trailers, in their order.
    pub other: Vec<(String, String)>,
    /// Agent trailers that are malformed or duplicated.
    pub malformed: Vec<(String, String)>,
}

impl Trailers {
    /// Reads the trailers of a commit message; a message without any gives the empty ones.
    pub fn parse(message: &str) -> Self {
        let mut trailers = Self::default();
        for (key, value) in last_paragraph(message) {
            trailers.take(key, value);
        }
        trailers
    }

    /// The kind and version of a commit that is a Version; `None` for every other commit.
    pub fn as_version(&self) -> Option<(Kind, &Version)> {
        Some((self.kind?, self.version.as_ref()?))
    }

    /// The value of another trailer.
    pub fn other(&self, key: &str) -> Option<&str> {
        self.other
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.as_str())
    }

    /// A complete commit message: subject, body, trailers.
    pub fn message(&self, subject: &str, body: &str) -> String {
        let mut parts = vec![one_line(subject)];
        if !body.trim().is_empty() {
            parts.push(body.trim().to_owned());
        }
        let lines = self.lines();
        if !lines.is_empty() {
            parts.push(lines.join("\n"));
        }
        parts.join("\n\n") + "\n"
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = |key: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("{key}: {}", one_line(&value))));
        };
        line(KIND, self.kind.map(|kind| kind.as_str().to_owned()));
        line(VERSION, self.version.as_ref().map(Version::to_string));
        line(STATE, self.state.as_ref().map(ObjectId::to_string));
        line(BASE, self.base.as_ref().map(ObjectId::to_string));
        line(JOURNAL, self.journal.clone());
        line(EVAL, self.eval.clone());
        line(GATE, self.gate.clone());
        line(CONTRACT, self.contract.clone());
        self.feedback.iter().for_each(|item| line(FEEDBACK, Some(item.clone())));
        line(CODER, self.coder.clone());
        self.undoes.iter().for_each(|undone| line(UNDOES, Some(undone.to_string())));
        line(LEDGER, self.ledger.as_ref().map(RecordHead::to_string));
        line(INBOX, self.inbox.as_ref().map(RecordHead::to_string));
        self.other.iter().for_each(|(key, value)| line(key, Some(value.clone())));
        lines
    }

    fn take(&mut self, key: &str, value: String) {
        let known = [
            KIND, VERSION, STATE, BASE, JOURNAL, EVAL, GATE, CONTRACT, FEEDBACK, CODER, UNDOES,
            LEDGER, INBOX,
        ];
        let Some(known) = known.into_iter().find(|known| known.eq_ignore_ascii_case(key)) else {
            self.other.push((key.to_owned(), value));
            return;
        };
        let taken = match known {
            KIND => fill(&mut self.kind, Kind::parse(&value)),
            VERSION => fill(&mut self.version, parse_version(&value)),
            STATE => fill(&mut self.state, ObjectId::parse(&value)),
            BASE => fill(&mut self.base, ObjectId::parse(&value)),
            JOURNAL => fill(&mut self.journal, Some(value.clone())),
            EVAL => fill(&mut self.eval, Some(value.clone())),
            GATE => fill(&mut self.gate, Some(value.clone())),
            CONTRACT => fill(&mut self.contract, Some(value.clone())),
            CODER => fill(&mut self.coder, Some(value.clone())),
            LEDGER => fill(&mut self.ledger, RecordHead::parse(&value)),
            INBOX => fill(&mut self.inbox, RecordHead::parse(&value)),
            UNDOES => parse_version(&value).map(|version| self.undoes.push(version)).is_some(),
            _ => {
                self.feedback.push(value.clone());
                true
            }
        };
        if !taken {
            self.malformed.push((known.to_owned(), value));
        }
    }
}

/// Sets the value if it is not set yet: a second value would make the commit ambiguous.
fn fill<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let free = slot.is_none() && value.is_some();
    if free {
        *slot = value;
    }
    free
}

fn parse_version(text: &str) -> Option<Version> {
    version::from_tag(&format!("v{}", text.strip_prefix('v').unwrap_or(text)))
}

/// A value as one line, so that external text cannot inject a trailer.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The `Key: value` lines of the last paragraph when all of it is such lines (folded ones
/// included); the subject is none.
fn last_paragraph(message: &str) -> Vec<(&str, String)> {
    let lines: Vec<&str> = message.trim_end().lines().collect();
    let Some(blank) = lines.iter().rposition(|line| line.trim().is_empty()) else {
        return Vec::new();
    };
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in &lines[blank + 1..] {
        if line.starts_with([' ', '\t']) {
            match found.last_mut() {
                Some((_, value)) => *value = format!("{value} {}", line.trim()),
                None => return Vec::new(),
            }
        } else if let Some((key, value)) = line.split_once(':').filter(|(key, _)| is_key(key)) {
            found.push((key, value.trim().to_owned()));
        } else {
            return Vec::new();
        }
    }
    found
}

/// The body of a commit message: the text between subject and trailers.
pub fn body(message: &str) -> &str {
    let message = message.trim_end();
    let text = message.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    if last_paragraph(message).is_empty() {
        return text;
    }
    text.rsplit_once("\n\n").map_or("", |(body, _)| body.trim_end())
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";

    fn check(message: &str, expected: &Trailers) {
        assert_eq!(&Trailers::parse(message), expected, "{message}");
    }

    fn whole() -> Trailers {
        Trailers {
            kind: Some(Kind::Rollback),
            version: Some(Version::new(0, 1, 3)),
            state: ObjectId::parse(ID),
            base: ObjectId::parse(ID),
            journal: Some("sha256:aa".to_owned()),
            eval: Some("sha256:bb".to_owned()),
            gate: Some("sha256:dd".to_owned()),
            contract: Some("sha256:cc".to_owned()),
            feedback: vec!["f-1".to_owned(), "f-2".to_owned()],
            coder: Some("builtin".to_owned()),
            undoes: vec![Version::new(0, 1, 2)],
            ledger: ObjectId::parse(ID).map(RecordHead::At),
            inbox: Some(RecordHead::None),
            other: vec![("Signed-off-by".to_owned(), "A <a@b>".to_owned())],
            malformed: Vec::new(),
        }
    }

    #[test]
    fn trailers_round_trip() {
        check(&whole().message("rollback to v0.1.1", "Why.\n\nAnd how."), &whole());
        check(&whole().message("no body", ""), &whole());
    }

    #[test]
    fn body_is_between_subject_and_trailers() {
        assert_eq!(
            body(&whole().message("rollback to v0.1.1", "Why.\n\nAnd how.")),
            "Why.\n\nAnd how."
        );
        assert_eq!(body(&whole().message("no body", "")), "");
        assert_eq!(
            (body("subject alone"), body("subject\n\nprose: of\nits own")),
            ("", "prose: of\nits own")
        );
    }

    #[test]
    fn user_text_cannot_inject_a_trailer() {
        let trailers =
            Trailers { coder: Some("x\n\nAgent-Version: 9.9.9".to_owned()), ..Trailers::default() };
        let message =
            trailers.message("subject\nAgent-Kind: release", "body\n\nAgent-Version: 8.8.8");
        check(
            &message,
            &Trailers { coder: Some("x Agent-Version: 9.9.9".to_owned()), ..Trailers::default() },
        );
    }

    #[test]
    fn prose_paragraph_is_not_a_trailer_block() {
        check("fix: a thing", &Trailers::default());
        check("fix: a thing\n\nAgent-Version: 1.0.0 was bad\nand so on", &Trailers::default());
        check("subject\n\n  folded: first", &Trailers::default());
    }

    #[test]
    fn duplicate_or_empty_value_is_malformed() {
        let expected = Trailers {
            version: Some(Version::new(1, 0, 0)),
            malformed: vec![
                (VERSION.to_owned(), "1.0.1".to_owned()),
                (KIND.to_owned(), "banana".to_owned()),
            ],
            ..Trailers::default()
        };
        check("s\n\nAgent-Version: v1.0.0\nagent-version: 1.0.1\nAgent-Kind: banana\n", &expected);
        let expected = Trailers {
            malformed: vec![(LEDGER.to_owned(), "some".to_owned())],
            ..Trailers::default()
        };
        check("s\n\nAgent-Ledger: some\n", &expected);
    }

    #[test]
    fn a_folded_value_is_one_value() {
        let expected = Trailers { coder: Some("a long name".to_owned()), ..Trailers::default() };
        check("s\n\nAgent-Coder: a long\n  name", &expected);
    }
}
