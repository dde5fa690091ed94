//! An open repository: finding it, what it is called, and `git` run on it.

use super::error::GitError;
use super::ids::from_gix;
use super::written::Written;
use crate::world::fs::{self, Durability, FsError};
use crate::world::layout::Layout;
use crate::world::process::Run;
use crate::world::read_only::WritableLayer;
use agent_core::formats::object_id::ObjectId;
use semver::Version;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The branch that is served.
pub const ACTIVE: &str = "refs/heads/active";
/// The state that is served, in every version's tree.
pub const STATE_FILE: &str = "state/active.state.json";

/// An open repository.
#[derive(Debug, Clone)]
pub struct Git {
    pub(super) repository: gix::Repository,
    /// The main working tree, whichever worktree it was opened from; the git directory when bare.
    pub(super) root: PathBuf,
    pub(super) common_dir: PathBuf,
    pub(super) written: Written,
    /// Sound versions of branches whose tags cannot be made now: for this process they are as good
    /// as tagged.
    pub(super) untagged: Arc<Mutex<BTreeMap<Version, ObjectId>>>,
    /// Why objects are written to a temporary layer; no ref moves then.
    pub(super) refusal: Option<Arc<FsError>>,
}

impl Git {
    /// Opens the repository that holds `directory`; inside a git hook, the one the hook runs for.
    pub fn discover(directory: &Path) -> Result<Self, GitError> {
        let upwards = gix::discover::upwards::Options::default;
        Self::open(directory, |trust| {
            gix::ThreadSafeRepository::discover_with_environment_overrides_opts(
                directory,
                upwards(),
                trust,
            )
        })
    }

    /// The repository that holds `directory`, whatever a surrounding hook exports.
    pub(super) fn isolated(directory: &Path) -> Result<Self, GitError> {
        let upwards = gix::discover::upwards::Options::default;
        Self::open(directory, |trust| {
            gix::ThreadSafeRepository::discover_opts(directory, upwards(), trust)
        })
    }

    pub(super) fn open(
        directory: &Path,
        find: impl Fn(
            gix::sec::trust::Mapping<gix::open::Options>,
        ) -> Result<gix::ThreadSafeRepository, gix::Error>,
    ) -> Result<Self, GitError> {
        let found = match find(trust()) {
            Err(error) if error.is_permission_denied() && git_trusts(directory) => {
                find(trusted_by_git())
            }
            found => found,
        };
        let mut repository: gix::Repository =
            found.map_err(|source| GitError::opening(directory, source))?.into();
        repository.make_paths_absolute().map_err(|source| GitError::opening(directory, source))?;
        refuse_reftable(&repository)?;
        let main = repository.main_repo().map_err(|source| GitError::opening(directory, source))?;
        let root = resolved(main.workdir().unwrap_or_else(|| main.git_dir()));
        let common_dir = resolved(repository.common_dir());
        let refusal = layer_of_objects(&mut repository, &root)?;
        // the same few trees and commits are read again and again
        repository.object_cache_size_if_unset(4 << 20);
        // what `git replace` shows in place of an object is not the object
        repository.objects.ignore_replacements = true;
        Ok(Self {
            repository,
            root,
            common_dir,
            written: Written::default(),
            untagged: Arc::default(),
            refusal,
        })
    }

    /// The main working tree (the git directory itself, when bare).
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The working tree the repository was opened from; none in a bare one.
    pub fn worktree(&self) -> Option<PathBuf> {
        self.repository.workdir().map(resolved)
    }

    /// The git directory that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Why this repository cannot be written, where it cannot.
    pub fn refusal(&self) -> Option<FsError> {
        self.refusal.as_deref().map(FsError::again).or_else(|| fs::refusal(&self.common_dir))
    }

    pub fn is_bare(&self) -> bool {
        self.repository.is_bare()
    }

    /// Whether history ends early: a shallow clone brings neither all commits nor, as a rule, the
    /// tags.
    pub fn is_shallow(&self) -> bool {
        self.repository.is_shallow().unwrap_or(false)
    }

    /// The checked-out branch as a full name; `None` when HEAD is detached.
    pub fn head_branch(&self) -> Result<Option<String>, GitError> {
        let name = self.repository.head_name().map_err(GitError::reading("HEAD"))?;
        Ok(name.map(|name| name.as_bstr().to_string()))
    }

    pub fn layout(&self) -> Layout {
        Layout::of(&self.root)
    }

    /// A commit by any name git understands (branch, tag, id, `HEAD~2`); `None` when there is no
    /// such commit.
    pub fn resolve(&self, revision: &str) -> Result<Option<ObjectId>, GitError> {
        let peeled = format!("{revision}^{{commit}}");
        match self.repository.rev_parse_single(peeled.as_str()) {
            Ok(id) => Ok(Some(from_gix(id.detach()))),
            Err(error) if error.is_corrupted() => Err(GitError::reading(revision)(error)),
            Err(_) => Ok(None),
        }
    }

    /// Like `resolve`, where there has to be a commit.
    pub fn expect(&self, revision: &str) -> Result<ObjectId, GitError> {
        self.resolve(revision)?.ok_or_else(|| GitError::NoCommit {
            revision: revision.to_owned(),
            shallow: self.is_shallow(),
        })
    }

    /// What a ref points at (an annotated tag: the commit behind it), by its full name.
    pub fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        let found = self.repository.try_find_reference(name).map_err(GitError::reading(name))?;
        let Some(mut reference) = found else { return Ok(None) };
        let id = reference.peel_to_id().map_err(GitError::reading(name))?;
        Ok(Some(from_gix(id.detach())))
    }

    /// A value of the user's or the repository's git configuration.
    pub fn config(&self, key: &str) -> Option<String> {
        self.repository.config_snapshot().string(key).map(|value| value.to_string())
    }

    /// `git` on this repository, free of what a surrounding hook exported.
    pub(in crate::world) fn command(&self) -> Run {
        let mut run = Run::new("git")
            .arg("--git-dir")
            .arg(self.repository.git_dir())
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0");
        // the hook's object directory is kept: a push is judged before its objects leave the
        // quarantine
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE"] {
            run = run.env_remove(name);
        }
        run = run.env("GIT_NO_REPLACE_OBJECTS", "1");
        if self.refusal.is_some() {
            // it leads to the repository's own
            run =
                run.env("GIT_OBJECT_DIRECTORY", self.objects_dir()).env("GIT_OPTIONAL_LOCKS", "0");
        }
        // where git runs hooks, and what the path of a remote is relative to
        run.directory(&self.root)
    }
}

/// Where a repository's objects cannot be written, new ones go to a temporary layer, whose
/// alternate is the repository. Gives why they cannot be.
fn layer_of_objects(
    repository: &mut gix::Repository,
    root: &Path,
) -> Result<Option<Arc<FsError>>, GitError> {
    let own = resolved(repository.objects.store_ref().path());
    let Some(layer) = WritableLayer::needed(root, &own, &[]) else { return Ok(None) };
    let objects = layer.above(&own).expect("the layer is of this folder");
    let alternates = objects.join("info/alternates");
    if !alternates.exists() {
        // without a temporary folder nothing can be written, but reading continues
        if fs::replace(
            &alternates,
            &[own.as_os_str().as_bytes(), b"\n"].concat(),
            Durability::Rebuildable,
        )
        .is_err()
        {
            return Ok(Some(layer.into_refusal()));
        }
    }
    let opened = gix::odb::at(&objects, repository.object_hash())
        .map_err(FsError::while_doing("open", &objects))?;
    repository.objects = gix::odb::memory::Proxy::from(opened).with_write_passthrough();
    Ok(Some(layer.into_refusal()))
}

/// A repository of another owner is not opened: its configuration could run programs.
pub(super) fn trust() -> gix::sec::trust::Mapping<gix::open::Options> {
    let options = || gix::open::Options::default().bail_if_untrusted(true);
    gix::sec::trust::Mapping { full: options(), reduced: options() }
}

/// git also trusts `safe.directory` of its environment and command line, which gix ignores.
fn git_trusts(directory: &Path) -> bool {
    let asked = Run::new("git").args(["rev-parse", "--git-dir"]).directory(directory).finish();
    asked.is_ok_and(|answer| answer.success())
}

/// For a repository that git trusts: its configuration applies, and object sizes are not limited.
fn trusted_by_git() -> gix::sec::trust::Mapping<gix::open::Options> {
    let options = || {
        gix::open::Options::default()
            .filter_config_section(|_| true)
            .config_overrides(["gitoxide.objects.allocLimitIfReducedTrust=0"])
    };
    gix::sec::trust::Mapping { full: options(), reduced: options() }
}

/// gix does not read reftable: it would see a repository without refs.
fn refuse_reftable(repository: &gix::Repository) -> Result<(), GitError> {
    let format = repository
        .config_snapshot()
        .string("extensions.refStorage")
        .map(|format| format.to_string());
    match format {
        Some(format) if !format.eq_ignore_ascii_case("files") => {
            Err(GitError::RefFormat { directory: repository.git_dir().to_owned(), format })
        }
        _ => Ok(()),
    }
}

/// Without symlinks where that can be found out, so that one repository has one name.
pub(super) fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
