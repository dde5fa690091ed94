//! Random Journals of a Tuner that reports what it touches: written again without some signals they
//! are what they would be had these never been sent.

use super::*;
use crate::state::journal::{Base, Draft, header, records, walk};
use proptest::prelude::*;
use proptest::sample::Index;
use semver::Version;

/// A Tuner's tool, by its arguments: what it does to the state, and which parts it touches.
struct Tool<'a> {
    state: Value,
    touched: Vec<String>,
    arguments: &'a Value,
}

impl Tool<'_> {
    fn run(state: &Value, arguments: &Value) -> Result<(Value, Vec<String>), String> {
        let mut tool = Tool { state: state.clone(), touched: Vec::new(), arguments };
        match arguments["do"].as_str().unwrap() {
            "count" => tool.count(),
            "copy" => tool.copy(),
            "delete" => tool.delete(),
            "length" => tool.length(),
            "replace" => tool.replace(),
            "nothing" => {}
            _ => tool.refuse()?,
        }
        Ok((tool.state, tool.touched))
    }

    fn name(&self, which: &str) -> String {
        self.arguments[which].as_str().unwrap().to_owned()
    }

    /// Its members are parts only where it has some.
    fn touch(&mut self, member: &str, inner: &str) {
        let is_open = self.state[member].as_object().is_some_and(|members| !members.is_empty());
        self.touched.push(if is_open {
            format!("/{member}/{inner}")
        } else {
            format!("/{member}")
        });
    }

    fn number(&self, member: &str, inner: &str) -> i64 {
        self.state[member][inner].as_i64().unwrap_or_default()
    }

    fn count(&mut self) {
        let (member, inner) = (self.name("a"), self.name("x"));
        self.touch(&member, &inner);
        self.state[&member][&inner] = json!(self.number(&member, &inner) + 1);
    }

    fn copy(&mut self) {
        let (from, to, inner) = (self.name("a"), self.name("b"), self.name("x"));
        self.touch(&from, &inner);
        self.touch(&to, &inner);
        self.state[&to][&inner] = json!({"is": self.number(&from, &inner) % 2, "was": [1, {}]});
    }

    fn delete(&mut self) {
        let (member, inner) = (self.name("a"), self.name("x"));
        self.touch(&member, &inner);
        if let Some(members) = self.state[&member].as_object_mut() {
            members.remove(&inner);
            if members.is_empty() {
                self.touched.push(format!("/{member}"));
            }
        }
    }

    fn length(&mut self) {
        let member = self.name("a");
        self.touched.extend([format!("/{member}"), "/length".to_owned()]);
        self.state["length"] =
            json!(self.state[&member].as_object().map_or(0, serde_json::Map::len));
    }

    fn replace(&mut self) {
        let member = self.name("a");
        self.touched.push(format!("/{member}"));
        self.state[&member] = json!({ self.name("x"): 1 });
    }

    /// It takes no odd number.
    fn refuse(&mut self) -> Result<(), String> {
        let (member, inner) = (self.name("a"), self.name("x"));
        self.touch(&member, &inner);
        if self.number(&member, &inner) % 2 == 1 {
            return Err("it is odd".to_owned());
        }
        self.state[&member][&inner] = json!(self.number(&member, &inner) + 2);
        Ok(())
    }
}

fn any_signal() -> impl Strategy<Value = Value> {
    let kinds =
        ["count", "count", "count", "copy", "delete", "length", "replace", "nothing", "even"];
    let kind = prop::sample::select(kinds.to_vec());
    (kind, "[a-c]", "[a-c]", "[x-z]")
        .prop_map(|(kind, a, b, x)| json!({"do": kind, "a": a, "b": b, "x": x}))
}

fn start() -> Value {
    json!({"a": {"x": 0, "y": 1}, "b": {}, "c": {"z": 5},
        "more": "so much that a change is shorter than all of it, which it would not be without"})
}

fn draft(number: usize, arguments: &Value, is_own: bool) -> Draft {
    Draft {
        id: format!("s-{number}"),
        tool: if is_own { super::super::SET.to_owned() } else { "tool".to_owned() },
        arguments: arguments.clone(),
        conversation: None,
        trace: None,
        at: "2026-11-22T12:00:00.000Z".to_owned(),
        tags: Vec::new(),
        effects: None,
        touched: None,
        summary: None,
        state: None,
    }
}

/// A user's edit: it sets one value.
fn edited(state: &Value, number: usize) -> Value {
    let mut edited = state.clone();
    edited["edited"] = json!(number);
    edited["a"] = json!({"x": number});
    edited
}

/// The Journal of these signals, of which some are edits, in groups of this size, and the state.
fn journal(
    signals: &[(Value, bool)],
    skipped: impl Fn(usize) -> bool,
    group: usize,
    says: bool,
) -> (Vec<u8>, Value) {
    let id = ObjectId::of_blob(b"any");
    let base = Base { version: Version::new(0, 1, 0), commit: id.clone(), revision: id };
    let mut bytes = header(&base, 1, &start());
    let mut fold = Fold::begin(&bytes).unwrap();
    let mut state = canonical::normal(&start());
    let mut drafts = Vec::new();
    for (number, (arguments, is_edit)) in signals.iter().enumerate().filter(|(it, _)| !skipped(*it))
    {
        let mut draft = draft(number, arguments, *is_edit);
        if *is_edit {
            state = edited(&state, number);
        } else {
            // what is refused is not recorded
            let Ok((after, touched)) = Tool::run(&state, arguments) else { continue };
            state = canonical::normal(&after);
            draft.touched = says.then_some(touched);
        }
        draft.state = Some(state.clone());
        drafts.push(draft);
        if drafts.len() == group {
            let group = fold.compose(std::mem::take(&mut drafts));
            bytes.extend(&group.bytes);
            fold.accept(group);
        }
    }
    if !drafts.is_empty() {
        bytes.extend(&fold.compose(drafts).bytes);
    }
    (bytes, canonical::normal(&state))
}

/// The first of these updates, one by one or as changes in turn.
fn replays(state: &Value, records: &[Record], most: usize, in_turn: bool) -> Vec<BatchOutcome> {
    let mut state = state.clone();
    let mut replays = Vec::new();
    for record in &records[..most.min(records.len()).max(1)] {
        match Tool::run(&state, &record.arguments) {
            Err(why) if replays.is_empty() => {
                return vec![BatchOutcome::Replay(Replayed::Dropped(why).into())];
            }
            Err(_) => break,
            Ok((after, touched)) => {
                let after = canonical::normal(&after);
                if !in_turn {
                    let outcome = Replayed::State(after);
                    return vec![BatchOutcome::Replay(Replay { outcome, touched: Some(touched) })];
                }
                let parts = touched
                    .iter()
                    .filter(|pointer| state.pointer(pointer) != after.pointer(pointer));
                let change = parts.map(|pointer| match after.pointer(pointer) {
                    Some(value) => json!({"op": "add", "path": pointer, "value": value}),
                    None => json!({"op": "remove", "path": pointer}),
                });
                let change = Value::Array(change.collect());
                // a member that is gone with its object is not removed again
                let change = if touched.iter().any(|pointer| pointer.matches('/').count() == 1) {
                    serde_json::to_value(json_patch::diff(&state, &after)).unwrap()
                } else {
                    change
                };
                replays
                    .push(BatchOutcome::Change(serde_json::from_value(change).unwrap(), touched));
                state = after;
            }
        }
    }
    replays
}

/// A Journal without these signals.
fn without(bytes: &[u8], left_out: &HashSet<String>, most: usize, in_turn: bool) -> Rewritten {
    let rules = Rules::new(None).unwrap();
    let fold = walk(bytes, |_, _| ()).unwrap();
    let ends = ends_of(bytes, left_out).unwrap();
    let mut rewriting = Rewriting::begin(bytes, &fold, ends, left_out, &rules).unwrap();
    while let Some(needed) = rewriting.needed().unwrap() {
        match needed {
            Needed::Replays(records) => {
                let replays = replays(&rewriting.state(), &records, most, in_turn);
                rewriting.answer(&records, replays);
            }
            Needed::Own(record, _) => {
                let number = record.id[2..].parse().unwrap();
                let after = edited(&rewriting.state(), number);
                rewriting.answer_own(*record, Replayed::State(after)).unwrap();
            }
        }
    }
    rewriting.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_is_as_if_the_signals_had_never_been_sent(
        signals in prop::collection::vec((any_signal(), prop::bool::weighted(0.05)), 1..40),
        left_out in prop::collection::vec(any::<Index>(), 1..4),
        group in 1usize..8,
        most in 1usize..6,
        in_turn: bool,
        says: bool,
    ) {
        let (bytes, _) = journal(&signals, |_| false, group, says);
        let sent = records(&bytes).unwrap();
        prop_assume!(!sent.is_empty());
        let left_out: HashSet<String> = left_out
            .iter()
            .map(|index| &sent[index.index(sent.len())])
            .filter(|record| record.is_by_tuner())
            .map(|record| record.id.clone())
            .collect();
        prop_assume!(!left_out.is_empty());
        let is_left_out = |number: usize| left_out.contains(&format!("s-{number}"));
        // what was refused at first is in neither
        let refused = |number: usize| !sent.iter().any(|record| record.id == format!("s-{number}"));
        let skipped = |number: usize| is_left_out(number) || refused(number);
        let (_, expected) = journal(&signals, skipped, group, says);

        let done = without(&bytes, &left_out, most, in_turn);
        prop_assert_eq!(&done.fold.revision, &canonical::revision(&expected));
        let mut states = Vec::new();
        let fold = walk(&done.bytes, |record, state| {
            states.push((record.after.clone(), canonical::revision(state)));
        }).unwrap();
        prop_assert_eq!(fold.end, done.bytes.len() as u64);
        prop_assert_eq!((fold.end, fold.next), (done.fold.end, done.fold.next));
        prop_assert_eq!(canonical::normal(&done.fold.state), expected.clone());
        prop_assert_eq!(canonical::normal(&fold.state), expected);
        for (stated, found) in states {
            prop_assert_eq!(stated, found);
        }
        let again = records(&done.bytes).unwrap();
        prop_assert_eq!(again.len(), sent.len());
        for (new, old) in again.iter().zip(&sent) {
            prop_assert_eq!(new.seq, old.seq);
            prop_assert_eq!(new.id == old.id, !left_out.contains(&old.id));
        }
    }
}

#[test]
fn only_what_touched_the_difference_is_replayed() {
    let count = |member: &str, inner: &str| {
        (json!({"do": "count", "a": member, "b": "b", "x": inner}), false)
    };
    let signals: Vec<_> = (0..60).map(|number| count("a", ["x", "y", "z"][number % 3])).collect();
    for (says, expected) in [(true, 19), (false, 59)] {
        let (bytes, _) = journal(&signals, |_| false, 4, says);
        let done = without(&bytes, &HashSet::from(["s-0".to_owned()]), 100, true);
        assert_eq!(done.replayed, expected);
        let (_, never) = journal(&signals, |number| number == 0, 4, says);
        assert_eq!(done.fold.revision, canonical::revision(&never));
    }
}
