//! What holds a Tuner to its one folder: Landlock, where the kernel has it.

use agent_core::diagnose::{Diagnose, Exit};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
#[error("the sandbox around the Tuner cannot be set up: {0}")]
pub struct SandboxError(String);

impl Diagnose for SandboxError {
    fn exit(&self) -> Exit {
        Exit::Surroundings
    }
}

/// How far the kernel holds a Tuner to its scratch folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Every kind of write elsewhere fails.
    Full,
    /// An older kernel: creating and writing elsewhere fails, some rarer changes (such as truncating) do not.
    Partial,
    /// Nothing holds it; that a promotion touches only `state/` is still checked by the planner and the hooks.
    None,
}

/// Confines this thread, and what it becomes or starts, to writing `scratch` and `/dev/null`. Reading and executing stay free.
#[cfg(target_os = "linux")]
pub fn confine(scratch: &Path) -> Result<Status, SandboxError> {
    use landlock::{ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, path_beneath_rules};
    if !scratch.is_dir() {
        return Err(SandboxError(format!("there is no folder {}", scratch.display())));
    }
    // the third version of the interface is the first that also covers renaming and truncating; older kernels do what they can
    let writing = AccessFs::from_write(ABI::V3);
    let restrict = || {
        let rules = path_beneath_rules([scratch], writing).chain(path_beneath_rules(["/dev/null"], writing));
        Ruleset::default().handle_access(writing)?.create()?.add_rules(rules)?.restrict_self()
    };
    let restricted = restrict().map_err(|error: landlock::RulesetError| SandboxError(error.to_string()))?;
    Ok(match restricted.ruleset {
        RulesetStatus::FullyEnforced => Status::Full,
        RulesetStatus::PartiallyEnforced => Status::Partial,
        RulesetStatus::NotEnforced => Status::None,
    })
}

#[cfg(not(target_os = "linux"))]
pub fn confine(_scratch: &Path) -> Result<Status, SandboxError> {
    Ok(Status::None)
}

/// What this machine can do, found by confining a thread that ends right away.
pub fn status() -> Status {
    let confined = std::thread::spawn(|| confine(Path::new("/")));
    confined.join().ok().and_then(Result::ok).unwrap_or(Status::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a confined thread may do: (write in scratch, write beside it, read beside it).
    #[test]
    fn a_confined_thread_writes_only_its_scratch_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (scratch, beside) = (folder.path().join("scratch"), folder.path().join("beside"));
        std::fs::create_dir(&scratch).unwrap();
        std::fs::write(&beside, "there").unwrap();
        let (inside, outside) = (scratch.clone(), beside.clone());
        let outcome = std::thread::spawn(move || {
            let status = confine(&inside).unwrap();
            let kind = |outcome: std::io::Result<()>| outcome.map_err(|error| error.kind());
            (
                status,
                kind(std::fs::write(inside.join("a"), "b")),
                kind(std::fs::write(&outside, "changed")),
                kind(std::fs::rename(&outside, inside.join("stolen"))),
                std::fs::read_to_string(&outside).ok(),
            )
        });
        let (status, inside, outside, stolen, read) = outcome.join().unwrap();
        assert_eq!(status, super::status());
        assert_eq!(inside, Ok(()));
        if status == Status::Full {
            assert_eq!(outside, Err(std::io::ErrorKind::PermissionDenied));
            assert!(stolen.is_err());
            assert_eq!(read.as_deref(), Some("there"));
        }
        // this thread is as free as before
        std::fs::write(&beside, "mine").unwrap();
    }

    #[test]
    fn a_scratch_folder_must_be_there() {
        let error = std::thread::spawn(|| confine(Path::new("/nowhere/scratch"))).join().unwrap();
        if cfg!(target_os = "linux") {
            assert!(error.unwrap_err().to_string().contains("/nowhere/scratch"));
        }
    }
}
