//! The join of a tier's parts, as the machines of a matrix write them down: any split, any order and
//! any repeat give the same.

use crate::formats::document::DocumentError;
use crate::formats::manifest::Tier;
use crate::testing::evaluation::TierFold;
use crate::testing::event::Event;
use crate::testing::part::{Part, PartHead};
use std::collections::{BTreeMap, BTreeSet};

/// A tier as far as its parts are here.
#[derive(Debug, Clone, PartialEq)]
pub struct MergedTier {
    /// Of any of its parts; which one it was is in `parts`.
    pub head: PartHead,
    /// Those that hold this very tree.
    pub commits: BTreeSet<String>,
    pub parts: BTreeSet<Part>,
    pub fold: TierFold,
    /// The first file with a part of it.
    from: String,
}

impl MergedTier {
    /// Which parts are not there, where all are parts of as many.
    pub fn absent(&self) -> Option<String> {
        let of = self.parts.first()?.of;
        if self.fold.missing() == 0 || self.parts.iter().any(|part| part.of != of) {
            return None;
        }
        let absent: Vec<String> = (1..=of)
            .filter(|index| !self.parts.contains(&Part { of, index: *index }))
            .map(|index| index.to_string())
            .collect();
        match &absent[..] {
            [] => None,
            [one] => Some(format!("part {one} of {of} is missing")),
            [most @ .., last] => {
                Some(format!("parts {} and {last} of {of} are missing", most.join(", ")))
            }
        }
    }
}

/// Tiers joined from their parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merge {
    tiers: BTreeMap<Tier, MergedTier>,
}

impl Merge {
    /// Adds a file's parts; a last line that a kill cut off does not count. `file` names it in
    /// errors.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), DocumentError> {
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut begun = BTreeSet::new();
        for (index, line) in whole.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let place = || format!("{file}:{}", index + 1);
            let event = Event::from_line(line).ok_or_else(|| {
                let hint = "parts are written by `agent test --events FILE`, of a version no newer \
                    than this one";
                DocumentError::new(place(), "this line is not an event", hint)
            })?;
            let tier = event.tier();
            if let Event::PartStarted(head) = event {
                self.begin(file, *head)?;
                begun.insert(tier);
                continue;
            }
            match self.tiers.get_mut(&tier).filter(|_| begun.contains(&tier)) {
                Some(merged) => merged.fold.take(event),
                None => {
                    return Err(DocumentError::new(
                        place(),
                        format!("results of {tier} before its header"),
                        REWRITE,
                    ));
                }
            }
        }
        if begun.is_empty() {
            return Err(DocumentError::new(file, "it holds no part of a tier", REWRITE));
        }
        Ok(())
    }

    fn begin(&mut self, file: &str, head: PartHead) -> Result<(), DocumentError> {
        let tier = head.tier;
        let merged = self.tiers.entry(tier).or_insert_with(|| MergedTier {
            head: PartHead { part: Part::WHOLE, commit: None, ..head.clone() },
            commits: BTreeSet::new(),
            parts: BTreeSet::new(),
            fold: TierFold::default(),
            from: file.to_owned(),
        });
        let differences = head.differences(&merged.head);
        if !differences.is_empty() {
            let problem = format!(
                "of {tier} it has another {} than {}",
                differences.join(", another "),
                merged.from
            );
            return Err(DocumentError::new(
                file,
                problem,
                "parts of one tree and one state are merged; run the others again (a file that is \
                written into the working tree makes it another: name it in .gitignore)",
            ));
        }
        merged.commits.extend(head.commit.clone());
        merged.parts.insert(head.part);
        merged.fold.take(Event::PartStarted(Box::new(head)));
        Ok(())
    }

    pub fn tiers(&self) -> impl Iterator<Item = &MergedTier> {
        self.tiers.values()
    }

    /// By tier; what is missing is a reason in each.
    pub fn finish(self) -> impl Iterator<Item = MergedTier> {
        self.tiers.into_values().map(|mut merged| {
            if let Some(why) = merged.absent() {
                merged.fold.take(Event::TierStopped { tier: merged.head.tier, why });
            }
            merged
        })
    }
}

const REWRITE: &str = "run that part again, with `agent test --shard I/N --events FILE`";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::budget::Budget;
    use crate::testing::case_result::{CaseResult, Outcome};
    use crate::testing::definitions::Definitions;
    use proptest::prelude::*;

    fn head(part: &str, cases: usize) -> PartHead {
        PartHead {
            tier: Tier::Fast,
            part: part.parse().unwrap(),
            cases,
            commit: Some("c0ffee".to_owned()),
            tree: Some("7ee".to_owned()),
            state: "57a7e".to_owned(),
            definitions: Definitions {
                cases: [(Tier::Fast, "sha256:1".to_owned())].into(),
                ..Definitions::default()
            },
            budget: Budget { pass_rate: Some(0.5), ..Budget::default() },
        }
    }

    fn lines(head: PartHead, results: &[CaseResult], wall_s: f64) -> String {
        let tier = head.tier;
        let finished = results.iter().cloned().map(|result| Event::CaseFinished { tier, result });
        let events = std::iter::once(Event::PartStarted(Box::new(head)))
            .chain(finished)
            .chain([Event::TierFinished { tier, wall_s }]);
        events.map(|event| event.to_line()).collect()
    }

    fn merged(files: &[String]) -> MergedTier {
        let mut merge = Merge::default();
        for (index, text) in files.iter().enumerate() {
            merge.read(&format!("{index}.jsonl"), text).unwrap();
        }
        merge.finish().next().unwrap()
    }

    fn summary(merged: &MergedTier) -> String {
        serde_json::to_string(&merged.fold.summary(merged.head.budget)).unwrap()
    }

    #[track_caller]
    fn refused(files: &[String], problem: &str) {
        let mut merge = Merge::default();
        let error = files
            .iter()
            .enumerate()
            .find_map(|(index, text)| merge.read(&format!("{index}.jsonl"), text).err());
        assert_eq!(error.expect("it is refused").to_string(), problem);
    }

    #[test]
    fn a_head_reads_back() {
        let event = Event::PartStarted(Box::new(head("2/3", 7)));
        let line = event.to_line();
        assert!(line.starts_with(r#"{"schema":"agent/event@1","event":"part-started","tier":"fast","part":"2/3","cases":7,"#), "{line}");
        assert_eq!(Event::from_line(&line), Some(event));
    }

    #[test]
    fn shards_of_different_runs_are_refused() {
        let good = lines(head("1/2", 2), &[CaseResult::passed("a")], 1.0);
        let mut other = head("2/2", 2);
        other.state = "another-revision".to_owned();
        other.definitions.scorers = Some("s".to_owned());
        let problem = "1.jsonl: of fast it has another state (another-revi, not 57a7e), another \
            scorers than 0.jsonl";
        refused(&[good.clone(), lines(other, &[], 0.0)], problem);
        refused(&[good.clone(), String::new()], "1.jsonl: it holds no part of a tier");
        refused(&[format!("{good}{{\"event\":\"?\"}}\n")], "0.jsonl:4: this line is not an event");
        let headless = good.lines().nth(1).unwrap().to_owned() + "\n";
        refused(&[good, headless], "1.jsonl:1: results of fast before its header");
    }

    #[test]
    fn missing_shards_are_reported() {
        let [one, two] = [("1/4", "a"), ("3/4", "b")]
            .map(|(part, id)| lines(head(part, 4), &[CaseResult::passed(id)], 1.0));
        let torn = format!("{two}{}", &one[..one.len() - 9]);
        let merged = merged(&[one, torn]);
        let summary = merged.fold.summary(merged.head.budget);
        assert_eq!(
            summary.reasons,
            ["parts 2 and 4 of 4 are missing", "only 2 of 4 cases were run"]
        );
        assert_eq!(
            (summary.verdict, summary.missing),
            (crate::testing::evaluation::Verdict::NotEnoughEvidence, 2)
        );
    }

    fn any_result() -> impl Strategy<Value = CaseResult> {
        let outcome =
            prop_oneof![Just(Outcome::Passed), Just(Outcome::Failed), Just(Outcome::Errored)];
        (
            "[a-h]{1,2}",
            outcome,
            0.0..1.0f64,
            0.0..9.0f64,
            any::<bool>(),
            prop::option::of(0.0..0.1f64),
        )
            .prop_map(|(id, outcome, score, ms, cached, cost_usd)| CaseResult {
                outcome,
                score,
                ms,
                cost_usd,
                cached,
                ..CaseResult::passed(id)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn any_split_any_order_and_any_repeat_give_the_same_bytes(
            results in prop::collection::vec(any_result(), 0..40),
            walls in prop::collection::vec(0.0..9.0f64, 4),
            of in 1u32..5,
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let longest = walls[..of as usize].iter().copied().fold(0.0, f64::max);
            let whole = merged(&[lines(head("1/1", 40), &results, longest)]);
            let mut files: Vec<String> = (1..=of)
                .map(|index| {
                    let part = Part { of, index };
                    let held: Vec<_> =
                        results.iter().filter(|result| part.holds(&result.id)).cloned().collect();
                    lines(PartHead { part, ..head("1/1", 40) }, &held, walls[index as usize - 1])
                })
                .collect();
            // some again, at another place, and a part of the parts joined already
            for at in &order {
                let again = files[at.index(files.len())].clone();
                files.insert(at.index(files.len()), again);
            }
            let first = files.first().cloned().unwrap_or_default();
            files.push(format!("{first}{first}"));
            let joined = merged(&files);
            prop_assert_eq!(&joined.fold.clone().into_results(),
                &whole.fold.clone().into_results());
            // missing parts are reported for parts only
            prop_assert_eq!(summary_of_all(&joined), summary_of_all(&whole));
            files.reverse();
            prop_assert_eq!(summary(&merged(&files)), summary(&joined));
        }
    }

    /// As if nothing were missing.
    fn summary_of_all(merged: &MergedTier) -> String {
        let mut fold = TierFold::default();
        for result in merged.fold.results() {
            fold.take(Event::CaseFinished { tier: Tier::Fast, result: result.clone() });
        }
        fold.take(Event::TierFinished {
            tier: Tier::Fast,
            wall_s: merged.fold.summary(Budget::default()).wall_s,
        });
        serde_json::to_string(&fold.summary(merged.head.budget)).unwrap()
    }
}
