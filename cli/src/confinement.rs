//! What each kind of child may reach. `world::sandbox` enforces it, and `agent doctor` tries it.

use crate::repository::Repository;
use crate::world::{env, store};
use agent_core::confinement::{Confinement, Kind};
use agent_core::manifest::Manifest;
use std::path::{Path, PathBuf};

/// A Coder reads all of the machine but this repository, and writes its home folder, the folder for temporary files and what it is given. `read` and
/// `write` may lie below the repository.
///
/// Where the home folder or the folder for temporary files holds the repository, what is in there can be changed and nothing new be created beside it: a
/// coder that needs to is given a `HOME` and a `TMPDIR` of its own.
pub fn coder(repository: &Repository, manifest: &Manifest, read: &[PathBuf], write: &[PathBuf]) -> Confinement {
    const DEVICES: [&str; 8] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx", "/dev/pts", "/dev/shm"];
    let own = [env::home().map(PathBuf::from), Some(std::env::temp_dir())];
    // a disk as a device holds every file of the repository
    let devices = PathBuf::from("/dev");
    Confinement {
        kind: Kind::Coder,
        read: [PathBuf::from("/")].into_iter().chain(read.iter().cloned()).collect(),
        write: own.into_iter().flatten().chain(DEVICES.map(PathBuf::from)).chain(write.iter().cloned()).collect(),
        holes: holes(repository, manifest).chain([devices]).collect(),
        network: true,
    }
}

/// Wherever the files and objects of a repository lie: working trees, git directory, object store, other repositories it takes objects from or pushes
/// to on this machine.
fn holes(repository: &Repository, manifest: &Manifest) -> impl Iterator<Item = PathBuf> {
    let root = repository.layout.root();
    let stored = store::folder(&manifest.store.url, root);
    [root.to_owned()].into_iter().chain(stored).chain(repository.git.places())
}

/// A Tuner writes one folder.
pub fn tuner(scratch: &Path) -> Confinement {
    Confinement {
        read: vec!["/".into()],
        write: vec![scratch.to_owned(), "/dev/null".into()],
        network: true,
        ..Confinement::new(Kind::Tested)
    }
}
