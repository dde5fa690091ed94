//! The overlay as data of the state.

use crate::formats::diagnose::{Diagnose, FailureKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    pub tools: Tools,
    pub variants: BTreeMap<String, Variant>,
    /// The share of the conversations that each variant is served to, from 0 to 1.
    pub shares: BTreeMap<String, f64>,
    /// Data of the Tuner; not applied.
    #[serde(skip_serializing)]
    learned: Option<serde::de::IgnoredAny>,
}

/// By the name of the tool.
pub type Tools = BTreeMap<String, Tool>;

/// The changes that a share of the conversations gets in addition.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    pub tools: Tools,
}

/// The overlay of one tool. Absent members keep the server's own value.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tool {
    pub title: Option<String>,
    /// In place of the server's description.
    pub description: Option<String>,
    /// Words of requests that the tool is for, listed at the end of the description.
    pub keywords: Option<Vec<String>>,
    pub parameters: BTreeMap<String, Parameter>,
    /// Neither listed nor called.
    pub hidden: Option<bool>,
    /// A text after the content of each result that is no error.
    pub append: Option<String>,
    /// The greatest number of characters of the texts of such a result.
    pub max_result_chars: Option<usize>,
}

/// The overlay of one parameter.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Parameter {
    pub description: Option<String>,
    /// The value of a call that leaves it out.
    #[serde(deserialize_with = "given")]
    pub default: Option<Value>,
    pub minimum: Option<serde_json::Number>,
    pub maximum: Option<serde_json::Number>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    /// The only values.
    #[serde(rename = "enum")]
    pub values: Option<Vec<Value>>,
}

/// A `null` that is written is a value.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// An overlay that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state's `{key}` is not an overlay: {problem}")]
pub struct OverlayError {
    key: String,
    problem: String,
}

impl Diagnose for OverlayError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(
            "`agent state set` and `agent state diff` edit and show it; `[runner] overlay = \
            \"KEY\"` in agent.toml names another key"
                .to_owned(),
        )
    }
}

impl Overlay {
    /// The overlay below a key of a state; `None` where there is none.
    pub fn read(state: &Value, key: &str) -> Result<Option<Self>, OverlayError> {
        let Some(value) = state.get(key) else { return Ok(None) };
        let problem = |problem: String| OverlayError { key: key.to_owned(), problem };
        let overlay = Self::deserialize(value).map_err(|error| problem(error.to_string()))?;
        match overlay.share_problem() {
            Some(wrong) => Err(problem(wrong)),
            None => Ok(Some(overlay)),
        }
    }

    /// The presentation without a variant.
    pub fn plain(&self) -> Presentation {
        Presentation { tools: self.tools.clone() }
    }

    /// What every conversation can rely on: without the tools that a variant with a share leaves
    /// out.
    pub fn common(&self) -> Presentation {
        let mut tools = self.tools.clone();
        let served = self.parts().into_iter().filter_map(|(name, _)| self.variants.get(name));
        for (name, over) in served.flat_map(|variant| &variant.tools) {
            if over.is_hidden() {
                tools.entry(name.clone()).or_default().hidden = Some(true);
            }
        }
        Presentation { tools }
    }

    /// The presentation with a variant.
    pub fn presentation(&self, variant: &str) -> Presentation {
        let Some(variant) = self.variants.get(variant) else { return self.plain() };
        let mut tools = self.tools.clone();
        for (name, over) in &variant.tools {
            let below = tools.remove(name).unwrap_or_default();
            tools.insert(name.clone(), over.clone().over(below));
        }
        Presentation { tools }
    }
}

impl Tool {
    fn over(self, below: Self) -> Self {
        let mut parameters = below.parameters;
        for (name, over) in self.parameters {
            let below = parameters.remove(&name).unwrap_or_default();
            parameters.insert(name, over.over(below));
        }
        Self {
            title: self.title.or(below.title),
            description: self.description.or(below.description),
            keywords: self.keywords.or(below.keywords),
            parameters,
            hidden: self.hidden.or(below.hidden),
            append: self.append.or(below.append),
            max_result_chars: self.max_result_chars.or(below.max_result_chars),
        }
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden == Some(true)
    }
}

impl Parameter {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            description: self.description.or(below.description),
            default: self.default.or(below.default),
            minimum: self.minimum.or(below.minimum),
            maximum: self.maximum.or(below.maximum),
            min_length: self.min_length.or(below.min_length),
            max_length: self.max_length.or(below.max_length),
            min_items: self.min_items.or(below.min_items),
            max_items: self.max_items.or(below.max_items),
            values: self.values.or(below.values),
        }
    }
}

/// The tools as one conversation is shown them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Presentation {
    pub(super) tools: Tools,
}
