//! Submodules: a tree with the files of its submodules in place of their commits, for a checkout.
//! Nothing is fetched: what is not initialised here is an error.

use super::checkout::is_plain;
use super::error::GitError;
use super::objects::{Listed, Mode, TreeEdit};
use super::repository::{Git, trust};
use agent_core::formats::object_id::ObjectId;
use gix::objs::Kind;
use std::path::{Path, PathBuf};

/// git's list of submodules, at the root of a tree.
const LIST: &str = ".gitmodules";

impl Git {
    /// A tree with the files of its submodules, and of theirs, as a tree that is in the repository.
    pub fn with_submodules(&self, tree: &ObjectId) -> Result<ObjectId, GitError> {
        let Some(list) = self.read(tree, LIST)? else { return Ok(tree.clone()) };
        let links: Vec<_> = self
            .tree_files(tree)?
            .into_iter()
            .filter(|file| file.mode == Mode::Submodule)
            .collect();
        let edits =
            links.iter().map(|link| self.filled(link, &list)).collect::<Result<Vec<_>, _>>()?;
        if edits.is_empty() { Ok(tree.clone()) } else { self.edit_tree(Some(tree), &edits) }
    }

    fn filled(&self, link: &Listed, list: &[u8]) -> Result<TreeEdit, GitError> {
        let path = link
            .path
            .to_str()
            .ok_or_else(|| GitError::Name { path: link.path.display().to_string() })?
            .to_owned();
        let missing = || GitError::Submodule { path: path.clone(), commit: link.id.clone() };
        let module = self
            .submodule(&path, list)?
            .filter(|module| module.is_commit(&link.id))
            .ok_or_else(missing)?;
        let tree = module
            .with_submodules(&module.tree_of(&link.id)?)
            .map_err(|error| error.below(&path))?;
        self.take_tree(&module, &tree)?;
        Ok(TreeEdit::Put { path, id: tree, mode: Mode::Folder })
    }

    /// The repository of a submodule: below that of the tree it is in, or, as older versions of git
    /// have it, in the working tree.
    fn submodule(&self, path: &str, list: &[u8]) -> Result<Option<Self>, GitError> {
        let Some(name) = name_of(path, list)? else { return Ok(None) };
        let below = [self.repository.git_dir(), &self.common_dir]
            .map(|folder| folder.join("modules").join(&name));
        let beside = self.repository.workdir().map(|folder| folder.join(path).join(".git"));
        let is_repository = |folder: &PathBuf| folder.join("objects").is_dir();
        let Some(folder) = below.into_iter().chain(beside).find(is_repository) else {
            return Ok(None);
        };
        Self::open(&folder, |_| gix::ThreadSafeRepository::open_opts(&folder, trust().full))
            .map(Some)
    }

    /// Takes the objects of a tree over from another repository, as far as they are not here.
    fn take_tree(&self, from: &Self, tree: &ObjectId) -> Result<(), GitError> {
        let object =
            from.find(tree)?.try_into_tree().map_err(GitError::reading(format!("tree {tree}")))?;
        for entry in object.iter() {
            let entry = entry.map_err(GitError::reading(format!("tree {tree}")))?;
            let id = super::ids::from_gix(entry.object_id());
            match Mode::of(entry.mode().kind()) {
                Mode::Folder => self.take_tree(from, &id)?,
                Mode::Submodule => {}
                _ if self.exists(&id) => {}
                _ => drop(self.write_blob(&from.blob(&id)?)?),
            }
        }
        self.write_object(Kind::Tree, &object.data).map(drop)
    }
}

/// The name of the submodule at a path; one with a name that leads out of git's folder is none.
fn name_of(path: &str, list: &[u8]) -> Result<Option<String>, GitError> {
    let list = gix::config::File::try_from(String::from_utf8_lossy(list).as_ref());
    let list = list.map_err(|_| GitError::Path { path: LIST.to_owned() })?;
    let names = list.sections().filter(|section| section.header().name() == "submodule");
    let mut names =
        names.filter_map(|section| section.header().subsection_name().map(ToString::to_string));
    let name = names.find(|name| {
        list.string(format!("submodule.{name}.path").as_str()).is_some_and(|found| found == path)
    });
    Ok(name.filter(|name| is_plain(Path::new(name))))
}
