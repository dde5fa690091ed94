//! Environment variables of children: what agent.toml declares, what every program needs, and what counts in a result.

use serde::{Deserialize, Serialize};

/// What git calls local to a repository (`git rev-parse --local-env-vars`), without configuration: set for a hook, and never meant for another repository.
pub const GIT_LOCAL: [&str; 9] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
];

/// Of git's variables, what a user sets and no hook: configuration, and how a remote is reached.
const GIT_USERS: [&str; 6] = ["GIT_ASKPASS", "GIT_CONFIG_", "GIT_PROXY_", "GIT_SSH", "GIT_SSL_", "GIT_TERMINAL_PROMPT"];

/// Whether git sets a variable of this name for what it runs.
pub fn is_of_a_hook(name: &str) -> bool {
    name.starts_with("GIT_") && !GIT_USERS.iter().any(|users| name.starts_with(users)) || name == "GIT_CONFIG_PARAMETERS"
}

/// Variables that `agent` sets for its Python children itself.
const PYTHON_OURS: [&str; 3] = ["PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"];
/// Of the names that begin like this, `agent` keeps all but the token of its own servers.
const OURS: (&str, &str) = ("AGENT_", "AGENT_TOKEN");

/// Where programs and files are, who the user is, and how the network is reached: passed on to every child, and no part of what a result depends on.
const PLACES: [&str; 41] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TMP",
    "TEMP",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    // what interpreters and their version managers are found by
    "ASDF_DATA_DIR",
    "ASDF_DIR",
    "LD_LIBRARY_PATH",
    "MISE_DATA_DIR",
    "NIX_LD",
    "NIX_LD_LIBRARY_PATH",
    "NVM_DIR",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "VOLTA_HOME",
    // certificates, character sets, proxies
    "CURL_CA_BUNDLE",
    "GCONV_PATH",
    "LOCPATH",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Passed on as well, and part of what a result depends on: they change what programs print, sort and import.
const MEANINGS: [&str; 6] = ["LANG", "LANGUAGE", "TZ", "TZDIR", "PYTHONHOME", "PYTHONUSERBASE"];
const LOCALE: &str = "LC_";

/// Whether a child gets a variable that nobody declared, also where results are kept.
pub fn is_passed_on(name: &str) -> bool {
    PLACES.contains(&name) || has_meaning(name)
}

/// Whether a variable that nobody declared is part of what a result depends on.
pub fn has_meaning(name: &str) -> bool {
    MEANINGS.contains(&name) || name.starts_with(LOCALE)
}

/// A declaration: `NAME` is taken from the environment of `agent`, `NAME=value` is set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Variable {
    pub name: String,
    /// `None`: the host's value, where it has one.
    pub value: Option<String>,
}

impl TryFrom<String> for Variable {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, value) = text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        let mut letters = name.chars();
        let is_name = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !is_name || text.contains('\0') {
            return Err(format!("`{name}` is no name of an environment variable; an entry is `NAME` or `NAME=value`"));
        }
        let is_ours = PYTHON_OURS.contains(&name) || (name.starts_with(OURS.0) && name != OURS.1);
        if is_ours || GIT_LOCAL.contains(&name) {
            let who = if is_ours { "agent" } else { "git" };
            return Err(format!("`{name}` is set by `{who}` itself and cannot be declared"));
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

impl From<Variable> for String {
    fn from(Variable { name, value }: Variable) -> Self {
        match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        }
    }
}

/// The name that two declarations have.
pub fn declared_twice(variables: &[Variable]) -> Option<&str> {
    let twice = |(at, one): (usize, &Variable)| variables[..at].iter().any(|other| other.name == one.name);
    variables.iter().enumerate().find(|entry| twice(*entry)).map(|(_, variable)| variable.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Variable, String> {
        Variable::try_from(text.to_owned())
    }

    #[test]
    fn a_declaration_is_a_name_or_a_name_with_a_value() {
        for text in ["BACKEND", "_x9", "MODE=fast", "EMPTY=", "URL=http://a/?b=c", "AGENT_TOKEN", "GIT_AUTHOR_NAME"] {
            assert_eq!(String::from(parsed(text).unwrap()), text);
        }
        assert_eq!(parsed("URL=a=b").unwrap(), Variable { name: "URL".to_owned(), value: Some("a=b".to_owned()) });
        for text in ["", "=x", "9A", "A B", "A-B=1", "Ä=1", "A=\0"] {
            assert!(parsed(text).unwrap_err().contains("is no name of an environment variable"), "{text:?}");
        }
        for text in ["PYTHONPATH=lib", "AGENT_STATE_FILE", "AGENT_PARENT_PID=1", "GIT_DIR", "GIT_INDEX_FILE=x"] {
            assert!(parsed(text).unwrap_err().contains("itself and cannot be declared"), "{text:?}");
        }
    }

    #[test]
    fn what_is_declared_twice_is_found() {
        let of = |texts: &[&str]| texts.iter().map(|text| parsed(text).unwrap()).collect::<Vec<_>>();
        assert_eq!(declared_twice(&of(&["A", "B=1", "A=2"])), Some("A"));
        assert_eq!(declared_twice(&of(&["A", "a"])), None);
    }

    #[test]
    fn what_has_a_meaning_is_passed_on() {
        for (name, passed_on, counts) in [
            ("PATH", true, false),
            ("HOME", true, false),
            ("TZ", true, true),
            ("LC_ALL", true, true),
            ("BACKEND", false, false),
            ("LD_PRELOAD", false, false),
            ("GIT_DIR", false, false),
            ("AGENT_TOKEN", false, false),
        ] {
            assert_eq!((is_passed_on(name), has_meaning(name)), (passed_on, counts), "{name}");
        }
    }
}
