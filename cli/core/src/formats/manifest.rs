//! `agent.toml`: entry points, gates, the Architect's coder, limits, the object store.

use crate::child::variable::{self, Variable};
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::document;
use crate::formats::first_version::{FIRST, can_begin};
use crate::formats::off_policy_gate::OffPolicyGate;
use crate::formats::record::Record;
use semver::Version;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

pub const FILE: &str = "agent.toml";
pub const SCHEMA: &str = "agent/manifest@1";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub schema: String,
    pub name: String,
    /// The number of the first release, where it is not 0.1.0: an adopted project continues its own
    /// numbering. Later releases ignore it.
    pub first_version: Option<Version>,
    pub runner: EntryPoint,
    /// Absent in an adopted repository without a Tuner.
    pub tuner: Option<EntryPoint>,
    #[serde(default)]
    pub python: Python,
    /// Absent where nothing needs packages of Node.
    pub node: Option<Node>,
    #[serde(default)]
    pub promote: Promote,
    #[serde(default = "Gated::release")]
    pub release: Gated,
    #[serde(default)]
    pub evaluators: Evaluators,
    #[serde(default)]
    pub architect: Architect,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub tests: Tests,
    #[serde(default)]
    pub record: Record,
    /// The remote shared by clones. Without it, versions are made without contacting any remote.
    pub remote: Option<Remote>,
}

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
    fn problem(&self) -> Option<(&'static str, String)> {
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
    fn problem(&self) -> Option<String> {
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

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Python {
    pub requires: String,
    /// Hash-locked requirements; without them the standard library is all there is.
    pub lock: Option<String>,
    /// A pyproject.toml whose project counts as installed: its metadata, entry points and console
    /// scripts are provided. Its code is that of the checkout.
    pub project: Option<String>,
    /// The project's version, where its build backend computes it.
    pub version: Option<String>,
}

/// What is wrong with the path of a file of the repository.
fn misplaced(path: &str, example: &str) -> Option<String> {
    let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (!is_plain).then(|| {
        format!("names `{path}`; a path starts at the root of the repository, such as `{example}`")
    })
}

impl Default for Python {
    fn default() -> Self {
        Self { requires: ">=3.11".to_owned(), lock: None, project: None, version: None }
    }
}

/// Packages of Node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// A lock file for `npm ci`, with `package.json` beside it.
    pub lock: String,
}

/// What scorers and judge commands see besides `tests/` and `ci/`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluators {
    /// Files and folders of the repository that they may import, read or run, as the judging commit
    /// has them.
    pub import: Vec<String>,
    /// The variables that they read, as under `[runner]`.
    pub env: Vec<Variable>,
}

impl Evaluators {
    /// The path that cannot be, and what is wrong with it.
    fn problem(&self) -> Option<String> {
        self.import.iter().find_map(|path| misplaced(path.trim_end_matches('/'), "runner/words.py"))
    }
}

/// The tier that judges, and the gate it must pass.
#[derive(Debug, Clone, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gated {
    pub tier: Tier,
    #[serde(default)]
    pub gate: GateMode,
    /// In points of mean score: a loss of up to this counts as not worse, a gain of up to this as
    /// not better.
    #[serde(default)]
    pub margin: f64,
    #[serde(default)]
    pub test: GateTest,
    /// The allowed probability that noise passes, over the whole history.
    #[serde(default = "Gated::alpha")]
    pub alpha: f64,
}

/// `[promote]`: the gate of a promotion, and when staging promotes itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    tier: Tier,
    #[serde(default)]
    gate: GateMode,
    #[serde(default)]
    margin: f64,
    #[serde(default)]
    test: GateTest,
    #[serde(default = "Gated::alpha")]
    pub alpha: f64,
    /// Off where it is absent.
    pub auto: Option<AutoPromotion>,
    /// Off where it is absent.
    pub off_policy: Option<OffPolicyGate>,
    /// Rules of the bump above PATCH that a change of the overlay may meet.
    pub overlay: Option<Vec<String>>,
}

impl Default for Promote {
    fn default() -> Self {
        let Gated { tier, gate, margin, test, alpha } = Gated::promote();
        Self { tier, gate, margin, test, alpha, auto: None, off_policy: None, overlay: None }
    }
}

impl Promote {
    pub const fn gated(&self) -> Gated {
        let Self { tier, gate, margin, test, alpha, .. } = *self;
        Gated { tier, gate, margin, test, alpha }
    }

    /// The key that cannot be, and what is wrong with it.
    fn problem(&self) -> Option<(&'static str, String)> {
        let auto = self.auto.as_ref().and_then(AutoPromotion::problem);
        let off_policy = || self.off_policy.as_ref().and_then(OffPolicyGate::problem);
        auto.map(|wrong| ("promote.auto", wrong.to_owned()))
            .or_else(|| off_policy().map(|wrong| ("promote.off_policy", wrong)))
    }
}

/// When a server that accepts signals promotes staging: after a number of signals since the last
/// attempt, or a time after the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoPromotion {
    every: Option<u64>,
    after_s: Option<u64>,
}

impl AutoPromotion {
    fn problem(&self) -> Option<&'static str> {
        match (self.every, self.after_s) {
            (None, None) => Some(
                "sets neither `every` (a number of signals) nor `after_s` (a number of seconds)",
            ),
            (Some(0), _) => Some("has `every = 0`; it has to be a number of signals from 1"),
            (_, Some(0)) => Some("has `after_s = 0`; it has to be a number of seconds from 1"),
            _ => None,
        }
    }

    /// The maximum age of the oldest pending signal.
    pub fn after(&self) -> Option<Duration> {
        self.after_s.map(Duration::from_secs)
    }

    pub fn is_due(&self, waiting: u64, waited: Duration) -> bool {
        let enough = self.every.is_some_and(|every| waiting >= every);
        waiting > 0 && (enough || self.after().is_some_and(|after| waited >= after))
    }
}

impl Gated {
    pub fn promote() -> Self {
        Self {
            tier: Tier::Micro,
            gate: GateMode::NotWorse,
            margin: 0.0,
            test: GateTest::EProcess,
            alpha: Self::alpha(),
        }
    }

    pub fn release() -> Self {
        Self { tier: Tier::Full, ..Self::promote() }
    }

    const fn alpha() -> f64 {
        0.05
    }

    /// The key that cannot be, and what is wrong with it.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        if !(0.0..1.0).contains(&self.margin) {
            return Some((
                "margin",
                format!(
                    "is {}; it has to be in points of mean score, from 0 and below 1",
                    self.margin
                ),
            ));
        }
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return Some((
                "alpha",
                format!(
                    "is {}; it has to be a probability above 0 and at most 0.5, such as 0.05",
                    self.alpha
                ),
            ));
        }
        if self.test == GateTest::Mcnemar && self.margin > 0.0 {
            return Some((
                "test",
                format!(
                    "is mcnemar, which takes no margin, but the margin is {}; `tango` is the same \
                    with a margin",
                    self.margin
                ),
            ));
        }
        None
    }
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Micro,
    Fast,
    Full,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Micro, Self::Fast, Self::Full];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Fast => "fast",
            Self::Full => "full",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a tier; it has to be one of micro, fast, full"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateMode {
    /// Only a measured improvement passes.
    Better,
    #[default]
    NotWorse,
}

impl GateMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::NotWorse => "not-worse",
        }
    }
}

impl std::str::FromStr for GateMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "better" => Ok(Self::Better),
            "not-worse" => Ok(Self::NotWorse),
            other => Err(format!("`{other}` is not a gate; it has to be one of better, not-worse")),
        }
    }
}

/// The test that separates a gain from noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateTest {
    /// An e-process against "no gain"; valid at any number of interim analyses.
    #[default]
    EProcess,
    /// Exact mid-p, on the outcomes that flipped.
    Mcnemar,
    /// The score test for a difference of paired proportions.
    Tango,
    Bootstrap,
    SignedRank,
}

impl GateTest {
    pub const ALL: [Self; 5] =
        [Self::EProcess, Self::Mcnemar, Self::Tango, Self::Bootstrap, Self::SignedRank];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EProcess => "e-process",
            Self::Mcnemar => "mcnemar",
            Self::Tango => "tango",
            Self::Bootstrap => "bootstrap",
            Self::SignedRank => "signed-rank",
        }
    }
}

impl std::str::FromStr for GateTest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|test| test.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a test; it has to be one of {named}"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Architect {
    pub coder: CoderKind,
    pub command: Vec<String>,
    pub attempts: u32,
    pub time_limit_s: u64,
    /// Path prefixes that count as evaluators, besides those that always do.
    pub protect: Vec<String>,
    /// The handling of a coder's change to evaluators.
    pub evaluators: EvaluatorChanges,
    /// Whether a coder is held to its workplace, where the kernel can do that.
    pub confine: bool,
}

/// The options for a change to evaluators. The evaluators of the served version judge it in either
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvaluatorChanges {
    /// The run ends in a branch for a maintainer.
    #[default]
    Propose,
    /// As `Propose`, unless the change only adds cases: then it may be released.
    AllowAdditions,
}

impl Default for Architect {
    fn default() -> Self {
        Self {
            coder: CoderKind::Builtin,
            command: Vec::new(),
            attempts: 3,
            time_limit_s: 600,
            protect: vec!["tests/".to_owned(), "ci/".to_owned()],
            evaluators: EvaluatorChanges::Propose,
            confine: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CoderKind {
    /// Chooses among the inspirations; needs no model.
    Builtin,
    /// Any program: the brief on stdin, edits in the worktree.
    Command,
}

impl CoderKind {
    pub const ALL: [Self; 2] = [Self::Builtin, Self::Command];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Command => "command",
        }
    }
}

impl std::str::FromStr for CoderKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|coder| coder.as_str() == text);
        found.ok_or_else(|| {
            format!("`{text}` is not a coder; it has to be one of {}", names.join(", "))
        })
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub start_s: f64,
    pub call_s: f64,
    /// Tools with a `call_s` of their own.
    pub tools: BTreeMap<String, f64>,
    /// A conversation without a turn for this many days is expired.
    pub conversation_days: f64,
    /// The memory limit of each process of a child, in MiB: in tiers, `agent run` and `agent tune`.
    /// Without it there is no limit.
    pub memory_mb: Option<u64>,
    /// The memory limit of each process of a child that serves a host.
    pub serving_memory_mb: Option<u64>,
}

/// Below it no interpreter starts; above it the number is not a limit.
const MEMORY_MB: std::ops::RangeInclusive<u64> = 64..=1 << 24;

/// What tiers store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tests {
    /// Whether results store the answer of a case that did not pass.
    pub answers: bool,
}

impl Default for Tests {
    fn default() -> Self {
        Self { answers: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_s: 10.0,
            call_s: 30.0,
            tools: BTreeMap::new(),
            conversation_days: 30.0,
            memory_mb: None,
            serving_memory_mb: None,
        }
    }
}

impl Limits {
    pub fn start(&self) -> Duration {
        Duration::from_secs_f64(self.start_s)
    }

    pub fn call(&self) -> Duration {
        Duration::from_secs_f64(self.call_s)
    }

    /// No call of any tool takes longer.
    pub fn longest_call(&self) -> Duration {
        Duration::from_secs_f64(self.tools.values().copied().fold(self.call_s, f64::max))
    }

    pub fn tools(&self) -> BTreeMap<String, Duration> {
        self.tools
            .iter()
            .map(|(tool, seconds)| (tool.clone(), Duration::from_secs_f64(*seconds)))
            .collect()
    }

    pub fn conversation(&self) -> Duration {
        Duration::from_secs_f64(self.conversation_days * 86_400.0)
    }

    /// In bytes.
    pub fn memory(&self) -> Option<u64> {
        self.memory_mb.map(|megabytes| megabytes << 20)
    }

    pub fn serving_memory(&self) -> Option<u64> {
        self.serving_memory_mb.map(|megabytes| megabytes << 20)
    }

    fn problem(&self) -> Option<(String, String)> {
        let memory = [
            ("limits.memory_mb", self.memory_mb),
            ("limits.serving_memory_mb", self.serving_memory_mb),
        ];
        if let Some((key, Some(megabytes))) = memory
            .into_iter()
            .find(|(_, megabytes)| megabytes.is_some_and(|count| !MEMORY_MB.contains(&count)))
        {
            let (least, most) = (MEMORY_MB.start(), MEMORY_MB.end());
            return Some((
                key.to_owned(),
                format!("is {megabytes}; it has to be a number of MiB from {least} to {most}"),
            ));
        }
        let named = [
            ("limits.start_s".to_owned(), self.start_s),
            ("limits.call_s".to_owned(), self.call_s),
        ];
        let tools =
            self.tools.iter().map(|(tool, seconds)| (format!("limits.tools.{tool}"), *seconds));
        let wrong = named
            .into_iter()
            .chain(tools)
            .find(|(_, seconds)| !(*seconds > 0.0 && *seconds <= 86_400.0));
        if let Some((key, seconds)) = wrong {
            return Some((
                key,
                format!("is {seconds}; it has to be a number of seconds above 0 and at most a day"),
            ));
        }
        let days = self.conversation_days;
        let fits = days > 0.0 && days <= 36_500.0;
        (!fits).then(|| {
            (
                "limits.conversation_days".to_owned(),
                format!("is {days}; it has to be a number of days above 0 and at most 36500"),
            )
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Remote {
    /// The name of the remote in git. No version is made before its `active` was read.
    pub name: String,
    /// Whether a version is pushed when it was made, as with `--push`.
    pub push: bool,
}

impl Default for Remote {
    fn default() -> Self {
        Self { name: "origin".to_owned(), push: false }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub url: String,
    /// How long a read or write of a store elsewhere may keep a command waiting; longer only while
    /// bytes move.
    pub timeout_s: f64,
}

impl Store {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_s)
    }

    fn problem(&self) -> Option<String> {
        let seconds = self.timeout_s;
        let fits = seconds > 0.0 && seconds <= 3600.0;
        (!fits).then(|| {
            format!("is {seconds}; it has to be a number of seconds above 0 and at most an hour")
        })
    }

    /// Whether the store is remote and needs credentials.
    pub fn is_remote(&self) -> bool {
        self.url.starts_with("s3://")
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: "file:.agent/store".to_owned(), timeout_s: 20.0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("{origin}: {message}")]
    Malformed { origin: String, message: String },
    #[error("{origin}: `{key}` {problem}")]
    Value { origin: String, key: String, problem: String },
    #[error("{origin}: there is no {FILE}")]
    Missing { origin: String },
}

impl Diagnose for ManifestError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { origin, .. } | Self::Value { origin, .. } => format!(
                "edit {origin}; \
                `agent init` shows a whole one"
            ),
            Self::Missing { .. } => {
                "`agent init DIR` makes a new agent repository, `agent adopt` makes one of an \
                existing MCP server"
                    .to_owned()
            }
        })
    }
}

impl Manifest {
    /// This manifest, with the access and the limits that `judging` grants: a change cannot widen
    /// the confinement it is tested under.
    #[must_use]
    pub fn held_to(&self, judging: &Self) -> Self {
        let held = |own: &EntryPoint, other: Option<&EntryPoint>| EntryPoint {
            command: own.command.clone(),
            ..other.cloned().unwrap_or_default()
        };
        Self {
            runner: held(&self.runner, Some(&judging.runner)),
            tuner: self.tuner.as_ref().map(|tuner| held(tuner, judging.tuner.as_ref())),
            limits: judging.limits.clone(),
            tests: judging.tests.clone(),
            ..self.clone()
        }
    }

    /// The keys and sections that differ in another manifest.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        // compares all sections, so that one added later is compared as well
        let Self {
            schema,
            name,
            first_version,
            runner,
            tuner,
            python,
            node,
            promote,
            release,
            evaluators,
            architect,
            limits,
            store,
            tests,
            record,
            remote,
        } = self;
        let same = [
            ("`schema`", *schema == other.schema),
            ("`name`", *name == other.name),
            ("`first_version`", *first_version == other.first_version),
            ("`[runner]`", *runner == other.runner),
            ("`[tuner]`", *tuner == other.tuner),
            ("`[python]`", *python == other.python),
            ("`[node]`", *node == other.node),
            ("`[promote]`", *promote == other.promote),
            ("`[release]`", *release == other.release),
            ("`[evaluators]`", *evaluators == other.evaluators),
            ("`[architect]`", *architect == other.architect),
            ("`[limits]`", *limits == other.limits),
            ("`[tests]`", *tests == other.tests),
            ("`[store]`", *store == other.store),
            ("`[record]`", *record == other.record),
            ("`[remote]`", *remote == other.remote),
        ];
        same.iter().filter(|(_, same)| !same).map(|(section, _)| *section).collect()
    }

    /// The limits of the Tuner's effects.
    pub fn effects(&self) -> EffectLimits {
        self.tuner.as_ref().and_then(|tuner| tuner.effects.clone()).unwrap_or_default()
    }

    fn effects_problem(&self) -> Option<(&'static str, String)> {
        if self.runner.effects.is_some() {
            let wrong = "is for a Tuner: a Runner has access of its own".to_owned();
            return Some(("runner.effects", wrong));
        }
        self.effects().problem()
    }

    /// The version of the first release.
    pub fn first(&self) -> Version {
        self.first_version.clone().unwrap_or(FIRST)
    }

    /// Reads a manifest from a file's bytes.
    pub fn read(bytes: &[u8], origin: &str) -> Result<Self, ManifestError> {
        let text = document::text(bytes, origin).map_err(|error| ManifestError::Malformed {
            origin: error.place,
            message: error.problem,
        })?;
        Self::parse(text, origin)
    }

    /// Reads a manifest; `origin` names it in errors (a path, or `COMMIT:agent.toml`).
    pub fn parse(text: &str, origin: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error| ManifestError::Malformed {
            origin: place(origin, text, error.span()),
            message: error.message().to_owned(),
        })?;
        manifest.checked(origin)
    }

    fn checked(self, origin: &str) -> Result<Self, ManifestError> {
        let problem = |key: &str, problem: String| {
            Err(ManifestError::Value { origin: origin.to_owned(), key: key.to_owned(), problem })
        };
        if self.schema != SCHEMA {
            return problem(
                "schema",
                format!("is `{}`; this `agent` reads `{SCHEMA}`", self.schema),
            );
        }
        if self.name.trim().is_empty() {
            return problem("name", "is empty".to_owned());
        }
        if let Some(first) = self.first_version.as_ref().filter(|first| !can_begin(first)) {
            return problem(
                "first_version",
                format!(
                    "is {first}; a first version is three numbers below a thousand million, such \
                    as 1.4.2"
                ),
            );
        }
        if self.runner.command.is_empty() {
            return problem(
                "runner.command",
                "is empty; it has to be the program and its arguments".to_owned(),
            );
        }
        if self.tuner.as_ref().is_some_and(|tuner| tuner.command.is_empty()) {
            return problem(
                "tuner.command",
                "is empty; it has to be the program and its arguments".to_owned(),
            );
        }
        let entries = [("runner.read", Some(&self.runner)), ("tuner.read", self.tuner.as_ref())];
        let wrong = entries.into_iter().find_map(|(key, entry)| Some((key, entry?.problem()?)));
        if let Some((key, wrong)) = wrong {
            return problem(key, wrong);
        }
        if let Some((key, wrong)) = self.effects_problem() {
            return problem(key, wrong);
        }
        let tuner: &[Variable] = self.tuner.as_ref().map_or(&[], |tuner| &tuner.env);
        let declared = [
            ("runner.env", self.runner.env.as_slice()),
            ("tuner.env", tuner),
            ("evaluators.env", &self.evaluators.env),
        ];
        let twice = declared
            .into_iter()
            .find_map(|(key, variables)| Some((key, variable::declared_twice(variables)?)));
        if let Some((key, name)) = twice {
            return problem(key, format!("names `{name}` twice"));
        }
        if self.architect.coder == CoderKind::Command && self.architect.command.is_empty() {
            return problem(
                "architect.command",
                "is empty, but `architect.coder` is `command`".to_owned(),
            );
        }
        if let Some((key, wrong)) = self.limits.problem() {
            return problem(&key, wrong);
        }
        if let Some(wrong) = self.store.problem() {
            return problem("store.timeout_s", wrong);
        }
        if let Some(wrong) =
            self.python.project.as_ref().and_then(|path| misplaced(path, "pyproject.toml"))
        {
            return problem("python.project", wrong);
        }
        if let Some(wrong) =
            self.node.as_ref().and_then(|node| misplaced(&node.lock, "package-lock.json"))
        {
            return problem("node.lock", wrong);
        }
        if let Some(wrong) = self.evaluators.problem() {
            return problem("evaluators.import", wrong);
        }
        if let Some((key, wrong)) = self.record.problem().or_else(|| self.promote.problem()) {
            return problem(key, wrong);
        }
        for (section, gated) in [("promote", &self.promote.gated()), ("release", &self.release)] {
            if let Some((key, wrong)) = gated.problem() {
                return problem(&format!("{section}.{key}"), wrong);
            }
        }
        let url = &self.store.url;
        if !url.starts_with("file:")
            && !url
                .strip_prefix("s3://")
                .is_some_and(|place| !place.is_empty() && !place.starts_with('/'))
        {
            return problem(
                "store.url",
                format!("is `{url}`; it has to be `file:PATH` or `s3://BUCKET/PREFIX`"),
            );
        }
        Ok(self)
    }
}

/// `origin:line:column` of a byte range.
fn place(origin: &str, text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return origin.to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    format!("{origin}:{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "schema = \"agent/manifest@1\"\n\
        name = \"a\"\n\
        [runner]\n\
        command = [\"python\", \"-m\", \"runner\"]\n";

    fn check(extra: &str, expected: &str) {
        let error = Manifest::parse(&format!("{SMALLEST}{extra}"), "agent.toml").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn candidate_is_limited_to_grants_of_the_judging_manifest() {
        let parse =
            |extra: &str| Manifest::parse(&format!("{SMALLEST}{extra}"), "agent.toml").unwrap();
        let tuner = "[tuner]\ncommand = [\"tune\"]\n";
        let wide = format!(
            "read = [\"/data\"]\n\
            network = true\n\
            shared_memory = true\n\
            {tuner}environment = [\"A_TOKEN\"]\n\
            [limits]\n\
            memory_mb = 999\n"
        );
        let held = parse(&wide).held_to(&parse("[limits]\nmemory_mb = 64\n"));
        assert_eq!(held, parse(&format!("{tuner}[limits]\nmemory_mb = 64\n")));
        assert_eq!(parse(&wide).held_to(&parse(&wide)), parse(&wide));
    }

    #[test]
    fn effects_are_limited_by_the_tuner() {
        let tuner = "[tuner]\ncommand = [\"tune\"]\n[tuner.effects]\n";
        let limits = |extra: &str| {
            Manifest::parse(&format!("{SMALLEST}{tuner}{extra}"), "agent.toml").unwrap().effects()
        };
        assert_eq!(limits(""), EffectLimits::default());
        assert_eq!(limits("tiers = [\"fast\"]\nusd = 2.5\n").tiers, [Tier::Fast]);
        let wrong = |extra: &str, expected: &str| check(&format!("{tuner}{extra}"), expected);
        wrong(
            "http = [\"https://api.example\"]\n",
            "agent.toml: `tuner.effects.http` has `https://api.example`; a URL begins with \
            https:// \
                or http://, and its host ends in /",
        );
        wrong("time_s = 0\n", "agent.toml: `tuner.effects.time_s` is not above 0 and up to 86400");
        wrong("usd = -1\n", "agent.toml: `tuner.effects.usd` is not an amount of US dollars");
        check(
            "effects = {}\n",
            "agent.toml: `runner.effects` is for a Tuner: a Runner has access of its own",
        );
    }

    #[test]
    fn variables_are_declared_as_names_and_as_values() {
        let env = |extra: &str| {
            Manifest::parse(&format!("{SMALLEST}{extra}"), "agent.toml").unwrap().runner.env
        };
        assert_eq!(
            env("env = [\"A_KEY\", \"MODE=fast\"]\n")
                .iter()
                .map(|one| one.value.as_deref())
                .collect::<Vec<_>>(),
            [None, Some("fast")]
        );
        assert_eq!(
            env("environment = [\"A_KEY\"]\n"),
            env("env = [\"A_KEY\"]\n"),
            "in the spelling of earlier manifests"
        );
        check("env = [\"A\", \"A=1\"]\n", "agent.toml: `runner.env` names `A` twice");
        check(
            "env = [\"A B\"]\n",
            "agent.toml:5:7: `A B` is not a name of an environment variable; an entry is `NAME` or \
            `NAME=value`",
        );
    }

    #[test]
    fn folders_and_devices_can_be_granted() {
        let granted = "read = [\"/data\", \"~\", \"~/models\", \"/dev/nvidia0\", \
        \"/dev/dri/renderD128\", \"/devices\", \"/proc/sys\"]\n";
        assert_eq!(
            Manifest::parse(&format!("{SMALLEST}{granted}"), "agent.toml")
                .unwrap()
                .runner
                .read
                .len(),
            7
        );
    }

    #[test]
    fn defaults_fill_missing_keys() {
        let manifest = Manifest::parse(SMALLEST, "agent.toml").unwrap();
        assert_eq!((manifest.promote.tier, manifest.promote.auto), (Tier::Micro, None));
        assert_eq!(manifest.release.tier, Tier::Full);
        assert_eq!(manifest.architect.coder, CoderKind::Builtin);
        assert_eq!(manifest.store.url, "file:.agent/store");
    }

    #[test]
    fn automatic_promotion_is_triggered_by_count_or_age() {
        let auto = |text: &str| {
            Manifest::parse(
                &format!("{SMALLEST}[promote]\ntier = \"micro\"\nauto = {text}\n"),
                "agent.toml",
            )
            .unwrap()
            .promote
            .auto
            .unwrap()
        };
        let s = Duration::from_secs;
        let both = auto("{ every = 3, after_s = 60 }");
        let due = [(0, 90), (2, 59), (2, 60), (3, 0)]
            .map(|(waiting, waited)| both.is_due(waiting, s(waited)));
        assert_eq!(due, [false, false, true, true]);
        assert!(
            !auto("{ every = 3 }").is_due(2, s(9_999))
                && !auto("{ after_s = 60 }").is_due(9_999, s(59))
        );
        for wrong in ["{}", "{ every = 0 }", "{ every = 1, after_s = 0 }"] {
            let manifest = format!("{SMALLEST}[promote]\ntier = \"micro\"\nauto = {wrong}\n");
            assert!(
                Manifest::parse(&manifest, "agent.toml")
                    .unwrap_err()
                    .to_string()
                    .contains("`promote.auto`"),
                "{wrong}"
            );
        }
        let release = format!("{SMALLEST}[release]\ntier = \"full\"\nauto = {{ every = 3 }}\n");
        assert!(Manifest::parse(&release, "agent.toml").is_err(), "a release is never automatic");
    }

    #[test]
    fn rules_of_the_record_are_checked() {
        check(
            "[record]\nredact = [{ pattern = \"(\" }]\n",
            "agent.toml: `record.redact` has `(`, which is not a regular expression",
        );
        check(
            "[record]\nredact = [{ pointer = \"/token\" }]\n",
            "agent.toml: `record.redact` has `/token`; a pointer begins with `/arguments` or \
            `/result`, such as `/arguments/token`",
        );
        check(
            "[record]\nredact = [{ with = \"x\" }]\n",
            "agent.toml: `record.redact` has a rule with neither or both of `pattern` and \
            `pointer`",
        );
        check(
            "[record]\nkey = \"a b\"\n",
            "agent.toml: `record.key` is `a b`; it has to be the name of an environment \
                variable, not the \
            key itself",
        );
        check(
            "[record]\nkeep_days = 0\n",
            "agent.toml: `record.keep_days` is 0; it has to be a number of days above 0 and at \
                most 36500",
        );
    }

    #[test]
    fn manifest_error_names_the_key() {
        check(
            "[promote]\ntier = \"tiny\"\n",
            "agent.toml:6:8: unknown variant `tiny`, expected one of `micro`, `fast`, `full`",
        );
        check(
            "[limits.tools]\nslow = -1\n",
            "agent.toml: `limits.tools.slow` is -1; it has to be a number of seconds above 0 and \
                at most \
            a day",
        );
        check(
            "[limits]\ncall_s = 0\n",
            "agent.toml: `limits.call_s` is 0; it has to be a number of seconds above 0 and at \
                most a day",
        );
        check(
            "[limits]\nmemory_mb = 3\n",
            "agent.toml: `limits.memory_mb` is 3; it has to be a number of MiB from 64 to 16777216",
        );
        check(
            "[tuner]\ncommand = [\"a\"]\nread = [\"/a\", \"b\"]\n",
            "agent.toml: `tuner.read` names `b`; a path begins with `/` or `~/`",
        );
        for path in ["/", "//", "/./", "/dev", "/dev/", "//proc", "/sys/."] {
            let why = "it holds what a Runner or a Tuner is judged by; name the folders or devices \
                that are needed one by one";
            check(
                &format!("read = [\"{path}\"]\n"),
                &format!("agent.toml: `runner.read` names `{path}`; {why}"),
            );
        }
        for path in [
            "/dev/vda",
            "//dev/./sda1",
            "/dev/mem",
            "/dev/mapper/control",
            "/dev/disk/by-id/x",
            "/dev/nvme0n1",
            "/dev/fuse",
        ] {
            let why = "a disk or the memory of the machine holds every file of the repository";
            check(
                &format!("read = [\"{path}\"]\n"),
                &format!("agent.toml: `runner.read` names `{path}`; {why}"),
            );
        }
        check(
            "read = [\"/data/../root\"]\n",
            "agent.toml: `runner.read` names `/data/../root`; a path is written without `..`",
        );
        check(
            "[runer]\n",
            "agent.toml:5:2: unknown field `runer`, expected one of `schema`, `name`, \
            `first_version`, `runner`, `tuner`, `python`, `node`, `promote`, `release`, \
            `evaluators`, `architect`, `limits`, `store`, `tests`, `record`, \
            `remote`",
        );
        check(
            "[promote]\ntier = \"micro\"\ntest = \"anova\"\n",
            "agent.toml:7:8: unknown variant `anova`, expected one of `e-process`, `mcnemar`, \
            `tango`, `bootstrap`, `signed-rank`",
        );
        check(
            "[release]\ntier = \"full\"\nmargin = 5\n",
            "agent.toml: `release.margin` is 5; it has to be in points of mean score, from 0 and \
                below 1",
        );
        check(
            "[promote]\ntier = \"micro\"\nalpha = 0\n",
            "agent.toml: `promote.alpha` is 0; it has to be a probability above 0 and at most \
                0.5, such \
            as 0.05",
        );
        check(
            "[promote]\ntier = \"micro\"\ntest = \"mcnemar\"\nmargin = 0.05\n",
            "agent.toml: `promote.test` is mcnemar, which takes no margin, but the margin is 0.05; \
            `tango` is the same with a margin",
        );
        for path in ["../x.py", "/etc/passwd", "a//b", "", "./a"] {
            let shown = format!(
                "agent.toml: `evaluators.import` names `{path}`; a path starts at the root of the \
                repository, such as `runner/words.py`"
            );
            check(
                &format!("[evaluators]\nimport = [\"runner/words.py\", \"data/\", \"{path}\"]\n"),
                &shown,
            );
        }
        check(
            "[architect]\ncoder = \"command\"\n",
            "agent.toml: `architect.command` is empty, but `architect.coder` is `command`",
        );
    }
}
