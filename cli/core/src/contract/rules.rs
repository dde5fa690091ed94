//! The rules of the bump, as data: `rules.toml` holds the bump each change requires, the reason,
//! and the message.

use crate::version::Bump;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

macro_rules! rule_ids {
    ($($variant:ident,)*) => {
        /// The possible changes. A variant's name in kebab case is the rule's id.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum RuleId {
            $($variant,)*
        }

        impl RuleId {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

rule_ids! {
    ToolAdded,
    ToolRemoved,
    ToolRenamed,
    ToolDescriptionChanged,
    ToolAnnotationsChanged,
    ToolPromiseWeakened,
    ToolMetadataChanged,
    RequiredParameterAdded,
    OptionalParameterAdded,
    ParameterRemoved,
    ParameterMadeRequired,
    ParameterMadeOptional,
    ParameterWidened,
    ParameterNarrowed,
    ParameterUndecided,
    ParameterValueAdded,
    ParameterValueRemoved,
    ParameterDefaultChanged,
    ParameterDescriptionChanged,
    ResultSchemaAdded,
    ResultSchemaRemoved,
    RequiredResultFieldAdded,
    OptionalResultFieldAdded,
    RequiredResultFieldRemoved,
    OptionalResultFieldRemoved,
    ResultFieldMadeRequired,
    ResultFieldMadeOptional,
    ResultNarrowed,
    ResultWidened,
    ResultUndecided,
    ResultValueAdded,
    ResultValueRemoved,
    ResultDescriptionChanged,
    SchemaRewritten,
    StateSchemaAdded,
    StateSchemaRemoved,
    StateVersionRaised,
    StateVersionLowered,
    StateWidened,
    StateNarrowed,
    StateUndecided,
    StateDescriptionChanged,
    StateChanged,
    CodeChanged,
    CommitSaysFix,
    CommitSaysFeature,
    CommitSaysBreaking,
}

impl fmt::Display for RuleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: RuleId,
    /// The smallest bump the change requires.
    pub level: Bump,
    /// The reason, in terms of who is affected.
    pub why: String,
    /// The message; `{name}`, `{old}`, `{new}` and `{detail}` are replaced by the change's values.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

static RULES: LazyLock<BTreeMap<RuleId, Rule>> = LazyLock::new(|| {
    let file: File =
        toml::from_str(include_str!("rules.toml")).expect("rules.toml is read by the tests");
    file.rule.into_iter().map(|rule| (rule.id, rule)).collect()
});

/// Every rule, by id.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    RULES.values()
}

pub fn rule(id: RuleId) -> &'static Rule {
    RULES.get(&id).expect("every id has a rule: the tests hold it")
}

/// The values of a change for its rule's message.
#[derive(Debug, Clone, Default)]
pub struct Placeholders {
    pub name: String,
    pub old: String,
    pub new: String,
    pub detail: String,
}

impl Rule {
    pub fn message(&self, words: &Placeholders) -> String {
        // one pass, so that a value in the form of a placeholder is not expanded
        let mut message = String::new();
        let mut rest = self.message.as_str();
        while let Some((before, from)) = rest.split_once('{') {
            let (placeholder, after) = from.split_once('}').unwrap_or((from, ""));
            message.push_str(before);
            message.push_str(match placeholder {
                "name" => &words.name,
                "old" => &words.old,
                "new" => &words.new,
                _ => &words.detail,
            });
            rest = after;
        }
        message.push_str(rest);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_exactly_one_rule() {
        let file: File = toml::from_str(include_str!("rules.toml")).unwrap();
        let mut ids: Vec<_> = file.rule.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, RuleId::ALL);
    }

    #[test]
    fn messages_use_only_known_placeholders() {
        for rule in all() {
            for part in rule.message.split('{').skip(1) {
                let placeholder = part.split_once('}').map(|(name, _)| name);
                assert!(
                    matches!(placeholder, Some("name" | "old" | "new" | "detail")),
                    "{}: {}",
                    rule.id,
                    rule.message
                );
            }
            assert!(rule.why.len() > 20, "{}: says too little of why", rule.id);
        }
    }

    #[test]
    fn values_with_braces_are_not_expanded() {
        let words = Placeholders {
            name: "{old}".to_owned(),
            old: "x".to_owned(),
            ..Placeholders::default()
        };
        let rule =
            Rule { message: "`{name}` was {old}".to_owned(), ..rule(RuleId::ToolAdded).clone() };
        assert_eq!(rule.message(&words), "`{old}` was x");
    }
}
