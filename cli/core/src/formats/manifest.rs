//! `agent.toml`: entry points, gates, the Architect's coder, limits, the object store.

mod architect;
mod checks;
mod entry_point;
mod environment;
mod error;
mod gated;
mod judging;
mod limits;
mod promote;
mod store;
mod tier;

pub use architect::{Architect, CoderKind, EvaluatorChanges};
pub use entry_point::{EffectLimits, EntryPoint, refusal};
pub use environment::{Node, Python};
pub use error::ManifestError;
pub use gated::{GateMode, GateTest, Gated};
pub use judging::{Evaluators, Tests};
pub use limits::Limits;
pub use promote::{AutoPromotion, Promote};
pub use store::{Remote, Store};
pub use tier::Tier;

use crate::formats::document;
use crate::formats::first_version::FIRST;
use crate::formats::record::Record;
use semver::Version;
use serde::Deserialize;

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
        match manifest.problem() {
            None => Ok(manifest),
            Some((key, problem)) => Err(ManifestError::Value {
                origin: origin.to_owned(),
                key: key.into_owned(),
                problem,
            }),
        }
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
    use std::time::Duration;

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
        assert_eq!((manifest.promote.gated().tier, manifest.promote.auto), (Tier::Micro, None));
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
