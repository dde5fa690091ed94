//! The inbox: feedback on a ref of the repository, so that it is cloned, pushed and never lost.
//!
//! `refs/agent/inbox` holds `items/<id>.json`, `runs/<run>.json`, and `keys/<digest>.json` for the idempotency keys that were used; its history is what happened to them.

use crate::architect::report::Report;
use crate::error::CommandError;
use crate::world::git::Git;
use agent_core::committed::Committed;
use agent_core::diagnose::Exit;
use agent_core::feedback::{Feedback, Status};

pub const REF: &str = "refs/agent/inbox";

pub struct Inbox<'a> {
    git: &'a Git,
}

impl<'a> Inbox<'a> {
    pub const fn new(git: &'a Git) -> Self {
        Self { git }
    }

    /// Once this returns without a warning, the item is on disk.
    pub fn add(&self, item: &Feedback) -> Result<Committed<()>, CommandError> {
        Ok(self.git.append_to_ref(REF, &format!("feedback: {}", item.headline(60)), &[entry(item)])?.map(drop))
    }

    /// All items, oldest first.
    pub fn items(&self) -> Result<Vec<Feedback>, CommandError> {
        let mut items = self
            .documents("items")?
            .into_iter()
            .map(|(path, bytes)| Ok(Feedback::parse(&bytes, &format!("{REF}:{path}"))?))
            .collect::<Result<Vec<_>, CommandError>>()?;
        items.sort_by(|one, other| (&one.at, &one.id).cmp(&(&other.at, &other.id)));
        Ok(items)
    }

    pub fn item(&self, id: &str) -> Result<Feedback, CommandError> {
        self.items()?.into_iter().find(|item| item.id == id).ok_or_else(|| unknown("feedback item", id))
    }

    /// The runs that ended, oldest first.
    pub fn runs(&self) -> Result<Vec<Report>, CommandError> {
        let documents = self.documents("runs")?;
        let mut runs = documents
            .into_iter()
            .map(|(path, bytes)| Report::parse(&bytes, &format!("{REF}:{path}")))
            .collect::<Result<Vec<_>, CommandError>>()?;
        runs.sort_by(|one, other| (&one.started, &one.run).cmp(&(&other.started, &other.run)));
        Ok(runs)
    }

    /// What became of items.
    pub fn settle(&self, items: &[Feedback], status: &Status) -> Result<Committed<Vec<Feedback>>, CommandError> {
        self.record(items, status, None)
    }

    /// What became of items and of the run that worked on them, in one commit.
    pub fn conclude(&self, items: &[Feedback], status: &Status, report: &Report) -> Result<Committed<Vec<Feedback>>, CommandError> {
        self.record(items, status, Some(report))
    }

    fn record(&self, items: &[Feedback], status: &Status, report: Option<&Report>) -> Result<Committed<Vec<Feedback>>, CommandError> {
        let items: Vec<_> = items.iter().map(|item| Feedback { status: status.clone(), ..item.clone() }).collect();
        let run = report.map(|report| (format!("runs/{}.json", report.run), report.to_bytes()));
        let files: Vec<_> = items.iter().map(entry).chain(run).collect();
        let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
        Ok(self.git.append_to_ref(REF, &format!("{}: {}", status.as_str(), ids.join(", ")), &files)?.map(|_| items))
    }

    fn documents(&self, folder: &str) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
        let Some(tip) = self.git.reference(REF)? else { return Ok(Vec::new()) };
        let files = self.git.files(&tip, folder)?;
        files.into_iter().map(|file| Ok((file.path, self.git.blob(&file.id)?))).collect()
    }
}

/// Where an item stands, and as what.
pub(super) fn entry(item: &Feedback) -> (String, Vec<u8>) {
    (format!("items/{}.json", item.id), item.to_bytes())
}

pub fn unknown(what: &str, id: &str) -> CommandError {
    CommandError::new(Exit::Input, format!("there is no {what} `{id}`")).with_hint("`agent architect list` shows what there is")
}
