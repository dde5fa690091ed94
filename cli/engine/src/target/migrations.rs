//! The state from one schema version to a later one: `state/migrations/N.py` makes a state of
//! version N of one of version N-1.
//!
//! A step is a Python file with `def migrate(state): ...` that gives back the new state. It is run
//! in the environment of the version it belongs to.

use crate::child::{ChildSpec, Role};
use crate::repository::Repository;
use crate::target::confinement::{self, Scratch};
use crate::target::contracts::state_schema;
use crate::target::definition::Target;
use crate::target::error::TargetError;
use crate::target::spec;
use crate::world::event_loop;
use crate::world::toolchain::Toolchain;
use crate::world::unwinding::joined;
use crate::world::{env, fs};
use agent_core::contract::STATE_VERSION_KEY;
use agent_core::formats::manifest::EntryPoint;
use agent_core::state::Rules;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Reads `{"steps": [[name, source], ...], "state": ...}`, runs the steps in order, prints the
/// state. The output of a step is redirected to stderr.
const DRIVER: &str = "\
import json, sys
out, sys.stdout = sys.stdout, sys.stderr
given = json.load(sys.stdin)
state = given['state']
for name, source in given['steps']:
    module = {'__name__': name, '__file__': name}
    exec(compile(source, name, 'exec'), module)
    if 'migrate' not in module:
        sys.exit(name + ' has no function migrate(state)')
    state = module['migrate'](state)
json.dump(state, out, allow_nan=False)
";

/// The size limit of a migrated state, in bytes.
const STATE_LIMIT: u64 = 256 << 20;

/// The state under the target's schema; `from` is the schema it was made under.
pub fn migrate(
    repository: &Repository,
    state: &Value,
    from: Option<&Value>,
    to: &Target,
) -> Result<Value, TargetError> {
    let schema = state_schema(to, repository)?;
    let steps = match (version(from), version(schema.as_ref())) {
        (Some(old), Some(new)) if new < old => {
            return Err(TargetError::OlderSchema { old, new, target: to.shown() });
        }
        (Some(old), Some(new)) => (old + 1..=new)
            .map(|number| step(repository, to, number))
            .collect::<Result<Vec<_>, _>>()?,
        _ => Vec::new(),
    };
    let migrated =
        if steps.is_empty() { state.clone() } else { run(repository, state, &steps, to)? };
    check(&migrated, schema.as_ref(), to)
}

/// The state in its canonical form, where the target's schema takes it.
pub fn check(state: &Value, schema: Option<&Value>, to: &Target) -> Result<Value, TargetError> {
    Rules::new(schema)
        .map_err(TargetError::Schema)?
        .check(state)
        .map_err(|problem| TargetError::UnfitState { target: to.shown(), problem })
}

pub fn version(schema: Option<&Value>) -> Option<u64> {
    schema?.get(STATE_VERSION_KEY)?.as_u64()
}

pub const STEPS: &str = "state/migrations";

fn step(
    repository: &Repository,
    to: &Target,
    number: u64,
) -> Result<(String, String), TargetError> {
    let name = format!("{STEPS}/{number}.py");
    let bytes = match to.tree.as_ref().or(to.commit.as_ref()) {
        Some(tree) => repository.git.read(tree, &name)?,
        None => fs::read_if_there(&to.directory.join(&name))?,
    };
    let Some(bytes) = bytes else {
        return Err(TargetError::NoMigration { number, target: to.shown(), name });
    };
    Ok((name, String::from_utf8_lossy(&bytes).into_owned()))
}

/// A step is code of the version that is to be tested, and confined as its Tuner is.
fn run(
    repository: &Repository,
    state: &Value,
    steps: &[(String, String)],
    to: &Target,
) -> Result<Value, TargetError> {
    let python = &to.manifest.python;
    let _in_use = spec::verified(to, repository)?;
    let toolchain = Toolchain::of(&repository.layout, &to.directory, &to.manifest, &|text| {
        repository.notices.info(text);
    })?;
    let command = vec![toolchain.interpreter.clone().into(), "-c".into(), DRIVER.into()];
    let mut spec = ChildSpec::new(Role::Tuner, command, &to.directory, &to.manifest.limits);
    let bytecode = spec::bytecode(Role::Runner, to, &repository.layout);
    spec.environment = toolchain.environment(&bytecode, &to.directory, python);
    confinement::confine(&mut spec, &EntryPoint::default(), false, to, repository)?;
    // a state that is migrated again is the same
    spec.withheld = env::undeclared();
    let scratch = Scratch::take(&repository.layout)?;
    let migrating = scratch.given_to(spec).pipe();
    let given = json!({"steps": steps, "state": state}).to_string();
    let names = || steps.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let failed = |why: &str| TargetError::MigrationFailed { steps: names(), why: why.to_owned() };
    let limit = to.manifest.limits.longest_call();
    let exchanged = || {
        event_loop::block_on(async {
            timeout(limit, migrating.exchange_within(given.into_bytes(), STATE_LIMIT)).await
        })
    };
    // the caller may be in an event loop already
    let exchanged = std::thread::scope(|scope| joined(scope.spawn(exchanged)));
    let Ok(finished) = exchanged? else {
        return Err(failed(&format!("it did not finish within {} s", limit.as_secs())));
    };
    let finished = finished?;
    if !finished.success() {
        return Err(failed(String::from_utf8_lossy(&finished.stderr).trim()));
    }
    serde_json::from_slice(&finished.stdout)
        .map_err(|error| failed(&format!("what it returned is not JSON: {error}")))
}
