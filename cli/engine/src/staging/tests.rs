use super::past::{CountedBy, Counts, Fork, Past, PastError, Standing, id_digest};
use super::view::VIEW_BEHIND;
use super::*;
use crate::world::event_loop::block_on;
use crate::world::fs::FsError;
use crate::world::layout::Layout;
use agent_core::formats::canonical;
use agent_core::formats::diagnose::{Diagnose as _, FailureKind};
use agent_core::formats::object_id::{self, ObjectId};
use agent_core::state::journal::{self, Base, Draft, SET, SealedAs};
use semver::Version;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// An agent repository as far as staging is concerned.
struct Place {
    folder: tempfile::TempDir,
    layout: Layout,
    versions: Arc<Mutex<Vec<Published>>>,
}

/// A version that was made on top of another, with its Journal where it can be found.
#[derive(Debug, Clone)]
struct Published {
    active: Active,
    on: ObjectId,
    journal: Option<Vec<u8>>,
    /// The store that has it does not answer.
    is_away: bool,
}

/// A repository that has `active(0)` to `active(9)`, one on the other, and what was published in a
/// test.
#[derive(Debug)]
struct History(Arc<Mutex<Vec<Published>>>);

impl History {
    fn published(&self, commit: &ObjectId) -> Option<Published> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .find(|published| published.active.base.commit == *commit)
            .cloned()
    }

    fn below(&self, commit: &ObjectId) -> Option<ObjectId> {
        let straight = || {
            (1..9)
                .find(|patch| active(*patch).base.commit == *commit)
                .map(|patch| active(patch - 1).base.commit)
        };
        self.published(commit).map(|published| published.on).or_else(straight)
    }

    /// A version and its predecessors.
    fn way(&self, commit: &ObjectId) -> Vec<ObjectId> {
        std::iter::successors(Some(commit.clone()), |commit| self.below(commit)).collect()
    }
}

impl Past for History {
    fn standing(&self, commit: &ObjectId, active: &ObjectId) -> Result<Standing, PastError> {
        Ok(if self.way(active).contains(commit) {
            Standing::Before
        } else if self.way(commit).contains(active) {
            Standing::After
        } else {
            Standing::Aside
        })
    }

    fn fork(&self, commit: &ObjectId, served: &ObjectId) -> Result<Option<Fork>, PastError> {
        let way = self.way(served);
        let common = self.way(commit).into_iter().find(|commit| way.contains(commit));
        let found = (0..9).map(active).find(|known| Some(&known.base.commit) == common.as_ref());
        Ok(found.map(|Active { base, state, .. }| Fork { base, state }))
    }

    fn journal(&self, sealed: &SealedAs) -> Result<Option<Vec<u8>>, PastError> {
        if self.published(&sealed.commit).is_some_and(|published| published.is_away) {
            return Err(PastError {
                message: "the store does not answer".to_owned(),
                kind: FailureKind::Surroundings,
                hint: None,
            });
        }
        let published = self.0.lock().unwrap();
        Ok(published
            .iter()
            .filter_map(|published| published.journal.clone())
            .find(|journal| object_id::digest(journal) == sealed.journal))
    }

    fn counts(
        &self,
        commit: &ObjectId,
        known: Option<&ObjectId>,
        _most: usize,
    ) -> Result<Counts, PastError> {
        let way = self.way(commit);
        let new = way
            .iter()
            .take_while(|commit| Some(*commit) != known)
            .filter_map(|commit| self.published(commit));
        let journals = new.map(|Published { active, journal, .. }| CountedBy {
            version: active.base.version,
            ids: journal.map(|journal| {
                journal::ids(&journal).unwrap().iter().map(|id| id_digest(id)).collect()
            }),
        });
        Ok(Counts {
            journals: journals.collect(),
            reaches_known: known.is_some_and(|known| way.contains(known)),
        })
    }
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    Place { folder, layout, versions: Arc::default() }
}

impl Place {
    fn open(&self) -> Staging {
        self.open_on(&active(1)).unwrap()
    }

    fn open_on(&self, active: &Active) -> Result<Staging, StagingError> {
        Staging::open(&self.layout, active, Box::new(History(self.versions.clone())))
    }

    /// A version of this name and patch on top of another, made of a Journal.
    fn publish(&self, name: &str, patch: u64, on: &Active, journal: Option<&[u8]>) -> Active {
        let state = json!({"total": 1000, "patch": patch, "by": name});
        let base = Base {
            version: Version::new(0, 1, patch),
            commit: ObjectId::of_blob(format!("commit {patch} of {name}").as_bytes()),
            revision: canonical::revision(&state),
        };
        let active = Active { base, state, journal: journal.map(object_id::digest) };
        let published = Published {
            active: active.clone(),
            on: on.base.commit.clone(),
            journal: journal.map(<[u8]>::to_vec),
            is_away: false,
        };
        self.versions.lock().unwrap().push(published);
        active
    }

    /// What staging holds becomes a version of this clone.
    fn promote(&self, staging: &mut Staging, name: &str, patch: u64, on: &Active) -> Active {
        let seq = staging.durable_snapshot().unwrap().seq;
        let sealed = staging.sealed(seq).unwrap();
        let active = self.publish(name, patch, on, Some(&sealed.bytes));
        let _ = staging.seal(seq, &active).unwrap();
        active
    }

    fn journal_file(&self) -> PathBuf {
        self.layout.journal().join("current.jsonl")
    }

    fn aside(&self, kind: &str) -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(self.layout.journal().join("set-aside")).into_iter().flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
        found.sort();
        found
    }
}

/// Version 0.1.N of an agent that counts.
fn active(patch: u64) -> Active {
    let state = json!({"total": 0, "patch": patch});
    let base = Base {
        version: Version::new(0, 1, patch),
        commit: ObjectId::of_blob(format!("commit {patch}").as_bytes()),
        revision: canonical::revision(&state),
    };
    Active { base, state, journal: None }
}

fn add(state: &Value, value: i64) -> Value {
    let mut after = state.clone();
    after["total"] = json!(state["total"].as_i64().unwrap() + value);
    after
}

fn draft(id: &str, value: i64, state: Value) -> Draft {
    Draft {
        id: id.to_owned(),
        tool: "add".to_owned(),
        arguments: json!({ "value": value }),
        conversation: None,
        trace: None,
        at: "2026-11-22T12:00:00.000Z".to_owned(),
        tags: Vec::new(),
        effects: None,
        touched: None,
        summary: None,
        state: Some(state),
    }
}

/// Adds under compare-and-swap until it is through, as a Tuner's caller does.
fn tune(staging: &mut Staging, id: &str, value: i64) {
    loop {
        let before = staging.snapshot().unwrap();
        let group = vec![draft(id, value, add(&before.state, value))];
        if matches!(staging.append(group, &before.revision).unwrap().value, Append::Appended(_)) {
            return;
        }
        assert!(!has_counted(staging, id), "{id} was counted by another writer");
    }
}

fn has_counted(staging: &mut Staging, id: &str) -> bool {
    staging.has_counted(id).unwrap() == Known::Yes
}

fn total(staging: &mut Staging) -> i64 {
    staging.snapshot().unwrap().state["total"].as_i64().unwrap()
}

#[test]
fn update_is_visible_to_the_next_process_and_in_the_view() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 2);
    tune(&mut staging, "s-2", 3);
    drop(staging);
    let mut again = place.open();
    assert_eq!(again.notices(), []);
    let snapshot = again.snapshot().unwrap();
    assert_eq!((snapshot.state["total"].clone(), snapshot.seq, snapshot.updates), (json!(5), 2, 2));
    assert_eq!(
        std::fs::read(place.layout.staging()).unwrap(),
        canonical::to_bytes(&snapshot.state)
    );
}

/// A folder where the view should be: it cannot be put in place, as on a full disk.
fn block_the_view(place: &Place) {
    let _ = std::fs::remove_file(place.layout.staging());
    std::fs::create_dir_all(place.layout.staging().join("in the way")).unwrap();
}

#[test]
fn unwritable_view_does_not_undo_the_update() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    block_the_view(&place);
    let before = staging.snapshot().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    let appended =
        staging.append(vec![draft("s-2", 1, add(&before.state, 1))], &before.revision).unwrap();
    assert!(matches!(appended.value, Append::Appended(_)));
    assert!(appended.warnings.as_slice()[0].starts_with(VIEW_BEHIND), "{:?}", appended.warnings);
    assert!(staging.flush_view().as_slice()[0].starts_with(VIEW_BEHIND));
    let now = staging.snapshot().unwrap();
    let warnings = staging.seal(now.seq, &active(2)).unwrap();
    assert!(warnings.as_slice()[0].starts_with(VIEW_BEHIND), "{warnings:?}");
    drop(staging);
    let opened = place.open_on(&active(2)).unwrap();
    assert!(
        matches!(opened.notices(), [Notice::Afterwards(why)] if why.starts_with(VIEW_BEHIND)),
        "{:?}",
        opened.notices()
    );
    drop(opened);
    let reset = Staging::reset(&place.layout, &active(2)).unwrap();
    assert!(reset.warnings.as_slice()[0].starts_with(VIEW_BEHIND), "{reset:?}");
    std::fs::remove_dir_all(place.layout.staging()).unwrap();
    drop(place.open_on(&active(2)).unwrap());
    assert!(place.layout.staging().is_file(), "the next to open it rebuilds it");
}

#[test]
fn truncated_group_leaves_no_gap() {
    let place = place();
    let (mut one, mut two) = (place.open(), place.open());
    tune(&mut one, "s-1", 1);
    let end = one.fold.end;
    tune(&mut one, "s-2", 10);
    assert_eq!(total(&mut two), 11, "it was seen before its sync failed");
    one.file.cut(end).unwrap();
    tune(&mut two, "s-3", 100);
    assert_eq!((total(&mut one), total(&mut two)), (101, 101));
    // and where something as long took its place
    let end = one.fold.end;
    tune(&mut one, "s-4", 1000);
    let seen = total(&mut two);
    one.file.cut(end).unwrap();
    tune(&mut place.open(), "s-5", 2000);
    tune(&mut two, "s-6", 10_000);
    assert_eq!((seen, total(&mut two), total(&mut one)), (1101, 12_101, 12_101));
}

#[test]
fn failed_sync_truncates_the_group_and_is_reported() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let before = staging.snapshot().unwrap();
    // opened to be read, no write succeeds: neither the group's nor what would take it off
    staging.file.open_for_reading();
    let error =
        staging.append(vec![draft("s-2", 1, add(&before.state, 1))], &before.revision).unwrap_err();
    assert!(matches!(error, StagingError::Fs(_)), "{error:?}: nothing of it stands there");
    drop(staging);
    assert_eq!(total(&mut place.open()), 1);
}

#[test]
fn a_group_that_others_built_on_is_not_truncated() {
    let place = place();
    let (mut one, mut two) = (place.open(), place.open());
    let fails = |staging: &mut Staging, at: u64| {
        let length = usize::try_from(staging.fold.end - at).unwrap();
        let error = FsError::while_doing("sync", &staging.places.current())(std::io::Error::from(
            std::io::ErrorKind::Other,
        ));
        StagingError::from(staging.file.truncate_tail(at, length, error))
    };
    tune(&mut one, "s-1", 1);
    let at = one.fold.end;
    tune(&mut one, "s-2", 10);
    assert!(matches!(fails(&mut one, at), StagingError::Fs(_)), "it is the last one");
    assert_eq!((total(&mut one), total(&mut two)), (1, 1));
    let at = one.fold.end;
    tune(&mut one, "s-3", 100);
    tune(&mut two, "s-4", 1000);
    assert!(matches!(fails(&mut one, at), StagingError::InDoubt(_)), "the other stands on it");
    assert_eq!((total(&mut one), total(&mut two)), (1101, 1101));
    let at = two.fold.end;
    tune(&mut two, "s-5", 10_000);
    let seq = two.durable_snapshot().unwrap().seq;
    let _ = one.seal(seq, &active(1)).unwrap();
    assert!(matches!(fails(&mut two, at), StagingError::InDoubt(_)), "it is sealed");
}

#[test]
fn an_update_is_synced_without_the_lock() {
    let place = place();
    let mut one = place.open();
    one.hold_until_appended().unwrap();
    let before = one.snapshot().unwrap();
    let group = vec![draft("mine", 1, add(&before.state, 1))];
    assert!(matches!(one.append(group, &before.revision).unwrap().value, Append::Appended(_)));
    assert!(one.held.is_none());
    one.hold().unwrap();
    let before = one.snapshot().unwrap();
    let group = vec![draft("held", 1, add(&before.state, 1))];
    assert!(matches!(one.append(group, &before.revision).unwrap().value, Append::Appended(_)));
    assert!(one.held.is_some(), "until it is released");
}

#[test]
fn stale_revision_and_duplicate_id_are_refused() {
    let place = place();
    let (mut one, mut two) = (place.open(), place.open());
    let before = one.snapshot().unwrap();
    tune(&mut two, "s-1", 1);
    assert_eq!(
        one.append(vec![draft("s-2", 1, add(&before.state, 1))], &before.revision).unwrap().value,
        Append::Conflict
    );
    let now = one.snapshot().unwrap();
    assert_eq!(
        one.append(vec![draft("s-1", 1, add(&now.state, 1))], &now.revision).unwrap().value,
        Append::Conflict
    );
    assert!(has_counted(&mut one, "s-1") && !has_counted(&mut one, "s-2"));
    assert_eq!(total(&mut one), 1);
}

#[test]
fn threads_that_race_add_up() {
    let place = place();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let mut staging = place.open();
                for signal in 0..25 {
                    tune(&mut staging, &format!("{writer}-{signal}"), 1);
                }
            });
        }
    });
    let mut staging = place.open();
    assert_eq!(total(&mut staging), 100);
    assert_eq!(staging.snapshot().unwrap().updates, 100);
}

#[test]
fn lock_holder_wins_the_next_race() {
    let place = place();
    let mut one = place.open();
    one.hold().unwrap();
    let before = one.snapshot().unwrap();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            tune(&mut place.open(), "other", 10);
            done.store(1, Ordering::SeqCst);
        });
        let group = vec![draft("mine", 1, add(&before.state, 1))];
        assert!(matches!(one.append(group, &before.revision).unwrap().value, Append::Appended(_)));
        assert_eq!(done.load(Ordering::SeqCst), 0, "the other had to wait");
        one.release();
    });
    assert_eq!(total(&mut one), 11);
}

#[test]
fn a_kill_at_any_byte_of_the_last_group_leaves_the_groups_before_it() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let whole = staging.journal().unwrap();
    let before = staging.snapshot().unwrap().state;
    let drafts = vec![draft("s-2", 1, add(&before, 1)), draft("s-3", 1, add(&before, 2))];
    let group = staging.fold.compose(drafts).bytes;
    drop(staging);
    let full = [&whole[..], &group].concat();
    for cut in 0..=group.len() {
        // with and without the reserve behind it, as a kill and a power cut leave it
        let mut written = full[..whole.len() + cut].to_vec();
        written.resize(written.len() + 100 * (cut % 3), if cut % 3 == 1 { b'\n' } else { 0 });
        std::fs::write(place.journal_file(), &written).unwrap();
        let mut staging = place.open();
        let is_whole = written.starts_with(&full);
        let expected = if is_whole { 3 } else { 1 };
        assert_eq!(total(&mut staging), expected, "cut at {cut}");
        let torn = staging.notices().iter().any(|notice| matches!(notice, Notice::TornTail { .. }));
        assert_eq!(torn, cut > 0 && !is_whole, "cut at {cut}: {:?}", staging.notices());
        if cut % 50 == 0 || is_whole {
            // the next update is durable and complete
            tune(&mut staging, "next", 5);
            drop(staging);
            assert_eq!(total(&mut place.open()), expected + 5, "cut at {cut}");
        }
    }
}

#[test]
fn stale_page_of_a_lost_write_is_not_treated_as_preallocated() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let end = usize::try_from(staging.fold.end).unwrap();
    drop(staging);
    let mut bytes = std::fs::read(place.journal_file()).unwrap();
    bytes[end + 5000..end + 5004].copy_from_slice(b"\"}x\n");
    std::fs::write(place.journal_file(), &bytes).unwrap();
    assert_eq!(place.open().notices(), [Notice::TornTail { bytes: 5003 }]);
    assert_eq!(place.open().notices(), []);
}

#[test]
fn an_unreadable_middle_is_an_error_that_changes_nothing() {
    let place = place();
    let mut staging = place.open();
    for signal in 0..3 {
        tune(&mut staging, &format!("s-{signal}"), 1);
    }
    let middle = usize::try_from(journal::Fold::begin(&staging.journal().unwrap()).unwrap().end)
        .unwrap()
        + 20;
    drop(staging);
    let mut bytes = std::fs::read(place.journal_file()).unwrap();
    bytes[middle] ^= 1;
    std::fs::write(place.journal_file(), &bytes).unwrap();
    let error = place.open_on(&active(1)).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Input);
    assert!(error.hint().unwrap().contains("agent state reset"));
    assert_eq!(std::fs::read(place.journal_file()).unwrap(), bytes);

    let _ = Staging::reset(&place.layout, &active(1)).unwrap();
    assert_eq!(std::fs::read(&place.aside("discarded")[0]).unwrap(), bytes);
    assert_eq!(total(&mut place.open()), 0);
}

#[test]
fn a_torn_tail_of_a_killed_neighbour_is_cut_off_by_the_next_append() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let end = staging.fold.end;
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(place.journal_file()).unwrap(),
        b"{\"seq\":2,\"id\":\"torn",
        end,
    )
    .unwrap();
    assert_eq!(total(&mut staging), 1);
    tune(&mut staging, "s-2", 1);
    drop(staging);
    assert_eq!(total(&mut place.open()), 2);
    assert_eq!(place.open().notices(), []);
}

/// The content found in place of the view, and the notice about it.
fn check_view(found: Option<&[u8]>, expected: &str) {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 7);
    drop(staging);
    match found {
        Some(bytes) => std::fs::write(place.layout.staging(), bytes).unwrap(),
        None => std::fs::remove_file(place.layout.staging()).unwrap(),
    }
    let mut staging = place.open();
    let shown: Vec<String> = staging.notices().iter().map(ToString::to_string).collect();
    assert!(shown.len() == 1 && shown[0].contains(expected), "{shown:?}");
    assert_eq!(total(&mut staging), 7);
    assert_eq!(
        std::fs::read(place.layout.staging()).unwrap(),
        canonical::to_bytes(&staging.snapshot().unwrap().state)
    );
    if let [Notice::ViewReplaced { kept, .. }] = staging.notices() {
        assert_eq!(std::fs::read(kept).unwrap(), found.unwrap());
    }
}

#[test]
fn outdated_view_is_rebuilt_with_a_notice() {
    check_view(None, "was missing");
    check_view(Some(b"{\"total\": 7, \"pat"), "was no JSON");
    check_view(Some(b"{\"total\":999}"), "held a state that is not in the Journal");
    check_view(Some(&canonical::to_bytes(&active(1).state)), "was behind");
}

#[test]
fn sealing_keeps_updates_after_the_promoted_one() {
    let place = place();
    let (mut staging, mut other) = (place.open(), place.open());
    tune(&mut staging, "s-1", 1);
    let promoted = staging.durable_snapshot().unwrap();
    tune(&mut other, "s-2", 10);
    let sealed = staging.sealed(promoted.seq).unwrap();
    assert_eq!(sealed.digest, object_id::digest(&sealed.bytes));
    assert_eq!(journal::records(&sealed.bytes).unwrap().len(), 1);

    let next = Active {
        state: promoted.state.clone(),
        ..place.publish("this", 2, &active(1), Some(&sealed.bytes))
    };
    let _ = staging.seal(promoted.seq, &next).unwrap();
    tune(&mut other, "s-3", 100);
    let snapshot = staging.snapshot().unwrap();
    assert_eq!(
        (snapshot.state["total"].clone(), snapshot.updates, snapshot.seq),
        (json!(111), 2, 3)
    );
    assert_eq!(snapshot.base, next.base);
    for id in ["s-1", "s-2", "s-3"] {
        assert!(has_counted(&mut staging, id) && has_counted(&mut other, id), "{id}");
    }
    drop((staging, other));
    let mut again = place.open_on(&next).unwrap();
    assert!(has_counted(&mut again, "s-1"));
    assert_eq!(again.notices(), []);
}

#[test]
fn interrupted_seal_is_completed_by_the_next_command() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let sealed = staging.sealed(1).unwrap();
    tune(&mut staging, "s-2", 10);
    let promoted = Active {
        state: add(&active(1).state, 1),
        ..place.publish("this", 2, &active(1), Some(&sealed.bytes))
    };
    drop(staging);
    let mut again = place.open_on(&promoted).unwrap();
    assert_eq!(again.notices(), [Notice::Resealed { updates: 1 }]);
    // the publisher arrives later and finds the seal done
    let _ = again.seal(1, &promoted).unwrap();
    assert!(matches!(again.sealed(1), Err(StagingError::AlreadySealed(1))));
    let snapshot = again.snapshot().unwrap();
    assert_eq!(
        (total(&mut again), snapshot.updates, snapshot.base.version),
        (11, 1, Version::new(0, 1, 2))
    );
    assert!(has_counted(&mut again, "s-1"));
}

#[test]
fn empty_staging_follows_active() {
    let place = place();
    drop(place.open());
    let mut ahead = place.open_on(&active(2)).unwrap();
    assert_eq!(ahead.snapshot().unwrap().state["patch"], 2);
    drop(ahead);
    // a process that read active before it moved
    let mut late = place.open_on(&active(1)).unwrap();
    assert_eq!(late.snapshot().unwrap().base, active(2).base);
    assert!(!late.is_behind(&active(1)));
}

#[test]
fn rebase_replays_signals_on_the_active_state() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let before = staging.snapshot().unwrap();
    let mut edited = before.state.clone();
    edited["rate"] = json!(0.5);
    let own = Draft { tool: SET.to_owned(), ..draft("own", 0, edited) };
    let _ = staging.append(vec![own], &before.revision).unwrap();
    tune(&mut staging, "s-2", 20);

    let next = Active { state: json!({"total": 1000, "patch": 2}), ..active(2) };
    assert!(staging.is_behind(&next));
    let replay = async |state: &Value, record: &journal::Record| -> Result<Replay, StagingError> {
        let value = record.arguments["value"].as_i64().unwrap();
        let outcome = if value == 20 {
            Replayed::Dropped("no longer".to_owned())
        } else {
            Replayed::State(add(state, value))
        };
        Ok(outcome.into())
    };
    let dropped = block_on(staging.rebase(&next, replay)).unwrap().unwrap();
    assert_eq!(
        dropped
            .value
            .dropped
            .iter()
            .map(|(record, why)| (record.id.as_str(), why.as_str()))
            .collect::<Vec<_>>(),
        [("s-2", "no longer")]
    );
    let snapshot = staging.snapshot().unwrap();
    assert_eq!(snapshot.state, json!({"total": 1001, "patch": 2, "rate": 0.5}));
    assert_eq!((snapshot.base, snapshot.updates), (next.base.clone(), 3));
    assert!(
        has_counted(&mut staging, "s-2"),
        "what was acknowledged stays in the Journal, even without effect"
    );
    assert_eq!(place.aside("rebased").len(), 1);
    assert!(!staging.is_behind(&next));
}

#[test]
fn rebase_includes_what_another_process_appended_and_is_made_once() {
    let place = place();
    let (mut staging, mut other) = (place.open(), place.open());
    tune(&mut staging, "s-1", 1);
    tune(&mut other, "s-2", 2);
    let next = Active { state: json!({"total": 1000}), ..active(2) };
    assert!(staging.is_behind(&next) && other.is_behind(&next));
    let _ = block_on(staging.rebase(&next, replayed)).unwrap().unwrap();
    assert_eq!(total(&mut staging), 1003);
    let never = async |_: &Value, _: &journal::Record| -> Result<Replay, StagingError> {
        panic!("it was replayed before")
    };
    let _ = block_on(other.rebase(&next, never)).unwrap().unwrap();
    assert_eq!(total(&mut other), 1003);
    assert_eq!(place.aside("rebased").len(), 1);
}

#[test]
fn a_reset_forgets_the_signals_it_discards_and_keeps_the_file_aside() {
    let place = place();
    let mut bystander = place.open();
    for round in 0..10 {
        let mut staging = place.open();
        tune(&mut staging, "s-1", 1 + round);
        drop(staging);
        let Discarded { updates, kept } = Staging::reset(&place.layout, &active(1)).unwrap().value;
        assert_eq!(updates, Some(1));
        assert!(kept.unwrap().exists());
    }
    assert_eq!(total(&mut bystander), 0);
    assert!(!has_counted(&mut bystander, "s-1"));
    assert_eq!(place.aside("discarded").len(), 8, "only the last few are kept");
    drop(bystander);
    assert_eq!(place.open().notices(), []);
}

#[test]
fn no_temporary_files_remain() {
    let place = place();
    let mut staging = place.open();
    for signal in 0..20 {
        tune(&mut staging, &signal.to_string(), 1);
    }
    drop(staging);
    let mut names: Vec<String> = std::fs::read_dir(place.layout.journal())
        .unwrap()
        .chain(std::fs::read_dir(place.folder.path().join("state")).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["counted", "current.jsonl", "lock", "open", "staging.state.json"]);
}

async fn replayed(state: &Value, record: &journal::Record) -> Result<Replay, StagingError> {
    Ok(Replayed::State(add(state, record.arguments["value"].as_i64().unwrap())).into())
}

/// The Journal that another clone sealed of these signals.
fn journal_of_another(ids: &[&str]) -> Vec<u8> {
    let other = place();
    let mut staging = other.open();
    for id in ids {
        tune(&mut staging, id, 100);
    }
    staging.sealed(ids.len() as u64).unwrap().bytes
}

#[test]
fn signals_of_a_lost_version_return_to_staging_once() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    tune(&mut staging, "s-2", 2);
    let first = place.promote(&mut staging, "ours", 2, &active(1));
    tune(&mut staging, "s-3", 4);
    let second = place.promote(&mut staging, "ours", 3, &first);
    tune(&mut staging, "s-4", 8);
    drop(staging);
    assert_eq!(place.open_on(&second).unwrap().notices(), []);
    // another clone was first, and counted one of the same signals
    let theirs = place.publish("theirs", 2, &active(1), Some(&journal_of_another(&["s-2", "t-1"])));
    let mut back = place.open_on(&theirs).unwrap();
    let versions = vec![Version::new(0, 1, 2), Version::new(0, 1, 3)];
    assert_eq!(back.notices(), [Notice::Returned { versions, updates: 3 }]);
    let snapshot = back.snapshot().unwrap();
    assert_eq!((snapshot.updates, snapshot.base.version), (4, Version::new(0, 1, 1)));
    assert!(back.is_behind(&theirs));
    drop(back);
    // a command after a kill finds it done
    let mut back = place.open_on(&theirs).unwrap();
    assert_eq!(back.notices(), []);
    let rebased = block_on(back.rebase(&theirs, replayed)).unwrap().unwrap().value;
    assert_eq!(
        (rebased.counted, rebased.dropped, rebased.undetermined),
        (1, Vec::new(), Vec::new())
    );
    assert_eq!(total(&mut back), 1000 + 1 + 4 + 8);
    for id in ["s-1", "s-2", "s-3", "s-4", "t-1"] {
        assert!(has_counted(&mut back, id), "{id}");
    }
    // and from there as ever
    let next = place.promote(&mut back, "ours again", 3, &theirs);
    drop(back);
    let mut staging = place.open_on(&next).unwrap();
    assert_eq!(staging.notices(), []);
    assert_eq!(staging.snapshot().unwrap().updates, 0);
    assert!(has_counted(&mut staging, "s-1") && has_counted(&mut staging, "t-1"));
}

#[test]
fn missing_journal_is_reported_and_foreign_journals_are_ignored() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let ours = place.promote(&mut staging, "ours", 2, &active(1));
    place.versions.lock().unwrap()[0].journal = None;
    // another clone's version follows, whose Journal is present as well
    let third = place.publish("theirs", 3, &ours, Some(&journal_of_another(&["t-1"])));
    drop(staging);
    drop(place.open_on(&third).unwrap());
    let instead = place.publish("instead", 2, &active(1), None);
    let mut back = place.open_on(&instead).unwrap();
    assert_eq!(back.notices(), [Notice::NotReturned { versions: vec![Version::new(0, 1, 2)] }]);
    assert_eq!((back.snapshot().unwrap().updates, total(&mut back)), (0, 1000));
}

#[test]
fn journal_recovery_waits_for_an_unreachable_store() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    drop(place.promote(&mut staging, "ours", 2, &active(1)));
    drop(staging);
    let theirs = place.publish("theirs", 2, &active(1), None);
    place.versions.lock().unwrap()[0].is_away = true;
    let before = std::fs::read(place.journal_file()).unwrap();
    for _ in 0..2 {
        let error = place.open_on(&theirs).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (FailureKind::Surroundings, "the store does not answer")
        );
    }
    assert_eq!(std::fs::read(place.journal_file()).unwrap(), before);
    place.versions.lock().unwrap()[0].is_away = false;
    assert_eq!(place.open_on(&theirs).unwrap().snapshot().unwrap().updates, 1);
}

#[test]
fn ids_count_only_on_the_path_to_the_base() {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let ours = place.promote(&mut staging, "ours", 2, &active(1));
    let file = place.layout.journal().join("counted");
    drop(staging);
    for (number, damage) in [None, Some(b"agent/counted@2 rubbish\n".to_vec()), Some(Vec::new())]
        .into_iter()
        .enumerate()
    {
        match damage {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let mut staging = place.open_on(&ours).unwrap();
        assert!(has_counted(&mut staging, "s-1") && !has_counted(&mut staging, "s-3"));
        tune(&mut staging, &format!("kept-{number}"), 1);
        assert!(std::fs::read(&file).unwrap().len() > 40, "it is written down again");
    }
    // on another way it is not counted
    let _ = Staging::reset(&place.layout, &active(1)).unwrap();
    assert!(!has_counted(&mut place.open(), "s-1"));
    // a version whose Journal is not here leaves it open, and nothing else is written down
    let theirs = place.publish("theirs", 2, &active(1), None);
    let mut staging = place.open_on(&theirs).unwrap();
    assert_eq!(
        staging.has_counted("s-1").unwrap(),
        Known::Undetermined(vec![Version::new(0, 1, 2)])
    );
    tune(&mut staging, "t-1", 1);
    assert_eq!(
        staging.has_counted("s-1").unwrap(),
        Known::Undetermined(vec![Version::new(0, 1, 2)])
    );
}

#[test]
fn counted_ids_without_coverage_are_readable() {
    let place = place();
    drop(place.open());
    let ours = place.publish("ours", 2, &active(1), None);
    std::fs::write(
        place.layout.journal().join("counted"),
        [&b"agent/counted@1\n"[..], &id_digest("s-1")].concat(),
    )
    .unwrap();
    let mut staging = place.open_on(&ours).unwrap();
    assert!(has_counted(&mut staging, "s-1"));
    assert_eq!(staging.has_counted("s-2").unwrap(), Known::No);
    tune(&mut staging, "s-2", 1);
    drop(staging);
    assert!(has_counted(&mut place.open_on(&ours).unwrap(), "s-1"));
}

/// What a process finds that kept staging open while another did something.
fn wakes(meanwhile: impl FnOnce(&Place)) -> (Place, Option<Staging>) {
    let place = place();
    let mut staging = place.open();
    tune(&mut staging, "s-1", 1);
    let _ = staging.flush_view();
    let idle = staging.into_idle();
    meanwhile(&place);
    let woken = idle.wake();
    (place, woken)
}

#[test]
fn idle_staging_follows_the_updates_of_others() {
    let (_place, staging) = wakes(|_| {});
    assert_eq!(total(&mut staging.unwrap()), 1);
    let (place, staging) = wakes(|place| tune(&mut place.open(), "s-2", 10));
    let mut staging = staging.unwrap();
    assert!(has_counted(&mut staging, "s-2"));
    tune(&mut staging, "s-3", 100);
    drop(staging);
    let mut again = place.open();
    assert_eq!((total(&mut again), again.notices()), (111, &[][..]));
}

#[test]
fn idle_staging_is_opened_again_after_a_promotion_a_reset_and_an_edit() {
    let (place, staging) = wakes(|place| {
        let _ = place.promote(&mut place.open(), "this", 2, &active(1));
    });
    assert!(staging.is_none(), "its Journal was sealed");
    assert_eq!(place.open().notices(), []);
    let (place, staging) = wakes(|place| drop(Staging::reset(&place.layout, &active(1)).unwrap()));
    assert!(staging.is_none(), "its Journal was discarded");
    assert_eq!(total(&mut place.open()), 0);
    let (place, staging) = wakes(|place| std::fs::write(place.layout.staging(), "edited").unwrap());
    assert!(staging.is_none(), "the view was edited");
    let notices = place.open().notices().to_vec();
    let [Notice::ViewReplaced { kept, .. }] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "edited", "a manual edit is kept");
}

#[test]
fn idle_staging_holds_no_lock() {
    let (place, _) = wakes(|place| {
        // as if a process was killed between an update and the view of it
        std::fs::write(place.layout.staging(), canonical::to_bytes(&active(1).state)).unwrap();
        assert_eq!(place.open().notices(), [Notice::ViewBehind]);
    });
    assert_eq!(place.open().notices(), []);
}
