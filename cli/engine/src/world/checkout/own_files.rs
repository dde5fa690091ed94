//! Files that a server wrote into its checkout. They belong to no version; they are saved before
//! the checkout is removed.

use super::{Checkout, CheckoutError, Record};
use crate::world::checkout::compare::wanted;
use crate::world::checkout::scan::{Kind, scan};
use crate::world::clock;
use crate::world::fs::{self, FsError};
use crate::world::git::Git;
use crate::world::layout::Layout;
use agent_core::formats::object_id::ObjectId;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More files than this are no files of a server's own, but something that went wrong.
const MOST: usize = 10_000;

/// Saved files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedFiles {
    pub paths: Vec<PathBuf>,
    pub folder: PathBuf,
}

impl Checkout {
    /// The regular files in the checkout that are neither in its tree nor compiled.
    pub fn own_files(&self, git: &Git) -> Result<Vec<PathBuf>, CheckoutError> {
        let found = scan(&self.place);
        if Record::read(&self.record(), &self.tree).is_some_and(|record| record.holds(&found)) {
            return Ok(Vec::new());
        }
        let wanted = wanted(&self.listed(git)?, &self.compiled());
        let wanted: HashSet<&Path> = wanted.iter().map(super::compare::Expected::path).collect();
        let is_own = |path: &Path| {
            !wanted.contains(path)
                && !path.components().any(|part| part.as_os_str() == "__pycache__")
        };
        let own = found.into_iter().filter(|found| found.kind == Kind::File && is_own(&found.path));
        Ok(own.map(|found| found.path).take(MOST).collect())
    }

    /// Saves the files that a server wrote here as hard links, so that later writes of a running
    /// server are saved as well.
    pub fn keep_own_files(&self, git: &Git) -> Result<Option<SavedFiles>, CheckoutError> {
        let paths = self.own_files(git)?;
        if paths.is_empty() {
            return Ok(None);
        }
        let folder = self.layout.left_behind().join(clock::fresh_id("files"));
        for path in &paths {
            let to = folder.join(path);
            fs::create_dir(to.parent().unwrap_or(&folder))?;
            let from = self.place.join(path);
            if std::fs::hard_link(&from, &to).is_err() {
                std::fs::copy(&from, &to).map_err(FsError::while_doing("keep a copy of", &from))?;
            }
        }
        Ok(Some(SavedFiles { paths, folder }))
    }

    /// The checkout at a path, for who removes it; `None` where its tree is not known any more.
    pub fn at(git: &Git, layout: &Layout, place: &Path) -> Option<Self> {
        let name = place.file_name()?.to_str()?;
        let tree = ObjectId::parse(name.split('-').next()?).filter(|tree| git.exists(tree))?;
        Some(Self {
            tree,
            compiler: None,
            link: None,
            place: place.to_owned(),
            layout: layout.clone(),
            lease: Arc::default(),
        })
    }
}
