//! How the Runner, the Tuner and the scorers of a target are started.

use crate::context::Context;
use crate::error::CommandError;
use crate::runner::cases::SCORERS;
use crate::runner::child::{ChildSpec, Role};
use crate::target::Target;
use crate::world::layout::Layout;
use crate::world::python;
use agent_core::diagnose::Exit;
use agent_core::manifest::EntryPoint;
use agent_core::wire;
use std::sync::Arc;

/// The specification of one of a target's children; its Python environment is made when it is missing.
pub fn spec(role: Role, target: &Target, layout: &Layout, context: &Context) -> Result<ChildSpec, CommandError> {
    let manifest = &target.manifest;
    let interpreter = python::interpreter(layout, &target.directory, &manifest.python, &|said| context.printer.say(said))?;
    let command = match entry_point(role, target)? {
        Some(entry) => python::command(entry, &interpreter),
        None => vec![interpreter.into(), "-m".into(), "agent_runtime.scorers".into(), SCORERS.into()],
    };
    let mut spec = ChildSpec::new(role, command, &target.directory, &manifest.limits);
    let printer = context.printer.clone();
    spec.listener = Some(Arc::new(move |line| printer.detail(line)));
    spec.environment.extend(python::child_environment(layout, &target.directory, &manifest.python));
    Ok(spec.env(wire::ENV_STATE_FILE, &target.state.path))
}

/// A scorer process has none: it is always the runtime's.
fn entry_point(role: Role, target: &Target) -> Result<Option<&EntryPoint>, CommandError> {
    match role {
        Role::Tuner => target.manifest.tuner.as_ref().map(Some).ok_or_else(|| {
            CommandError::new(Exit::Input, format!("{} has no Tuner: agent.toml has no [tuner]", target.shown()))
                .with_hint("write a Tuner (`agent templates show minimal` has one) and name it under [tuner]")
        }),
        Role::Runner => Ok(Some(&target.manifest.runner)),
        Role::Scorer => Ok(None),
    }
}
