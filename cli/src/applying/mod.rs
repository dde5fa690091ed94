//! `agent templates apply`: the Tuner of a template, with its state, for an agent repository that
//! has a Runner. The plan is made first; a conflict writes nothing, and all that is written can be
//! undone.

mod manifest;
mod plan;

pub use plan::{Change, Plan};

use crate::adoption::footprint::Footprint;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest as format;
use agent_engine::error::Failure;
use agent_engine::world::fs;
use agent_engine::world::git_command::GitCommand;
use agent_engine::world::layout::Layout;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of the agent repository around a folder.
pub fn folder(inside: &Path) -> Result<PathBuf, Failure> {
    let top = GitCommand::isolated(inside).top_level()?;
    top.filter(|top| top.join(format::FILE).is_file()).ok_or_else(|| {
        Failure::input(format!("{} is in no agent repository", inside.display()))
            .with_hint("`agent init` makes one, `agent adopt` makes one of a server")
    })
}

impl Plan {
    /// Writes all files, or none.
    pub fn carry_out(&self, folder: &Path) -> Result<(), Failure> {
        let layout = Layout::new(folder);
        let origin = Some(self.template.name);
        let mut footprint = Footprint::begin(folder, layout.applying(), origin)?;
        let written = self.changes.iter().try_for_each(|planned| footprint.write(&planned.file));
        if let Err(error) = written {
            footprint.undo()?;
            return Err(error.into());
        }
        let next = numbers(&layout)?.last().map_or(1, |last| last + 1);
        Ok(footprint.keep_as(&record(&layout, next))?)
    }
}

/// What `--undo` restored.
#[derive(Debug)]
pub struct Undone {
    pub template: String,
    pub files: Vec<String>,
}

/// Restores what was there before the last template was applied.
pub fn undo(folder: &Path) -> Result<Undone, Failure> {
    let layout = Layout::new(folder);
    if let Some(killed) = Footprint::read(folder, &layout.applying())? {
        return taken_back(killed);
    }
    let footprint = last(folder)?
        .ok_or_else(|| Failure::new(FailureKind::Conflict, "no template was applied here"))?;
    refuse_changed(&footprint)?;
    if is_committed(folder, &footprint)? {
        return Err(Failure::new(
            FailureKind::Conflict,
            format!("the template {} was applied and committed", footprint.origin()),
        )
        .with_hint(
            "before a release undo it by `git revert COMMIT`, after one by `agent rollback`",
        ));
    }
    taken_back(footprint)
}

fn taken_back(footprint: Footprint) -> Result<Undone, Failure> {
    let (template, files) = (footprint.origin().to_owned(), footprint.paths());
    footprint.undo()?;
    Ok(Undone { template, files })
}

fn is_committed(folder: &Path, footprint: &Footprint) -> Result<bool, Failure> {
    Ok(statuses(folder, &footprint.paths())?.is_empty())
}

/// The template that was applied last, if that can still be undone.
pub fn pending(folder: &Path) -> Result<Option<String>, Failure> {
    let Some(last) = last(folder)? else { return Ok(None) };
    Ok((!is_committed(folder, &last)?).then(|| last.origin().to_owned()))
}

fn refuse_changed(footprint: &Footprint) -> Result<(), Failure> {
    let mut changed = Vec::new();
    for path in footprint.paths() {
        if !footprint.is_unchanged(&path)? {
            changed.push(path);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let template = footprint.origin();
    Err(Failure::new(
        FailureKind::Conflict,
        format!("changed since the template {template} was applied: {}", changed.join(", ")),
    )
    .with_hint("nothing was undone; save these changes elsewhere, or undo by hand with git"))
}

/// The record of the template that was applied last.
fn last(folder: &Path) -> Result<Option<Footprint>, Failure> {
    let layout = Layout::new(folder);
    let Some(last) = numbers(&layout)?.pop() else { return Ok(None) };
    Ok(Footprint::read(folder, &record(&layout, last))?)
}

fn record(layout: &Layout, number: u32) -> PathBuf {
    layout.applied().join(format!("{number}.json"))
}

fn numbers(layout: &Layout) -> Result<Vec<u32>, Failure> {
    let names = fs::names(&layout.applied())?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// How git sees a file that differs from its last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Untracked,
    Changed,
}

/// Of those of the files that are not as in the last commit.
fn statuses(folder: &Path, files: &[String]) -> Result<BTreeMap<String, Status>, Failure> {
    let git = GitCommand::isolated(folder);
    let run = git.run().args(["status", "--porcelain", "-z", "--no-renames"]);
    let output = run.args(["--untracked-files=all", "--ignored", "--"]).args(files).succeed()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let entries = text.split('\0').filter_map(|entry| entry.split_at_checked(3));
    Ok(entries
        .map(|(code, path)| {
            let is_untracked = code.starts_with("??") || code.starts_with("!!");
            let status = if is_untracked { Status::Untracked } else { Status::Changed };
            (path.to_owned(), status)
        })
        .collect())
}
