//! Which changes of an overlay a promotion may make.
//!
//! A promotion is a PATCH: what hosts see may change by descriptions, titles and keywords. What the
//! rules of the bump place above that needs to be declared in agent.toml, rule by rule.

use super::definition::{Overlay, Presentation};
use crate::contract::rules::RuleId;
use crate::contract::{self, Change, Contract, ContractError};
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::version::Bump;
use serde_json::Value;

/// The rules above PATCH that a promotion may apply where agent.toml declares none: defaults that
/// the parameter's schema accepts.
const PROMOTABLE: [RuleId; 2] = [RuleId::ParameterDefaultChanged, RuleId::ParameterMadeOptional];

/// A name in agent.toml that is no rule of the bump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[promote] overlay of agent.toml has `{0}`, which is no rule of the bump")]
pub struct UnknownRule(String);

impl Diagnose for UnknownRule {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some("`agent semver A..B --json` names the rules that a change meets".to_owned())
    }
}

/// The rules above PATCH that a promotion may apply, by what agent.toml declares.
pub fn promotable(declared: Option<&[String]>) -> Result<Vec<RuleId>, UnknownRule> {
    let Some(names) = declared else { return Ok(PROMOTABLE.to_vec()) };
    let known = |name: &String| RuleId::ALL.iter().copied().find(|id| id.to_string() == *name);
    names.iter().map(|name| known(name).ok_or_else(|| UnknownRule(name.clone()))).collect()
}

/// The part of the change from one overlay to another that a promotion may not make, over the same
/// tools. A variant is compared with what it was, and a new one with what was served without one.
pub fn excess(
    tools: &[Value],
    (old, new): (&Overlay, &Overlay),
    declared: &[RuleId],
) -> Result<Vec<Change>, ContractError> {
    let presented = |shown: Presentation| Contract::new(shown.listed(tools.to_vec()), None, None);
    let mut excess = Vec::new();
    let variants = new.variants.keys().map(|name| {
        let before =
            if old.variants.contains_key(name) { old.presentation(name) } else { old.plain() };
        (before, new.presentation(name))
    });
    for (before, shown) in std::iter::once((old.plain(), new.plain())).chain(variants) {
        let changes = contract::diff(&presented(before)?, &presented(shown)?);
        let beyond = changes
            .into_iter()
            .filter(|change| change.level > Bump::Patch && !is_declared(change.rule, declared));
        for change in beyond {
            if !excess.contains(&change) {
                excess.push(change);
            }
        }
    }
    Ok(excess)
}

/// An overlay over one server's schema only narrows it, also where the comparison of two schemas
/// cannot decide that.
fn is_declared(rule: RuleId, declared: &[RuleId]) -> bool {
    let rule = if rule == RuleId::ParameterUndecided { RuleId::ParameterNarrowed } else { rule };
    declared.contains(&rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::KEY;
    use serde_json::json;

    fn overlay(value: &Value) -> Overlay {
        Overlay::read(&json!({"overlay": value}), KEY).unwrap().unwrap()
    }

    fn rules(old: &Value, new: &Value, declared: &[RuleId]) -> Vec<String> {
        let tools = [json!({"name": "t", "description": "T.", "inputSchema": {"type": "object",
            "required": ["n"], "properties": {"n": {"type": "integer"}}}})];
        let found = excess(&tools, (&overlay(old), &overlay(new)), declared).unwrap();
        found.iter().map(|change| change.message.clone()).collect()
    }

    #[test]
    fn texts_and_declared_rules_may_be_promoted_and_nothing_else() {
        let declared = promotable(None).unwrap();
        assert_eq!(promotable(Some(&[])), Ok(Vec::new()));
        assert_eq!(promotable(Some(&["tool-removed".to_owned()])), Ok(vec![RuleId::ToolRemoved]));
        let unknown = promotable(Some(&["tool-gone".to_owned()])).unwrap_err();
        assert!(unknown.to_string().contains("`tool-gone`, which is no rule"));
        let none = json!({});
        let with = |tool: Value| json!({"tools": {"t": tool}});
        let texts = with(json!({"title": "T", "description": "U.", "keywords": ["k"],
            "append": "x", "max_result_chars": 9,
            "parameters": {"n": {"description": "N."}}}));
        assert_eq!(rules(&none, &texts, &[]), [""; 0]);
        let default = with(json!({"parameters": {"n": {"default": 5}}}));
        assert_eq!(rules(&none, &default, &declared), [""; 0]);
        assert_eq!(rules(&none, &default, &[]).len(), 2);
        let hidden = with(json!({"hidden": true}));
        assert_eq!(rules(&none, &hidden, &declared), ["tool `t` is gone"]);
        assert_eq!(rules(&hidden, &hidden, &declared), [""; 0]);
        let in_variant = json!({"variants": {"v": hidden}});
        assert_eq!(rules(&none, &in_variant, &declared), ["tool `t` is gone"]);
        let narrowed = with(json!({"parameters": {"n": {"maximum": 9}}}));
        assert_eq!(rules(&none, &narrowed, &declared).len(), 1);
        assert_eq!(rules(&none, &narrowed, &[RuleId::ParameterNarrowed]), [""; 0]);
    }
}
