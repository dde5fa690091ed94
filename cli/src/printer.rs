//! The one place that writes to stdout and stderr and decides about colour and volume.

use crate::error::CommandError;
use crate::world::stdout;
use agent_core::committed::Warnings;
use agent_core::diagnose::Exit;
use serde::Serialize;
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

/// stdout is data, stderr is conversation.
#[derive(Debug, Clone)]
pub struct Printer {
    json: bool,
    volume: Volume,
    color: Color,
    shared: Arc<Mutex<Said>>,
}

/// What is known of all that was printed, by every copy of the printer.
#[derive(Debug, Default)]
struct Said {
    /// Not in a JSON document yet.
    warnings: Warnings,
    /// Why stdout did not take what was written to it.
    not_written: Option<std::io::Error>,
}

/// A document, and beside it what failed after what it tells of was done.
#[derive(Debug, Serialize)]
pub struct WithWarnings<'a, T> {
    #[serde(flatten)]
    pub document: &'a T,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub warnings: &'a [String],
}

/// The few styles there are, by meaning.
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

    /// Data for people, or for a pipe; nothing when `--json` was asked for (then `json` is the data).
    pub fn data(&self, text: impl AsRef<str>) {
        if !self.json {
            self.write_stdout(text.as_ref());
        }
    }

    /// The one JSON document of `--json`, with the warnings there were as its `warnings`.
    pub fn json(&self, document: &impl Serialize) {
        if self.json {
            let warnings = std::mem::take(&mut self.shared().warnings);
            let document = WithWarnings { document, warnings: warnings.as_slice() };
            let text = serde_json::to_string_pretty(&document).expect("our documents are objects, and serialise");
            self.write_stdout(&text);
        }
    }

    /// Data as it is, whatever was asked for.
    pub fn verbatim(&self, bytes: &[u8]) {
        if let Err(error) = stdout::write_all(bytes) {
            self.shared().not_written.get_or_insert(error);
        }
    }

    /// What is going on; silent under `-q`.
    pub fn say(&self, text: impl AsRef<str>) {
        self.write_stderr(Volume::Normal, text.as_ref());
    }

    /// Details, under `-v`.
    pub fn detail(&self, text: impl AsRef<str>) {
        self.write_stderr(Volume::Verbose, text.as_ref());
    }

    /// For people on stderr, and for programs in the JSON document that follows.
    pub fn warn(&self, text: impl AsRef<str>) {
        let line = format!("{} {}", Self::styled(Style::Warning, "warning:"), text.as_ref());
        self.write_stderr(Volume::Quiet, &line);
        if self.json {
            self.shared().warnings.push(text.as_ref());
        }
    }

    /// The exit code, once all was printed: data that stdout did not take was not delivered. A reader that has gone away (`| head`) is no error.
    pub fn end(&self, exit: Exit) -> Exit {
        let not_written = self.shared().not_written.take();
        match not_written.filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
            Some(error) if exit == Exit::Done => {
                let failed = CommandError::new(Exit::Surroundings, format!("cannot write to stdout: {error}"));
                self.error(&failed.with_hint("the command itself is done: look before it is run again"))
            }
            _ => exit,
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Said> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints an error with its causes and its hint; gives back the exit code it asks for.
    pub fn error(&self, error: &CommandError) -> Exit {
        let mut lines = Vec::new();
        for (depth, message) in error.messages.iter().enumerate() {
            let lead = if depth == 0 { Self::styled(Style::Bad, "error:") } else { "  caused by:".to_owned() };
            lines.push(format!("{lead} {message}"));
        }
        if let Some(hint) = &error.hint {
            lines.push(format!("{} {hint}", Self::styled(Style::Strong, "hint:")));
        }
        self.write_stderr(Volume::Silent, &lines.join("\n"));
        error.exit
    }

    /// An empty screen, where there is one.
    pub fn clear(&self) {
        if std::io::stdout().is_terminal() {
            self.data("\u{1b}[2J\u{1b}[H");
        }
    }

    /// Whether a progress bar would be seen and wanted.
    pub fn shows_progress(&self) -> bool {
        self.volume >= Volume::Normal && std::io::stderr().is_terminal()
    }

    pub fn styled(style: Style, text: &str) -> String {
        let code = match style {
            Style::Good => "32;1",
            Style::Bad => "31;1",
            Style::Warning => "33;1",
            Style::Strong => "1",
            Style::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    fn choice(&self) -> anstream::ColorChoice {
        match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
    }

    fn write_stdout(&self, text: &str) {
        let choice = match self.choice() {
            anstream::ColorChoice::Auto => anstream::AutoStream::choice(&std::io::stdout()),
            chosen => chosen,
        };
        let mut coloured = anstream::AutoStream::new(Vec::with_capacity(text.len() + 1), choice);
        writeln!(coloured, "{text}").expect("memory takes it");
        self.verbatim(&coloured.into_inner());
    }

    fn write_stderr(&self, at_least: Volume, text: &str) {
        if self.volume >= at_least {
            let mut stderr = anstream::AutoStream::new(std::io::stderr(), self.choice()).lock();
            let _ = writeln!(stderr, "{text}");
        }
    }
}
