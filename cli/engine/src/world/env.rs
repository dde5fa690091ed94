//! Every environment variable `agent` reads, in one documented list.
#![expect(clippy::disallowed_methods, reason = "this module is the only access to the environment")]

use agent_core::child::confinement;
use agent_core::child::variable::{self, Variable};
use agent_core::formats::manifest::Python;
use agent_core::formats::object_id::short_digest;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// Freezes the clock (RFC 3339); for tests.
pub const NOW: &str = "AGENT_NOW";
/// `1` skips the git hooks with a notice.
pub const SKIP_HOOKS: &str = "AGENT_SKIP_HOOKS";
/// Set by `agent hooks status`: the hook prints this value and does nothing else.
pub const HOOK_PROBE: &str = "AGENT_HOOK_PROBE";
/// Seconds a git hook may run a tier, in place of 1 for a commit and 5 for a push.
pub const HOOK_LIMIT: &str = "AGENT_HOOK_LIMIT";
/// The Python to use instead of `python3` on PATH.
pub const PYTHON: &str = "AGENT_PYTHON";
/// The Python that has `ray`, for tests on a cluster.
pub const RAY_PYTHON: &str = "AGENT_RAY_PYTHON";
/// Set for a coder: the path of its brief as text, and as JSON; the file for the message of the
/// commit.
pub const BRIEF: &str = "AGENT_BRIEF";
pub const BRIEF_JSON: &str = "AGENT_BRIEF_JSON";
pub const COMMIT_MESSAGE: &str = "AGENT_COMMIT_MESSAGE";

/// Where a coder puts its temporary files, and the ceiling of git's search for a repository.
pub const TEMPORARY: &str = "TMPDIR";
pub const GIT_CEILING: &str = "GIT_CEILING_DIRECTORIES";

/// The token that the servers require of clients, unless set with `--token`.
pub const TOKEN: &str = "AGENT_TOKEN";

/// `true` switches telemetry off: nothing is recorded, and nothing written.
pub const OTEL_SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
/// `1` prints every span and event on stderr as well, as text, when it ends.
pub const SHOW_TELEMETRY: &str = "AGENT_SHOW_TELEMETRY";
/// The telemetry destination besides the object store: a collector that accepts OTLP over HTTP with
/// JSON. `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, those of one signal alone
/// (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`...) and the `OTEL_BSP_*`, `OTEL_BLRP_*` and
/// `OTEL_METRIC_EXPORT_*` of the batches are read by OpenTelemetry's SDK itself.
pub const OTEL_COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The service name in telemetry, instead of `agent`; `OTEL_RESOURCE_ATTRIBUTES` may set it as
/// well, with other attributes.
pub const OTEL_SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
pub const OTEL_RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// `true` on a runner of GitHub Actions, which makes annotations of lines of a certain form.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// The file whose Markdown GitHub shows as the summary of a step.
pub const GITHUB_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

pub fn is_github_workflow() -> bool {
    std::env::var_os(GITHUB_ACTIONS).is_some_and(|value| value == "true")
}

pub fn github_summary() -> Option<std::path::PathBuf> {
    std::env::var_os(GITHUB_SUMMARY).filter(|value| !value.is_empty()).map(Into::into)
}

pub fn telemetry_is_disabled() -> bool {
    std::env::var(OTEL_SDK_DISABLED).is_ok_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

pub fn shows_telemetry() -> bool {
    std::env::var_os(SHOW_TELEMETRY).is_some_and(|value| !value.is_empty() && value != "0")
}

pub fn names_collector() -> bool {
    std::env::var_os(OTEL_COLLECTOR).is_some_and(|value| !value.is_empty())
}

/// How spans, logs and measurements go to a collector: by a variable for each of them, else by one
/// for all.
pub fn otlp_protocols() -> [Option<String>; 3] {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| value.trim().to_ascii_lowercase())
            .filter(|value| !value.is_empty())
    };
    ["TRACES_", "LOGS_", "METRICS_"].map(|signal| {
        variable(&format!("OTEL_EXPORTER_OTLP_{signal}PROTOCOL"))
            .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))
    })
}

/// Whether spans, logs and measurements go to a collector at all: `OTEL_METRICS_EXPORTER=none`
/// disables one.
pub fn otlp_signals() -> [bool; 3] {
    ["TRACES", "LOGS", "METRICS"].map(|signal| {
        !std::env::var(format!("OTEL_{signal}_EXPORTER"))
            .is_ok_and(|value| value.trim().eq_ignore_ascii_case("none"))
    })
}

/// Whether arguments and results of tools are recorded: they may be sensitive, so this is opt-in.
pub fn captures_content() -> bool {
    std::env::var("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT").is_ok_and(|value| {
        let value = value.trim().to_ascii_lowercase();
        matches!(value.as_str(), "true" | "span_only" | "span_and_event")
    })
}

pub fn names_service() -> bool {
    let value_of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    value_of(OTEL_SERVICE_NAME).is_some()
        || value_of(OTEL_RESOURCE_ATTRIBUTES).is_some_and(|pairs| pairs.contains("service.name="))
}

pub fn frozen_now() -> Option<String> {
    std::env::var(NOW).ok()
}

pub fn skips_hooks() -> bool {
    std::env::var_os(SKIP_HOOKS).is_some_and(|value| !value.is_empty() && value != "0")
}

pub fn hook_limit() -> Option<Duration> {
    let seconds: f64 = std::env::var(HOOK_LIMIT).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

pub fn hook_probe() -> Option<String> {
    std::env::var(HOOK_PROBE).ok().filter(|word| !word.is_empty())
}

/// The git directory, as set by git for its hooks.
pub fn git_dir() -> Option<OsString> {
    std::env::var_os("GIT_DIR").filter(|value| !value.is_empty())
}

pub fn python() -> Option<OsString> {
    std::env::var_os(PYTHON).filter(|value| !value.is_empty())
}

pub fn ray_python() -> Option<OsString> {
    std::env::var_os(RAY_PYTHON).filter(|value| !value.is_empty())
}

/// The folders the user's interpreter searches.
pub fn python_path() -> Option<OsString> {
    std::env::var_os("PYTHONPATH").filter(|value| !value.is_empty())
}

/// Where the user's own packages lie, when it is not `~/.local`.
pub fn python_user_base() -> Option<std::path::PathBuf> {
    folder("PYTHONUSERBASE")
}

/// Files and folders named by variables: certificates, and libraries to load.
pub fn system_files() -> Vec<std::path::PathBuf> {
    const NAMES: [&str; 8] = [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "GCONV_PATH",
        "LD_LIBRARY_PATH",
    ];
    let values = NAMES.iter().filter_map(std::env::var_os);
    values
        .flat_map(|value| std::env::split_paths(&value).collect::<Vec<_>>())
        .filter(|path| path.is_absolute())
        .collect()
}

/// What git set for the hook that this process runs in; nothing outside of a hook.
pub fn of_a_hook() -> Vec<OsString> {
    if variable::GIT_LOCAL.iter().all(|name| std::env::var_os(name).is_none()) {
        return Vec::new();
    }
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(variable::is_of_a_hook))
        .collect()
}

/// Variables that no child gets: what git set for a hook, and the token of our own servers.
pub fn never_passed_on() -> Vec<OsString> {
    of_a_hook().into_iter().chain([TOKEN.into()]).collect()
}

/// Variables that code under test does not get undeclared, judged by their names and values.
pub fn secrets() -> Vec<OsString> {
    std::env::vars_os()
        .filter(|(name, value)| is_secret(name, value))
        .map(|(name, _)| name)
        .collect()
}

fn is_secret(name: &OsStr, value: &OsStr) -> bool {
    confinement::is_secret(&name.to_string_lossy(), &value.to_string_lossy())
}

/// Variables that a child does not get whose results are kept: all but those that every program
/// needs, as far as these hold no secret.
pub fn undeclared() -> Vec<OsString> {
    let is_given = |name: &OsString, value: &OsString| {
        name.to_str().is_some_and(variable::is_passed_on) && !is_secret(name, value)
    };
    std::env::vars_os()
        .filter(|(name, value)| !is_given(name, value))
        .map(|(name, _)| name)
        .collect()
}

/// The values of declared variables, of those that have one.
pub fn declared(variables: &[Variable]) -> Vec<(OsString, OsString)> {
    let value = |variable: &Variable| {
        variable.value.clone().map(OsString::from).or_else(|| std::env::var_os(&variable.name))
    };
    variables
        .iter()
        .filter_map(|variable| Some((OsString::from(&variable.name), value(variable)?)))
        .collect()
}

/// The variables that a result depends on, each with the digest of its value: a value may be a
/// secret.
pub fn depended_on(variables: &[Variable], python: &Python) -> BTreeMap<String, String> {
    let has_meaning = |name: &OsString| name.to_str().is_some_and(variable::has_meaning);
    let mut found: Vec<_> = std::env::vars_os().filter(|(name, _)| has_meaning(name)).collect();
    found.extend(
        python_path()
            .filter(|_| python.lock.is_none())
            .map(|folders| ("PYTHONPATH".into(), folders)),
    );
    found.extend(declared(variables));
    let digested = |(name, value): (OsString, OsString)| {
        (name.to_string_lossy().into_owned(), short_digest(value.as_encoded_bytes()))
    };
    found.into_iter().map(digested).collect()
}

/// Whether a variable is not set, whatever it is called.
pub fn is_unset(name: impl AsRef<OsStr>) -> bool {
    std::env::var_os(name).is_none()
}

/// What a `pyenv` shim chooses by, before any file.
pub fn pyenv_version() -> Option<Vec<u8>> {
    std::env::var_os("PYENV_VERSION").map(OsString::into_encoded_bytes)
}

/// The running executable, for hook shims; `None` where the system does not provide it.
pub fn binary() -> Option<std::path::PathBuf> {
    std::env::current_exe().ok()
}

/// The settings of an object store at an `s3://` URL: keys, region, endpoint, timeouts.
pub fn aws() -> Vec<(String, String)> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| name.starts_with("AWS_")).collect()
}

/// The file that is the user's git configuration, when it is not the usual one.
pub fn git_config_global() -> Option<std::path::PathBuf> {
    folder("GIT_CONFIG_GLOBAL")
}

pub fn path() -> Option<OsString> {
    std::env::var_os("PATH")
}

pub const HOME: &str = "HOME";
/// Where programs keep what is the user's, when it is not in the usual folders of HOME.
pub const XDG_FOLDERS: [&str; 4] =
    ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"];

pub fn home() -> Option<OsString> {
    std::env::var_os(HOME).filter(|value| !value.is_empty())
}

/// Where programs keep their configuration, when it is not `~/.config`.
pub fn xdg_config_home() -> Option<std::path::PathBuf> {
    folder("XDG_CONFIG_HOME")
}

/// The folder of `agent` among the user's caches; `None` where neither variable names one.
pub fn cache_folder() -> Option<std::path::PathBuf> {
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder(HOME)?.join(".cache")))?;
    Some(caches.join("agent"))
}

/// Where Claude Code keeps its configuration, when it is not the home folder.
pub fn claude_config_dir() -> Option<std::path::PathBuf> {
    folder("CLAUDE_CONFIG_DIR")
}

/// Where Codex keeps its configuration, when it is not `~/.codex`.
pub fn codex_home() -> Option<std::path::PathBuf> {
    folder("CODEX_HOME")
}

fn folder(name: &str) -> Option<std::path::PathBuf> {
    std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute())
}

pub fn token() -> Option<String> {
    token_in(TOKEN)
}

/// The value of a secret that is named by its variable.
pub fn token_in(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|token| !token.is_empty())
}

/// How Claude Code names the session that it started this process for.
pub const HOST_SESSION: &str = "CLAUDE_CODE_SESSION_ID";

pub fn host_session() -> Option<String> {
    std::env::var(HOST_SESSION).ok().filter(|session| !session.is_empty())
}

/// The trace context inherited from the parent process.
pub const TRACEPARENT: &str = "TRACEPARENT";

pub fn traceparent() -> Option<String> {
    std::env::var(TRACEPARENT).ok()
}

/// The process that started this one, when that was `agent`.
pub fn parent_pid() -> Option<u32> {
    std::env::var(agent_core::protocol::wire::ENV_PARENT_PID).ok()?.parse().ok()
}
