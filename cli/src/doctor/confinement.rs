//! Whether Runners in tiers and Tuners are confined.

use super::Finding;
#[cfg(target_os = "linux")]
use agent_core::formats::manifest::EntryPoint;
use agent_core::formats::manifest::Manifest;
use agent_engine::repository::Repository;
#[cfg(target_os = "linux")]
use agent_engine::target::confinement::probe::{self, ProbeResult, Subject};

/// Attempts forbidden accesses, as a Runner in a tier and as a Tuner.
#[cfg(target_os = "linux")]
pub(super) fn tried(of: Option<(&Repository, &Manifest)>) -> Vec<Finding> {
    let none = EntryPoint::default();
    let runner =
        Subject { entry: of.map_or(&none, |(_, manifest)| &manifest.runner), network: true };
    let tuner = Subject {
        entry: of.and_then(|(_, manifest)| manifest.tuner.as_ref()).unwrap_or(&none),
        network: false,
    };
    match probe::hold(&[runner, tuner], of) {
        Ok(held) => ["runner", "tuner"]
            .into_iter()
            .zip(&held)
            .map(|(check, held)| kept(check, held))
            .collect(),
        Err(error) => vec![Finding::warn(
            "confinement",
            format!("cannot check the confinement of Runners and Tuners: {error}"),
            "do not run untrusted code until this check works",
        )],
    }
}

#[cfg(target_os = "linux")]
fn kept(check: &'static str, held: &ProbeResult) -> Finding {
    let untried = if held.untried.is_empty() {
        String::new()
    } else {
        format!(" (not checked here: {})", held.untried.join(", "))
    };
    let role = if check == "runner" { "a Runner in a tier" } else { "a Tuner" };
    if held.done.is_empty() {
        let (count, names) = (held.stopped.len(), held.stopped.join(", "));
        return Finding::ok(
            check,
            format!("{role} was denied each of {count} forbidden accesses: {names}{untried}"),
        );
    }
    let done = held
        .done
        .iter()
        .map(|name| format!("{name} ({})", meaning(name)))
        .collect::<Vec<_>>()
        .join(", ");
    Finding::warn(
        check,
        format!("{role} is not denied: {done}{untried}"),
        "use a kernel with Landlock (complete from Linux 6.12) and seccomp; until then do not run \
        untrusted code",
    )
}

/// The consequence of an access that is not denied.
#[cfg(target_os = "linux")]
fn meaning(attempt: &str) -> &'static str {
    match attempt {
        "write" | "create" => "it can change your files",
        "read" => "it can read your files",
        "repository" => "it can read the cases that judge it",
        "store" => "it can read the results of other versions",
        "mode" | "time" | "attribute" => "it can change modes, times or attributes of your files",
        "tcp" | "udp" => "it can use the network",
        "unix" | "abstract" => "it can connect to other programs of yours, such as Docker",
        "signal" => "it can end other processes of yours",
        "memory" | "environment" => {
            "it can read the memory or the environment of other processes of yours"
        }
        _ => "it can leave data for other programs",
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn tried(_of: Option<(&Repository, &Manifest)>) -> Vec<Finding> {
    vec![Finding::warn(
        "confinement",
        "this platform does not confine Runners and Tuners",
        "run tiers with untrusted code on Linux; promotions are still checked to change state/ \
        only",
    )]
}
