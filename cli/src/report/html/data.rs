//! The cases as data for the page's script.

use crate::report::{TestReport, TierReport, why};
use agent_core::formats::natural;
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::comparison::Flip;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The cases in the order of their ids, as JSON that is safe in a script element: `<` is escaped,
/// so it can neither end the element nor begin a comment.
pub(super) fn embedded(report: &TestReport) -> String {
    let mut cases: Vec<Value> = report.tiers.iter().flat_map(cases).collect();
    cases.sort_by(|one, two| natural::compare(id(one), id(two)));
    let tiers: Vec<_> = report.tiers.iter().map(|tier| tier.tier).collect();
    json!({"tiers": tiers, "against": report.against, "cases": cases})
        .to_string()
        .replace('<', "\\u003c")
}

fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap_or_default()
}

fn cases(report: &TierReport) -> Vec<Value> {
    let flips: HashMap<&str, &Flip> =
        report.flips().iter().map(|flip| (flip.id.as_str(), flip)).collect();
    report
        .results
        .iter()
        .map(|result| case(report, result, flips.get(result.id.as_str()).copied()))
        .collect()
}

fn case(report: &TierReport, result: &CaseResult, flip: Option<&Flip>) -> Value {
    let mut case = serde_json::to_value(result).expect("a result serialises");
    case["tier"] = json!(report.tier);
    if let Some(why) = &result.why {
        case["parts"] = json!(why::parts(why));
    }
    if let Some(flip) = flip {
        case["flip"] = json!({"direction": flip.direction, "from": flip.from, "to": flip.to});
    }
    case
}
