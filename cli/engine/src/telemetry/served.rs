//! The attributes of what serves a call: a version where there is one, and the state. Made once for
//! each, since call after call is served by the same.

use super::attributes::Attributes;
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::conventions as names;
use semver::Version;
use std::cell::RefCell;
use std::rc::Rc;

/// Beyond this many in a thread the cache is begun anew.
const MOST: usize = 16;

/// A version, a state, and the attributes of both.
type Known = (Option<Version>, ObjectId, Rc<Attributes>);

thread_local! {
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn attributes(
    agent: Option<&str>,
    version: Option<&Version>,
    revision: &ObjectId,
) -> Rc<Attributes> {
    KNOWN.with_borrow_mut(|known| {
        let found = known.iter().find(|(known, of, _)| known.as_ref() == version && of == revision);
        if let Some((_, _, attributes)) = found {
            return Rc::clone(attributes);
        }
        if known.len() == MOST {
            known.clear();
        }
        let made = Rc::new(made(agent, version, revision));
        known.push((version.cloned(), revision.clone(), Rc::clone(&made)));
        made
    })
}

fn made(agent: Option<&str>, version: Option<&Version>, revision: &ObjectId) -> Attributes {
    let mut attributes = Attributes::new(true);
    let version = version.map(ToString::to_string);
    push_agent(&mut attributes, agent, version.as_deref());
    if let Some(version) = &version {
        attributes.push(names::VERSION, version);
    }
    attributes.push(names::REVISION, revision.as_str());
    attributes
}

/// The agent, by its name, and which version of it.
pub(super) fn push_agent(attributes: &mut Attributes, agent: Option<&str>, version: Option<&str>) {
    if let Some(name) = agent {
        attributes.push(names::AGENT_NAME, name);
    }
    if let Some(version) = version {
        attributes.push(names::AGENT_VERSION, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_is_described_once() {
        let (first, second) = (ObjectId::of_blob(b"1"), ObjectId::of_blob(b"2"));
        let version = Version::new(1, 2, 3);
        let of = |version, revision| attributes(Some("a"), version, revision);
        let shown = |attributes: &Attributes| {
            let pairs = attributes.pairs().iter();
            pairs.map(|pair| format!("{}={}", pair.key, pair.value)).collect::<Vec<_>>()
        };
        let known = of(Some(&version), &first);
        assert_eq!(
            shown(&known),
            [
                "gen_ai.agent.name=a".to_owned(),
                "gen_ai.agent.version=1.2.3".to_owned(),
                "agent.version=1.2.3".to_owned(),
                format!("agent.state.revision={first}"),
            ]
        );
        assert!(Rc::ptr_eq(&known, &of(Some(&version), &first)));
        assert_eq!(
            shown(&of(None, &first)),
            ["gen_ai.agent.name=a".to_owned(), format!("agent.state.revision={first}")]
        );
        assert_eq!(
            shown(&of(None, &second)),
            ["gen_ai.agent.name=a".to_owned(), format!("agent.state.revision={second}")]
        );
        for number in 0..=MOST as u64 {
            attributes(None, Some(&Version::new(number, 0, 0)), &first);
        }
        assert!(KNOWN.with_borrow(Vec::len) <= MOST);
    }
}
