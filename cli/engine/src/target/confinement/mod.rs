//! The access of each kind of child. `world::sandbox` enforces it, and `agent doctor` tests it.

#[cfg(target_os = "linux")]
pub mod probe;

use crate::child::{ChildSpec, Role};
use crate::repository::Repository;
use crate::target::definition::Target;
use crate::target::error::TargetError;
use crate::world::clock::fresh_id;
use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::{HOME, Layout};
use crate::world::process::on_path;
use crate::world::{env, python, store, toolchain};
use agent_core::child::confinement::{Confinement, Kind};
use agent_core::formats::manifest::{self, EntryPoint, Manifest};
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// System files that every program needs: programs, libraries, configuration, and kernel
/// information.
const SYSTEM: [&str; 17] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr",
    "/etc",
    "/opt",
    "/var/lib/ca-certificates",
    "/proc",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/nix/store",
    "/gnu/store",
    "/run/current-system",
    "/home/linuxbrew/.linuxbrew",
    "/etc/resolv.conf",
];
const DEVICES: [&str; 4] = ["/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// A disk as a device holds every file of the repository.
const ALL_DEVICES: &str = "/dev";
const NOWHERE: &str = "/dev/null";
const SHARED_MEMORY: &str = "/dev/shm";

/// Confines code under test: a Runner in a tier, or a Tuner. It reads the system, its interpreter,
/// its code and its state, and what its `entry` of the manifest names; the caller adds the folders
/// it may write. The repository stays out of reach, with its cases and its object store.
pub fn confine(
    spec: &mut ChildSpec,
    entry: &EntryPoint,
    network: bool,
    target: &Target,
    repository: &Repository,
) -> Result<(), TargetError> {
    let manifest = &target.manifest;
    let layout = &repository.layout;
    let holes = holes(repository, manifest);
    let Requested { folders, devices } = Requested::of(entry, &holes)?;
    let python = python::folders(layout, &manifest.python)?;
    let confinement = tested(holes)
        .read(python.packages)
        .read(program(spec))
        .read(folders)
        .read_own(python.installed)
        .read_own(environments(spec, layout))
        .read_own([spec.directory.as_path(), target.state.file.path()])
        .write_own(devices)
        .write_own(entry.shared_memory.then_some(SHARED_MEMORY))
        .network(entry.network.unwrap_or(network));
    spec.confinement = Some(confinement);
    // nothing that a Tuner does is kept as a result
    spec.withheld = if spec.role == Role::Tuner { env::secrets() } else { env::undeclared() };
    spec.withheld.extend(manifest.record.key.iter().map(Into::into));
    // git ends with an error when it may not read the user's configuration
    spec.environment.push(("GIT_CONFIG_GLOBAL".into(), NOWHERE.into()));
    Ok(())
}

/// The access of all code under test.
fn tested(holes: Vec<PathBuf>) -> Confinement {
    let system = Confinement::new(Kind::Tested).read(SYSTEM).read(env::system_files());
    system
        .read_own(DEVICES)
        .write_own([NOWHERE])
        .without(holes)
        .without([PathBuf::from(ALL_DEVICES)])
}

/// The additional access that the manifest requests.
struct Requested {
    folders: Vec<PathBuf>,
    devices: Vec<PathBuf>,
}

impl Requested {
    fn of(entry: &EntryPoint, holes: &[PathBuf]) -> Result<Self, TargetError> {
        let paths = entry
            .read
            .iter()
            .map(|path| at_home(path))
            .map(|path| path.canonicalize().unwrap_or(path));
        let (devices, folders): (Vec<_>, Vec<_>) =
            paths.partition(|path| path.starts_with(ALL_DEVICES));
        let refused = |path: &PathBuf| Some((path.clone(), manifest::refusal(path.to_str()?)?));
        if let Some((path, why)) = folders.iter().chain(&devices).find_map(refused) {
            return Err(TargetError::ReadRefused { path, why });
        }
        let resolved = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let is_in_hole =
            |path: &&PathBuf| holes.iter().any(|hole| path.starts_with(resolved(hole)));
        if let Some(path) = folders.iter().find(is_in_hole) {
            return Err(TargetError::ReadsRepository { path: path.clone() });
        }
        if let Some(path) = devices
            .iter()
            .find(|path| path.metadata().is_ok_and(|file| !file.file_type().is_char_device()))
        {
            return Err(TargetError::ReadsNoCharacters { path: path.clone() });
        }
        Ok(Self { folders, devices })
    }
}

/// The environment the program is installed in and searches.
fn environments(spec: &ChildSpec, layout: &Layout) -> Vec<PathBuf> {
    let searched =
        spec.environment.iter().filter(|(name, _)| name == "PYTHONPATH").map(|(_, value)| value);
    toolchain::led_to(
        layout,
        &spec.directory,
        spec.command.iter().chain(searched).map(OsString::as_os_str),
    )
}

/// The program itself and what it is installed with.
fn program(spec: &ChildSpec) -> Vec<PathBuf> {
    let Some(name) = spec.command.first() else { return Vec::new() };
    let named = if Path::new(name).components().count() > 1 {
        Some(spec.directory.join(name))
    } else {
        on_path(name)
    };
    named.map(|named| installed_with(&named, &spec.directory)).unwrap_or_default()
}

/// A program with the libraries beside it, and the user's own environment of Python that it is part
/// of.
fn installed_with(program: &Path, code: &Path) -> Vec<PathBuf> {
    // it may be a link to a script of an environment, or the environment's link to its interpreter;
    // one inside the code could lead anywhere
    let is_users =
        |folder: &PathBuf| folder.canonicalize().is_ok_and(|folder| !folder.starts_with(code));
    let places = [Some(program.to_owned()), program.canonicalize().ok()].into_iter().flatten();
    let environment = places.filter_map(|path| python::environment_of(&path)).find(is_users);
    let interpreter = environment.as_ref().map(|folder| folder.join("bin/python"));
    let programs = [Some(program.to_owned()), interpreter]
        .into_iter()
        .flatten()
        .filter_map(|path| path.canonicalize().ok());
    programs
        .flat_map(|path| [libraries_beside(&path), Some(path)])
        .flatten()
        .chain(environment)
        .collect()
}

fn libraries_beside(program: &Path) -> Option<PathBuf> {
    program
        .parent()
        .filter(|folder| folder.ends_with("bin"))
        .map(|folder| folder.with_file_name("lib"))
}

fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), env::home()) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest.trim_start_matches('/')),
        _ => path.into(),
    }
}

/// A folder for a confined child to write: empty when it starts, one of a few that are used again
/// and again.
pub struct Scratch {
    folder: PathBuf,
    _lock: FileLock,
}

impl Scratch {
    pub fn take(layout: &Layout) -> Result<Self, FsError> {
        let all = layout.scratch();
        for number in 0.. {
            let Some(lock) = FileLock::try_acquire(&all.join(format!("{number}.lock")))? else {
                continue;
            };
            let folder = all.join(number.to_string());
            if fs::remove_stubborn_folder(&folder).is_err() {
                // such as one that is too deep to traverse
                fs::rename(&folder, &all.join(fresh_id("left")))?;
            }
            fs::create_dir(&folder)?;
            return Ok(Self {
                folder: folder.canonicalize().map_err(FsError::while_doing("find", &folder))?,
                _lock: lock,
            });
        }
        unreachable!("there are more numbers than processes")
    }

    /// Until this value is dropped.
    pub fn given_to(&self, spec: ChildSpec) -> ChildSpec {
        spec.with_folders(&self.folder, &self.folder, &self.folder)
    }
}

/// A Coder reads all of the machine but this repository, and writes what it is given alone. `read`
/// and `write` may lie below the repository.
pub fn coder(
    repository: &Repository,
    manifest: &Manifest,
    read: &[PathBuf],
    write: &[PathBuf],
) -> Confinement {
    const TERMINALS: [&str; 2] = ["/dev/ptmx", "/dev/pts"];
    Confinement::new(Kind::Coder)
        .read(["/"])
        .read_own(DEVICES)
        .read_own(read)
        .write_own([NOWHERE, SHARED_MEMORY])
        .write_own(TERMINALS)
        .write_own(write)
        .without(holes(repository, manifest))
        .without([PathBuf::from(ALL_DEVICES)])
        .network(true)
}

/// Wherever the files and objects of a repository lie: working trees, git directory, object store,
/// other repositories it takes objects from or pushes to on this machine.
fn holes(repository: &Repository, manifest: &Manifest) -> Vec<PathBuf> {
    let root = repository.layout.root();
    let mut holes = repository.git.places();
    holes.extend([root.join(HOME), root.join("tests"), root.join("ci")]);
    holes.extend(store::folder(&manifest.store.url, root));
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_environment_is_readable_and_code_environment_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        let secret = root.join("secret");
        std::fs::write(&secret, "").expect("a file");
        for place in ["mine", "code"].map(|name| root.join(name)) {
            fs::create_dir(&place.join("bin")).expect("a folder");
            std::fs::write(place.join("bin/server"), "").expect("a script");
            std::fs::write(place.join("pyvenv.cfg"), "").expect("a marker");
            std::os::unix::fs::symlink(&secret, place.join("bin/python")).expect("a link");
        }
        let code = root.join("code");
        assert_eq!(
            installed_with(&root.join("mine/bin/server"), &code),
            ["mine/lib", "mine/bin/server", "secret", "mine"].map(|path| root.join(path))
        );
        assert_eq!(
            installed_with(&code.join("bin/server"), &code),
            ["lib", "bin/server"].map(|path| code.join(path))
        );
    }
}
