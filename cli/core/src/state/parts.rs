//! A state in parts: its members, and the members of those that are objects with members.
//!
//! A Tuner's tool reports which parts it touched, as JSON Pointers; `""` is all of the state. What
//! is below a part belongs to it.

use crate::formats::canonical;
use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The tokens of a JSON Pointer, as far as parts go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part<'a> {
    All,
    Member(Cow<'a, str>),
    Inner(Cow<'a, str>, Cow<'a, str>),
}

impl<'a> Part<'a> {
    /// The part that a JSON Pointer is in. What is no pointer may be anywhere.
    pub fn at(pointer: &'a str) -> Self {
        let Some(tokens) = pointer.strip_prefix('/') else { return Self::All };
        let mut tokens = tokens.split('/').map(unescaped);
        match (tokens.next(), tokens.next()) {
            (Some(member), Some(inner)) => Self::Inner(member, inner),
            (Some(member), None) => Self::Member(member),
            (None, _) => Self::All,
        }
    }

    fn into_owned(self) -> Part<'static> {
        let owned = |token: Cow<'_, str>| Cow::Owned(token.into_owned());
        match self {
            Self::All => Part::All,
            Self::Member(member) => Part::Member(owned(member)),
            Self::Inner(member, inner) => Part::Inner(owned(member), owned(inner)),
        }
    }

    /// Whether this part is in one of these.
    pub fn is_in(&self, pointers: &[String]) -> bool {
        pointers.iter().any(|pointer| match (Part::at(pointer), self) {
            (Part::All, _) => true,
            (Part::Member(one), Self::Member(other) | Self::Inner(other, _)) => one == *other,
            (one, other) => one == *other,
        })
    }
}

fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// The parts that the operations of a change are in.
pub fn parts_of(change: &Patch) -> impl Iterator<Item = Part<'_>> {
    change.0.iter().map(|operation| match operation {
        PatchOperation::Move(_) | PatchOperation::Copy(_) => Part::All,
        other => Part::at(other.path().as_str()),
    })
}

/// A set of parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartSet {
    all: bool,
    members: BTreeMap<String, Members>,
}

#[derive(Debug, Clone, PartialEq)]
enum Members {
    All,
    These(BTreeSet<String>),
}

impl PartSet {
    pub fn is_empty(&self) -> bool {
        !self.all && self.members.is_empty()
    }

    pub fn insert(&mut self, part: Part<'_>) {
        match part {
            Part::All => self.all = true,
            Part::Member(member) => {
                self.members.insert(member.into_owned(), Members::All);
            }
            Part::Inner(member, inner) => {
                let entry = self.members.entry(member.into_owned());
                if let Members::These(inners) =
                    entry.or_insert_with(|| Members::These(BTreeSet::new()))
                {
                    inners.insert(inner.into_owned());
                }
            }
        }
    }

    /// Whether some place is both in one of these parts and in a part of this set.
    pub fn meets(&self, pointers: &[String]) -> bool {
        !self.is_empty() && pointers.iter().any(|pointer| self.has(&Part::at(pointer)))
    }

    fn has(&self, part: &Part<'_>) -> bool {
        self.all
            || match part {
                Part::All => !self.is_empty(),
                Part::Member(member) => self.members.contains_key(&**member),
                Part::Inner(member, inner) => match self.members.get(&**member) {
                    None => false,
                    Some(Members::All) => true,
                    Some(Members::These(inners)) => inners.contains(&**inner),
                },
            }
    }

    fn remove(&mut self, member: &str, inner: &str) {
        if let Some(Members::These(inners)) = self.members.get_mut(member) {
            inners.remove(inner);
            if inners.is_empty() {
                self.members.remove(member);
            }
        }
    }
}

/// A value, and the text that it has in its place in the state's canonical form, with its key.
#[derive(Debug)]
struct Leaf {
    value: Value,
    text: String,
}

impl Leaf {
    fn new(key: &str, value: &Value, depth: usize) -> Arc<Self> {
        let value = canonical::normal(value);
        let shown = serde_json::to_string_pretty(&value).expect("a JSON value serialises");
        let mut text = format!("{}: ", Value::from(key));
        if shown.contains('\n') {
            text.push_str(&shown.replace('\n', &format!("\n{:1$}", "", 2 * depth)));
        } else {
            text.push_str(&shown);
        }
        Arc::new(Self { value, text })
    }
}

#[derive(Debug, Clone)]
enum Member {
    Whole(Arc<Leaf>),
    /// An object with members, and the text of its key.
    Open(String, BTreeMap<String, Arc<Leaf>>),
}

impl Member {
    fn new(key: &str, value: &Value) -> Self {
        match value {
            Value::Object(inners) if !inners.is_empty() => {
                let leaf =
                    |(inner, value): (&String, _)| (inner.clone(), Leaf::new(inner, value, 2));
                Self::Open(Value::from(key).to_string(), inners.iter().map(leaf).collect())
            }
            other => Self::Whole(Leaf::new(key, other, 1)),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Whole(leaf) => leaf.value.clone(),
            Self::Open(_, inners) => object(inners.iter().map(one_of)),
        }
    }
}

fn one_of<'a>((key, leaf): (&'a String, &Arc<Leaf>)) -> (&'a String, Value) {
    (key, leaf.value.clone())
}

fn object<'a>(members: impl Iterator<Item = (&'a String, Value)>) -> Value {
    Value::Object(members.map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>())
}

/// A state, changed part by part, whose canonical form is put together from the texts of the parts.
#[derive(Debug, Clone)]
pub struct Parts {
    members: BTreeMap<String, Member>,
}

impl Parts {
    /// A state is an object; anything else is none.
    pub fn of(state: &Value) -> Option<Self> {
        let members = state.as_object()?.iter();
        let members = members.map(|(key, value)| (key.clone(), Member::new(key, value))).collect();
        Some(Self { members })
    }

    pub fn value(&self) -> Value {
        object(self.members.iter().map(|(key, member)| (key, member.value())))
    }

    /// The canonical bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        if self.members.is_empty() {
            return bytes.extend_from_slice(b"{}\n");
        }
        let mut lead = &b"{\n  "[..];
        for member in self.members.values() {
            bytes.extend_from_slice(lead);
            lead = b",\n  ";
            match member {
                Member::Whole(whole) => bytes.extend_from_slice(whole.text.as_bytes()),
                Member::Open(key, inners) => {
                    bytes.extend_from_slice(key.as_bytes());
                    let mut lead = &b": {\n    "[..];
                    for leaf in inners.values() {
                        bytes.extend_from_slice(lead);
                        lead = b",\n    ";
                        bytes.extend_from_slice(leaf.text.as_bytes());
                    }
                    bytes.extend_from_slice(b"\n  }");
                }
            }
        }
        bytes.extend_from_slice(b"\n}\n");
    }

    /// The number of canonical bytes.
    pub fn size(&self) -> usize {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.len()
    }

    /// Applies a change; returns the parts it is in. On an error the state may have some of it.
    pub fn apply(&mut self, change: &Patch) -> Result<Vec<Part<'static>>, String> {
        let mut parts: Vec<Part<'static>> = parts_of(change).map(Part::into_owned).collect();
        let mut rest = &change.0[..];
        let mut at = 0;
        while let Some(part) = parts.get(at) {
            // operations in one part are applied together: its text is made once
            let same = parts[at..].iter().take_while(|other| *other == part).count();
            let (operations, others) = rest.split_at(same);
            match part {
                Part::All => self.apply_to_all(operations)?,
                Part::Member(member) => self.apply_in(member, None, operations)?,
                Part::Inner(member, inner) => self.apply_in(member, Some(inner), operations)?,
            }
            (rest, at) = (others, at + same);
        }
        parts.dedup();
        Ok(parts)
    }

    fn apply_to_all(&mut self, operations: &[PatchOperation]) -> Result<(), String> {
        let mut value = self.value();
        patch(&mut value, operations)?;
        *self = Self::of(&value).ok_or("the state is no object")?;
        Ok(())
    }

    /// An object with the part alone takes the operations.
    fn apply_in(
        &mut self,
        member: &str,
        inner: Option<&str>,
        operations: &[PatchOperation],
    ) -> Result<(), String> {
        if let (Some(inner), Some(Member::Open(_, inners))) = (inner, self.members.get_mut(member))
        {
            let alone = inners.get(inner).map(|leaf| (inner.to_owned(), leaf.value.clone()));
            let mut around = around(member, Value::Object(alone.into_iter().collect()));
            patch(&mut around, operations)?;
            match around[member].get(inner) {
                Some(value) => inners.insert(inner.to_owned(), Leaf::new(inner, value, 2)),
                None => inners.remove(inner),
            };
            if inners.is_empty() {
                let empty = Member::new(member, &Value::Object(Map::new()));
                self.members.insert(member.to_owned(), empty);
            }
            return Ok(());
        }
        let mut around = match self.members.get(member) {
            Some(there) => around(member, there.value()),
            None => Value::Object(Map::new()),
        };
        patch(&mut around, operations)?;
        match around.get(member) {
            Some(value) => self.members.insert(member.to_owned(), Member::new(member, value)),
            None => self.members.remove(member),
        };
        Ok(())
    }

    /// Takes parts as they are in another state, if they can be put in their places: an object that
    /// is left without members is a part of its own.
    pub fn take(&mut self, parts: &[Part<'_>], other: &Self) -> bool {
        let can_be_put = |part: &Part<'_>| match part {
            Part::Inner(member, inner) => {
                let pair = (self.members.get(&**member), other.members.get(&**member));
                matches!(pair, (Some(Member::Open(..)), Some(Member::Open(_, theirs)))
                    if theirs.contains_key(&**inner))
            }
            Part::All | Part::Member(_) => true,
        };
        if !parts.iter().all(can_be_put) {
            return false;
        }
        for part in parts {
            match part {
                Part::All => self.members.clone_from(&other.members),
                Part::Member(member) => self.take_member(member, other),
                Part::Inner(member, inner) => {
                    if let (Some(Member::Open(_, mine)), Some(Member::Open(_, theirs))) =
                        (self.members.get_mut(&**member), other.members.get(&**member))
                    {
                        mine.insert(inner.to_string(), Arc::clone(&theirs[&**inner]));
                    }
                }
            }
        }
        true
    }

    fn take_member(&mut self, member: &str, other: &Self) {
        match other.members.get(member) {
            Some(theirs) => self.members.insert(member.to_owned(), theirs.clone()),
            None => self.members.remove(member),
        };
    }

    /// Of a state whose other parts are valid: what has to be valid of it, which is these parts and
    /// members that may be required.
    pub fn excerpt(&self, parts: &[Part<'_>], required: &BTreeSet<String>) -> Value {
        if parts.contains(&Part::All) {
            return self.value();
        }
        let mut excerpt = Map::new();
        for (key, member) in &self.members {
            let is_whole = parts.iter().any(|part| matches!(part, Part::Member(one) if one == key));
            let is_meant = |inner: &String| {
                required.contains(inner)
                    || parts.iter().any(|part| {
                        matches!(part, Part::Inner(one, other) if one == key && other == inner)
                    })
            };
            let has_some =
                || parts.iter().any(|part| matches!(part, Part::Inner(one, _) if one == key));
            match member {
                Member::Open(_, inners) if !is_whole && (has_some() || required.contains(key)) => {
                    let inners = inners.iter().filter(|(inner, _)| is_meant(inner));
                    excerpt.insert(key.clone(), object(inners.map(one_of)));
                }
                _ if is_whole || has_some() || required.contains(key) => {
                    excerpt.insert(key.clone(), member.value());
                }
                _ => {}
            }
        }
        Value::Object(excerpt)
    }

    /// An object with one part alone: the same as of another state where the part is the same.
    pub fn excerpt_of(&self, part: &Part<'_>) -> Value {
        let (Part::Member(key) | Part::Inner(key, _)) = part else { return self.value() };
        let value = match (self.members.get(&**key), part) {
            (None, _) => return Value::Object(Map::new()),
            (Some(Member::Open(_, inners)), Part::Inner(_, inner)) => {
                object(inners.get_key_value(&**inner).map(one_of).into_iter())
            }
            (Some(member), _) => member.value(),
        };
        around(key, value)
    }

    /// Whether these parts are the same in another state.
    pub fn is_same(&self, other: &Self, parts: &[Part<'_>]) -> bool {
        let mut differing = PartSet::default();
        self.compare(other, parts, &mut differing);
        differing.is_empty()
    }

    /// Brings the set of parts where two states differ up to date, once these parts have changed.
    pub fn compare(&self, other: &Self, parts: &[Part<'_>], differing: &mut PartSet) {
        for part in parts {
            match part {
                Part::All => {
                    *differing = PartSet::default();
                    for member in self.members.keys().chain(other.members.keys()) {
                        self.compare_member(other, member, differing);
                    }
                }
                Part::Member(member) => self.compare_member(other, member, differing),
                Part::Inner(member, inner) => self.compare_inner(other, member, inner, differing),
            }
        }
    }

    fn compare_member(&self, other: &Self, member: &str, differing: &mut PartSet) {
        differing.members.remove(member);
        match (self.members.get(member), other.members.get(member)) {
            (None, None) => {}
            (Some(Member::Whole(mine)), Some(Member::Whole(theirs))) if is_same(mine, theirs) => {}
            (Some(Member::Open(_, mine)), Some(Member::Open(_, theirs))) => {
                for inner in mine.keys().chain(theirs.keys()) {
                    let pair = (mine.get(inner), theirs.get(inner));
                    if !matches!(pair, (Some(mine), Some(theirs)) if is_same(mine, theirs)) {
                        differing.insert(Part::Inner(member.into(), inner.into()));
                    }
                }
            }
            _ => differing.insert(Part::Member(member.into())),
        }
    }

    fn compare_inner(&self, other: &Self, member: &str, inner: &str, differing: &mut PartSet) {
        match (self.members.get(member), other.members.get(member)) {
            (Some(Member::Open(_, mine)), Some(Member::Open(_, theirs)))
                if differing.members.get(member) != Some(&Members::All) =>
            {
                match (mine.get(inner), theirs.get(inner)) {
                    (None, None) => differing.remove(member, inner),
                    (Some(mine), Some(theirs)) if is_same(mine, theirs) => {
                        differing.remove(member, inner);
                    }
                    _ => differing.insert(Part::Inner(member.into(), inner.into())),
                }
            }
            _ => self.compare_member(other, member, differing),
        }
    }
}

fn is_same(one: &Arc<Leaf>, other: &Arc<Leaf>) -> bool {
    Arc::ptr_eq(one, other) || one.text == other.text
}

fn around(member: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(member.to_owned(), value)]))
}

fn patch(value: &mut Value, operations: &[PatchOperation]) -> Result<(), String> {
    json_patch::patch(value, operations).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_state() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<bool>().prop_map(Value::from), (0..3i64).prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec(("[a-b~/\"]{0,2}", inner), 0..3)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        });
        prop::collection::vec(("[a-b~/]{0,2}", value), 0..4)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
    }

    fn bytes(parts: &Parts) -> Vec<u8> {
        let mut bytes = Vec::new();
        parts.write(&mut bytes);
        bytes
    }

    proptest! {
        /// A change by parts has the outcome that it has on the whole, and the parts where two
        /// states differ are known at each step.
        #[test]
        fn parts_are_the_state(
            states in prop::collection::vec(any_state(), 2..6),
            mine in any_state(),
        ) {
            let mut state = Parts::of(&states[0]).unwrap();
            let mine = Parts::of(&mine).unwrap();
            let mut differing = PartSet::default();
            state.compare(&mine, &[Part::All], &mut differing);
            for pair in states.windows(2) {
                prop_assert_eq!(bytes(&state), canonical::to_bytes(&pair[0]));
                let change = json_patch::diff(&state.value(), &canonical::normal(&pair[1]));
                let before = state.clone();
                let parts = state.apply(&change).unwrap();
                prop_assert_eq!(bytes(&state), canonical::to_bytes(&pair[1]));
                prop_assert_eq!(canonical::normal(&state.value()), canonical::normal(&pair[1]));

                state.compare(&mine, &parts, &mut differing);
                let mut again = PartSet::default();
                state.compare(&mine, &[Part::All], &mut again);
                prop_assert_eq!(&differing, &again);

                let mut taken = before;
                if taken.take(&parts, &state) {
                    prop_assert_eq!(bytes(&taken), bytes(&state));
                }
            }
        }
    }

    #[test]
    fn parts_meet_what_is_in_them_and_around_them() {
        let mut set = PartSet::default();
        assert!(!set.meets(&[String::new()]));
        set.insert(Part::at("/tasks/a~1b"));
        set.insert(Part::at("/n"));
        for (pointer, meets) in [
            ("", true),
            ("/tasks", true),
            ("/tasks/a~1b", true),
            ("/tasks/a~1b/seen", true),
            ("/tasks/other", false),
            ("/n/deeper", true),
            ("/m", false),
            ("no pointer", true),
        ] {
            assert_eq!(set.meets(&[pointer.to_owned()]), meets, "{pointer}");
        }
        assert!(Part::at("/a/b/c").is_in(&["/a/b".to_owned()]));
        assert!(Part::at("/a/b/c").is_in(&["/a".to_owned()]));
        assert!(!Part::at("/a").is_in(&["/a/b".to_owned()]));
    }

    #[test]
    fn an_excerpt_has_the_changed_parts_and_what_may_be_required() {
        let state = Parts::of(&json!({"a": {"x": 1, "y": 2}, "b": 3, "c": {"z": 1}})).unwrap();
        let required = BTreeSet::from(["b".to_owned()]);
        assert_eq!(state.excerpt(&[Part::at("/a/x")], &required), json!({"a": {"x": 1}, "b": 3}));
        assert_eq!(state.excerpt(&[Part::at("/c")], &required), json!({"b": 3, "c": {"z": 1}}));
    }
}
