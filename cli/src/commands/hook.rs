use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::githooks;
use crate::world::env;
use crate::world::git_command::common_dir_of_hook;
use crate::world::process::Run;
use agent_core::diagnose::Exit;
use agent_hooks::event::{HookEvent, HookName};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What git's hooks call; the arguments and stdin are those git gives
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shim that calls
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// The hook
    name: HookName,
    /// What git gave to it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    given: Vec<OsString>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    if let Some(word) = env::hook_probe() {
        context.printer.data(word);
        return Ok(Exit::Done);
    }
    let stdin = given_input(arguments.name)?;
    if let Some(code) = run_before(arguments, context, &stdin)? {
        return Ok(code);
    }
    if env::skips_hooks() {
        context.printer.warn(format!("{} is skipped: {} is set", arguments.name, env::SKIP_HOOKS));
        return Ok(Exit::Done);
    }
    let words: Vec<_> = arguments.given.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let event = HookEvent::parse(arguments.name, &words, &String::from_utf8_lossy(&stdin))?;
    let _ = event;
    Ok(Exit::Done)
}

/// The input of the hooks that git gives one; the others are never waited for.
fn given_input(hook: HookName) -> Result<Vec<u8>, CommandError> {
    if !matches!(hook, HookName::PrePush | HookName::PreReceive | HookName::ReferenceTransaction) {
        return Ok(Vec::new());
    }
    std::io::read_to_string(std::io::stdin())
        .map(String::into_bytes)
        .map_err(|error| CommandError::new(Exit::Surroundings, format!("cannot read what git gives to {hook}: {error}")))
}

/// Runs the hook that was there before ours; its refusal is the answer.
fn run_before(arguments: &Arguments, context: &Context, stdin: &[u8]) -> Result<Option<Exit>, CommandError> {
    let Some(from) = &arguments.from else { return Ok(None) };
    let from = context.directory.join(from);
    let common = common_dir_of_hook(&context.directory);
    let Some(before) = githooks::before(&from, &common, arguments.name) else { return Ok(None) };
    let code = Run::new(absolute(&before)).args(&arguments.given).stdin(stdin).pass_through()?;
    if code == Some(0) { Ok(None) } else { Ok(Some(Exit::No)) }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
