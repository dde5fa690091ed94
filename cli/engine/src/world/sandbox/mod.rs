//! Confines a child: Landlock for files, TCP, signals and abstract sockets; seccomp for what
//! Landlock does not cover; fewer capabilities.
//!
//! Each of them is left out where the kernel does not have it. `agent doctor` finds out what holds
//! by trying.

pub mod attempts;
mod calls;

use agent_core::child::confinement::{Access, Confinement, Kind, Rule};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope, make_bitflags,
};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[error("the child cannot be confined: {0}")]
pub struct SandboxError(String);

impl Diagnose for SandboxError {
    fn kind(&self) -> FailureKind {
        FailureKind::Surroundings
    }
}

/// Runs `work` on a separate confined thread; processes it starts are confined too. This process is
/// unaffected.
pub fn within<T: Send>(
    confinement: &Confinement,
    work: impl FnOnce() -> T + Send,
) -> Result<T, SandboxError> {
    std::thread::scope(|scope| {
        let confined = std::thread::Builder::new().spawn_scoped(scope, || {
            confine(confinement)?;
            Ok(work())
        });
        let confined = confined.map_err(|error| SandboxError(error.to_string()))?;
        confined.join().expect("what runs confined does not panic")
    })
}

/// Keeps open files that this process was started with, beyond the three streams, from the programs
/// it starts.
pub fn keep_inherited_files() {
    const FIRST: i32 = 3;
    close_fds::set_fds_cloexec(FIRST, &[]);
}

/// Confines this thread, and what it becomes or starts.
fn confine(confinement: &Confinement) -> Result<(), SandboxError> {
    restrict_files(confinement).map_err(|error| SandboxError(error.to_string()))?;
    drop_capabilities(confinement.kind)
        .map_err(|error| SandboxError(format!("its capabilities cannot be dropped: {error}")))?;
    calls::refuse(confinement.kind, confinement.network)
        .map_err(|error| SandboxError(error.to_string()))
}

/// Whether this kernel has Landlock, found by confining a thread that ends right away.
pub fn has_landlock() -> bool {
    let nothing = Confinement::new(Kind::Coder);
    std::thread::spawn(move || restrict_files(&nothing))
        .join()
        .is_ok_and(|restricted| restricted.unwrap_or(false))
}

// ---- Landlock

/// Each right of this version of the interface that the kernel knows is withheld where no rule
/// grants it.
const NEWEST: ABI = ABI::V10;

/// False where the kernel has no Landlock.
fn restrict_files(confinement: &Confinement) -> Result<bool, RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?;
    if !confinement.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut ruleset = ruleset.scope(Scope::from_all(NEWEST))?.create()?;
    for Rule { path, access } in confinement.clone().resolved(resolve).rules(entries) {
        // missing and inaccessible entries are not granted
        if let Ok(place) = rustix::fs::openat(
            CWD,
            &path,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            ruleset = ruleset.add_rule(PathBeneath::new(place, rights(access)))?;
        }
    }
    Ok(matches!(ruleset.restrict_self()?.landlock, LandlockStatus::Available { .. }))
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let devices = make_bitflags!(AccessFs::{MakeChar | MakeBlock});
    match access {
        Access::Read => AccessFs::from_read(NEWEST),
        Access::Write => AccessFs::from_all(NEWEST) & !devices,
    }
}

/// The path without symbolic links, as far as it exists.
fn resolve(path: &Path) -> PathBuf {
    let below_existing = || Some(resolve(path.parent()?).join(path.file_name()?));
    path.canonicalize().ok().or_else(below_existing).unwrap_or_else(|| path.to_owned())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .map(|entry| entry.path())
        .collect()
}

// ---- capabilities

/// Keeps what concerns files that Landlock grants; a process that is not root's has none to begin
/// with.
fn drop_capabilities(kind: Kind) -> Result<(), Errno> {
    let files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
    let kept = match kind {
        Kind::Tested => files,
        Kind::Coder => {
            files
                | CapabilitySet::CHOWN
                | CapabilitySet::FSETID
                | CapabilitySet::SETUID
                | CapabilitySet::SETGID
        }
    };
    let now = rustix::thread::capabilities(None)?;
    let fewer = CapabilitySets {
        effective: now.effective & kept,
        permitted: now.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    if fewer == now { Ok(()) } else { rustix::thread::set_capabilities(None, fewer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// Runs `work` confined to reading the system and `shown` and to writing `scratch`, in a folder
    /// with a file `beside`; `None` without Landlock.
    fn confined<T: Send>(work: impl FnOnce(&Path) -> T + Send) -> Option<T> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        for name in ["scratch", "shown", "shown/hole"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        for name in ["beside", "shown/file", "shown/hole/file"] {
            std::fs::write(path.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(path.join("shown/hole"), path.join("shown/link")).unwrap();
        let confinement = Confinement::new(Kind::Tested)
            .read([Path::new("/usr"), &path.join("shown")])
            .write([path.join("scratch")])
            .without([path.join("shown/hole")]);
        if !has_landlock() {
            return None;
        }
        let outcome = within(&confinement, || work(&path)).unwrap();
        // this thread is as free as before
        std::fs::write(path.join("beside"), "changed").unwrap();
        Some(outcome)
    }

    fn kind<T>(outcome: std::io::Result<T>) -> Result<T, ErrorKind> {
        outcome.map_err(|error| error.kind())
    }

    #[test]
    fn only_what_is_granted_can_be_written() {
        confined(|path| {
            let denied = Err(ErrorKind::PermissionDenied);
            assert_eq!(kind(std::fs::write(path.join("scratch/a"), "b")), Ok(()));
            assert_eq!(kind(std::fs::create_dir(path.join("scratch/c"))), Ok(()));
            assert_eq!(
                kind(std::fs::rename(path.join("scratch/a"), path.join("scratch/c/d"))),
                Ok(())
            );
            for name in ["beside", "new", "shown/file", "shown/new", "shown/hole/file"] {
                assert_eq!(kind(std::fs::write(path.join(name), "changed")), denied, "{name}");
            }
            assert!(std::fs::rename(path.join("shown/file"), path.join("scratch/stolen")).is_err());
            assert!(
                std::fs::hard_link(path.join("shown/file"), path.join("scratch/stolen")).is_err()
            );
            assert_eq!(kind(std::fs::remove_file(path.join("beside"))), denied);
        });
    }

    #[test]
    fn only_what_is_granted_can_be_read() {
        confined(|path| {
            assert_eq!(
                kind(std::fs::read_to_string(path.join("shown/file"))),
                Ok("shown/file".to_owned())
            );
            std::os::unix::fs::symlink(path.join("beside"), path.join("scratch/link")).unwrap();
            for name in ["beside", "shown/hole/file", "shown/link/file", "scratch/link"] {
                assert_eq!(
                    kind(std::fs::read(path.join(name))),
                    Err(ErrorKind::PermissionDenied),
                    "{name}"
                );
            }
            assert_eq!(
                kind(std::fs::read_dir(path.join("shown/hole")).map(drop)),
                Err(ErrorKind::PermissionDenied)
            );
        });
    }

    #[test]
    fn modes_owners_and_times_stay_as_they_are() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        confined(|path| {
            let file = path.join("shown/file");
            let before = file.metadata().unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o777)).unwrap();
            rustix::fs::chown(&file, None, Some(rustix::process::Gid::from_raw(1))).unwrap();
            std::fs::File::open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            let after = file.metadata().unwrap();
            assert_eq!(
                (after.permissions(), after.modified().unwrap()),
                (before.permissions(), before.modified().unwrap())
            );
            assert_eq!(after.gid(), before.gid());
            assert!(
                rustix::fs::setxattr(&file, "user.a", b"b", rustix::fs::XattrFlags::empty())
                    .is_err()
            );
        });
    }

    #[test]
    fn other_processes_are_out_of_reach() {
        confined(|_| {
            let parent = rustix::process::getppid().unwrap();
            assert_eq!(rustix::process::test_kill_process(parent), Err(Errno::PERM));
            assert_eq!(
                kind(std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
                Err(ErrorKind::PermissionDenied)
            );
            assert!(std::os::unix::net::UnixDatagram::unbound().is_err());
            assert!(std::os::unix::net::UnixDatagram::pair().is_err());
            assert!(std::os::unix::net::UnixStream::pair().is_ok());
            assert!(
                rustix::thread::capabilities(None).unwrap().effective.is_empty()
                    || rustix::process::geteuid().is_root()
            );
        });
    }
}
