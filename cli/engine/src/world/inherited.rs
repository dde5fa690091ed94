//! Inherited settings that this process resets: ignored signals, the signal mask, limits, and git's
//! variables.

use crate::world::env;
use crate::world::limits;
use crate::world::process::{self, ProcessError};
use nix::sys::signal::SigSet;
use signal_hook::consts::SIGCHLD;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The number of open files for a tier with many children, or a host with many conversations.
/// Servers request more themselves.
const OPEN_FILES: u64 = 4096;

/// Resets them to a shell's defaults. Called once, by `main`, before other threads start: they
/// inherit the mask.
pub fn reset() {
    // blocked signals would neither end this process nor report an exited child
    let _ = SigSet::empty().thread_set_mask();
    if ignores(SIGCHLD) {
        // the kernel forgets how an ignored child ended. A handler takes the place of the ignoring,
        // and children begin with the default
        let _ = signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)));
    }
    limits::allow_open_files(OPEN_FILES);
}

/// Re-executes this program without the variables git sets for a hook; returns where there are
/// none. For commands that are not hooks: `-C DIR` or the working directory selects the repository.
#[expect(
    clippy::disallowed_methods,
    reason = "this replaces the process image, which the module for child processes does not do"
)]
pub fn leave_hook() -> Result<(), ProcessError> {
    let variables = env::of_a_hook();
    if variables.is_empty() {
        return Ok(());
    }
    let mut words = std::env::args_os();
    let program = env::binary()
        .filter(|path| path.exists())
        .map_or_else(process::own_program, PathBuf::into_os_string);
    let mut anew = std::process::Command::new(&program);
    anew.arg0(words.next().unwrap_or_default()).args(words);
    for name in &variables {
        anew.env_remove(name);
    }
    Err(ProcessError::NotStarted {
        program: program.to_string_lossy().into_owned(),
        source: anew.exec(),
    })
}

/// Whether this process ignores a signal, which it does where the program that started it did; true
/// where the kernel does not report it.
pub fn ignores(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_none_or(|mask| holds(mask, signal))
}

/// Whether a mask of `/proc/PID/status` has a signal: signal 1 is its lowest bit.
fn holds(mask: &str, signal: i32) -> bool {
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read_from_its_lowest_bit() {
        assert!(holds("\t0000000000010000", 17));
        assert!(!holds("\t0000000000001000", 17));
        assert!(holds("ffffffffffffffff", 1));
        assert!(!holds("", 17));
    }
}
