//! Tests what a confined child must not be able to do.

use super::{SHARED_MEMORY, holes, tested};
use crate::repository::Repository;
use crate::world::child_process::Pipe;
use crate::world::event_loop;
use crate::world::sandbox::attempts::{self, ATTEMPT, ProbeTargets};
use crate::world::temporary::{self, Temporary};
use crate::world::{env, store};
use agent_core::child::confinement::Confinement;
use agent_core::formats::manifest::{EntryPoint, Manifest};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

/// The outcome of the attempts for one kind of child.
#[derive(Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// Attempts that were stopped, by name.
    pub stopped: Vec<String>,
    /// Those that were not.
    pub done: Vec<String>,
    /// Those that fail here even without confinement, so that they prove nothing.
    pub untried: Vec<String>,
}

/// A child to try as.
pub struct Subject<'a> {
    pub entry: &'a EntryPoint,
    /// Whether it has network access by default.
    pub network: bool,
}

impl Subject<'_> {
    fn has_network(&self) -> bool {
        self.entry.network.unwrap_or(self.network)
    }

    /// What it may do, so that it is not tried.
    fn allowed(&self) -> Vec<&'static str> {
        let network: &[_] = if self.has_network() { &["tcp", "udp"] } else { &[] };
        let memory: &[_] = if self.entry.shared_memory { &["shared-memory"] } else { &[] };
        [network, memory].concat()
    }
}

/// Makes the attempts as each of the subjects. Without a repository, a temporary folder is used.
pub fn hold(
    subjects: &[Subject<'_>],
    of: Option<(&Repository, &Manifest)>,
) -> Result<Vec<ProbeResult>, Box<dyn Error>> {
    let stage = Stage::set(of)?;
    let confined =
        subjects.iter().map(|subject| stage.attempts(subject)).collect::<Result<Vec<_>, _>>()?;
    let free = attempts::all(&stage.targets);
    Ok(subjects
        .iter()
        .zip(confined)
        .map(|(subject, stopped)| held(&stopped, &free, &subject.allowed()))
        .collect())
}

fn held(
    stopped: &BTreeMap<String, bool>,
    free: &BTreeMap<String, bool>,
    allowed: &[&str],
) -> ProbeResult {
    let mut held = ProbeResult { stopped: Vec::new(), done: Vec::new(), untried: Vec::new() };
    for (name, is_stopped) in stopped.iter().filter(|(name, _)| !allowed.contains(&name.as_str())) {
        let fails_anyway = free.get(name).copied().unwrap_or(true);
        let list = match (is_stopped, fails_anyway) {
            (false, _) => &mut held.done,
            (true, false) => &mut held.stopped,
            (true, true) => &mut held.untried,
        };
        list.push(name.clone());
    }
    held
}

/// What the attempts are made on.
struct Stage {
    targets: ProbeTargets,
    holes: Vec<PathBuf>,
    scratch: PathBuf,
    _folder: Temporary,
    _listeners: (UnixListener, UnixListener, TcpListener),
}

impl Stage {
    fn set(of: Option<(&Repository, &Manifest)>) -> Result<Self, Box<dyn Error>> {
        let folder = Temporary::outside(temporary::DOCTOR)?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "a file of the user's")?;
        std::fs::create_dir(at("scratch"))?;
        let (repository, stored, holes) = if let Some((repository, manifest)) = of {
            let stored = store::folder(&manifest.store.url, repository.layout.root());
            let head = repository.git.common_dir().join("HEAD");
            (
                head.clone(),
                stored.filter(|folder| folder.is_dir()).unwrap_or(head),
                holes(repository, manifest),
            )
        } else {
            std::fs::create_dir(at("repository"))?;
            (at("repository"), at("repository"), vec![at("repository")])
        };
        let abstract_name = format!("agent-doctor-{}", std::process::id());
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?;
        let by_path = UnixListener::bind(at("socket"))?;
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        let targets = ProbeTargets {
            file: at("file"),
            repository,
            store: stored,
            socket: at("socket"),
            abstract_name,
            port: tcp.local_addr()?.port(),
            process: rustix::process::getpid(),
        };
        Ok(Self {
            targets,
            holes,
            scratch: at("scratch"),
            _listeners: (by_name, by_path, tcp),
            _folder: folder,
        })
    }

    fn attempts(&self, subject: &Subject<'_>) -> Result<BTreeMap<String, bool>, Box<dyn Error>> {
        let program = env::binary().ok_or("the system does not say where `agent` itself lies")?;
        let command = [program.clone().into(), ATTEMPT.into()]
            .into_iter()
            .chain(self.targets.to_arguments())
            .collect();
        let pipe = Pipe {
            confinement: Some(self.confinement(subject, program)),
            ..Pipe::new(command, self.scratch.clone())
        };
        let ended = event_loop::block_on(async { pipe.exchange(Vec::new()).await })??;
        let attempts = serde_json::from_slice(&ended.stdout);
        attempts
            .map_err(|error| format!("{error}; {}", String::from_utf8_lossy(&ended.stderr)).into())
    }

    fn confinement(&self, subject: &Subject<'_>, program: PathBuf) -> Confinement {
        tested(self.holes.clone())
            .read_own([program])
            .write_own([&self.scratch])
            .write_own(subject.entry.shared_memory.then_some(SHARED_MEMORY))
            .network(subject.has_network())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_attempts_count_only_where_possible_without_confinement() {
        let attempts = |pairs: &[(&str, bool)]| {
            pairs.iter().map(|(name, stopped)| ((*name).to_owned(), *stopped)).collect()
        };
        let stopped =
            attempts(&[("attribute", true), ("read", true), ("tcp", false), ("write", false)]);
        let free =
            attempts(&[("attribute", true), ("read", false), ("tcp", false), ("write", false)]);
        let found = held(&stopped, &free, &["tcp"]);
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            found,
            ProbeResult {
                stopped: names(&["read"]),
                done: names(&["write"]),
                untried: names(&["attribute"])
            }
        );
    }
}
