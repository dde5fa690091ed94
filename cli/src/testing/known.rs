//! What is known of the cases of one code: traces in the object store, where colleagues and CI find them too, and beside them those that are not
//! there yet, so that a killed run goes on where it was.

use super::memo::platforms;
use super::pending::Pending;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::world::fs::FsError;
use crate::world::layout::Layout;
use crate::world::store::Store;
use agent_core::canonical;
use agent_core::manifest::Manifest;
use agent_core::object_id::ObjectId;
use agent_core::object_id::short_digest;
use agent_core::trace::{Answer, StateDigests, Trace, Traces};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// More packs than this are put together into one.
const PACKS: usize = 16;
/// A kill loses no more than what was finished within this.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

/// What ran: the part that all cases of one code have in common of what their results depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKey(String);

impl RunKey {
    /// Of the code in `tree`, judged by the evaluators that have a manifest of their own. Which cases and scorers these are counts case by case.
    pub fn new(repository: &Repository, manifest: &Manifest, evaluators: &Manifest, tree: &ObjectId) -> Result<Self, CommandError> {
        let parts = json!(["agent/run@3", repository.git.code_tree(tree)?, platforms(repository, manifest, evaluators)?]);
        Ok(Self(short_digest(canonical::to_compact(&parts).as_bytes())))
    }

    fn folder(&self) -> String {
        format!("traces/{}", self.0)
    }

    fn pack(&self, text: &str) -> String {
        format!("{}/{}.jsonl", self.folder(), short_digest(text.as_bytes()))
    }
}

#[derive(Debug)]
pub struct Known<'a> {
    store: &'a Store,
    layout: &'a Layout,
    run: RunKey,
    traces: Traces,
    packs: Vec<String>,
    /// What was found out now, and what killed runs had: the pack to come.
    news: String,
    /// Files that hold the news until they are in the store: those of killed runs, and this run's own, once there is one.
    adopted: Vec<Pending>,
    own: Option<Pending>,
    written: usize,
    written_at: Instant,
}

impl<'a> Known<'a> {
    pub fn new(store: &'a Store, layout: &'a Layout, run: RunKey) -> Self {
        Self {
            store,
            layout,
            run,
            traces: Traces::default(),
            packs: Vec::new(),
            news: String::new(),
            adopted: Vec::new(),
            own: None,
            written: 0,
            written_at: Instant::now(),
        }
    }

    /// Reads what the store and killed runs hold.
    pub fn read(&mut self) -> Result<(), CommandError> {
        for (pending, text) in Pending::adopt(self.layout, &self.run.0)? {
            self.traces.read(&text);
            self.news.push_str(&text);
            self.adopted.push(pending);
        }
        self.written = self.news.len();
        let store = self.store.briefly();
        self.packs = store.list(&self.run.folder())?;
        for key in &self.packs {
            // a pack whose name is not its digest is torn; one that is gone was put together with others
            if let Some(text) = store.get(key)?.and_then(|bytes| String::from_utf8(bytes).ok())
                && self.run.pack(&text) == *key
            {
                self.traces.read(&text);
            }
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    pub fn varies(&self, case: &str) -> bool {
        self.traces.varies(case)
    }

    pub fn ask(&self, case: &str, state: &StateDigests<'_>) -> Answer<'_> {
        self.traces.ask(case, state)
    }

    /// Notes what a case gave, and soon writes it down.
    pub fn learn(&mut self, trace: &Trace) -> Result<(), FsError> {
        self.news.push_str(&trace.to_line());
        if self.written_at.elapsed() < WRITTEN_WITHIN {
            return Ok(());
        }
        self.write_down()
    }

    /// Writes down what was learnt since the last time.
    pub fn write_news_down(&mut self) -> Result<(), FsError> {
        if self.written < self.news.len() { self.write_down() } else { Ok(()) }
    }

    fn write_down(&mut self) -> Result<(), FsError> {
        let own = match &mut self.own {
            Some(own) => own,
            none => none.insert(Pending::create(self.layout, &self.run.0)?),
        };
        own.append(&self.news[self.written..])?;
        self.written = self.news.len();
        self.written_at = Instant::now();
        Ok(())
    }

    /// Puts the news into the store. Where that fails they stay beside it, for the next run to find.
    pub fn keep(mut self) -> Result<(), Unkept> {
        if self.news.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.put() {
            let beside = self.write_down().ok().and_then(|()| self.own.as_ref().map(|own| own.path().to_owned()));
            return Err(Unkept { error, beside });
        }
        self.forget();
        Ok(())
    }

    fn put(&mut self) -> Result<(), CommandError> {
        if self.packs.len() < PACKS {
            return Ok(self.store.put_rebuildable(&self.run.pack(&self.news), self.news.clone().into_bytes())?);
        }
        self.traces.read(&self.news);
        let all = self.traces.to_lines();
        let key = self.run.pack(&all);
        self.store.put_rebuildable(&key, all.into_bytes())?;
        for old in self.packs.iter().filter(|pack| **pack != key) {
            self.store.remove(old)?;
        }
        Ok(())
    }

    /// Lets go of the news: they are in the store, or what was run changed meanwhile.
    pub fn forget(self) {
        for pending in self.adopted.into_iter().chain(self.own) {
            // one that stays is found again, and says what the store says
            let _ = pending.done();
        }
    }
}

/// Results that did not reach the store, and where they are instead.
#[derive(Debug)]
pub struct Unkept {
    pub error: CommandError,
    pub beside: Option<PathBuf>,
}

impl Unkept {
    pub fn shown(&self) -> String {
        let beside = |path: &Path| format!("; they are in {} and the next run puts them there", path.display());
        format!(
            "the results are not in the object store: {}{}",
            self.error.messages.join(": "),
            self.beside.as_deref().map(beside).unwrap_or_default()
        )
    }
}
