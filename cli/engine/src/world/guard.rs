//! The guard: a process between `agent` and a child, the child's parent and the subreaper of its
//! orphaned descendants. Linux only.
//!
//! A parent-death signal reaches direct children only, and a process can leave its process group.
//! An ancestor of everything that was started, with a parent-death signal of its own, can end all
//! of it. So a guard starts the child with its own streams, waits, and exits as the child did, once
//! no descendant is left.
//!
//! The child is confined and the guard is not: it has to signal the child, and the child must reach
//! neither its memory nor its open files.

use crate::world::event_loop::block_on;
use crate::world::limits::ALLOCATOR_RESERVES;
use crate::world::process::ProcessError;
use crate::world::sandbox;
use agent_core::child::confinement::Confinement;
use agent_core::protocol::wire;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Makes a guard end its child and all descendants. The kernel sends it when `agent` exits.
pub const END: Signal = Signal::USR1;

/// Sets the parent-death signal: sent when the thread that started this process ends.
///
/// `parent` is the expected parent process: when it has ended already, no signal will come, and
/// this is an error.
pub fn set_parent_death_signal(parent: Option<u32>, signal: Signal) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if parent.is_some() && parent != now {
        return Err(std::io::Error::other("the process that started this one has exited"));
    }
    Ok(())
}

/// How a guarded program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
}

/// Starts the program and returns when all its processes have exited.
pub fn guard(command: &[OsString], confinement: Option<&Confinement>) -> Result<End, ProcessError> {
    let failed = |source: std::io::Error| ProcessError::NotStarted {
        program: command[0].to_string_lossy().into_owned(),
        source,
    };
    block_on(async { watch(command, confinement).await })?.map_err(failed)
}

async fn watch(command: &[OsString], confinement: Option<&Confinement>) -> std::io::Result<End> {
    // before the child starts, so that none of its actions is missed
    let mut signals = Signals::listen()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let child = start(command, confinement)?;
    let end = loop {
        match signals.next().await {
            Wake::ChildExited => {
                if let Some(end) = reap(child) {
                    break end;
                }
            }
            // the child may handle it
            Wake::Terminate => drop(rustix::process::kill_process_group(child, Signal::TERM)),
            Wake::End => break End::Signal(Signal::KILL.as_raw()),
        }
    };
    end_all();
    Ok(end)
}

/// The child has this process's streams, a separate group, and this process as its parent. Here the
/// streams are closed, so that end of file depends on the child only.
#[expect(
    clippy::disallowed_methods,
    reason = "the guard is the child's side of the module that \
    starts processes"
)]
fn start(command: &[OsString], confinement: Option<&Confinement>) -> std::io::Result<Pid> {
    let mut program = std::process::Command::new(&command[0]);
    let own = std::process::id().to_string();
    program
        .args(&command[1..])
        .env_remove(ALLOCATOR_RESERVES.0)
        .env(wire::ENV_PARENT_PID, &own)
        .env(wire::ENV_GUARD, &own)
        .process_group(0);
    let child = match confinement {
        None => program.spawn(),
        Some(confinement) => {
            // the confined thread that starts the child is part of this process for a moment
            rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
            sandbox::within(confinement, || program.spawn()).map_err(std::io::Error::other)?
        }
    }?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(Pid::from_child(&child))
}

/// Why a guard wakes up.
enum Wake {
    ChildExited,
    Terminate,
    End,
}

struct Signals {
    child: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    end: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let end = SignalKind::from_raw(END.as_raw());
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            end: [signal(end)?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?],
        })
    }

    async fn next(&mut self) -> Wake {
        let [own, interrupt, hang_up] = &mut self.end;
        tokio::select! {
            _ = own.recv() => Wake::End,
            _ = interrupt.recv() => Wake::End,
            _ = hang_up.recv() => Wake::End,
            _ = self.terminate.recv() => Wake::Terminate,
            _ = self.child.recv() => Wake::ChildExited,
        }
    }
}

/// Reaps processes that have exited, adopted ones too; gives the child's exit when it is among
/// them.
fn reap(child: Pid) -> Option<End> {
    let mut end = None;
    while let Ok(Some((process, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if process == child {
            end = ended(status);
        }
    }
    end
}

fn ended(status: WaitStatus) -> Option<End> {
    status.exit_status().map(End::Code).or_else(|| status.terminating_signal().map(End::Signal))
}

/// The interval between two scans for remaining processes.
const PAUSE: Duration = Duration::from_millis(5);
/// The number of scans after which unkillable processes (another user's, or stuck in the kernel)
/// are left.
const ROUNDS: usize = 1000;

/// Kills until no descendant is left: an orphan becomes a child of this process, so that no
/// children means no descendants.
fn end_all() {
    for _ in 0..ROUNDS {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        for process in descendants(&[rustix::process::getpid()], &processes()) {
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes this process the parent of what a guard leaves behind that is killed.
pub fn adopt_strays() {
    // without it they live on, as they do without a guard
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Ends what a guard of this process left behind when it was killed: its children, which are this
/// process's now, with all their descendants. They are known by a variable that the guard set.
pub fn end_strays(guard: Pid) {
    let own = rustix::process::getpid();
    let mark = format!("{}={}", wire::ENV_GUARD, guard.as_raw_nonzero());
    let mut killed: Vec<Pid> = Vec::new();
    for _ in 0..ROUNDS {
        let processes = processes();
        let adopted = processes
            .iter()
            .filter(|(process, parent)| *parent == own && is_marked(*process, &mark))
            .map(|(process, _)| *process);
        let adopted: Vec<_> = adopted.collect();
        for process in adopted.iter().copied().chain(descendants(&adopted, &processes)) {
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
        killed.extend(&adopted);
        killed.retain(|process| {
            matches!(rustix::process::waitpid(Some(*process), WaitOptions::NOHANG), Ok(None))
        });
        if adopted.is_empty() && killed.is_empty() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_marked(process: Pid, mark: &str) -> bool {
    let environment =
        std::fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

/// Each process with its parent, as currently listed in `/proc`.
fn processes() -> Vec<(Pid, Pid)> {
    let processes =
        std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
            let process = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            Some((process, parent(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?))
        });
    processes.collect()
}

/// The descendants of some processes.
fn descendants(of: &[Pid], processes: &[(Pid, Pid)]) -> Vec<Pid> {
    let mut found = of.to_vec();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        at += 1;
    }
    found.split_off(of.len())
}

/// The parent in a line of `/proc/PID/stat`: the second field after the name, which is in
/// parentheses and may contain any character.
fn parent(stat: &str) -> Option<Pid> {
    Pid::from_raw(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

/// Ends this process the way the program ended, as far as that can be.
#[expect(clippy::exit, reason = "the end of a guard is the end of what it guards")]
pub fn end_as(end: End) -> ! {
    const SIGNALLED: i32 = 128;
    match end {
        End::Code(code) => std::process::exit(code),
        End::Signal(number) => {
            // the program has dumped its core, if it was to
            let _ = rustix::process::setrlimit(
                Resource::Core,
                Rlimit { current: Some(0), maximum: Some(0) },
            );
            if let Some(signal) = Signal::from_named_raw(number) {
                // Rust listens to some itself, once
                for _ in 0..2 {
                    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
                }
            }
            // one that this process listens to
            std::process::exit(SIGNALLED + number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_whatever_the_name() {
        assert_eq!(parent("7 (a) b) (c) S 42 7 7 0 -1"), Pid::from_raw(42));
        assert_eq!(parent("7 (kthreadd) S 0 0 0"), None);
        assert_eq!(parent("garbage"), None);
    }

    #[test]
    fn this_test_descends_from_its_parent() {
        let parent = rustix::process::getppid().expect("a test has a parent");
        let processes = processes();
        assert!(descendants(&[parent], &processes).contains(&rustix::process::getpid()));
        assert!(!descendants(&[rustix::process::getpid()], &processes).contains(&parent));
    }
}
