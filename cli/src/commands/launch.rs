//! `agent launch [--memory BYTES] [--confine KIND ...] -- PROGRAM ARGUMENTS`: the process through
//! which `agent` starts a child. It remains as the child's guard.
//!
//! It is not a verb for users: help does not list it, and it is parsed without clap, which costs
//! more than the rest of a start.

use crate::exit::CommandResult;
use agent_core::child::confinement::{Confinement, Kind};
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::world::child_process::{LAUNCH, MEMORY};
use agent_engine::world::limits;
use agent_engine::world::{env, guard, sandbox};
use std::ffi::OsString;

#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    confinement: Option<Confinement>,
    /// The program's memory limit, in bytes.
    memory: Option<u64>,
    command: Vec<OsString>,
}

/// The program to launch, where argv is that of `agent launch`.
pub fn from_argv(argv: impl IntoIterator<Item = OsString>) -> Option<Launch> {
    let mut words = argv.into_iter().skip(1);
    words.next().filter(|word| word == LAUNCH)?;
    let (mut confinement, mut memory) = (None, None);
    loop {
        let word = words.next()?;
        if word == "--" {
            let command: Vec<_> = words.collect();
            return (!command.is_empty()).then_some(Launch { confinement, memory, command });
        }
        if word == MEMORY {
            memory = Some(words.next()?.to_str()?.parse().ok()?);
        } else if !Confinement::take_argument(&mut confinement, &word, &mut words) {
            return None;
        }
    }
}

pub fn run(launch: &Launch) -> CommandResult {
    let gone = |error: std::io::Error| Failure::new(FailureKind::Surroundings, error.to_string());
    guard::set_parent_death_signal(env::parent_pid(), guard::END).map_err(gone)?;
    if launch.confinement.is_some() {
        sandbox::keep_inherited_files();
    }
    limits::limit_memory(launch.memory).map_err(gone)?;
    if launch.confinement.as_ref().is_some_and(|confinement| confinement.kind == Kind::Tested) {
        limits::limit_files().map_err(gone)?;
    }
    guard::end_as(guard::guard(&launch.command, launch.confinement.as_ref())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(Option<Confinement>, Option<u64>, &[&str])>) {
        let found = from_argv(line.split(' ').map(OsString::from));
        let expected = expected.map(|(confinement, memory, command)| Launch {
            confinement,
            memory,
            command: command.iter().map(OsString::from).collect(),
        });
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn only_the_internal_command_line_is_a_launch() {
        let confined = Confinement::new(Kind::Tested).read(["/r"]).write(["/w"]);
        check("agent launch -- a --memory b", Some((None, None, &["a", "--memory", "b"])));
        check(
            "agent launch --memory 7 --confine tested --read /r --write /w -- a",
            Some((Some(confined), Some(7), &["a"])),
        );
        for line in [
            "agent",
            "agent launch",
            "agent launch --",
            "agent launch a",
            "agent launch --memory -- a",
            "agent launch --read /r -- a",
            "agent launch --confine other -- a",
            "agent run launch -- a",
        ] {
            check(line, None);
        }
    }
}
