//! Writes to stdout and stderr; decides about colour and volume.

use crate::exit::Exit;
use agent_core::formats::committed::{Warnings, WithWarnings};
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::world::stdout;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    Silent,
    Quiet,
    Normal,
    Verbose,
    Trace,
}

/// Data goes to stdout, everything else to stderr.
#[derive(Debug, Clone)]
pub struct Printer {
    json: bool,
    volume: Volume,
    color: Color,
    shared: Arc<Mutex<Printed>>,
}

/// State of the output, shared by all clones of the printer.
#[derive(Debug, Default)]
struct Printed {
    /// Warnings that are not in a JSON document yet.
    warnings: Warnings,
    /// Whether stdout has a result already.
    has_data: bool,
    /// The first error of writing to stdout.
    not_written: Option<std::io::Error>,
}

/// An error that ended a command: `agent/error@1`.
#[derive(Debug, Serialize)]
pub struct ErrorDocument<'a> {
    schema: &'static str,
    exit: u8,
    /// The error itself, without its causes.
    error: &'a str,
    /// Outermost first.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    causes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> From<&'a Failure> for ErrorDocument<'a> {
    fn from(error: &'a Failure) -> Self {
        let (first, causes) = error.messages.split_first().expect("an error has a message");
        Self {
            schema: "agent/error@1",
            exit: Exit::from(error.kind).code(),
            error: first,
            causes,
            hint: error.hint.as_deref(),
        }
    }
}

/// The styles, by meaning.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    Good,
    Bad,
    Warning,
    Strong,
    Faint,
}

impl Printer {
    pub fn new(json: bool, volume: Volume, color: Color) -> Self {
        Self { json, volume, color, shared: Arc::default() }
    }

    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result as text; nothing with `--json`, where `json` prints it.
    pub fn data(&self, text: impl AsRef<str>) {
        if !self.json {
            self.write_stdout(text.as_ref());
        }
    }

    /// Prints what a command did, as a sentence. Under `-q` stdout has the result alone: a tag, an
    /// id, or nothing.
    pub fn done(&self, sentence: impl AsRef<str>, result: Option<&str>) {
        match result {
            _ if !self.is_quiet() => self.data(sentence),
            Some(result) => self.data(result),
            None => {}
        }
    }

    /// Prints why a command refused. Under `-q` it goes to stderr, as errors do.
    pub fn refused(&self, why: impl AsRef<str>) {
        if self.is_quiet() {
            self.write_stderr(Volume::Silent, why.as_ref());
        } else {
            self.data(why);
        }
    }

    /// Whether only results and problems are printed.
    pub fn is_quiet(&self) -> bool {
        self.volume <= Volume::Quiet
    }

    /// Prints the JSON document of `--json`, with all warnings as its `warnings`.
    pub fn json(&self, document: &impl Serialize) {
        if self.json {
            let warnings = std::mem::take(&mut self.shared().warnings);
            let document = WithWarnings { document, warnings: warnings.as_slice() };
            let text = serde_json::to_string_pretty(&document)
                .expect("documents are objects and serialise");
            self.write_stdout(&text);
        }
    }

    /// Writes bytes to stdout unchanged, in every mode.
    pub fn verbatim(&self, bytes: &[u8]) {
        self.shared().has_data = true;
        if let Err(error) = stdout::write_all(bytes) {
            self.shared().not_written.get_or_insert(error);
        }
    }

    /// A notice; silent under `-q`.
    pub fn say(&self, text: impl AsRef<str>) {
        self.write_stderr(Volume::Normal, text.as_ref());
    }

    /// Details, under `-v`.
    pub fn detail(&self, text: impl AsRef<str>) {
        self.write_stderr(Volume::Verbose, text.as_ref());
    }

    /// Prints a warning on stderr and adds it to the JSON document that follows.
    pub fn warn(&self, text: impl AsRef<str>) {
        let line = format!("{} {}", Self::styled(Style::Warning, "warning:"), text.as_ref());
        self.write_stderr(Volume::Quiet, &line);
        if self.json {
            self.shared().warnings.push(text.as_ref());
        }
    }

    /// The exit code at the end: a failed write to stdout is an error, except to a closed pipe
    /// (`| head`).
    pub fn end(&self, exit: Exit) -> Exit {
        let not_written = self.shared().not_written.take();
        match not_written.filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
            Some(error) if exit == Exit::Done => {
                let failed = Failure::new(
                    FailureKind::Surroundings,
                    format!("cannot write to stdout: {error}"),
                );
                self.error(&failed.with_hint(
                    "the command itself was carried out; check its effect before you run it again",
                ))
            }
            _ => exit,
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Printed> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints an error with its causes and its hint; returns its exit code.
    pub fn error(&self, error: &Failure) -> Exit {
        let mut lines = Vec::new();
        for (depth, message) in error.messages.iter().enumerate() {
            let lead = if depth == 0 {
                Self::styled(Style::Bad, "error:")
            } else {
                "  caused by:".to_owned()
            };
            lines.push(format!("{lead} {message}"));
        }
        if let Some(hint) = &error.hint {
            lines.push(format!("{} {hint}", Self::styled(Style::Strong, "hint:")));
        }
        self.write_stderr(Volume::Silent, &lines.join("\n"));
        error.kind.into()
    }

    /// Prints the error that ended the command: on stderr, and with `--json` also as the document
    /// on stdout, if none was printed.
    pub fn failed(&self, error: &Failure) -> Exit {
        let exit = self.error(error);
        let has_data = self.shared().has_data;
        if !has_data {
            self.json(&ErrorDocument::from(error));
        }
        exit
    }

    /// Prints what to do next; silent under `-q`.
    pub fn hint(&self, text: impl AsRef<str>) {
        self.say(format!("{} {}", Self::styled(Style::Strong, "hint:"), text.as_ref()));
    }

    /// Clears the screen of a terminal.
    pub fn clear(&self) {
        if !self.json && std::io::stdout().is_terminal() {
            self.verbatim(b"\x1b[2J\x1b[H");
        }
    }

    /// Puts lines in the place of what a terminal shows.
    pub fn frame(&self, lines: &[String]) {
        let mut bytes = b"\x1b[H".to_vec();
        for (number, line) in lines.iter().enumerate() {
            bytes.extend_from_slice(if number > 0 { b"\r\n" } else { b"" });
            bytes.extend(self.coloured(line));
            bytes.extend_from_slice(b"\x1b[K");
        }
        bytes.extend_from_slice(b"\x1b[J");
        self.verbatim(&bytes);
    }

    /// Whether progress bars are shown.
    pub fn shows_progress(&self) -> bool {
        self.volume >= Volume::Normal && std::io::stderr().is_terminal()
    }

    pub fn styled(style: Style, text: &str) -> String {
        let code = match style {
            Style::Good => GOOD,
            Style::Bad => BAD,
            Style::Warning => WARNING,
            Style::Strong => STRONG,
            Style::Faint => FAINT,
        };
        format!("{code}{text}{PLAIN}")
    }

    fn choice(&self) -> anstream::ColorChoice {
        match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
    }

    fn write_stdout(&self, text: &str) {
        let mut bytes = self.coloured(text);
        bytes.push(b'\n');
        self.verbatim(&bytes);
    }

    /// The text as stdout takes it: with colours or without, and harmless for a terminal.
    fn coloured(&self, text: &str) -> Vec<u8> {
        let choice = match self.choice() {
            anstream::ColorChoice::Auto => anstream::AutoStream::choice(&std::io::stdout()),
            chosen => chosen,
        };
        // output to a pipe or a file is not changed
        let text =
            if std::io::stdout().is_terminal() { harmless(text) } else { Cow::Borrowed(text) };
        let mut coloured = anstream::AutoStream::new(Vec::with_capacity(text.len() + 1), choice);
        write!(coloured, "{text}").expect("writing to memory succeeds");
        coloured.into_inner()
    }

    fn write_stderr(&self, at_least: Volume, text: &str) {
        if self.volume >= at_least {
            let mut stderr = anstream::AutoStream::new(std::io::stderr(), self.choice()).lock();
            let _ = writeln!(stderr, "{}", harmless(text));
        }
    }
}

const GOOD: &str = "\u{1b}[32;1m";
const BAD: &str = "\u{1b}[31;1m";
const WARNING: &str = "\u{1b}[33;1m";
const STRONG: &str = "\u{1b}[1m";
const FAINT: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Escapes text for a terminal. Output of children, commits and files may contain control sequences
/// that erase or replace lines: control characters are shown as escapes, except line ends, tabs and
/// the printer's own styles.
fn harmless(text: &str) -> Cow<'_, str> {
    const KEPT: [&str; 9] = [GOOD, BAD, WARNING, STRONG, FAINT, PLAIN, "\n", "\t", "\r\n"];
    if !text.contains(|letter: char| letter.is_control() && letter != '\n') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(char::is_control) {
        let (plain, tail) = rest.split_at(at);
        shown.push_str(plain);
        rest = if let Some(kept) = KEPT.into_iter().find(|kept| tail.starts_with(kept)) {
            shown.push_str(kept);
            &tail[kept.len()..]
        } else {
            let mut letters = tail.chars();
            shown.extend(letters.next().into_iter().flat_map(char::escape_default));
            letters.as_str()
        };
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_in_foreign_text_are_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(harmless(text), expected);
        check("two\nlines\twith\r\nends, é and 🦀", "two\nlines\twith\r\nends, é and 🦀");
        let ours = format!(
            "{} {}",
            Printer::styled(Style::Bad, "error:"),
            Printer::styled(Style::Faint, "x")
        );
        check(&ours, &ours);
        check("it failed\u{1b}[2K\rreleased\u{7}", "it failed\\u{1b}[2K\\rreleased\\u{7}");
        check(
            "\u{9b}2K\u{1b}[8m\u{1b}]0;title\u{7}\u{0}",
            "\\u{9b}2K\\u{1b}[8m\\u{1b}]0;title\\u{7}\\u{0}",
        );
        check(&format!("\u{1b}{GOOD}"), &format!("\\u{{1b}}{GOOD}"));
    }
}
