//! All coders: the one place that makes them by name. Their names are `CoderKind` in core.

use crate::architect::builtin::Builtin;
use crate::architect::coder::{Coder, Setting};
use crate::architect::error::ArchitectError;
use crate::architect::program::Program;
use crate::error::Failure;
use crate::target::Target;
use agent_core::architect::brief::Brief;
use agent_core::architect::inspiration::Inspiration;
use agent_core::formats::manifest::CoderKind;

pub fn of<'a>(
    kind: CoderKind,
    setting: Setting<'a>,
    inspirations: &[Inspiration],
    brief: &Brief,
) -> Box<dyn Coder + 'a> {
    match kind {
        CoderKind::Builtin => Box::new(Builtin::new(setting, inspirations, brief)),
        CoderKind::Command => Box::new(Program::new(setting)),
    }
}

/// Whether the manifest that is served has what the coder needs.
pub fn expect_configured(kind: CoderKind, active: &Target) -> Result<(), Failure> {
    match kind {
        CoderKind::Command if active.manifest.architect.command.is_empty() => {
            Err(ArchitectError::NoCommand { active: active.shown() }.into())
        }
        CoderKind::Builtin | CoderKind::Command => Ok(()),
    }
}
