//! How the Runner, the Tuner and the scorers of a target are started.

use crate::context::Context;
use crate::error::CommandError;
use crate::printer::Printer;
use crate::repository::Repository;
use crate::runner::cases::SCORERS;
use crate::runner::child::{ChildSpec, Role, Skipping};
use crate::target::Target;
use crate::world::checkout::Verified;
use crate::world::python;
use agent_core::diagnose::Exit;
use agent_core::manifest::EntryPoint;
use agent_core::wire;
use std::sync::Arc;

/// The specification of one of a target's children, which is to be started now; its Python environment is made when it is missing.
pub fn spec(role: Role, target: &Target, repository: &Repository, context: &Context) -> Result<ChildSpec, CommandError> {
    let verified = verified(target, repository, context)?;
    spec_on(verified.as_ref(), role, target, repository, context)
}

/// The checkout of a target, as git has it. One that was not is made again, which is said.
pub fn verified(target: &Target, repository: &Repository, context: &Context) -> Result<Option<Verified>, CommandError> {
    let Some(checkout) = &target.checkout else { return Ok(None) };
    let verified = checkout.verify(&repository.git)?;
    if let Some(difference) = &verified.mended {
        context.printer.warn(format!(
            "the checkout of {} was not as git has it: {difference}; it was made again ({})",
            target.shown(),
            checkout.path().display()
        ));
    }
    Ok(Some(verified))
}

/// The same as `spec` on a checkout that was just verified.
pub fn spec_on(
    verified: Option<&Verified>,
    role: Role,
    target: &Target,
    repository: &Repository,
    context: &Context,
) -> Result<ChildSpec, CommandError> {
    let manifest = &target.manifest;
    let layout = &repository.layout;
    let interpreter = python::interpreter(layout, &target.directory, &manifest.python, &|said| context.printer.say(said))?;
    let command = match entry_point(role, target)? {
        Some(entry) => python::command(entry, &interpreter),
        None => vec![interpreter.into(), "-m".into(), "agent_runtime.scorers".into(), SCORERS.into()],
    };
    let mut spec = ChildSpec::new(role, command, &target.directory, &manifest.limits);
    spec.lease = verified.and_then(|verified| verified.lease.clone());
    let detail = |printer: Printer| Arc::new(move |line: &str| printer.detail(line));
    let warning = |printer: Printer| Arc::new(move |line: &str| printer.warn(line));
    spec.listener = Some(detail(context.printer.clone()));
    spec.skipping = Some(Skipping::new(warning(context.printer.clone()), detail(context.printer.clone())));
    spec.environment.extend(python::child_environment(layout, &target.directory, &manifest.python));
    Ok(spec.env(wire::ENV_STATE_FILE, target.state.file.path()))
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
