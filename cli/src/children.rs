//! How the Runner and the Tuner of a target are started.

use crate::context::Context;
use crate::error::CommandError;
use crate::runner::child::{ChildSpec, Role};
use crate::target::Target;
use crate::world::layout::Layout;
use crate::world::python;
use agent_core::diagnose::Exit;
use agent_core::manifest::EntryPoint;
use agent_core::wire;

/// The specification of one of a target's children; its Python environment is made when it is missing.
pub fn spec(role: Role, target: &Target, layout: &Layout, context: &Context) -> Result<ChildSpec, CommandError> {
    let entry = entry_point(role, target)?;
    let manifest = &target.manifest;
    let interpreter = python::interpreter(layout, &target.directory, &manifest.python, &|said| context.printer.say(said))?;
    let mut spec = ChildSpec::new(role, python::command(entry, &interpreter), &target.directory, &manifest.limits);
    spec.environment.extend(python::child_environment(layout, &target.directory, &manifest.python));
    Ok(spec.env(wire::ENV_STATE_FILE, &target.state.path))
}

fn entry_point(role: Role, target: &Target) -> Result<&EntryPoint, CommandError> {
    match role {
        Role::Tuner => target.manifest.tuner.as_ref().ok_or_else(|| {
            CommandError::new(Exit::Input, format!("{} has no Tuner: agent.toml has no [tuner]", target.shown()))
                .with_hint("write a Tuner (`agent templates show minimal` has one) and name it under [tuner]")
        }),
        Role::Runner | Role::Scorer => Ok(&target.manifest.runner),
    }
}
