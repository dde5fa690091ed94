//! The known results of the cases of one code: cached results in the object store, shared with
//! other clones and CI, and local ones not stored yet, so that a killed run resumes.

use super::free::free;
use super::memo::platforms;
use super::pending::Pending;
use crate::error::Failure;
use crate::repository::Repository;
use crate::world::fs::FsError;
use crate::world::layout::Layout;
use crate::world::store::Store;
use agent_core::formats::canonical;
use agent_core::formats::manifest::Manifest;
use agent_core::formats::object_id::ObjectId;
use agent_core::formats::object_id::short_digest;
use agent_core::testing::cached_result::{Answer, CachedResult, CachedResults, StateDigests};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// More packs than this are merged into one, which keeps only the newest states of each case. So a
/// run reads a bounded number of cached results per case, and rewrites them once per this number of
/// runs, independent of the length of the history.
const PACKS: usize = 16;
/// A kill loses no more than what was finished within this.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

/// What ran: the part that all cases of one code have in common of what their results depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKey(String);

impl RunKey {
    /// The results of the code in `tree`, judged by evaluators with their own manifest. The cases
    /// and scorers are compared per case.
    pub fn new(
        repository: &Repository,
        manifest: &Manifest,
        evaluators: &Manifest,
        tree: &ObjectId,
    ) -> Result<Self, Failure> {
        let parts = json!([
            "agent/run@3",
            repository.git.code_tree(tree)?,
            platforms(repository, manifest, evaluators)?
        ]);
        Ok(Self(short_digest(canonical::to_compact(&parts).as_bytes())))
    }

    fn folder(&self) -> String {
        format!("traces/{}", self.0)
    }

    fn pack(&self, number: u64, text: &str) -> Pack {
        Pack {
            number,
            key: format!("{}/{number:08}-{}.jsonl", self.folder(), short_digest(text.as_bytes())),
        }
    }
}

/// Cached results as an object, named `NUMBER-DIGEST.jsonl`: one that was put after others has a
/// higher number than they.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pack {
    number: u64,
    key: String,
}

impl Pack {
    /// A name without a number is of an earlier `agent`: older than all that have one.
    fn at(key: String) -> Self {
        let name = name_of(&key);
        let number =
            name.split_once('-').and_then(|(number, _)| number.parse().ok()).unwrap_or_default();
        Self { number, key }
    }

    /// Whether all of it is present.
    fn holds(&self, text: &str) -> bool {
        let name = name_of(&self.key);
        name.rsplit_once('-').map_or(name, |(_, digest)| digest) == short_digest(text.as_bytes())
    }
}

fn name_of(key: &str) -> &str {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    name.strip_suffix(".jsonl").unwrap_or(name)
}

#[derive(Debug)]
pub struct Known<'a> {
    store: &'a Store,
    layout: &'a Layout,
    run: RunKey,
    cached_results: CachedResults,
    /// The oldest first.
    packs: Vec<Pack>,
    /// New results, and those of killed runs: the next pack.
    news: String,
    /// Files that hold the news until they are in the store: those of killed runs, and this run's
    /// own, once there is one.
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
            cached_results: CachedResults::default(),
            packs: Vec::new(),
            news: String::new(),
            adopted: Vec::new(),
            own: None,
            written: 0,
            written_at: Instant::now(),
        }
    }

    /// Finds what the store and killed runs hold.
    pub fn find(&mut self) -> Result<(), Failure> {
        for (pending, text) in Pending::adopt(self.layout, &self.run.0)? {
            self.news.push_str(&text);
            self.adopted.push(pending);
        }
        self.written = self.news.len();
        let listed = self.store.briefly().list(&self.run.folder())?;
        self.packs = listed.into_iter().map(Pack::at).collect();
        self.packs.sort();
        Ok(())
    }

    /// Whether the store holds results, which have still to be read.
    pub fn has_packs(&self) -> bool {
        !self.packs.is_empty()
    }

    /// Whether there is anything to read.
    pub fn holds_any(&self) -> bool {
        self.has_packs() || !self.news.is_empty()
    }

    /// Reads what was found.
    pub fn read(&mut self) -> Result<(), Failure> {
        let packs = std::mem::take(&mut self.packs);
        let read = self.read_packs(&packs);
        if read.is_ok() {
            // where one could not be read, none is removed for a pack that has them all
            self.packs = packs;
        }
        self.cached_results.read(&self.news);
        read
    }

    fn read_packs(&mut self, packs: &[Pack]) -> Result<(), Failure> {
        let store = self.store.briefly();
        for pack in packs {
            // a torn pack is ignored; a missing one was merged with others
            if let Some(text) =
                store.get(&pack.key)?.and_then(|bytes| String::from_utf8(bytes).ok())
                && pack.holds(&text)
            {
                self.cached_results.read(&text);
            }
        }
        Ok(())
    }

    pub fn varies(&self, case: &str) -> bool {
        self.cached_results.varies(case)
    }

    pub fn lookup(&self, case: &str, state: &StateDigests<'_>) -> Answer<'_> {
        self.cached_results.lookup(case, state)
    }

    /// Notes what a case gave, and soon writes it down.
    pub fn learn(&mut self, cached_result: &CachedResult) -> Result<(), FsError> {
        self.news.push_str(&cached_result.to_line());
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

    /// Puts the news into the store. Where that fails they stay beside it, for the next run to
    /// find.
    pub fn keep(mut self) -> Result<(), Unkept> {
        if self.news.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.put() {
            let beside = self
                .write_down()
                .ok()
                .and_then(|()| self.own.as_ref().map(|own| own.path().to_owned()));
            return Err(Unkept { error, beside });
        }
        self.forget();
        Ok(())
    }

    fn put(&mut self) -> Result<(), Failure> {
        let number = self.packs.last().map_or(0, |newest| newest.number) + 1;
        if self.packs.len() < PACKS {
            let Pack { key, .. } = self.run.pack(number, &self.news);
            return Ok(self.store.put_rebuildable(&key, self.news.clone().into_bytes())?);
        }
        self.cached_results.read(&self.news);
        let all = self.cached_results.to_lines();
        let Pack { key, .. } = self.run.pack(number, &all);
        self.store.put_rebuildable(&key, all.into_bytes())?;
        for old in &self.packs {
            self.store.remove(&old.key)?;
        }
        Ok(())
    }

    /// Drops the new results: they are in the store, or the tested code changed meanwhile.
    pub fn forget(self) {
        let Self { cached_results, adopted, own, .. } = self;
        free(cached_results.len(), cached_results);
        for pending in adopted.into_iter().chain(own) {
            // a remaining file is read again, and has the same results as the store
            let _ = pending.done();
        }
    }
}

/// Results that did not reach the store, and where they are instead.
#[derive(Debug)]
pub struct Unkept {
    pub error: Failure,
    pub beside: Option<PathBuf>,
}

impl Unkept {
    pub fn shown(&self) -> String {
        let beside = |path: &Path| {
            format!("; they are in {} and the next run puts them there", path.display())
        };
        format!(
            "the results are not in the object store: {}{}",
            self.error.messages.join(": "),
            self.beside.as_deref().map(beside).unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::manifest::Store as Settings;
    use agent_core::testing::cached_result::STATES_KEPT;
    use agent_core::testing::case_result::CaseResult;

    const CASES: usize = 5;

    struct World {
        folder: tempfile::TempDir,
        store: Store,
        layout: Layout,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(
                &Settings { url: "file:store".to_owned(), ..Settings::default() },
                folder.path(),
            )
            .unwrap();
            Self { layout: Layout::new(folder.path()), store, folder }
        }

        fn known(&self) -> Known<'_> {
            let mut known = Known::new(&self.store, &self.layout, RunKey("run".to_owned()));
            known.find().unwrap();
            known.read().unwrap();
            known
        }

        /// What a run under one state leaves.
        fn run(&self, number: usize) {
            let mut known = self.known();
            for case in 0..CASES {
                known.learn(&cached_result(case, number)).unwrap();
            }
            known.keep().unwrap();
        }

        /// The packs there are, and how many cached results they hold: what the next run reads.
        fn kept(&self) -> (usize, usize) {
            let packs = self.store.list("traces/run").unwrap();
            let lines = |key: &String| {
                String::from_utf8(self.store.get(key).unwrap().unwrap()).unwrap().lines().count()
            };
            (packs.len(), packs.iter().map(lines).sum())
        }

        fn has_case(&self, number: usize) -> bool {
            let (state, revision) = state(number);
            matches!(
                self.known().lookup("case-0", &StateDigests::new(&state, &revision)),
                Answer::Known(_)
            )
        }
    }

    fn state(number: usize) -> (serde_json::Value, ObjectId) {
        let state = json!({"a": number});
        let revision = canonical::revision(&state);
        (state, revision)
    }

    fn cached_result(case: usize, number: usize) -> CachedResult {
        let (state, revision) = state(number);
        let result = CaseResult { reads: Some(vec!["a".to_owned()]), ..CaseResult::passed("c") };
        CachedResult::of(&format!("case-{case}"), &result, &StateDigests::new(&state, &revision))
            .unwrap()
    }

    #[test]
    fn cache_io_is_independent_of_history_length() {
        let world = World::new();
        let most = (STATES_KEPT + PACKS) * CASES;
        let mut merges = 0;
        for number in 0..PACKS * 20 {
            let (before, _) = world.kept();
            world.run(number);
            let (packs, cached_results) = world.kept();
            assert!(
                packs <= PACKS && cached_results <= most,
                "after {number} states: {packs} packs with {cached_results} cached_results"
            );
            if packs < before {
                assert_eq!((packs, cached_results), (1, STATES_KEPT * CASES));
                merges += 1;
            }
        }
        assert_eq!(merges, 19);
        let newest = PACKS * 20 - 1;
        assert!(
            world.has_case(newest)
                && world.has_case(newest + 1 - STATES_KEPT)
                && !world.has_case(0)
        );
    }

    #[test]
    fn packs_of_earlier_formats_are_read_as_oldest() {
        let world = World::new();
        let old = cached_result(0, 7).to_line();
        let key = |text: &str| format!("traces/run/{}.jsonl", short_digest(text.as_bytes()));
        world.store.put(&key(&old), old.clone().into_bytes()).unwrap();
        world.store.put(&key("torn"), cached_result(0, 8).to_line().into_bytes()).unwrap();
        assert!(world.has_case(7) && !world.has_case(8));
        world.run(9);
        let packs = world.known().packs;
        assert_eq!(packs.iter().map(|pack| pack.number).collect::<Vec<_>>(), [0, 0, 1]);
        assert!(
            world.has_case(7)
                && world.has_case(9)
                && world.folder.path().join(key(&old).replace("traces", "store/traces")).is_file()
        );
    }
}
