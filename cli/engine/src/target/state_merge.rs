//! The state that code is served with once it is released, by a three-way merge: ours is the state
//! that is served now, theirs is the state file beside the code, both migrated to the code's schema.
//!
//! The base is the state at the merge base of the code's commit and `active`, or the state of a
//! version since then, where the file is a copy of that one.

use crate::repository::{CachedMerge, MergeOutcome, Repository, state_value};
use crate::target::contracts::{parsed_schema, state_schema};
use crate::target::definition::{STATE_SCHEMA_FILE, Target};
use crate::target::error::TargetError;
use crate::target::migrations::{self, STEPS};
use crate::world::fs;
use crate::world::git::STATE_FILE;
use agent_core::formats::document;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::state::distance;
use agent_core::state::semantic;
use agent_core::version::promotion::Tip;
use serde_json::Value;

/// The number of newest versions that are searched for the origin of a copy.
const RECENT: usize = 32;
/// The number of those whose state is migrated for the comparison.
const MIGRATED: usize = 8;

/// Code, and the state file beside it.
#[derive(Debug, Clone, Copy)]
pub struct WorkingCopy<'a> {
    pub code: &'a Target,
    pub state: &'a [u8],
    /// The commit that contains the file, or is the last one before it was changed.
    pub on: &'a ObjectId,
}

/// A state with the schema that it was made under.
struct SchemedState {
    state: Value,
    schema: Option<Value>,
}

/// Merges the served state with the state file beside the code.
pub fn merge_state(
    repository: &Repository,
    tip: &Tip,
    copy: WorkingCopy<'_>,
) -> Result<MergeOutcome, TargetError> {
    StateMerge { repository, tip, copy, schema: state_schema(copy.code, repository)? }.merge()
}

/// The merged state for the working tree. Where a release of it would be refused, its own state
/// file is used with a notice.
pub fn for_worktree(
    repository: &Repository,
    tip: &Tip,
    copy: WorkingCopy<'_>,
) -> Result<Option<Value>, TargetError> {
    let key = format!(
        "{} {} {} {}",
        tip.commit,
        copy.on,
        ObjectId::of_blob(copy.state),
        fingerprint(repository, copy.code)?
    );
    if let Some(known) = repository.merge_cache.borrow().as_ref().filter(|known| known.key == key) {
        return Ok(state(&known.outcome));
    }
    let outcome = merge_state(repository, tip, copy)?;
    let own = format!("its own {STATE_FILE} is used");
    match &outcome {
        MergeOutcome::State(_) => {}
        MergeOutcome::Conflict(places) => repository.warn(&format!(
            "the state was changed both on active and in the working tree, differently: {}; {own}, \
            and a release would be refused",
            places.join(", ")
        )),
        MergeOutcome::Older { served, known } => repository.warn(&format!(
            "the state that is served has schema version {served}, and the working tree supports \
                only \
            {known}: {own}; `git merge active` brings it along"
        )),
    }
    let state = state(&outcome);
    *repository.merge_cache.borrow_mut() = Some(CachedMerge { key, outcome });
    Ok(state)
}

fn state(outcome: &MergeOutcome) -> Option<Value> {
    match outcome {
        MergeOutcome::State(state) => Some(state.clone()),
        MergeOutcome::Conflict(_) | MergeOutcome::Older { .. } => None,
    }
}

/// Whether code is served with the very state that is served now: it has its schema, and an
/// unchanged copy. It costs a few small reads.
pub fn is_as_served(
    repository: &Repository,
    tip: &Tip,
    (schema, copy): (Option<&ObjectId>, &ObjectId),
    on: &ObjectId,
) -> Result<bool, TargetError> {
    let git = &repository.git;
    if git.entry(&tip.commit, STATE_SCHEMA_FILE)?.map(|entry| entry.id).as_ref() != schema {
        return Ok(false);
    }
    if *copy == tip.revision {
        return Ok(true);
    }
    let Some(merge_base) = git.merge_base(&tip.commit, on)? else { return Ok(false) };
    Ok(git.entry(&merge_base, STATE_FILE)?.is_some_and(|before| before.id == *copy))
}

/// The tree that a release of this one would serve, where it is known without a computation.
pub fn at_once(
    repository: &Repository,
    tree: &ObjectId,
    on: &ObjectId,
) -> Result<Option<ObjectId>, TargetError> {
    let id = |path| Ok::<_, TargetError>(repository.git.entry(tree, path)?.map(|entry| entry.id));
    // where the served version is unsound, other commands report it
    let Ok(Some(tip)) = repository.tip() else { return Ok(Some(tree.clone())) };
    let Some(copy) = id(STATE_FILE)? else { return Ok(Some(tree.clone())) };
    let is_as_served =
        is_as_served(repository, &tip, (id(STATE_SCHEMA_FILE)?.as_ref(), &copy), on)?;
    Ok(if is_as_served { Some(repository.with_state(tree, &tip.revision)?) } else { None })
}

/// The schema beside code, in git.
pub fn schema_id(repository: &Repository, code: &Target) -> Result<Option<ObjectId>, TargetError> {
    match &code.tree {
        Some(tree) => Ok(repository.git.entry(tree, STATE_SCHEMA_FILE)?.map(|entry| entry.id)),
        None => Ok(fs::read_if_there(&code.directory.join(STATE_SCHEMA_FILE))?
            .map(|bytes| ObjectId::of_blob(&document::normal(bytes)))),
    }
}

/// The inputs of a state migration to the schema of code.
fn fingerprint(repository: &Repository, code: &Target) -> Result<String, TargetError> {
    if let Some(tree) = &code.tree {
        let id = |path| {
            Ok::<_, TargetError>(
                repository
                    .git
                    .entry(tree, path)?
                    .map(|entry| entry.id.to_string())
                    .unwrap_or_default(),
            )
        };
        return Ok(format!("{} {}", id(STATE_SCHEMA_FILE)?, id(STEPS)?));
    }
    let steps = code.directory.join(STEPS);
    let mut files = vec![code.directory.join(STATE_SCHEMA_FILE)];
    files.extend(
        fs::names(&steps)?.into_iter().map(|name| steps.join(name)).filter(|path| path.is_file()),
    );
    let read = |file| Ok::<_, TargetError>(digest(&fs::read_if_there(file)?.unwrap_or_default()));
    Ok(files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?.join(" "))
}

struct StateMerge<'a> {
    repository: &'a Repository,
    tip: &'a Tip,
    copy: WorkingCopy<'a>,
    /// That of the code.
    schema: Option<Value>,
}

impl StateMerge<'_> {
    fn merge(&self) -> Result<MergeOutcome, TargetError> {
        let Self { repository, tip, copy, .. } = self;
        let git = &repository.git;
        let served_schema = self.schema_at(&tip.commit)?;
        if let (Some(served), Some(known)) =
            (migrations::version(served_schema.as_ref()), migrations::version(self.schema.as_ref()))
            && known < served
        {
            return Ok(MergeOutcome::Older { served, known });
        }
        let served = SchemedState { state: self.state_at(&tip.commit)?, schema: served_schema };
        let merge_base = git.merge_base(&tip.commit, copy.on)?;
        let revision = ObjectId::of_blob(copy.state);
        let before = merge_base
            .as_ref()
            .map(|merge_base| git.entry(merge_base, STATE_FILE))
            .transpose()?
            .flatten();
        let (Some(merge_base), Some(before)) =
            (merge_base, before.filter(|before| before.id != revision))
        else {
            // an author who changes the schema need not migrate the state file beside it
            return Ok(MergeOutcome::State(self.forward(&served)?));
        };
        let changed = state_value(copy.state, STATE_FILE)?;
        if revision == tip.revision || changed == self.state_at(&merge_base)? {
            return Ok(MergeOutcome::State(self.forward(&served)?));
        }
        let theirs = self
            .forward(&SchemedState { schema: self.schema_of_copy(&revision)?, state: changed })?;
        if before.id == tip.revision {
            return Ok(MergeOutcome::State(theirs));
        }
        let ours = self.forward(&served)?;
        let base = self.base(&merge_base, &before.id, &theirs)?;
        match semantic::merge(&base, &ours, &theirs, self.schema.as_ref()) {
            Ok(merged) => Ok(MergeOutcome::State(migrations::check(
                &merged,
                self.schema.as_ref(),
                copy.code,
            )?)),
            Err(conflicts) => {
                let place = |path: String| if path.is_empty() { "/".to_owned() } else { path };
                Ok(MergeOutcome::Conflict(
                    conflicts.into_iter().map(|conflict| place(conflict.path)).collect(),
                ))
            }
        }
    }

    /// The origin of the changed copy: the state at the merge base, or of a version since,
    /// whichever differs least.
    fn base(
        &self,
        merge_base: &ObjectId,
        revision: &ObjectId,
        theirs: &Value,
    ) -> Result<Value, TargetError> {
        let before = SchemedState {
            state: self.state_at(merge_base)?,
            schema: self.schema_made_under(merge_base, revision)?,
        };
        // a copy that no schema fitted is compared as it is
        let mut base = self.forward(&before).unwrap_or(before.state);
        let mut least = distance(&base, theirs);
        let (mut seen, mut migrated) = (vec![revision.clone()], 0);
        for version in self.repository.git.first_parents(&self.tip.commit).take(RECENT) {
            let version = version?;
            let Some(revision) = version.trailers.as_version().and(version.trailers.state.clone())
            else {
                break;
            };
            if self.repository.git.is_ancestor(&version.id, merge_base)? {
                break;
            }
            if seen.contains(&revision) {
                continue;
            }
            seen.push(revision);
            let made = SchemedState {
                state: self.state_at(&version.id)?,
                schema: self.schema_at(&version.id)?,
            };
            migrated += usize::from(made.schema != self.schema);
            if migrated > MIGRATED {
                break;
            }
            let Ok(state) = self.forward(&made) else { continue };
            let differing = distance(&state, theirs);
            if differing < least {
                (base, least) = (state, differing);
            }
        }
        Ok(base)
    }

    fn forward(&self, SchemedState { state, schema }: &SchemedState) -> Result<Value, TargetError> {
        let Self { repository, copy, .. } = self;
        migrations::migrate(repository, state, schema.as_ref(), copy.code)
    }

    fn state_at(&self, commit: &ObjectId) -> Result<Value, TargetError> {
        let origin = format!("{}:{STATE_FILE}", commit.short());
        let bytes = self
            .repository
            .git
            .read(commit, STATE_FILE)?
            .ok_or_else(|| TargetError::NothingAt { origin: origin.clone() })?;
        Ok(state_value(&bytes, &origin)?)
    }

    fn schema_at(&self, commit: &ObjectId) -> Result<Option<Value>, TargetError> {
        parsed_schema(self.repository.git.read(commit, STATE_SCHEMA_FILE)?, commit.short())
    }

    /// The schema beside the copy when it was changed last.
    fn schema_of_copy(&self, revision: &ObjectId) -> Result<Option<Value>, TargetError> {
        let on = self.copy.on;
        let is_committed =
            self.repository.git.entry(on, STATE_FILE)?.is_some_and(|entry| entry.id == *revision);
        if is_committed { self.schema_made_under(on, revision) } else { Ok(self.schema.clone()) }
    }

    /// The schema of the commit that brought a state: those after it may have another schema, and
    /// the same state still.
    fn schema_made_under(
        &self,
        commit: &ObjectId,
        state: &ObjectId,
    ) -> Result<Option<Value>, TargetError> {
        let git = &self.repository.git;
        let mut brought = commit.clone();
        for past in git.first_parents(commit) {
            let past = past?.id;
            if git.entry(&past, STATE_FILE)?.is_none_or(|entry| entry.id != *state) {
                break;
            }
            brought = past;
        }
        self.schema_at(&brought)
    }
}

/// The merged state; an error where a release of the code is refused for it.
pub fn refusal(outcome: MergeOutcome, source: &str) -> Result<Value, TargetError> {
    match outcome {
        MergeOutcome::State(state) => Ok(state),
        MergeOutcome::Conflict(places) => {
            Err(TargetError::StateConflict { code: source.to_owned(), places })
        }
        MergeOutcome::Older { served, known } => {
            Err(TargetError::ServedIsNewer { served, known, code: source.to_owned() })
        }
    }
}
