//! What holds Runners in tiers and Tuners.

use super::Finding;
#[cfg(target_os = "linux")]
use agent_core::formats::manifest::EntryPoint;
use agent_core::formats::manifest::Manifest;
use agent_engine::repository::Repository;
#[cfg(target_os = "linux")]
use agent_engine::target::confinement::probe::{self, Held, Subject};

/// By trying, as a Runner in a tier and as a Tuner.
#[cfg(target_os = "linux")]
pub(super) fn tried(of: Option<(&Repository, &Manifest)>) -> Vec<Finding> {
    let none = EntryPoint::default();
    let runner = Subject { entry: of.map_or(&none, |(_, manifest)| &manifest.runner), network: true };
    let tuner = Subject { entry: of.and_then(|(_, manifest)| manifest.tuner.as_ref()).unwrap_or(&none), network: false };
    match probe::hold(&[runner, tuner], of) {
        Ok(held) => ["runner", "tuner"].into_iter().zip(&held).map(|(check, held)| kept(check, held)).collect(),
        Err(error) => vec![Finding::warn(
            "confinement",
            format!("what holds Runners and Tuners cannot be tried: {error}"),
            "without it nothing is known of it: do not rely on what tests say of code that you do not trust",
        )],
    }
}

#[cfg(target_os = "linux")]
fn kept(check: &'static str, held: &Held) -> Finding {
    let untried = if held.untried.is_empty() { String::new() } else { format!(" (could not be tried here: {})", held.untried.join(", ")) };
    let who = if check == "runner" { "a Runner in a tier" } else { "a Tuner" };
    if held.done.is_empty() {
        let (count, names) = (held.stopped.len(), held.stopped.join(", "));
        return Finding::ok(check, format!("{who} was stopped in each of {count} attempts to reach what is not its own: {names}{untried}"));
    }
    let done = held.done.iter().map(|name| format!("{name} ({})", meaning(name))).collect::<Vec<_>>().join(", ");
    Finding::warn(
        check,
        format!("{who} is not stopped from: {done}{untried}"),
        "a kernel with Landlock (Linux 6.12 or newer has all of it) and seccomp holds it; until then do not run code that you do not trust",
    )
}

/// What it means that an attempt is not stopped.
#[cfg(target_os = "linux")]
fn meaning(attempt: &str) -> &'static str {
    match attempt {
        "write" | "create" => "it can change your files",
        "read" => "it can read your files",
        "repository" => "it can read the cases it is judged by",
        "store" => "it can read the results of other versions",
        "mode" | "time" | "attribute" => "it can change modes, times or attributes of your files",
        "tcp" | "udp" => "it has the network",
        "unix" | "abstract" => "it can talk to other programs of yours, such as Docker",
        "signal" => "it can end other processes of yours",
        "memory" | "environment" => "it can read the memory or the environment of other processes of yours",
        _ => "it can leave data for other programs",
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn tried(_of: Option<(&Repository, &Manifest)>) -> Vec<Finding> {
    vec![Finding::warn(
        "confinement",
        "this platform confines no Runner and no Tuner: what they read and write is not held",
        "run tiers that judge code you do not trust on Linux; that a promotion touches only state/ is still checked",
    )]
}
