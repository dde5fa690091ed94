//! The inbox: a record of the repository (see `records`), so that feedback is cloned and pushed
//! with the repository.
//!
//! It holds `items/<id>.json`, `runs/<run>.json`, and `keys/<digest>.json` for the idempotency keys
//! that were used; its history is what happened to them.

use crate::repository::error::RepositoryError;
use crate::repository::records::INBOX;
use crate::repository::run_report::Report;
use crate::world::git::Git;
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::formats::committed::Committed;
use agent_core::version::tag;

pub struct Inbox<'a> {
    git: &'a Git,
}

impl<'a> Inbox<'a> {
    pub const fn new(git: &'a Git) -> Self {
        Self { git }
    }

    /// Once this returns without a warning, the item is on disk.
    pub fn add(&self, item: &Feedback) -> Result<Committed<()>, RepositoryError> {
        INBOX.edit(self.git, |_| {
            Ok(Some((format!("feedback: {}", item.headline(60)), vec![entry(item)])))
        })
    }

    /// All items, oldest first.
    pub fn items(&self) -> Result<Vec<Feedback>, RepositoryError> {
        let mut items = self
            .documents("items")?
            .into_iter()
            .map(|(path, bytes)| Ok(Feedback::parse(&bytes, &format!("inbox:{path}"))?))
            .collect::<Result<Vec<_>, RepositoryError>>()?;
        items.sort_by(|one, other| (&one.at, &one.id).cmp(&(&other.at, &other.id)));
        Ok(items)
    }

    pub fn item(&self, id: &str) -> Result<Feedback, RepositoryError> {
        self.items()?
            .into_iter()
            .find(|item| item.id == id)
            .ok_or_else(|| unknown("feedback item", id))
    }

    /// The runs that ended, oldest first.
    pub fn runs(&self) -> Result<Vec<Report>, RepositoryError> {
        let documents = self.documents("runs")?;
        let mut runs = documents
            .into_iter()
            .map(|(path, bytes)| Report::parse(&bytes, &format!("inbox:{path}")))
            .collect::<Result<Vec<_>, RepositoryError>>()?;
        runs.sort_by(|one, other| (&one.started, &one.run).cmp(&(&other.started, &other.run)));
        Ok(runs)
    }

    /// Records the status of items.
    pub fn set_status(
        &self,
        items: &[Feedback],
        status: &Status,
    ) -> Result<Committed<Vec<Feedback>>, RepositoryError> {
        self.record(items, status, None)
    }

    /// The status of items and of the run that worked on them, in one commit.
    pub fn conclude(
        &self,
        items: &[Feedback],
        status: &Status,
        report: &Report,
    ) -> Result<Committed<Vec<Feedback>>, RepositoryError> {
        self.record(items, status, Some(report))
    }

    fn record(
        &self,
        items: &[Feedback],
        status: &Status,
        report: Option<&Report>,
    ) -> Result<Committed<Vec<Feedback>>, RepositoryError> {
        let items: Vec<_> = items.iter().map(|item| item.now(status.clone())).collect();
        let run = report.map(|report| (format!("runs/{}.json", report.run), report.to_bytes()));
        let files: Vec<_> = items.iter().map(entry).chain(run).collect();
        let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
        let subject = format!("{}: {}", status.as_str(), ids.join(", "));
        Ok(INBOX.edit(self.git, |_| Ok(Some((subject.clone(), files.clone()))))?.map(|()| items))
    }

    fn documents(&self, folder: &str) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        Ok(INBOX.view(self.git)?.files(folder)?.into_iter().collect())
    }

    /// Why this may not be all of it: the inbox that a version of `active` was made with is not
    /// here.
    pub fn lack(&self) -> Result<Option<String>, RepositoryError> {
        let Some((version, head)) = INBOX.named_by_active(self.git)? else { return Ok(None) };
        let absent = head.commit().filter(|commit| !self.git.is_commit(commit));
        Ok(absent.map(|commit| {
            format!(
                "this clone does not have the inbox that {} was made with (commit {})",
                tag(&version),
                commit.short()
            )
        }))
    }
}

/// The path and the content of an item.
pub fn entry(item: &Feedback) -> (String, Vec<u8>) {
    (format!("items/{}.json", item.id), item.to_bytes())
}

pub fn unknown(what: &'static str, id: &str) -> RepositoryError {
    RepositoryError::NotInInbox { what, id: id.to_owned() }
}
