//! Runs the parts of tiers as tasks on an existing Ray cluster; the results are merged as from any
//! other machines.

use super::outcome::TierOutcome;
use super::request::Request;
use crate::error::Failure;
use crate::notices::Notices;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::spec;
use crate::world::child_process;
use crate::world::child_process::Pipe;
use crate::world::env;
use crate::world::event_loop;
use crate::world::fs;
use crate::world::git::CommitSpec;
use crate::world::git_command::GitCommand;
use crate::world::process::Run;
use crate::world::python;
use agent_core::child::stderr_tail;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::cached_result::Reuse;
use agent_core::testing::event::Event;
use agent_core::testing::merge::{Merge, MergedTier};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

const DRIVER: &str = include_str!("driver.py");
const HAS_RAY: &str =
    "import importlib.util, sys; sys.exit(importlib.util.find_spec('ray') is None)";

/// Runs complete tiers of a target on the cluster, in a number of parts; by default one per CPU.
pub fn run_tiers(
    repository: &Repository,
    target: &Target,
    requests: &[Request],
    on_event: &mut dyn FnMut(&Event),
) -> Result<Vec<TierOutcome>, Failure> {
    let interpreter = interpreter(repository, target)?;
    let tree = repository.tree_of(target)?.ok_or_else(|| {
        Failure::input("git cannot describe the working tree, so it cannot be sent to a cluster")
    })?;
    child_process::end_on_interrupt();
    let folder = repository.layout.temporary_folder("ray")?;
    let input = input(repository, &tree, requests, folder.path())?;
    repository.notices.detail(format!("Ray runs on {}", interpreter.display()));
    let (merge, ended) = event_loop::block_on(drive(
        &interpreter,
        folder.path(),
        input,
        &repository.notices,
        on_event,
    ))??;
    outcomes(merge, &ended, &tree, requests, target)
}

/// The one Python here that has ray: named, of the agent's lock, or on PATH.
fn interpreter(repository: &Repository, target: &Target) -> Result<PathBuf, Failure> {
    let _in_use = spec::verified(target, repository)?;
    let own = || {
        python::interpreter(
            &repository.layout,
            &target.directory,
            &target.manifest.python,
            &|text| repository.notices.info(text),
        )
        .ok()
    };
    let candidates: Vec<PathBuf> = match env::ray_python() {
        Some(named) => vec![named.into()],
        None => own().into_iter().chain([PathBuf::from("python3")]).collect(),
    };
    let has_ray = |python: &PathBuf| {
        Run::new(python).args(["-c", HAS_RAY]).finish().is_ok_and(|finished| finished.success())
    };
    candidates.into_iter().find(has_ray).ok_or_else(|| {
        Failure::new(FailureKind::Surroundings, "no Python here has `ray`").with_hint(format!(
            "install the cluster's version of it (`pip install ray`), or name a Python that has \
            it: {}=PATH",
            env::RAY_PYTHON
        ))
    })
}

/// What the driver reads; the files it names are in `folder`.
fn input(
    repository: &Repository,
    tree: &ObjectId,
    requests: &[Request],
    folder: &Path,
) -> Result<Vec<u8>, Failure> {
    // one commit with this tree and nothing before it: all that a task needs
    let spec = CommitSpec {
        tree: tree.clone(),
        parents: Vec::new(),
        message: "what a cluster tests\n".to_owned(),
    };
    let commit = repository.git.write_commit(&spec)?;
    let git = GitCommand::isolated(repository.git.root());
    let pack = git
        .run()
        .args(["pack-objects", "--quiet", "--revs", "--stdout"])
        .stdin(format!("{commit}\n"))
        .succeed()?
        .stdout;
    let at = folder.join("pack");
    fs::write(&at, &pack)?;
    let binary = env::binary().ok_or_else(|| {
        Failure::new(FailureKind::Surroundings, "the path of this program cannot be found")
    })?;
    let first = &requests[0];
    let asked = json!({"commit": commit, "pack": at, "binary": binary, "parts": first.shards,
        "arguments": arguments(requests)});
    Ok(asked.to_string().into_bytes())
}

/// Those of `agent test` that are the same for each part.
fn arguments(requests: &[Request]) -> Vec<String> {
    let mut arguments: Vec<String> = requests
        .iter()
        .flat_map(|request| ["--tier".to_owned(), request.tier.to_string()])
        .collect();
    let first = &requests[0];
    if first.repeats > 1 {
        arguments.extend(["--repeats".to_owned(), first.repeats.to_string()]);
    }
    arguments.extend((first.reuse == Reuse::Nothing).then(|| "--no-cache".to_owned()));
    arguments
}

/// The driver's exit status, and its last output.
struct Ended {
    code: Option<i32>,
    stderr: Vec<String>,
}

async fn drive(
    interpreter: &Path,
    folder: &Path,
    input: Vec<u8>,
    notices: &Notices,
    on_event: &mut dyn FnMut(&Event),
) -> Result<(Merge, Ended), Failure> {
    let notices = notices.clone();
    let command = vec![interpreter.into(), "-c".into(), DRIVER.into()];
    let pipe = Pipe {
        listener: Some(Arc::new(move |line| notices.detail(line))),
        ..Pipe::new(command, folder.to_owned())
    };
    let (mut child, mut stdin, stdout) = pipe.start()?;
    // a driver that stopped reading has exited; its error is reported below
    let _ = stdin.write_all(&input).await;
    drop(stdin);
    let mut lines = BufReader::new(stdout).lines();
    let mut events = PartEvents::default();
    while let Ok(Some(line)) = lines.next_line().await {
        events.receive(&line, on_event);
    }
    events.finished.iter().for_each(on_event);
    let status = child.wait().await;
    // its stderr may still be on its way
    child.wait_a_little().await;
    let mut merge = Merge::default();
    if !events.lines.is_empty() {
        merge.read("the cluster", &events.lines)?;
    }
    Ok((
        merge,
        Ended { code: status.and_then(|status| status.code()), stderr: child.stderr_tail() },
    ))
}

/// The events of the parts, and those that are passed on for the complete tier.
#[derive(Default)]
struct PartEvents {
    lines: String,
    begun: BTreeSet<Tier>,
    finished: Vec<Event>,
}

impl PartEvents {
    fn receive(&mut self, line: &str, on_event: &mut dyn FnMut(&Event)) {
        let Some(event) = Event::from_line(line) else { return };
        self.lines.extend([line, "\n"]);
        match event {
            Event::PartStarted(head) => {
                let whole = Event::TierStarted {
                    tier: head.tier,
                    cases: head.cases,
                    shards: head.part.of as usize,
                };
                let is_first = self.begun.insert(head.tier);
                on_event(&Event::PartStarted(head));
                if is_first {
                    on_event(&whole);
                }
            }
            // of a part
            Event::TierStarted { .. } => {}
            Event::TierFinished { .. } => self.finished.push(event),
            other => on_event(&other),
        }
    }
}

/// The merged parts; a failed part counts with the results it sent.
fn outcomes(
    merge: Merge,
    ended: &Ended,
    tree: &ObjectId,
    requests: &[Request],
    target: &Target,
) -> Result<Vec<TierOutcome>, Failure> {
    let tiers: Vec<MergedTier> = merge.finish().collect();
    let is_there =
        |tier| tiers.iter().any(|merged| merged.head.tier == tier && merged.fold.missing() == 0);
    let is_whole = requests.iter().all(|request| is_there(request.tier));
    if ended.code != Some(0) && !is_whole {
        let exit = match ended.code {
            Some(3) => FailureKind::Input,
            Some(6) => FailureKind::Surroundings,
            _ => FailureKind::Child,
        };
        let mut error = Failure::new(exit, "the cluster did not run all parts");
        error.messages.push(stderr_tail::shown(&ended.stderr).join("\n"));
        return Err(error.with_hint(
            "RAY_ADDRESS is the address of the cluster; `ray status` checks it; its \
                Python and its ray have to be those here",
        ));
    }
    if let Some(other) = tiers.iter().find(|tier| {
        tier.head.tree.as_deref() != Some(tree.as_str())
            || tier.head.state != target.state.revision.as_str()
    }) {
        return Err(Failure::new(
            FailureKind::Child,
            format!("the cluster tested another tree for {} than it was sent", other.head.tier),
        ));
    }
    Ok(tiers.into_iter().map(TierOutcome::from).collect())
}
