//! Environment variables of children: what agent.toml declares, what every program needs, and what
//! counts in a result.

use serde::{Deserialize, Serialize};

/// Variables that select git's repository, index and objects (`git rev-parse --local-env-vars`
/// without configuration). git sets them for a hook; they must not apply to another repository.
pub const GIT_LOCAL: [&str; 13] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Further variables git sets for hooks: author and date, editor, push options.
const GIT_OF_A_COMMAND: [&str; 9] = [
    "GIT_AUTHOR_",
    "GIT_COMMITTER_",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_INTERNAL_",
    "GIT_PUSH_",
    "GIT_QUARANTINE_PATH",
    "GIT_REFLOG_ACTION",
    "GIT_SEQUENCE_EDITOR",
];

/// Whether git sets a variable of this name for its hooks. Its configuration (`GIT_CONFIG_*`) is
/// the user's, in every repository.
pub fn is_of_a_hook(name: &str) -> bool {
    GIT_LOCAL.contains(&name) || GIT_OF_A_COMMAND.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables that `agent` sets for its Python children itself.
const PYTHON_OURS: [&str; 3] = ["PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"];
/// The prefix of names reserved by `agent`, and the one exception: the token of its servers.
const OURS: (&str, &str) = ("AGENT_", "AGENT_TOKEN");

/// Where programs and files are, who the user is, and how the network is reached: passed on to
/// every child, and not part of a result's cache key.
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

/// Passed on as well, and part of what a result depends on: they change what programs print, sort
/// and import.
const MEANINGS: [&str; 6] = ["LANG", "LANGUAGE", "TZ", "TZDIR", "PYTHONHOME", "PYTHONUSERBASE"];
const LOCALE: &str = "LC_";

/// Whether a child gets a variable that is not declared, also where results are kept.
pub fn is_passed_on(name: &str) -> bool {
    PLACES.contains(&name) || has_meaning(name)
}

/// Whether a variable that is not declared is part of what a result depends on.
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
        let variable = Self::parse(&text)?;
        let name = variable.name.as_str();
        let is_ours = PYTHON_OURS.contains(&name) || (name.starts_with(OURS.0) && name != OURS.1);
        if is_ours || GIT_LOCAL.contains(&name) {
            let who = if is_ours { "agent" } else { "git" };
            return Err(format!("`{name}` is set by `{who}` itself and cannot be declared"));
        }
        Ok(variable)
    }
}

impl Variable {
    /// `NAME` or `NAME=value`, of any name: a host may set what `agent` itself reads.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if !is_name(name) || text.contains('\0') {
            return Err(format!(
                "`{name}` is not a name of an environment variable; an entry is `NAME` or \
                `NAME=value`"
            ));
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

/// Whether it is a valid variable name in every shell.
pub fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
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
    let twice =
        |(at, one): (usize, &Variable)| variables[..at].iter().any(|other| other.name == one.name);
    variables
        .iter()
        .enumerate()
        .find(|entry| twice(*entry))
        .map(|(_, variable)| variable.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Variable, String> {
        Variable::try_from(text.to_owned())
    }

    #[test]
    fn a_declaration_is_a_name_or_a_name_with_a_value() {
        for text in [
            "BACKEND",
            "_x9",
            "MODE=fast",
            "EMPTY=",
            "URL=http://a/?b=c",
            "AGENT_TOKEN",
            "GIT_AUTHOR_NAME",
        ] {
            assert_eq!(String::from(parsed(text).unwrap()), text);
        }
        assert_eq!(
            parsed("URL=a=b").unwrap(),
            Variable { name: "URL".to_owned(), value: Some("a=b".to_owned()) }
        );
        for text in ["", "=x", "9A", "A B", "A-B=1", "Ä=1", "A=\0"] {
            assert!(
                parsed(text).unwrap_err().contains("is not a name of an environment variable"),
                "{text:?}"
            );
        }
        for text in [
            "PYTHONPATH=lib",
            "AGENT_STATE_FILE",
            "AGENT_PARENT_PID=1",
            "GIT_DIR",
            "GIT_INDEX_FILE=x",
        ] {
            assert!(
                parsed(text).unwrap_err().contains("itself and cannot be declared"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn git_hook_variables_are_distinguished_from_user_variables() {
        for name in [
            "GIT_DIR",
            "GIT_INDEX_FILE",
            "GIT_AUTHOR_DATE",
            "GIT_QUARANTINE_PATH",
            "GIT_PUSH_OPTION_COUNT",
        ] {
            assert!(is_of_a_hook(name), "{name}");
        }
        for name in [
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_PARAMETERS",
            "GIT_CONFIG_GLOBAL",
            "GIT_SSH_COMMAND",
            "GIT_TRACE",
            "PATH",
        ] {
            assert!(!is_of_a_hook(name), "{name}");
        }
    }

    #[test]
    fn duplicate_declarations_are_found() {
        let of =
            |texts: &[&str]| texts.iter().map(|text| parsed(text).unwrap()).collect::<Vec<_>>();
        assert_eq!(declared_twice(&of(&["A", "B=1", "A=2"])), Some("A"));
        assert_eq!(declared_twice(&of(&["A", "a"])), None);
    }

    #[test]
    fn standard_variables_are_passed_on() {
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
