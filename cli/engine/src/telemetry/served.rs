//! The attributes of what serves a call: a version where there is one, and the state. Made once for
//! each, since call after call is served by the same.

use super::attributes::Attributes;
use super::recent::Recent;
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::conventions as names;
use semver::Version;
use std::rc::Rc;

#[derive(Debug)]
struct Served {
    version: Option<Version>,
    revision: ObjectId,
    attributes: Attributes,
}

thread_local! {
    static RECENT: Recent<Rc<Served>> = const { Recent::new(16) };
}

/// Appends what serves to the attributes of a span.
pub(super) fn push_served(
    attributes: &mut Attributes,
    agent: Option<&str>,
    version: Option<&Version>,
    revision: &ObjectId,
) {
    attributes.extend(&Served::of(agent, version, revision).attributes);
}

impl Served {
    fn of(agent: Option<&str>, version: Option<&Version>, revision: &ObjectId) -> Rc<Self> {
        RECENT.with(|recent| {
            recent.find_or_make(
                |served| served.version.as_ref() == version && served.revision == *revision,
                || Rc::new(Self::new(agent, version, revision)),
            )
        })
    }

    fn new(agent: Option<&str>, version: Option<&Version>, revision: &ObjectId) -> Self {
        let mut attributes = Attributes::new(true);
        let text = version.map(ToString::to_string);
        push_agent(&mut attributes, agent, text.as_deref());
        if let Some(text) = &text {
            attributes.push(names::VERSION, text);
        }
        attributes.push(names::REVISION, revision.as_str());
        Self { version: version.cloned(), revision: revision.clone(), attributes }
    }
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
        let of = |version, revision| Served::of(Some("a"), version, revision);
        let shown = |served: Rc<Served>| {
            let pairs = served.attributes.pairs().iter();
            pairs.map(|pair| format!("{}={}", pair.key, pair.value)).collect::<Vec<_>>()
        };
        let known = of(Some(&version), &first);
        assert!(Rc::ptr_eq(&known, &of(Some(&version), &first)));
        assert_eq!(
            shown(known),
            [
                "gen_ai.agent.name=a".to_owned(),
                "gen_ai.agent.version=1.2.3".to_owned(),
                "agent.version=1.2.3".to_owned(),
                format!("agent.state.revision={first}"),
            ]
        );
        for revision in [&first, &second] {
            assert_eq!(
                shown(of(None, revision)),
                ["gen_ai.agent.name=a".to_owned(), format!("agent.state.revision={revision}")]
            );
        }
    }
}
