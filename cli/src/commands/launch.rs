//! `agent launch [--scratch DIR] -- PROGRAM ARGUMENTS`: what `agent` starts its children through. It stays as their guard.
//!
//! It is nobody's verb: no help tells of it, and it is read without the reader of the others, which costs more than all the rest of a start.

use crate::error::{CommandError, CommandResult};
use crate::world::process::LAUNCH;
use crate::world::{env, guard, process, sandbox};
use agent_core::diagnose::Exit;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// The one folder the program may write, where the kernel can hold it to that.
    scratch: Option<PathBuf>,
    command: Vec<OsString>,
}

/// What is to be launched, when argv says so.
pub fn asked(argv: impl IntoIterator<Item = OsString>) -> Option<Launch> {
    let mut words = argv.into_iter().skip(1);
    words.next().filter(|word| word == LAUNCH)?;
    let mut word = words.next()?;
    let mut scratch = None;
    if word == "--scratch" {
        scratch = Some(words.next()?.into());
        word = words.next()?;
    }
    let command: Vec<_> = words.collect();
    (word == "--" && !command.is_empty()).then_some(Launch { scratch, command })
}

pub fn run(launch: &Launch) -> CommandResult {
    let gone = |error: std::io::Error| CommandError::new(Exit::Surroundings, error.to_string());
    process::hear_of_the_end_of(env::parent_pid(), guard::END).map_err(gone)?;
    if let Some(scratch) = &launch.scratch {
        sandbox::confine(scratch)?;
    }
    guard::end_as(guard::guard(&launch.command)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(Option<&str>, &[&str])>) {
        let found = asked(line.split(' ').map(OsString::from));
        let expected = expected.map(|(scratch, command)| Launch {
            scratch: scratch.map(PathBuf::from),
            command: command.iter().map(OsString::from).collect(),
        });
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn only_what_agent_itself_says_is_a_launch() {
        check("agent launch -- a --scratch b", Some((None, &["a", "--scratch", "b"])));
        check("agent launch --scratch /s -- a", Some((Some("/s"), &["a"])));
        for line in ["agent", "agent launch", "agent launch --", "agent launch a", "agent launch --scratch -- a", "agent run launch -- a"] {
            check(line, None);
        }
    }
}
