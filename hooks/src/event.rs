//! Parses a hook's arguments and stdin into a typed event.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use std::fmt;
use std::str::FromStr;

/// The hooks that `agent` implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookName {
    PreCommit,
    /// Run by git instead of `pre-commit` when a merge commits automatically.
    PreMergeCommit,
    PrePush,
    Update,
    PreReceive,
    ReferenceTransaction,
}

impl HookName {
    pub const ALL: [Self; 6] = [
        Self::PreCommit,
        Self::PreMergeCommit,
        Self::PrePush,
        Self::Update,
        Self::PreReceive,
        Self::ReferenceTransaction,
    ];
    /// Installed in working copies.
    pub const CLIENT: [Self; 3] = [Self::PreCommit, Self::PreMergeCommit, Self::PrePush];
    /// Installed in bare repositories. git runs `update` for each ref, with the pushed objects
    /// visible.
    pub const SERVER: [Self; 1] = [Self::Update];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PreMergeCommit => "pre-merge-commit",
            Self::PrePush => "pre-push",
            Self::Update => "update",
            Self::PreReceive => "pre-receive",
            Self::ReferenceTransaction => "reference-transaction",
        }
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for HookName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|hook| hook.as_str()).collect();
            format!("`{text}` is not a hook of `agent`; its hooks are {}", names.join(", "))
        })
    }
}

/// The change of one ref. `None` is the null id: the ref is created or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefChange {
    pub name: String,
    pub old: Option<ObjectId>,
    pub new: Option<ObjectId>,
}

/// One line of `pre-push`: the local ref and id, the remote ref and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub local: String,
    pub change: RefChange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookEvent {
    PreCommit,
    PreMergeCommit,
    PrePush { remote: String, url: String, pushes: Vec<Push> },
    Update(RefChange),
    PreReceive(Vec<RefChange>),
    ReferenceTransaction { state: TransactionState, changes: Vec<RefChange> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    /// git 2.54 and later: before the refs are locked.
    Preparing,
    Prepared,
    Committed,
    Aborted,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("git gives `{hook}` {wanted}; got {got:?}")]
    Arguments { hook: HookName, wanted: &'static str, got: Vec<String> },
    #[error("line {line} of the input of `{hook}` is `{text}`; git writes {wanted}")]
    Line { hook: HookName, line: usize, text: String, wanted: &'static str },
}

impl Diagnose for EventError {
    fn kind(&self) -> FailureKind {
        FailureKind::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("`agent hook` is called by git hooks; `agent hooks install` installs them".to_owned())
    }
}

impl HookEvent {
    /// Parses the arguments and stdin of a hook.
    pub fn parse(hook: HookName, arguments: &[String], stdin: &str) -> Result<Self, EventError> {
        let wrong = |wanted| Err(EventError::Arguments { hook, wanted, got: arguments.to_vec() });
        match hook {
            HookName::PreCommit => Ok(Self::PreCommit),
            HookName::PreMergeCommit => Ok(Self::PreMergeCommit),
            HookName::PrePush => match arguments {
                [remote, url] => Ok(Self::PrePush {
                    remote: remote.clone(),
                    url: url.clone(),
                    pushes: lines(hook, stdin, push)?,
                }),
                _ => wrong("the remote's name and its address"),
            },
            HookName::Update => match arguments {
                [name, old, new] => {
                    change([old, new, name]).map(Self::Update).map_or_else(|| wrong(UPDATE), Ok)
                }
                _ => wrong(UPDATE),
            },
            HookName::PreReceive => Ok(Self::PreReceive(lines(hook, stdin, changed)?)),
            HookName::ReferenceTransaction => {
                let Some(state) = arguments.first().and_then(|state| transaction_state(state))
                else {
                    return wrong("one of preparing, prepared, committed, aborted");
                };
                Ok(Self::ReferenceTransaction { state, changes: lines(hook, stdin, changed)? })
            }
        }
    }
}

const UPDATE: &str = "a ref, its old id and its new id";

fn transaction_state(text: &str) -> Option<TransactionState> {
    match text {
        "preparing" => Some(TransactionState::Preparing),
        "prepared" => Some(TransactionState::Prepared),
        "committed" => Some(TransactionState::Committed),
        "aborted" => Some(TransactionState::Aborted),
        _ => None,
    }
}

/// Parses each non-empty line by its words.
fn lines<T>(
    hook: HookName,
    stdin: &str,
    read: impl Fn(&[&str]) -> Option<T>,
) -> Result<Vec<T>, EventError> {
    let wanted = if hook == HookName::PrePush {
        "`LOCAL-REF ID REMOTE-REF ID`"
    } else {
        "`OLD-ID NEW-ID REF`"
    };
    let numbered = stdin.lines().enumerate().filter(|(_, text)| !text.is_empty());
    numbered
        .map(|(index, text)| {
            let words: Vec<_> = text.split(' ').collect();
            read(&words).ok_or_else(|| EventError::Line {
                hook,
                line: index + 1,
                text: text.to_owned(),
                wanted,
            })
        })
        .collect()
}

fn push(words: &[&str]) -> Option<Push> {
    let [local, new, name, old] = words else { return None };
    Some(Push { local: (*local).to_owned(), change: change([old, new, name])? })
}

fn changed(words: &[&str]) -> Option<RefChange> {
    let [old, new, name] = words else { return None };
    change([old, new, name])
}

fn change([old, new, name]: [&str; 3]) -> Option<RefChange> {
    (!name.is_empty()).then_some(())?;
    Some(RefChange { name: name.to_owned(), old: id(old).ok()?, new: id(new).ok()? })
}

/// `None` for the null id, and for a symbolic target (`ref:refs/...`), which is no object.
fn id(text: &str) -> Result<Option<ObjectId>, ()> {
    let null = !text.is_empty() && text.bytes().all(|byte| byte == b'0');
    if null || text.starts_with("ref:") {
        Ok(None)
    } else {
        ObjectId::parse(text).map(Some).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn parse(hook: HookName, arguments: &[&str], stdin: &str) -> Result<HookEvent, EventError> {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        HookEvent::parse(hook, &arguments, stdin)
    }

    fn object(hex: &str) -> ObjectId {
        ObjectId::parse(hex).unwrap()
    }

    #[test]
    fn a_push_lists_created_changed_and_deleted_refs() {
        let stdin = format!(
            "refs/heads/main {TWO} refs/heads/main {ONE}\n\
            HEAD~1 {ONE} refs/heads/new {NULL}\n\
            (delete) {NULL} refs/heads/old {ONE}\n"
        );
        let HookEvent::PrePush { remote, url, pushes } =
            parse(HookName::PrePush, &["origin", "../b"], &stdin).unwrap()
        else {
            panic!()
        };
        assert_eq!((remote.as_str(), url.as_str()), ("origin", "../b"));
        let changes: Vec<_> = pushes
            .into_iter()
            .map(|push| (push.local, push.change.name, push.change.old, push.change.new))
            .collect();
        assert_eq!(
            changes,
            [
                (
                    "refs/heads/main".to_owned(),
                    "refs/heads/main".to_owned(),
                    Some(object(ONE)),
                    Some(object(TWO))
                ),
                ("HEAD~1".to_owned(), "refs/heads/new".to_owned(), None, Some(object(ONE))),
                ("(delete)".to_owned(), "refs/heads/old".to_owned(), Some(object(ONE)), None),
            ]
        );
    }

    #[test]
    fn server_hooks_get_one_ref_or_all() {
        let change = RefChange {
            name: "refs/heads/active".to_owned(),
            old: Some(object(ONE)),
            new: Some(object(TWO)),
        };
        assert_eq!(
            parse(HookName::Update, &["refs/heads/active", ONE, TWO], ""),
            Ok(HookEvent::Update(change.clone()))
        );
        let stdin = format!("{ONE} {TWO} refs/heads/active\n");
        assert_eq!(
            parse(HookName::PreReceive, &[], &stdin),
            Ok(HookEvent::PreReceive(vec![change.clone()]))
        );
        let transaction = HookEvent::ReferenceTransaction {
            state: TransactionState::Prepared,
            changes: vec![change],
        };
        assert_eq!(parse(HookName::ReferenceTransaction, &["prepared"], &stdin), Ok(transaction));
    }

    #[test]
    fn malformed_input_is_refused_with_its_line() {
        let error =
            parse(HookName::PreReceive, &[], &format!("{ONE} {TWO} refs/heads/a\nhello world\n"))
                .unwrap_err();
        assert!(
            error.to_string().starts_with("line 2 of the input of `pre-receive` is `hello world`"),
            "{error}"
        );
        assert!(parse(HookName::Update, &["refs/heads/a", "abc", TWO], "").is_err());
        assert!(parse(HookName::PrePush, &["origin"], "").is_err());
        assert!(parse(HookName::ReferenceTransaction, &["done"], "").is_err());
        assert!("post-commit".parse::<HookName>().is_err());
    }
}
