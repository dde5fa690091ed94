//! `[runner]` and `[tuner]`: how each is started, what it may reach, and what a Tuner may request.

use super::tier::Tier;
use crate::child::variable::Variable;
use serde::Deserialize;
use std::time::Duration;

/// The start parameters of a child, and its access while it is confined.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct EntryPoint {
    /// The word `python` stands for the environment's interpreter.
    pub command: Vec<String>,
    /// Files and folders it may read besides its code, its environment and the system; `~` is the
    /// home folder. A device may also be written.
    #[serde(default)]
    pub read: Vec<String>,
    /// The variables it reads. A result depends on them; in tiers it gets few others. Earlier
    /// manifests say `environment`.
    #[serde(default, alias = "environment")]
    pub env: Vec<Variable>,
    /// A Runner may use the network unless this is false, a Tuner may not unless this is true.
    pub network: Option<bool>,
    /// Whether it may use `/dev/shm`, which it then shares with other programs. Locks and pools of
    /// Python's `multiprocessing` need it.
    #[serde(default)]
    pub shared_memory: bool,
    /// What a Tuner may request of `agent`; a Runner has none.
    #[serde(skip_serializing)]
    pub effects: Option<EffectLimits>,
    /// The key of the state that lies over the Runner's tools, where it is not `overlay`.
    #[serde(skip_serializing)]
    pub overlay: Option<String>,
}

/// The limits of the effects of a Tuner. Those of amounts hold for each signal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EffectLimits {
    /// The prefixes of allowed URLs.
    pub http: Vec<String>,
    /// The environment variables whose values headers may have.
    pub env: Vec<String>,
    /// The tiers on which states may be scored.
    pub tiers: Vec<Tier>,
    /// The number of requests.
    pub requests: usize,
    /// In seconds, for one request.
    pub time_s: f64,
    /// In US dollars: the sum of the greatest costs that the requests declare.
    pub usd: f64,
}

impl Default for EffectLimits {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            env: Vec::new(),
            tiers: Tier::ALL.to_vec(),
            requests: 100,
            time_s: 600.0,
            usd: 1.0,
        }
    }
}

impl EffectLimits {
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.time_s)
    }

    /// The key of a wrong value, and what is wrong.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if let Some(url) = self.http.iter().find(|url| !is_origin(url)) {
            return Some((
                "tuner.effects.http",
                format!(
                    "has `{url}`; a URL begins with https:// or http://, and its host ends in /"
                ),
            ));
        }
        if !(self.time_s > 0.0 && self.time_s <= MAX_EFFECT_S) {
            return Some((
                "tuner.effects.time_s",
                format!("is not above 0 and up to {MAX_EFFECT_S}"),
            ));
        }
        if !(self.usd >= 0.0 && self.usd.is_finite()) {
            return Some(("tuner.effects.usd", "is not an amount of US dollars".to_owned()));
        }
        None
    }
}

/// A day.
const MAX_EFFECT_S: f64 = 86_400.0;

/// A URL prefix that cannot be continued into another host.
fn is_origin(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.and_then(|rest| rest.split_once('/')).is_some_and(|(host, _)| !host.is_empty())
}

impl EntryPoint {
    /// What is wrong with a path of `read`.
    pub(super) fn problem(&self) -> Option<String> {
        self.read.iter().find_map(|path| Some(format!("names `{path}`; {}", refusal(path)?)))
    }
}

/// Folders that may be granted in part only: they contain every file of the machine, devices, or
/// the kernel's data on all processes.
const NEVER_WHOLE: [&str; 4] = ["/", "/dev", "/proc", "/sys"];
/// Name prefixes of devices that expose files or memory of the machine, or create such devices.
const STORAGE: [&str; 24] = [
    "block",
    "bsg",
    "btrfs-control",
    "bus",
    "char",
    "disk",
    "dm-",
    "fuse",
    "hd",
    "kmem",
    "loop",
    "mapper",
    "md",
    "mem",
    "mmcblk",
    "nbd",
    "nvme",
    "port",
    "raw",
    "root",
    "sd",
    "sg",
    "vd",
    "xvd",
];

/// Why a path cannot be granted to a Runner or a Tuner, judged by its name alone.
pub fn refusal(path: &str) -> Option<&'static str> {
    const RULE: &str = "a path begins with `/` or `~/`";
    if path == "~" {
        return None;
    }
    let rest = path.strip_prefix("~/").or_else(|| path.strip_prefix('/'));
    let Some(rest) = rest else { return Some(RULE) };
    let mut parts = rest.split('/').filter(|part| !matches!(*part, "" | "."));
    if parts.clone().any(|part| part == "..") {
        return Some("a path is written without `..`");
    }
    let plain = format!(
        "{}{}",
        &path[..path.len() - rest.len()],
        parts.clone().collect::<Vec<_>>().join("/")
    );
    if NEVER_WHOLE.contains(&plain.as_str()) {
        return Some(
            "it holds what a Runner or a Tuner is judged by; name the folders or devices that are \
            needed one by one",
        );
    }
    let device = path.starts_with('/') && parts.next() == Some("dev");
    let is_storage = device
        && parts.next().is_some_and(|name| STORAGE.iter().any(|storage| name.starts_with(storage)));
    is_storage.then_some("a disk or the memory of the machine holds every file of the repository")
}
