//! Records that every clone of a repository adds to, merged when they are read: the gate's ledger,
//! the inbox.
//!
//! `world::git::records` documents the refs of a record and why each clone has its own. Here its
//! heads are merged into one set of files: files that are equal in all heads are unchanged, and
//! differing ones are joined by the record's rule, which is commutative.

use crate::repository::error::RepositoryError;
use crate::world::git::{ACTIVE, Git, RecordEdit, TreeEdit};
use agent_core::architect::feedback::Feedback;
use agent_core::canary::Canary;
use agent_core::formats::committed::Committed;
use agent_core::formats::object_id::ObjectId;
use agent_core::trigger::firing::{Firing, Mute};
use agent_core::version::trailers::{RecordHead, Trailers};
use semver::Version;
use serde_json::Value;
use std::collections::BTreeMap;

/// Two versions of the file at a path, as one.
pub type Join = fn(path: &str, one: Vec<u8>, other: Vec<u8>) -> Result<Vec<u8>, RepositoryError>;

/// The reference of a commit to a record.
pub type Named = fn(&Trailers) -> Option<&RecordHead>;

/// A record and the merge of two versions of one of its files, which is commutative and idempotent.
#[derive(Debug)]
pub struct Record {
    pub name: &'static str,
    pub join: Join,
    /// The commit of the record named by a version's commit, if any.
    pub named: Option<Named>,
}

/// Feedback and the runs that worked on it, which `inbox` reads and writes; firings and mutes of
/// triggers, which `firings` does; canaries, which `canaries` does.
pub const INBOX: Record =
    Record { name: "inbox", join: join_in_inbox, named: Some(|trailers| trailers.inbox.as_ref()) };

/// The suffix of the name of a canary's frozen state, which is beside its record.
pub const FROZEN_STATE_SUFFIX: &str = ".state.json";

/// Which signals the Journals of versions counted; `past` reads and writes it. A file is of one
/// Journal, and never changes.
pub const COUNTED: Record =
    Record { name: "counted", join: |_, one, other| Ok(one.max(other)), named: None };

/// Two clones' copies of a file of the inbox: an item by the rule of items; of the reports of a run
/// the one that ended in a version, or else ended later.
fn join_in_inbox(path: &str, one: Vec<u8>, other: Vec<u8>) -> Result<Vec<u8>, RepositoryError> {
    if path.starts_with("items/") {
        return Ok(Feedback::parse(&one, path)?.join(Feedback::parse(&other, path)?).to_bytes());
    }
    if path.starts_with("firings/") {
        return Ok(match (Firing::parse(&one), Firing::parse(&other)) {
            (Ok(one), Ok(other)) => one.join(other).to_bytes(),
            (Ok(_), Err(_)) => one,
            (Err(_), Ok(_)) => other,
            (Err(_), Err(_)) => one.max(other),
        });
    }
    if path.starts_with("canaries/") {
        if path.ends_with(FROZEN_STATE_SUFFIX) {
            return Ok(one.max(other));
        }
        let read = |bytes: &[u8]| {
            Canary::parse(bytes)
                .map_err(|problem| RepositoryError::Canary { origin: path.to_owned(), problem })
        };
        return Ok(read(&one)?.join(read(&other)?).to_bytes());
    }
    if path.starts_with("mutes/") {
        // the later one counts
        let set_at = |bytes: &[u8]| serde_json::from_slice::<Mute>(bytes).map(|mute| mute.at).ok();
        return Ok(if (set_at(&one), &one) < (set_at(&other), &other) { other } else { one });
    }
    let rank = |bytes: &[u8]| {
        let report: Value = serde_json::from_slice(bytes).unwrap_or_default();
        (report["version"].is_string(), report["finished"].as_str().map(str::to_owned))
    };
    Ok(if (rank(&one), &one) < (rank(&other), &other) { other } else { one })
}

/// Edits to be made: what happened, in a line, and the files that are new.
pub type Change = (String, Vec<(String, Vec<u8>)>);

/// A head of a record, and the ref that has it.
#[derive(Debug, Clone)]
struct Head {
    commit: ObjectId,
    reference: String,
}

/// What is known of a record at one moment.
#[derive(Debug)]
pub struct View<'a> {
    git: &'a Git,
    heads: Vec<Head>,
    /// Files in which the other heads differ from the first, as they are joined.
    joined: BTreeMap<String, Vec<u8>>,
}

impl Record {
    /// All of the record in this clone: the content of its refs, and retained objects of their
    /// earlier values.
    pub fn view<'a>(&self, git: &'a Git) -> Result<View<'a>, RepositoryError> {
        let mut heads = git.record_heads(self.name)?;
        let named = self.named_by_active(git)?.and_then(|(_, head)| head.commit().cloned());
        let before: Vec<_> = named
            .into_iter()
            .chain(git.remembered_head(self.name)?)
            .filter(|commit| !heads.contains_key(commit))
            .collect();
        if !before.is_empty() {
            heads.extend(
                before
                    .into_iter()
                    .filter(|commit| git.is_commit(commit))
                    .map(|commit| (commit.clone(), commit.to_string())),
            );
            heads = git.maximal(heads)?;
        }
        self.view_of(git, heads)
    }

    /// The content of its refs alone.
    pub fn view_of_refs<'a>(&self, git: &'a Git) -> Result<View<'a>, RepositoryError> {
        self.view_of(git, git.record_heads(self.name)?)
    }

    fn view_of<'a>(
        &self,
        git: &'a Git,
        heads: BTreeMap<ObjectId, String>,
    ) -> Result<View<'a>, RepositoryError> {
        let heads =
            heads.into_iter().map(|(commit, reference)| Head { commit, reference }).collect();
        let mut view = View { git, heads, joined: BTreeMap::new() };
        for head in view.heads.get(1..).unwrap_or_default().to_vec() {
            self.take_in(&mut view, &head)?;
        }
        Ok(view)
    }

    fn take_in(&self, view: &mut View<'_>, head: &Head) -> Result<(), RepositoryError> {
        let first = view.heads[0].commit.clone();
        for change in view.git.diff(Some(&first), &head.commit)? {
            let Some(theirs) = view.git.read(&head.commit, &change.path)? else { continue };
            let joined = match view.read(&change.path)? {
                Some(ours) if ours != theirs => (self.join)(&change.path, ours, theirs)
                    .map_err(|error| unjoined(error, view, head))?,
                _ => theirs,
            };
            view.joined.insert(change.path, joined);
        }
        Ok(())
    }

    /// Appends the result of `change` to the record; `change` is called again after each lost race.
    /// Once this returns without a warning, it is durable.
    pub fn edit(
        &self,
        git: &Git,
        mut change: impl FnMut(&View<'_>) -> Result<Option<Change>, RepositoryError>,
    ) -> Result<Committed<()>, RepositoryError> {
        let edited = git.edit_record(self.name, || {
            let view = self.view(git)?;
            let Some((subject, files)) = change(&view)? else { return Ok(None) };
            Ok::<_, RepositoryError>(Some(RecordEdit {
                subject,
                heads: view.commits(),
                edits: view.edits(files)?,
            }))
        })?;
        Ok(edited.map(drop))
    }

    /// One commit with the content of all heads, written where there are several; no ref is moved
    /// to it.
    pub fn joined(&self, git: &Git) -> Result<Option<ObjectId>, RepositoryError> {
        let view = self.view(git)?;
        match view.heads.as_slice() {
            [] => Ok(None),
            [head] => Ok(Some(head.commit.clone())),
            _ => Ok(Some(git.record_commit(
                &self.join_subject(),
                &view.commits(),
                &view.edits(Vec::new())?,
            )?)),
        }
    }

    /// Like `joined`; this clone's own ref is moved to the commit.
    fn head(&self, git: &Git) -> Result<Committed<Option<ObjectId>>, RepositoryError> {
        let heads = self.view(git)?.commits();
        if heads.len() < 2 {
            return Ok(Committed::whole(heads.into_iter().next()));
        }
        git.edit_record(self.name, || {
            let view = self.view(git)?;
            let edits = view.edits(Vec::new())?;
            Ok::<_, RepositoryError>(Some(RecordEdit {
                subject: self.join_subject(),
                heads: view.commits(),
                edits,
            }))
        })
    }

    fn join_subject(&self) -> String {
        format!("{}: join", self.name)
    }

    /// The reference to the record for a new version. A clone that lacks the commit named by the
    /// previous version repeats that reference.
    pub fn head_to_name(&self, git: &Git) -> Result<Committed<RecordHead>, RepositoryError> {
        match self.named_by_active(git)? {
            Some((_, RecordHead::At(named))) if !git.is_commit(&named) => {
                Ok(Committed::whole(RecordHead::At(named)))
            }
            _ => Ok(self.head(git)?.map(|head| head.map_or(RecordHead::None, RecordHead::At))),
        }
    }

    /// The reference of the newest version of `active` that names one; `None` where none does.
    pub fn named_by_active(
        &self,
        git: &Git,
    ) -> Result<Option<(Version, RecordHead)>, RepositoryError> {
        let (Some(named_by), Some(tip)) = (self.named, git.reference(ACTIVE)?) else {
            return Ok(None);
        };
        for commit in git.first_parents(&tip) {
            let commit = commit?;
            let Some((_, version)) = commit.trailers.as_version() else { break };
            if let Some(named) = named_by(&commit.trailers) {
                return Ok(Some((version.clone(), named.clone())));
            }
        }
        Ok(None)
    }
}

fn unjoined(error: RepositoryError, view: &View<'_>, head: &Head) -> RepositoryError {
    RepositoryError::Unjoined {
        head: head.reference.clone(),
        other: view.heads[0].reference.clone(),
        source: Box::new(error),
    }
}

impl View<'_> {
    pub fn commits(&self) -> Vec<ObjectId> {
        self.heads.iter().map(|head| head.commit.clone()).collect()
    }

    /// The refs it was read from, for errors.
    pub fn origin(&self) -> String {
        self.heads.iter().map(|head| head.reference.as_str()).collect::<Vec<_>>().join(" and ")
    }

    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        if let Some(joined) = self.joined.get(path) {
            return Ok(Some(joined.clone()));
        }
        match self.heads.first() {
            Some(head) => Ok(self.git.read(&head.commit, path)?),
            None => Ok(None),
        }
    }

    pub fn has(&self, path: &str) -> Result<bool, RepositoryError> {
        if self.joined.contains_key(path) {
            return Ok(true);
        }
        match self.heads.first() {
            Some(head) => Ok(self.git.entry(&head.commit, path)?.is_some()),
            None => Ok(false),
        }
    }

    /// The files below a folder by their paths, sorted.
    pub fn files(&self, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, RepositoryError> {
        let mut files = BTreeMap::new();
        if let Some(head) = self.heads.first() {
            for file in self.git.files(&head.commit, folder)? {
                files.insert(file.path, self.git.blob(&file.id)?);
            }
        }
        let below =
            |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        files.extend(
            self.joined
                .iter()
                .filter(|(path, _)| below(path))
                .map(|(path, bytes)| (path.clone(), bytes.clone())),
        );
        Ok(files)
    }

    /// The edits that add all other heads' content and these files to the first head's tree.
    fn edits(&self, files: Vec<(String, Vec<u8>)>) -> Result<Vec<TreeEdit>, RepositoryError> {
        let mut all: BTreeMap<String, Vec<u8>> = self.joined.clone();
        all.extend(files);
        all.into_iter()
            .map(|(path, bytes)| Ok(TreeEdit::file(path, self.git.write_blob(&bytes)?)))
            .collect()
    }
}
