//! The command line: verbs, global flags, help.

use crate::commands::Command;
use crate::exit::Exit;
use crate::global_flags::Global;
use crate::printer::{Color, ErrorDocument, Printer, Volume};
use agent_engine::error::Failure;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::process::ExitCode;

/// Version control for agents that learn.
#[derive(Debug, Parser)]
#[command(name = "agent", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs of `agent --help`, under the headings that they are listed by.
pub const GROUPS: [(&str, &[&str]); 7] = [
    ("Make a repository", &["init", "adopt", "templates", "demo"]),
    ("Run", &["run", "log", "top", "slo", "trigger"]),
    ("Teach", &["tune", "feedback", "state", "architect"]),
    ("Test", &["test", "evaluate", "replay", "bisect", "semver", "verify"]),
    ("Version", &["promote", "release", "rollback", "versions", "pin", "unpin", "sync"]),
    ("Serve", &["mcp", "serve", "canary"]),
    ("Maintain", &["doctor", "gc", "hooks", "completions", "man", "help"]),
];

const AFTER_HELP: &str = "\
Results are on stdout, everything else is on stderr.
With -q, stdout has the result alone: the tag of the version that promote, release, rollback or init
made; the id of the feedback of architect --queue-only; nothing of commands that only do something.
test, verify and doctor then print only what failed.

Exit codes:
  0  done
  1  judged, and the answer is no (tests failed, gate refused, verification failed, under-bumped)
  2  the command line is wrong
  3  the repository, the manifest or an input file is wrong
  4  conflict: another process was first and retrying did not help; nothing was changed
  5  a child failed (Runner, Tuner, Coder or scorer)
  6  the surroundings: git or Python missing, store or remote unreachable
  7  not enough evidence to say yes or no
  130  interrupted (Ctrl-C); 129 and 143 after SIGHUP and SIGTERM";

/// The command with its verbs listed by `GROUPS`: clap has no headings for subcommands.
pub fn command() -> clap::Command {
    let command = Arguments::command();
    let header = *command.get_styles().get_header();
    let group = |(heading, verbs): &(&str, &[&str])| {
        format!("{header}{heading}:{header:#}\n{}\n", listed(&command, verbs))
    };
    let groups = GROUPS.iter().map(group).collect::<Vec<_>>().concat();
    command.help_template(format!(
        "{{about-with-newline}}\n\
        {{usage-heading}} {{usage}}\n\n\
        {groups}{header}Options:{header:#}\n\
        {{options}}{{after-help}}"
    ))
}

/// A line for each verb: its name and what it does.
fn listed(command: &clap::Command, verbs: &[&str]) -> String {
    let literal = *command.get_styles().get_literal();
    let line = |name: &&str| {
        let about = command
            .find_subcommand(name)
            .and_then(clap::Command::get_about)
            .map(ToString::to_string);
        format!(
            "  {literal}{name:<12}{literal:#} {}\n",
            about.as_deref().unwrap_or("Print this message, or the help of a verb")
        )
    };
    verbs.iter().map(line).collect()
}

/// Parses argv; returns the exit code where clap has printed help, the version, or a usage error.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let parsed = command()
        .try_get_matches_from(&argv)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| {
        if error.use_stderr() && argv.iter().any(|argument| argument == "--json") {
            Printer::new(true, Volume::Silent, Color::Auto)
                .json(&ErrorDocument::from(&Failure::usage(message_of(&error))));
        }
        let failed =
            error.print().is_err_and(|failed| failed.kind() != std::io::ErrorKind::BrokenPipe);
        // help and version are results and go to stdout; a usage error goes to stderr
        let code = if failed && !error.use_stderr() {
            Exit::Surroundings as i32
        } else {
            error.exit_code()
        };
        ExitCode::from(u8::try_from(code).unwrap_or(2))
    })
}

/// The sentence of a wrong command line, without clap's `error:`, usage and tips.
fn message_of(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
