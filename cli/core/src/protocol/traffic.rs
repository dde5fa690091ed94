//! Which of several versions a conversation is served: `active=90,staging=10`, constant over its
//! lifetime.

use crate::formats::object_id::ObjectId;
use crate::version::what::What;
use std::fmt;
use std::str::FromStr;

/// The targets that are served, each with its share of the conversations. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic(Vec<(What, u32)>);

impl Traffic {
    pub fn all(what: What) -> Self {
        Self(vec![(what, 1)])
    }

    pub fn whats(&self) -> impl Iterator<Item = &What> {
        self.0.iter().map(|(what, _)| what)
    }

    /// The index of the one with the largest share, which serves requests without a conversation.
    pub fn main(&self) -> usize {
        (0..self.0.len()).rev().max_by_key(|place| self.0[*place].1).unwrap_or(0)
    }

    /// Whether there is a choice.
    pub fn is_split(&self) -> bool {
        self.0.len() > 1
    }

    pub fn what(&self, place: usize) -> &What {
        &self.0[place].0
    }

    /// The index for a request, in a conversation or without one.
    pub fn place_of(&self, conversation: Option<&str>) -> usize {
        conversation.map_or_else(|| self.main(), |conversation| self.pick(conversation))
    }

    /// The place of what a conversation is served: a function of its id alone, so that it holds in
    /// every process.
    pub fn pick(&self, conversation: &str) -> usize {
        if self.0.len() == 1 {
            return 0;
        }
        let total: u64 = self.0.iter().map(|(_, share)| u64::from(*share)).sum();
        let mut left = point(conversation, total.max(1));
        for (place, (_, share)) in self.0.iter().enumerate() {
            match left.checked_sub(u64::from(*share)) {
                Some(rest) => left = rest,
                None => return place,
            }
        }
        self.main()
    }
}

/// Where a text falls among so many places that are equally likely.
pub fn point(text: &str, places: u64) -> u64 {
    let hash = ObjectId::of_blob(text.as_bytes());
    let number = u64::from_str_radix(&hash.as_str()[..15], 16).expect("a hash is hexadecimal");
    number % places
}

impl FromStr for Traffic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(',').map(share).collect();
        if parts.iter().all(Option::is_none) {
            return text.parse().map(Self::all);
        }
        let parts = parts.into_iter().map(|part| {
            let (what, share) = part.ok_or_else(|| {
                format!("`{text}` has shares for some targets only; write WHAT=SHARE,WHAT=SHARE")
            })?;
            Ok((what.parse()?, share))
        });
        let parts = parts.collect::<Result<Vec<(What, u32)>, String>>()?;
        if parts.iter().all(|(_, share)| *share == 0) {
            return Err(format!("`{text}`: one share at least has to be above 0"));
        }
        Ok(Self(parts))
    }
}

/// `WHAT=SHARE`; a range such as `>=1` is none.
fn share(text: &str) -> Option<(&str, u32)> {
    let (what, share) = text.rsplit_once('=')?;
    let is_range = what.is_empty() || what.ends_with(['<', '>', '=']);
    share.parse().ok().filter(|_| !is_range).map(|share| (what, share))
}

impl fmt::Display for Traffic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [(what, _)] => what.fmt(formatter),
            parts => {
                let parts: Vec<_> =
                    parts.iter().map(|(what, share)| format!("{what}={share}")).collect();
                formatter.write_str(&parts.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_ranges_are_none() {
        for (text, shown) in [
            ("active", "active"),
            ("=1.2.3", "=1.2.3"),
            (">=1", ">=1"),
            ("active=90,staging=10", "active=90,staging=10"),
            ("^1.2=3,v2.0.0=1", "^1.2=3,v2.0.0=1"),
        ] {
            assert_eq!(text.parse::<Traffic>().unwrap().to_string(), shown);
        }
        for wrong in ["", "active=90,staging", "active=0,staging=0"] {
            assert!(wrong.parse::<Traffic>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn traffic_is_split_by_share_and_conversations_are_sticky() {
        let traffic: Traffic = "staging=10,active=90".parse().unwrap();
        assert_eq!(traffic.main(), 1);
        let ids: Vec<_> = (0..5000).map(|number| format!("c-{number}")).collect();
        let staging = ids.iter().filter(|id| traffic.pick(id) == 0).count();
        assert!((400..600).contains(&staging), "{staging}");
        assert!(
            ids.iter().all(|id| traffic.pick(id)
                == "staging=10,active=90".parse::<Traffic>().unwrap().pick(id))
        );
        assert_eq!("active=1,staging=0".parse::<Traffic>().unwrap().pick("x"), 0);
    }
}
