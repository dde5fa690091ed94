//! A server, as it is added to a host.

use agent_core::child::variable::Variable;
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub struct Server {
    pub name: String,
    #[serde(flatten)]
    pub launch: Launch,
}

impl Server {
    pub(super) fn token(&self) -> Option<&Token> {
        match &self.launch {
            Launch::Url { token, .. } => token.as_ref(),
            Launch::Command { .. } => None,
        }
    }

    pub fn variables(&self) -> &[Passed] {
        match &self.launch {
            Launch::Url { .. } => &[],
            Launch::Command { variables, .. } => variables,
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.variables().iter().filter_map(|variable| variable.value.as_deref())
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Launch {
    /// The host starts the server, over stdio.
    Command {
        program: String,
        arguments: Vec<String>,
        #[serde(rename = "env", skip_serializing_if = "Vec::is_empty")]
        variables: Vec<Passed>,
    },
    /// The server runs already, at this URL.
    Url {
        url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
    },
}

/// The bearer token that a server requires.
#[derive(Debug, Clone, Serialize)]
pub struct Token {
    /// The variable with the token in the host's environment.
    pub variable: String,
    /// Its value in this environment.
    #[serde(skip)]
    pub value: Option<String>,
}

/// An environment variable that the host gives to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub name: String,
    /// `None`: the host's own value.
    pub value: Option<String>,
    /// Given by `--env`. The configuration's value of a variable that only agent.toml declares is
    /// kept.
    pub is_asked: bool,
}

/// Serialises the name only: a value may be a secret.
impl Serialize for Passed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// The variables given by `--env`, then those that agent.toml declares without a value.
pub fn passed<'a>(
    asked: &[Variable],
    declared: impl IntoIterator<Item = &'a Variable>,
) -> Vec<Passed> {
    let mut passed: Vec<Passed> = Vec::new();
    let asked = asked.iter().map(|variable| (variable, true));
    let declared = declared
        .into_iter()
        .filter(|variable| variable.value.is_none())
        .map(|variable| (variable, false));
    for (Variable { name, value }, is_asked) in asked.chain(declared) {
        if passed.iter().all(|there| there.name != *name) {
            passed.push(Passed { name: name.clone(), value: value.clone(), is_asked });
        }
    }
    passed
}
