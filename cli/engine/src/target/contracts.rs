//! The Contract of a target: both servers are started once to list their tools.

use crate::child::{Child, ChildError, ChildSpec, Era, Opening, Role};
use crate::repository::{Repository, state_value};
use crate::target::confinement::{self, Scratch};
use crate::target::definition::{STATE_SCHEMA_FILE, Target};
use crate::target::error::TargetError;
use crate::target::overlay;
use crate::target::spec;
use crate::target::tuner;
use crate::world::event_loop;
use crate::world::fs;
use crate::world::git::{CommitInfo, STATE_FILE, TreeEdit};
use agent_core::bisection::difference::{PathChange, side_name};
use agent_core::contract::Contract;
use agent_core::contract::assessment::{Assessment, End, assess};
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::discovery::{Discovery, LISTS};
use agent_core::version::reverts::{self, Commit};
use serde_json::Value;

/// The Contract of a target.
pub fn of(target: &Target, repository: &Repository) -> Result<Contract, TargetError> {
    let mut contract = recorded(target, repository)?;
    contract.state = state_schema(target, repository)?;
    Ok(contract)
}

/// The bump from one target to another, rule by rule.
pub fn assessed(
    from: &Target,
    to: &Target,
    repository: &Repository,
) -> Result<Assessment, TargetError> {
    let ends = (end(from, repository)?, end(to, repository)?);
    Ok(assess(&ends.0, &ends.1, &messages(from, to, repository)?))
}

/// The bump between two commits by their cached Contracts; `None` where these do not suffice.
/// Starts no child.
pub fn assessed_from_kept(
    repository: &Repository,
    from: &CommitInfo,
    to: &CommitInfo,
) -> Result<Option<Assessment>, TargetError> {
    let is_code = |change: &PathChange| change.path != STATE_FILE;
    let code_changed = repository.git.diff(Some(&from.id), &to.id)?.iter().any(is_code);
    let overlays = (overlay::at(repository, &from.id)?, overlay::at(repository, &to.id)?);
    let unchanged = from.trailers.contract.is_some()
        && from.trailers.contract == to.trailers.contract
        && overlays.0 == overlays.1;
    let contracts = if unchanged {
        let same = Contract::new(Vec::new(), None, None)?;
        Some((same.clone(), same))
    } else {
        kept(repository, &from.id)?.zip(kept(repository, &to.id)?)
    };
    let Some((before, now)) = contracts else { return Ok(None) };
    let before = overlay::presented(before, overlays.0);
    let now = overlay::presented(now, overlays.1);
    let end = |commit: &CommitInfo, contract, code: &str| {
        Ok::<_, TargetError>(End {
            name: side_name(commit.trailers.version.as_ref(), &commit.id),
            version: commit.trailers.version.clone(),
            contract,
            code: code.to_owned(),
            state: repository.git.entry(&commit.id, STATE_FILE)?.map(|entry| entry.id.to_string()),
        })
    };
    let ends =
        [end(from, before, "from")?, end(to, now, if code_changed { "to" } else { "from" })?];
    Ok(Some(assess(&ends[0], &ends[1], &messages_between(repository, &from.id, &to.id)?)))
}

/// The Contract of a commit, where its servers' tools are kept.
pub fn kept(repository: &Repository, commit: &ObjectId) -> Result<Option<Contract>, TargetError> {
    let store = repository.store(&repository.manifest(commit)?)?;
    let key = kept_key(&repository.git.code_tree(commit)?);
    let Some(mut contract) = store.get(&key)?.and_then(|bytes| Contract::parse(&bytes, &key).ok())
    else {
        return Ok(None);
    };
    contract.state =
        parsed_schema(repository.git.read(commit, STATE_SCHEMA_FILE)?, commit.short())?;
    Ok(Some(contract))
}

fn kept_key(code: &ObjectId) -> String {
    format!("contracts/{code}.json")
}

fn end(target: &Target, repository: &Repository) -> Result<End, TargetError> {
    Ok(End {
        name: target.shown(),
        version: target.version.clone(),
        contract: overlay::over(of(target, repository)?, target)?,
        code: code_identity(target, repository)?,
        state: Some(target.state.revision.to_string()),
    })
}

fn code_identity(target: &Target, repository: &Repository) -> Result<String, TargetError> {
    match &target.commit {
        Some(commit) => Ok(code_of(repository, commit)?.to_string()),
        None => Ok(target.what.to_string()),
    }
}

/// Everything but the learned state, as a tree: a migration or a schema is code too.
pub fn code_of(repository: &Repository, commit: &ObjectId) -> Result<ObjectId, TargetError> {
    let learned = TreeEdit::Remove { path: STATE_FILE.to_owned() };
    Ok(repository.git.edit_tree(Some(&repository.git.tree_of(commit)?), &[learned])?)
}

/// The bumps declared by the messages of the commits in between that were not reverted; generated
/// version commits are excluded.
fn messages(
    from: &Target,
    to: &Target,
    repository: &Repository,
) -> Result<Vec<String>, TargetError> {
    let head = match &to.commit {
        Some(commit) => commit.clone(),
        None => repository.git.expect("HEAD")?,
    };
    let Some(base) = &from.commit else { return Ok(Vec::new()) };
    messages_between(repository, base, &head)
}

fn messages_between(
    repository: &Repository,
    base: &ObjectId,
    head: &ObjectId,
) -> Result<Vec<String>, TargetError> {
    let commits = repository.git.between(base, head)?;
    let infos =
        commits.iter().map(|id| repository.git.commit(id)).collect::<Result<Vec<_>, _>>()?;
    let commits =
        infos.into_iter().filter(|info| info.trailers.as_version().is_none()).map(|info| Commit {
            id: info.id.to_string(),
            parents: info.parents.iter().map(ToString::to_string).collect(),
            message: info.message,
        });
    Ok(reverts::standing(commits.collect()))
}

/// The tools of a code tree never change: what its servers listed once is kept.
fn recorded(target: &Target, repository: &Repository) -> Result<Contract, TargetError> {
    let Some(code) = &target.code else {
        return listed(target, repository).map(|(contract, _)| contract);
    };
    // the store is a cache here: while it is unavailable, each look-up is a miss
    let store = repository.store(&target.manifest)?.briefly();
    let key = kept_key(code);
    if let Some(contract) =
        store.get(&key).ok().flatten().and_then(|bytes| Contract::parse(&bytes, &key).ok())
    {
        return Ok(contract);
    }
    let (contract, discovery) = listed(target, repository)?;
    let kept = discovery
        .iter()
        .try_for_each(|(role, discovery)| keep_discovery(repository, target, *role, discovery));
    if let Err(error) = kept.and_then(|()| Ok(store.put(&key, contract.to_bytes())?)) {
        repository.notices.detail(format!(
            "the Contract is not kept in the object store: {}",
            error.messages().join(": ")
        ));
    }
    Ok(contract)
}

/// The Contract, and the discovery results of each server.
type Listed = (Contract, Vec<(Role, Discovery)>);

fn listed(target: &Target, repository: &Repository) -> Result<Listed, TargetError> {
    let mut runner = spec::runner(target, repository)?;
    confinement::confine(&mut runner, &target.manifest.runner, true, target, repository)?;
    let scratch = Scratch::take(&repository.layout)?;
    let runner = scratch.given_to(runner);
    let tuner =
        target.manifest.tuner.as_ref().map(|_| tuner::confined(repository, target)).transpose()?;
    let tuner = tuner.as_ref().map(|(spec, _scratch)| spec);
    let asked = async {
        tokio::try_join!(described(&runner), plain(&runner), stateless(&runner), tuners(tuner))
    };
    let (runner, plain, stateless, tuner) = event_loop::block_on(asked)??;
    let runner = runner.with_plain(&plain);
    let runner = match stateless {
        Some((discovered, tools)) => runner.with_stateless(discovered, tools),
        None => runner,
    };
    let contract =
        Contract::new(runner.tools.clone(), tuner.as_ref().map(|tuner| tuner.tools.clone()), None)?;
    Ok((
        contract,
        std::iter::once((Role::Runner, runner))
            .chain(tuner.map(|tuner| (Role::Tuner, tuner)))
            .collect(),
    ))
}

async fn tuners(spec: Option<&ChildSpec>) -> Result<Option<Discovery>, ChildError> {
    match spec {
        Some(spec) => described(spec).await.map(Some),
        None => Ok(None),
    }
}

/// What the server lists for a client with every capability, so that no tool is hidden.
async fn described(spec: &ChildSpec) -> Result<Discovery, ChildError> {
    let child = Child::start_as(spec, &Opening::with_every_capability()).await?;
    let tools = child.tools().await;
    let initialize_result = child.initialize_result().clone();
    let mut discovery = Discovery::new(Some(initialize_result), None, Vec::new());
    for (capability, method, member) in LISTS {
        if discovery.capabilities(Era::Handshake)[capability].is_object()
            // a list that fails is requested again on demand
            && let Ok(listed) = child.list(method, member).await
        {
            discovery.lists.insert(method.to_owned(), listed);
        }
    }
    child.end().await;
    Ok(Discovery { tools: tools?, ..discovery })
}

/// The tools that a client without capabilities is listed.
async fn plain(spec: &ChildSpec) -> Result<Vec<Value>, ChildError> {
    let child = Child::start(spec).await?;
    let tools = child.tools().await;
    child.end().await;
    tools
}

/// The discovery results in the stateless era, which needs a separate process; `None` when the
/// server does not support it.
async fn stateless(spec: &ChildSpec) -> Result<Option<(Value, Vec<Value>)>, ChildError> {
    // a server that crashes on unsupported requests is not an error here: the other process reports
    // it
    let Ok(child) = Child::open(spec, &Opening::Stateless).await else { return Ok(None) };
    let discovery = match child.era() {
        Era::Stateless => {
            child.tools().await.ok().map(|tools| (child.initialize_result().clone(), tools))
        }
        Era::Handshake => None,
    };
    child.end().await;
    Ok(discovery)
}

/// The recorded discovery results of a server of this target: from the local cache, else from the
/// store.
pub fn discovery(
    repository: &Repository,
    target: &Target,
    role: Role,
) -> Result<Option<Discovery>, TargetError> {
    let Some(code) = &target.code else { return Ok(None) };
    let here = repository.layout.discovery(&discovery_name(code, role));
    if let Some(discovery) = fs::read_if_there(&here)?.and_then(|bytes| Discovery::parse(&bytes)) {
        return Ok(Some(discovery));
    }
    let Some(bytes) =
        repository.store(&target.manifest)?.briefly().get(&discovery_key(code, role))?
    else {
        return Ok(None);
    };
    fs::replace(&here, &bytes, fs::Durability::Rebuildable)?;
    Ok(Discovery::parse(&bytes))
}

pub fn keep_discovery(
    repository: &Repository,
    target: &Target,
    role: Role,
    discovery: &Discovery,
) -> Result<(), TargetError> {
    let Some(code) = &target.code else { return Ok(()) };
    let bytes = serde_json::to_vec(discovery).expect("a record serialises");
    fs::replace(
        &repository.layout.discovery(&discovery_name(code, role)),
        &bytes,
        fs::Durability::Rebuildable,
    )?;
    Ok(repository.store(&target.manifest)?.briefly().put(&discovery_key(code, role), bytes)?)
}

fn discovery_name(code: &ObjectId, role: Role) -> String {
    format!("{code}-{}.json", role.to_string().to_lowercase())
}

fn discovery_key(code: &ObjectId, role: Role) -> String {
    format!("discovery/{}", discovery_name(code, role))
}

/// The schema of a target's state, if it has one.
pub fn state_schema(
    target: &Target,
    repository: &Repository,
) -> Result<Option<Value>, TargetError> {
    match target.tree.as_ref().or(target.commit.as_ref()) {
        Some(tree) => parsed_schema(repository.git.read(tree, STATE_SCHEMA_FILE)?, &target.shown()),
        None => {
            parsed_schema(fs::read_if_there(&target.directory.join(STATE_SCHEMA_FILE))?, "worktree")
        }
    }
}

pub fn parsed_schema(bytes: Option<Vec<u8>>, of: &str) -> Result<Option<Value>, TargetError> {
    let read = |bytes: Vec<u8>| state_value(&bytes, &format!("{of}:{STATE_SCHEMA_FILE}"));
    Ok(bytes.map(read).transpose()?)
}
