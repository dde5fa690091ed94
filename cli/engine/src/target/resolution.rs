//! From WHAT to the target it names: a checkout of the code, one state, the manifest.

use crate::conversations::Header;
use crate::repository::{Repository, manifest_on_disk, state_value};
use crate::target::definition::{State, Target};
use crate::target::error::TargetError;
use crate::target::state_merge::{self, WorkingCopy};
use crate::world::checkout::{Checkout, CheckoutPurpose, Compiler, LinkTo};
use crate::world::git::{CommitSpec, STATE_FILE, TreeEdit};
use crate::world::node::{MODULES, Packages};
use crate::world::state_file::StateFile;
use crate::world::{layout, python};
use agent_core::formats::canonical;
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::document;
use agent_core::formats::manifest::{self, Manifest, ManifestError};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::promotion::Tip;
use agent_core::version::what::What;
use serde_json::Value;
use std::path::{Path, PathBuf};

impl Repository {
    pub fn target(&self, what: &What) -> Result<Target, TargetError> {
        match what {
            What::Staging => {
                let staged = self.staging()?.snapshot()?;
                self.candidate(what, &staged.base.commit, &staged.state)
            }
            What::Active => self.target_at(what, &self.expect_tip()?.commit),
            // a sparse checkout leaves out files that the Runner may need
            What::Worktree if self.git.is_sparse() => self.target_to_test(what),
            What::Worktree => self.worktree_target(),
            other => self.target_at(other, &self.sound_commit(other)?),
        }
    }

    /// The target that a tier runs on. The working tree is tested as a snapshot, in a separate
    /// checkout: its results are stored by tree, so they must not depend on other files in the
    /// user's folder.
    pub fn target_to_test(&self, what: &What) -> Result<Target, TargetError> {
        if *what != What::Worktree {
            return self.target(what);
        }
        let directory = self.worktree()?;
        let why = match self.git.snapshot_worktree(&directory, &self.layout) {
            Ok(tree) if self.git.entry(&tree, layout::HOME)?.is_none() => {
                return self.snapshot_target(&tree);
            }
            Ok(_) => format!("git tracks files below {0}/ (git rm -r --cached {0})", layout::HOME),
            Err(error) => error.messages().join(": "),
        };
        self.warn(&format!("the working tree is tested in place, and no result is stored: {why}"));
        self.worktree_target()
    }

    fn snapshot_target(&self, tree: &ObjectId) -> Result<Target, TargetError> {
        let bytes = self.git.read(tree, STATE_FILE)?.ok_or_else(|| no_state("the working tree"))?;
        let manifest = self.git.read(tree, manifest::FILE)?;
        let manifest = manifest
            .ok_or_else(|| ManifestError::Missing { origin: "the working tree".to_owned() })?;
        let manifest = Manifest::read(&manifest, manifest::FILE)?;
        let code = self.git.write_code_tree(tree)?;
        let checkout = self.checkout(&code, &manifest)?;
        self.under_carried_state(&bytes, |state| {
            Ok(Target {
                what: What::Worktree,
                commit: None,
                tree: Some(tree.clone()),
                code: Some(code),
                version: None,
                manifest,
                directory: checkout.path().to_owned(),
                checkout: Some(checkout),
                state,
            })
        })
    }

    /// What a release of the working tree would serve: its code with the state that is served, and
    /// with the changes of `copy`, the state file beside the code.
    fn under_carried_state(
        &self,
        copy: &[u8],
        code: impl FnOnce(State) -> Result<Target, TargetError>,
    ) -> Result<Target, TargetError> {
        let Some((tip, on)) = self.served_and_head()? else {
            return code(self.state_of(copy, STATE_FILE)?);
        };
        let served = self.state_of(
            &self.git.blob(&tip.revision)?,
            &format!("{}:{STATE_FILE}", tip.commit.short()),
        )?;
        self.carried_onto(code(served)?, copy, &tip, &on)
    }

    /// A tree, committed or not, as a release of it would be served; `on` is its commit, or the
    /// commit that it is based on.
    pub fn with_merged_state(&self, target: Target, on: &ObjectId) -> Result<Target, TargetError> {
        let tree = target.tree.clone().expect("a tree is tested");
        let copy = self.git.read(&tree, STATE_FILE)?.unwrap_or_default();
        match self.tip()? {
            Some(tip) => self.carried_onto(target, &copy, &tip, on),
            None => Ok(target),
        }
    }

    fn carried_onto(
        &self,
        mut target: Target,
        copy: &[u8],
        tip: &Tip,
        on: &ObjectId,
    ) -> Result<Target, TargetError> {
        target.state = self.merged_state(&target, copy, tip, on)?;
        if let Some(tree) = &target.tree {
            target.tree = Some(self.with_state(tree, &target.state.revision)?);
        }
        Ok(target)
    }

    fn merged_state(
        &self,
        code: &Target,
        copy: &[u8],
        tip: &Tip,
        on: &ObjectId,
    ) -> Result<State, TargetError> {
        let schema = state_merge::schema_id(self, code)?;
        let served = || {
            self.state_of(
                &self.git.blob(&tip.revision)?,
                &format!("{}:{STATE_FILE}", tip.commit.short()),
            )
        };
        if state_merge::is_as_served(self, tip, (schema.as_ref(), &ObjectId::of_blob(copy)), on)? {
            return served();
        }
        let Some(merged) =
            state_merge::for_worktree(self, tip, WorkingCopy { code, state: copy, on })?
        else {
            return self.state_of(copy, STATE_FILE);
        };
        let served = served()?;
        if canonical::revision(&merged) == canonical::revision(&served.value) {
            return Ok(served);
        }
        self.git.write_blob(&canonical::to_bytes(&merged))?;
        self.materialised(&merged)
    }

    /// The served version, and the commit of the working tree. None where either is missing; a
    /// served version that is not sound is ignored with a notice.
    fn served_and_head(&self) -> Result<Option<(Tip, ObjectId)>, TargetError> {
        let tip = match self.tip() {
            Ok(tip) => tip,
            Err(error) => {
                self.warn(&format!(
                    "the working tree runs with its own {STATE_FILE}: {}",
                    error.messages().join(": ")
                ));
                None
            }
        };
        Ok(tip.zip(self.git.resolve("HEAD")?))
    }

    /// A tree with another state.
    pub fn with_state(&self, tree: &ObjectId, blob: &ObjectId) -> Result<ObjectId, TargetError> {
        Ok(self.git.edit_tree(
            Some(&self.git.tree_of(tree)?),
            &[TreeEdit::file(STATE_FILE, blob.clone())],
        )?)
    }

    /// The code of the working tree, for uses that do not depend on its state: the served one.
    pub fn worktree_code(&self, state: State) -> Result<Target, TargetError> {
        folder_target(self.worktree()?, state)
    }

    /// The working tree as a commit on HEAD that no ref leads to, with the state that a release of
    /// it would serve.
    pub fn worktree_commit(&self) -> Result<ObjectId, TargetError> {
        let head = self.git.commit(&self.git.expect("HEAD")?)?;
        let tree = self.target_to_test(&What::Worktree)?.tree;
        let tree = tree.ok_or(TargetError::NoTree)?;
        let spec =
            CommitSpec { tree, parents: vec![head.id], message: "the working tree\n".to_owned() };
        Ok(self.git.write_commit_at(&spec, head.time)?)
    }

    /// The commit that is to be run as what was named: one that is named as a version has to be
    /// that version.
    fn sound_commit(&self, what: &What) -> Result<ObjectId, TargetError> {
        let version = match what {
            What::Version(version) => version.clone(),
            What::Range(range) => self.newest_in(range)?,
            What::Name(name) => match self.git.pin_meant(name)? {
                Some(pinned) => return self.sound_commit(&pinned),
                None => return Ok(self.git.expect(name)?),
            },
            What::Active | What::Staging | What::Worktree => return Ok(self.commit_named(what)?),
        };
        let commit = self.commit_of(&version)?;
        self.sound_version(&version, &commit)?;
        Ok(commit)
    }

    fn target_at(&self, what: &What, commit: &ObjectId) -> Result<Target, TargetError> {
        let version = self.git.commit(commit)?.trailers.version;
        let bytes = self.git.read(commit, STATE_FILE)?.ok_or_else(|| no_state(commit.short()))?;
        let state = self.state_of(&bytes, &format!("{}:{STATE_FILE}", commit.short()))?;
        Ok(Target {
            version,
            tree: Some(self.git.tree_of(commit)?),
            ..self.code_at(what, commit, state)?
        })
    }

    /// The code of a commit with another state: a candidate without a commit.
    pub fn candidate(
        &self,
        what: &What,
        commit: &ObjectId,
        state: &Value,
    ) -> Result<Target, TargetError> {
        let state = self.materialised(state)?;
        let blob = self.git.write_blob(&canonical::to_bytes(&state.value))?;
        Ok(Target {
            tree: Some(self.with_state(commit, &blob)?),
            ..self.code_at(what, commit, state)?
        })
    }

    /// A complete tree, which needs no commit.
    pub fn tree_target(&self, what: &What, tree: &ObjectId) -> Result<Target, TargetError> {
        let bytes = self.git.read(tree, STATE_FILE)?.ok_or_else(|| no_state(tree.short()))?;
        let state = self.state_of(&bytes, &format!("{}:{STATE_FILE}", tree.short()))?;
        Ok(Target { commit: None, tree: Some(tree.clone()), ..self.code_at(what, tree, state)? })
    }

    /// What a conversation began with, for as long as it lasts.
    pub fn pinned(&self, header: &Header) -> Result<Target, TargetError> {
        let Some(commit) = &header.commit else {
            return self.worktree_target();
        };
        let bytes = self.git.blob(&header.revision)?;
        let state = self.state_of(&bytes, &format!("state {}", header.revision.short()))?;
        let version = header.version.as_deref().and_then(|version| version.parse().ok());
        Ok(Target { version, ..self.code_at(&What::Name(commit.to_string()), commit, state)? })
    }

    fn code_at(&self, what: &What, commit: &ObjectId, state: State) -> Result<Target, TargetError> {
        let code = self.git.write_code_tree(commit)?;
        let manifest = self.manifest(commit)?;
        let checkout = self.checkout(&code, &manifest)?;
        Ok(Target {
            what: what.clone(),
            commit: Some(commit.clone()),
            tree: None,
            code: Some(code),
            version: None,
            directory: checkout.path().to_owned(),
            checkout: Some(checkout),
            state,
            manifest,
        })
    }

    /// Compiled for the interpreter that children run on. Where there is none, starting them
    /// reports it.
    fn checkout(&self, code: &ObjectId, manifest: &Manifest) -> Result<Checkout, TargetError> {
        let words = std::iter::once(&manifest.runner)
            .chain(&manifest.tuner)
            .flat_map(|entry| entry.command.clone())
            .collect();
        let interpreter = python::find(&self.layout, &manifest.python.requires).ok();
        let compiler = interpreter.map(|interpreter| Compiler::new(&interpreter, words));
        let checkout = Checkout::of(
            &self.git,
            &self.layout,
            CheckoutPurpose::Code,
            &self.git.with_submodules(code)?,
            compiler,
            self.packages(code, manifest)?,
        )?;
        Ok(checkout)
    }

    /// A link to packages of Node, where the manifest asks for them. They are installed when a
    /// child starts.
    fn packages(
        &self,
        code: &ObjectId,
        manifest: &Manifest,
    ) -> Result<Option<LinkTo>, TargetError> {
        let Some(node) = &manifest.node else { return Ok(None) };
        let read = |path: &Path| {
            let path = path.to_str().unwrap_or_default();
            self.git.read(code, path).map_err(TargetError::from)
        };
        let packages = Packages::of(&self.layout, node, read)?;
        Ok(Some(LinkTo {
            at: Path::new(&node.lock).with_file_name(MODULES),
            to: packages.modules(),
            kind: packages.kind(),
        }))
    }

    fn worktree_target(&self) -> Result<Target, TargetError> {
        let directory = self.worktree()?;
        let path = directory.join(STATE_FILE);
        let bytes = crate::world::fs::read_if_there(&path)?
            .ok_or_else(|| no_state(&directory.display().to_string()))?;
        // what git would store of it, so that its Revision is that of a commit
        let bytes = document::normal(bytes);
        self.under_carried_state(&bytes, |state| folder_target(directory, state))
    }

    /// What a target is as a git tree; `None` for the folder of the working tree.
    pub fn tree_of(&self, target: &Target) -> Result<Option<ObjectId>, TargetError> {
        match (&target.tree, &target.commit) {
            (None, Some(commit)) => Ok(Some(self.git.tree_of(commit)?)),
            (tree, _) => Ok(tree.clone()),
        }
    }

    fn state_of(&self, bytes: &[u8], origin: &str) -> Result<State, TargetError> {
        let value = state_value(bytes, origin)?;
        let revision = ObjectId::of_blob(bytes);
        // not every JSON parser accepts a byte order mark
        let file = StateFile::of(&self.layout, &revision, document::unmarked(bytes))?;
        Ok(State::new(revision, file, value))
    }

    fn materialised(&self, value: &Value) -> Result<State, TargetError> {
        self.state_of(&canonical::to_bytes(value), STATE_FILE)
    }
}

fn folder_target(directory: PathBuf, state: State) -> Result<Target, TargetError> {
    Ok(Target {
        what: What::Worktree,
        commit: None,
        tree: None,
        code: None,
        version: None,
        manifest: manifest_on_disk(&directory)?,
        directory,
        checkout: None,
        state,
    })
}

fn no_state(of: &str) -> TargetError {
    TargetError::NoState { of: of.to_owned() }
}
