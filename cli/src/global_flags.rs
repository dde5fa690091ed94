//! The flags that every verb takes.

use crate::printer::{Color, Volume};
use clap::ArgAction;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only results and problems; twice hides warnings too
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "verbose")]
    pub quiet: u8,
    /// Print details; twice prints every step
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    pub color: Color,
}

impl Global {
    pub fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (0, 0) => Volume::Normal,
            (0, 1) => Volume::Verbose,
            (0, _) => Volume::Trace,
            (1, _) => Volume::Quiet,
            _ => Volume::Silent,
        }
    }
}
