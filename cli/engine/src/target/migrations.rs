//! The state from one schema version to a later one: `state/migrations/N.py` makes a state of
//! version N of one of version N-1.
//!
//! A step is a Python file with `def migrate(state): ...` that gives back the new state. It is run
//! in the environment of the version it belongs to.

use crate::child::{ChildSpec, Role};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::confinement::{self, Scratch};
use crate::target::contracts::{STATE_SCHEMA_FILE, state_schema};
use crate::target::definition::Target;
use crate::target::spec;
use crate::world::event_loop;
use crate::world::toolchain::Toolchain;
use crate::world::{env, fs};
use agent_core::contract::STATE_VERSION_KEY;
use agent_core::formats::diagnose::FailureKind;
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
) -> Result<Value, Failure> {
    let schema = state_schema(to, repository)?;
    let steps = match (version(from), version(schema.as_ref())) {
        (Some(old), Some(new)) if new < old => {
            return Err(Failure::input(format!(
                "the state has schema version {old}, and {} supports only {new}",
                to.shown()
            ))
            .with_hint(
                "migrations go forward only; `agent rollback` brings back an earlier \
                    version with its state",
            ));
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
pub fn check(state: &Value, schema: Option<&Value>, to: &Target) -> Result<Value, Failure> {
    Rules::new(schema).map_err(Failure::input)?.check(state).map_err(|problem| {
        Failure::input(format!(
            "the state that {} would be served with does not fit it: {problem}",
            to.shown()
        ))
        .with_hint(format!(
            "raise `{STATE_VERSION_KEY}` in {STATE_SCHEMA_FILE} and write the \
                step that makes the state fit"
        ))
    })
}

pub fn version(schema: Option<&Value>) -> Option<u64> {
    schema?.get(STATE_VERSION_KEY)?.as_u64()
}

pub const STEPS: &str = "state/migrations";

fn step(repository: &Repository, to: &Target, number: u64) -> Result<(String, String), Failure> {
    let name = format!("{STEPS}/{number}.py");
    let bytes = match to.tree.as_ref().or(to.commit.as_ref()) {
        Some(tree) => repository.git.read(tree, &name)?,
        None => fs::read_if_there(&to.directory.join(&name))?,
    };
    let bytes = bytes.ok_or_else(|| {
        Failure::input(format!(
            "the state's schema goes to version {number} in {}, but there is no {name}",
            to.shown()
        ))
        .with_hint("write it: a function `migrate(state)` that returns the state in its new form")
    })?;
    Ok((name, String::from_utf8_lossy(&bytes).into_owned()))
}

/// A step is code of the version that is to be tested, and confined as its Tuner is.
fn run(
    repository: &Repository,
    state: &Value,
    steps: &[(String, String)],
    to: &Target,
) -> Result<Value, Failure> {
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
    let failed = |why: &str| {
        Failure::new(FailureKind::Child, format!("the migration failed ({}): {why}", names()))
    };
    let limit = to.manifest.limits.longest_call();
    let exchanged = || {
        event_loop::block_on(async {
            timeout(limit, migrating.exchange_within(given.into_bytes(), STATE_LIMIT)).await
        })
    };
    // the caller may be in an event loop already
    let exchanged = std::thread::scope(|scope| {
        scope.spawn(exchanged).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
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
