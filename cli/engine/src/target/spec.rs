//! How the Runner and the Tuner of a target are started, and the programs of the evaluators.

use crate::child::{ChildSpec, Role, Skipping};
use crate::notices::Notices;
use crate::repository::Repository;
use crate::target::definition::Target;
use crate::target::error::TargetError;
use crate::target::evaluators::{Evaluators, Judging, SCORERS};
use crate::templates;
use crate::world::checkout::{Checkout, CheckoutPurpose, Compiler, Verified};
use crate::world::env;
use crate::world::fs;
use crate::world::git::{Mode, TreeEdit};
use crate::world::layout::Layout;
use crate::world::python::{self, Bytecode};
use crate::world::toolchain::Toolchain;
use agent_core::formats::manifest::EntryPoint;
use agent_core::protocol::wire;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The specification of a target's Runner, which is to be started now; its Python environment is
/// made when it is missing.
pub fn runner(target: &Target, repository: &Repository) -> Result<ChildSpec, TargetError> {
    let verified = verified(target, repository)?;
    runner_on(verified.as_ref(), target, repository)
}

/// Like `runner`, on a checkout that was just verified.
pub fn runner_on(
    verified: Option<&Verified>,
    target: &Target,
    repository: &Repository,
) -> Result<ChildSpec, TargetError> {
    of_target(verified, (Role::Runner, &target.manifest.runner), target, repository)
}

/// The specification of a target's Tuner.
pub fn tuner(target: &Target, repository: &Repository) -> Result<ChildSpec, TargetError> {
    let entry = target.manifest.tuner.as_ref();
    let entry = entry.ok_or_else(|| TargetError::NoTuner { of: target.shown() })?;
    let verified = verified(target, repository)?;
    of_target(verified.as_ref(), (Role::Tuner, entry), target, repository)
}

/// The verified checkout of a target. A modified one is recreated with a notice.
pub fn verified(target: &Target, repository: &Repository) -> Result<Option<Verified>, TargetError> {
    target
        .checkout
        .as_ref()
        .map(|checkout| verify(checkout, &target.shown(), repository))
        .transpose()
}

fn verify(checkout: &Checkout, of: &str, repository: &Repository) -> Result<Verified, TargetError> {
    let verified = checkout.verify(&repository.git)?;
    if let Some(difference) = &verified.repaired {
        let place = checkout.path().display();
        repository.notices.warn(format!(
            "the checkout of {of} differed from git: {difference}; it was recreated ({place})"
        ));
    }
    if let Some(kept) = &verified.kept {
        repository.notices.warn(moved(&kept.paths, &kept.folder));
    }
    Ok(verified)
}

/// Warns by name of files that a server wrote into the checkout of a target, where no later version
/// finds them.
pub fn warn_of_own_files(target: &Target, repository: &Repository) {
    // only a warning: what cannot be inspected is inspected when the next child starts
    let own = target
        .checkout
        .as_ref()
        .and_then(|checkout| checkout.own_files(&repository.git).ok())
        .unwrap_or_default();
    if !own.is_empty() {
        let shown = target.shown();
        repository.notices.warn(format!(
            "the Runner of {shown} wrote {} into its code folder, which other versions do not \
                share; {BELONGS}",
            named(&own)
        ));
    }
}

const BELONGS: &str = "its own files belong in the folder that AGENT_DATA names \
    (`$AGENT_DATA/FILE` in its command)";

/// The warning about files that a server wrote into its code folder, before that folder is removed.
pub fn moved(paths: &[PathBuf], folder: &Path) -> String {
    format!(
        "a server wrote {} into its code folder; it was kept in {}; {BELONGS}",
        named(paths),
        folder.display()
    )
}

fn named(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> =
        paths.iter().take(SHOWN).map(|path| format!("`{}`", path.display())).collect();
    let more = paths.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more files", shown.join(", ")) } else { shown.join(", ") }
}

/// The compiled files of a target. A Tuner cannot write others, so it uses the bundled ones for the
/// standard library.
pub fn bytecode(role: Role, target: &Target, layout: &Layout) -> Bytecode {
    if target.checkout.is_some() || role == Role::Tuner {
        Bytecode::InPlace
    } else {
        Bytecode::Apart(layout.bytecode())
    }
}

fn of_target(
    verified: Option<&Verified>,
    (role, entry): (Role, &EntryPoint),
    target: &Target,
    repository: &Repository,
) -> Result<ChildSpec, TargetError> {
    let manifest = &target.manifest;
    let layout = &repository.layout;
    let toolchain =
        Toolchain::of(layout, &target.directory, manifest, &|text| repository.notices.info(text))?;
    let mut spec =
        ChildSpec::new(role, toolchain.command(entry)?, &target.directory, &manifest.limits);
    spec.lease = verified.and_then(|verified| verified.lease.clone());
    listen(&mut spec, &repository.notices);
    spec.declared = env::declared(&entry.env);
    // no child may read the key that encrypts recorded calls
    spec.withheld.extend(manifest.record.key.iter().map(Into::into));
    spec.environment.extend(toolchain.environment(
        &bytecode(role, target, layout),
        &target.directory,
        &manifest.python,
    ));
    if role == Role::Runner {
        // if it cannot be created, the command that needs it reports it
        let _ = fs::create_dir(&layout.data());
        spec = spec.env(wire::ENV_DATA, layout.data());
    }
    Ok(spec.env(wire::ENV_STATE_FILE, target.state.file.path()))
}

/// Its stderr, and its stdout outside of frames.
fn listen(spec: &mut ChildSpec, notices: &Notices) {
    let detail = |notices: Notices| Arc::new(move |line: &str| notices.detail(line));
    let warning = |notices: Notices| Arc::new(move |line: &str| notices.warn(line));
    spec.listener = Some(detail(notices.clone()));
    spec.skipping = Some(Skipping::new(warning(notices.clone()), detail(notices.clone())));
}

/// The programs that judge, ready to be started.
pub struct Scorer {
    /// Runs the scorers; judge commands share its folder and environment.
    pub spec: ChildSpec,
    /// What they run from.
    pub checkout: Checkout,
    pub verified: Verified,
}

/// Where the evaluators and the harness lie in what scorers run from.
const EVALUATORS: &str = "evaluators";
const HARNESS: &str = "harness";

/// The process that runs the scorers. The code under test is not importable: the folder holds only
/// evaluators, the harness is part of `agent`, and no variable extends Python's module path.
pub fn scorer(
    evaluators: &Evaluators,
    judging: &Judging<'_>,
    repository: &Repository,
) -> Result<Scorer, TargetError> {
    let layout = &repository.layout;
    let git = &repository.git;
    let mut files = judging.put_below(EVALUATORS);
    for file in templates::harness() {
        let path = format!("{HARNESS}/{}", file.path.display());
        files.push(TreeEdit::Put { path, id: git.write_blob(&file.bytes)?, mode: Mode::File });
    }
    let python = &evaluators.manifest.python;
    let words = vec![format!("{HARNESS}/__main__.py"), format!("{EVALUATORS}/{SCORERS}")];
    let compiler = python::find(layout, &python.requires)
        .ok()
        .map(|interpreter| Compiler::new(&interpreter, words));
    let checkout = Checkout::of(
        git,
        layout,
        CheckoutPurpose::Evaluators,
        &git.edit_tree(None, &files)?,
        compiler,
        None,
    )?;
    let verified = verify(&checkout, "the evaluators", repository)?;
    let folder = judging.in_place().map_or_else(|| checkout.path().join(EVALUATORS), Into::into);
    let interpreter =
        python::interpreter(layout, &folder, python, &|text| repository.notices.info(text))?;
    let harness = checkout.path().join(HARNESS);
    let command =
        vec![interpreter.into(), "-I".into(), "-B".into(), harness.into(), SCORERS.into()];
    let environment = python::isolated_environment(&folder);
    let mut spec = ChildSpec::new(Role::Scorer, command, folder, &evaluators.manifest.limits);
    spec.lease.clone_from(&verified.lease);
    listen(&mut spec, &repository.notices);
    spec.withheld = env::undeclared();
    spec.declared = env::declared(&evaluators.manifest.evaluators.env);
    spec.environment = environment;
    Ok(Scorer { spec, checkout, verified })
}
