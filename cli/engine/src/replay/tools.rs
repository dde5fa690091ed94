//! Which tools a replay may run: those that are annotated as read-only, and those that the manifest
//! names.

use crate::child::{Child, Opening, Role};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::{Target, contracts, runner};
use crate::world::event_loop;
use serde_json::Value;
use std::collections::BTreeMap;

/// The tools that a replay may run.
pub struct Tools {
    /// By name, whether it is annotated as read-only.
    candidate: BTreeMap<String, bool>,
    baseline: BTreeMap<String, bool>,
    named: Vec<String>,
}

impl Tools {
    pub fn of(
        repository: &Repository,
        candidate: &Target,
        baseline: &Target,
    ) -> Result<Self, Failure> {
        Ok(Self {
            candidate: annotated(&listed(repository, candidate)?),
            baseline: annotated(&listed(repository, baseline)?),
            named: candidate.manifest.record.replay.clone(),
        })
    }

    /// Whether both sides declare it read-only. One that a side does not have does nothing there:
    /// its call fails.
    pub fn may_run(&self, tool: &str) -> bool {
        let sides = self.sides(tool);
        let is_read_only = sides.iter().flatten().all(|is_read_only| **is_read_only);
        self.is_there(tool) && (is_read_only || self.named.iter().any(|named| named == tool))
    }

    /// Whether a side has it.
    pub fn is_there(&self, tool: &str) -> bool {
        self.sides(tool).iter().any(Option::is_some)
    }

    fn sides(&self, tool: &str) -> [Option<&bool>; 2] {
        [self.candidate.get(tool), self.baseline.get(tool)]
    }
}

fn annotated(tools: &[Value]) -> BTreeMap<String, bool> {
    let tool = |tool: &Value| {
        let is_read_only = tool["annotations"]["readOnlyHint"] == true;
        tool["name"].as_str().map(|name| (name.to_owned(), is_read_only))
    };
    tools.iter().filter_map(tool).collect()
}

/// The tools of a target's Runner: from the record, else from the Runner itself.
fn listed(repository: &Repository, target: &Target) -> Result<Vec<Value>, Failure> {
    if let Some(discovery) = contracts::discovery(repository, target, Role::Runner)? {
        return Ok(discovery.tools);
    }
    let (spec, _scratch) = runner::confined(repository, target)?;
    event_loop::block_on(async {
        let child = Child::start_as(&spec, &Opening::with_every_capability()).await?;
        let tools = child.tools().await;
        child.end().await;
        Ok(tools?)
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listing(tools: &[(&str, Option<bool>)]) -> BTreeMap<String, bool> {
        let listed: Vec<Value> = tools
            .iter()
            .map(|(name, hint)| json!({"name": name, "annotations": {"readOnlyHint": hint}}))
            .collect();
        annotated(&listed)
    }

    #[test]
    fn a_tool_is_run_where_no_side_denies_that_it_is_read_only() {
        let tools = Tools {
            candidate: listing(&[
                ("read", Some(true)),
                ("newly", Some(true)),
                ("no-longer", Some(false)),
                ("new", Some(true)),
                ("plain", None),
                ("named", None),
            ]),
            baseline: listing(&[
                ("read", Some(true)),
                ("newly", None),
                ("no-longer", Some(true)),
                ("removed", Some(true)),
                ("removed-writer", None),
                ("plain", None),
                ("named", None),
            ]),
            named: vec!["named".to_owned(), "nowhere".to_owned()],
        };
        for (tool, runs) in [
            ("read", true),
            ("removed", true),
            ("new", true),
            ("named", true),
            // a candidate cannot declare that a tool of the served version does nothing
            ("newly", false),
            ("no-longer", false),
            ("removed-writer", false),
            ("plain", false),
            ("nowhere", false),
        ] {
            assert_eq!(tools.may_run(tool), runs, "{tool}");
        }
    }
}
