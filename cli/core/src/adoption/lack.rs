//! What a server lacks, guessed from what it prints and answers.

use crate::protocol::call_result::Answer;

/// Messages of programs without network access. Some return them without an error flag.
const OFFLINE: [&str; 12] = [
    "name resolution",
    "name or service not known",
    "resolve host",
    "network",
    "enotfound",
    "eai_again",
    "econnrefused",
    "fetch failed",
    "failed to fetch",
    "connection",
    "getaddrinfo",
    "timed out",
];

/// Whether an answer reports a missing network: with a network the answer would differ.
pub fn is_offline(answer: &Answer) -> bool {
    let text = answer.value().to_string().to_lowercase();
    OFFLINE.iter().any(|words| text.contains(words))
}

/// What a server needed that ended while it started, guessed from its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A variable of its environment, such as a key.
    Variable(String),
    Network,
}

/// A guess for a hint: servers have no form for this.
pub fn lack(printed: &str) -> Option<Lack> {
    const CREDENTIALS: [&str; 8] =
        ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_ID", "_URL", "_URI", "_HOST"];
    let is_name = |word: &&str| {
        word.contains('_')
            && word.starts_with(|first: char| first.is_ascii_uppercase())
            && word
                .chars()
                .all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == '_')
    };
    let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_';
    for line in printed.lines() {
        let names = || line.split(|one| !is_part(one)).filter(is_name);
        let speaks_of_one = line.to_lowercase().contains("environment");
        let mut credentials =
            names().filter(|name| CREDENTIALS.iter().any(|end| name.ends_with(end)));
        let found = if speaks_of_one { names().next() } else { credentials.next() };
        if let Some(name) = found {
            return Some(Lack::Variable(name.to_owned()));
        }
    }
    // "enotfound" is in the name of an error of Python
    let lowercase = printed.to_lowercase().replace("modulenotfounderror", "");
    OFFLINE.iter().any(|words| lowercase.contains(words)).then_some(Lack::Network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_key_or_network_is_found_in_what_a_server_printed() {
        for (printed, expected) in [
            (
                "Error: BRAVE_API_KEY environment variable is required",
                Some(Lack::Variable("BRAVE_API_KEY".into())),
            ),
            ("KeyError: 'GITHUB_TOKEN'", Some(Lack::Variable("GITHUB_TOKEN".into()))),
            (
                "Please set the SLACK_TEAM in the environment\n",
                Some(Lack::Variable("SLACK_TEAM".into())),
            ),
            ("  errno: -3008,\n  code: 'ENOTFOUND'", Some(Lack::Network)),
            ("ModuleNotFoundError: No module named 'x'", None),
            ("MAX_SIZE exceeded", None),
        ] {
            assert_eq!(lack(printed), expected, "{printed}");
        }
    }

    fn answer(text: &str) -> Answer {
        let raw = json!({"content": [{"type": "text", "text": text}]}).to_string();
        Answer::parse(&serde_json::value::RawValue::from_string(raw).unwrap()).unwrap()
    }

    #[test]
    fn network_errors_are_recognised() {
        assert!(is_offline(&answer("Error: [Errno -3] Temporary failure in name resolution")));
        assert!(
            is_offline(&answer("TypeError: fetch failed")) && !is_offline(&answer("2 + 2 = 4"))
        );
    }
}
