//! The conversations of a canary as they are on record: a fold over spans and events, in any order
//! and any split. A conversation is taken into the comparison once, when it is over, and in the
//! order in which conversations began: that order depends on no arm, where the order in which they
//! are over would have the shorter ones of an arm first.

use super::{Arm, Canary, Measure};
use crate::protocol::conventions as names;
use crate::protocol::kpi;
use crate::protocol::otlp::{Event, Span};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const NANOSECONDS: u64 = 1_000_000_000;
/// A conversation that goes on for longer is compared by what happened until then, so that those
/// that began after it do not wait for its end.
const LONGEST: u64 = 6 * 3_600 * NANOSECONDS;

/// What is on record of the conversations of one canary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub canary: String,
    conversations: BTreeMap<String, Course>,
}

/// What happened in a conversation; times are nanoseconds since 1970, UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Course {
    /// When each call ended, and whether it failed.
    calls: Vec<(u64, bool)>,
    rewards: Vec<(u64, f64)>,
}

/// A conversation that is over, as it is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    pub conversation: String,
    pub arm: Arm,
    /// The share of its calls without an error.
    pub success: f64,
    /// The mean of its rewards on [0, 1], where it has any.
    pub reward: Option<f64>,
}

impl Observed {
    pub fn of(canary: &Canary) -> Self {
        Self { canary: canary.id.clone(), conversations: BTreeMap::new() }
    }

    pub fn take_span(&mut self, span: &Span) {
        if span.text(names::CANARY) != Some(&self.canary) || !kpi::is_call(span) {
            return;
        }
        if let Some(conversation) = span.text(names::CANARY_CONVERSATION) {
            self.course(conversation).calls.push((span.ended, span.failed));
        }
    }

    /// A reward of any conversation since the start: which arm it belongs to is on the spans of its
    /// calls.
    pub fn take_event(&mut self, event: &Event, since: u64) {
        let conversation = event.text(names::CONVERSATION).filter(|_| event.at >= since);
        if let (Some(conversation), Some(reward)) = (conversation, kpi::reward(event)) {
            self.course(conversation).rewards.push((event.at, reward));
        }
    }

    fn course(&mut self, conversation: &str) -> &mut Course {
        self.conversations.entry(conversation.to_owned()).or_default()
    }

    /// Conversations that were not taken before, in the order in which they began, up to the first
    /// one that goes on.
    pub fn over(&self, canary: &Canary, now: u64, before: &BTreeSet<&str>) -> Vec<Taken> {
        let mut waiting: Vec<_> = self
            .conversations
            .iter()
            .filter(|(id, _)| !before.contains(id.as_str()))
            .filter_map(|(id, course)| Some((course.began()?, id, course)))
            .collect();
        waiting.sort_by_key(|(began, id, _)| (*began, *id));
        let idle = canary.design.idle_s * NANOSECONDS;
        let over = waiting.into_iter().map_while(|(began, id, course)| {
            Some(course.taken(id, canary, course.end(began, idle, now)?))
        });
        over.collect()
    }
}

impl Course {
    /// The end of its first call; a conversation that was only rewarded has not begun.
    fn began(&self) -> Option<u64> {
        self.calls.iter().map(|(at, _)| *at).min()
    }

    /// The last thing that happened before the first pause of this length; `None` while the
    /// conversation goes on.
    fn end(&self, began: u64, idle: u64, now: u64) -> Option<u64> {
        let calls = self.calls.iter().map(|(at, _)| *at);
        let mut times: Vec<_> = calls.chain(self.rewards.iter().map(|(at, _)| *at)).collect();
        times.sort_unstable();
        times.retain(|at| (began..=began.saturating_add(LONGEST)).contains(at));
        let goes_on = |pair: &&[u64]| pair[1] - pair[0] <= idle;
        let steps = times.windows(2).take_while(goes_on).count();
        let last = times[steps];
        let over = last.saturating_add(idle).min(began.saturating_add(LONGEST));
        (over < now).then_some(last)
    }

    fn taken(&self, id: &str, canary: &Canary, end: u64) -> Taken {
        let calls: Vec<_> = self.calls.iter().filter(|(at, _)| *at <= end).collect();
        let failed = calls.iter().filter(|(_, failed)| *failed).count();
        let rewards: Vec<_> = self
            .rewards
            .iter()
            .filter(|(at, _)| *at <= end)
            .filter_map(|(_, reward)| canary.design.measure.scaled(*reward))
            .collect();
        let count = rewards.len() as f64;
        Taken {
            conversation: id.to_owned(),
            arm: canary.arm(id),
            success: 1.0 - failed as f64 / calls.len() as f64,
            reward: (!rewards.is_empty()).then(|| rewards.iter().sum::<f64>() / count),
        }
    }
}

impl Taken {
    /// The value by which the arms are compared; `None` where the conversation has none.
    pub const fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Success => Some(self.success),
            Measure::Reward { .. } => self.reward,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::judge::Judge;
    use crate::canary::tests::canary;
    use crate::protocol::otlp::Kind;
    use proptest::prelude::*;
    use serde_json::json;

    const REWARD: Measure = Measure::Reward { low: 0.0, high: 1.0 };
    const START: u64 = 1_800_000_000;

    /// A call or a reward of a conversation, at a second after the start.
    #[derive(Debug, Clone, Copy)]
    enum Happened {
        Call { failed: bool },
        Reward(f64),
    }

    fn take(observed: &mut Observed, id: u8, second: u64, happened: Happened) {
        let at = (START + second) * NANOSECONDS;
        let id = format!("c-{id}");
        match happened {
            Happened::Call { failed } => observed.take_span(&Span {
                trace: String::new(),
                id: String::new(),
                parent: None,
                name: "tools/call ask".to_owned(),
                kind: Kind::Client,
                began: at,
                ended: at,
                attributes: [
                    (names::METHOD.to_owned(), json!(names::TOOLS_CALL)),
                    (names::ROLE.to_owned(), json!(names::RUNNER)),
                    (names::CANARY.to_owned(), json!("canary-1")),
                    (names::CANARY_CONVERSATION.to_owned(), json!(id)),
                ]
                .into(),
                failed,
                message: String::new(),
                links: Vec::new(),
            }),
            Happened::Reward(reward) => {
                let event = Event {
                    trace: None,
                    span: None,
                    at,
                    name: names::EVALUATION.to_owned(),
                    attributes: [
                        (names::CONVERSATION.to_owned(), json!(id)),
                        (names::SIGNAL.to_owned(), json!("s-1")),
                        (names::SCORE.to_owned(), json!(reward)),
                    ]
                    .into(),
                };
                observed.take_event(&event, START * NANOSECONDS);
            }
        }
    }

    fn over(observed: &Observed, second: u64, before: &[Taken]) -> Vec<Taken> {
        let before = before.iter().map(|taken| taken.conversation.as_str()).collect();
        observed.over(&canary(REWARD), (START + second) * NANOSECONDS, &before)
    }

    #[test]
    fn a_conversation_is_taken_once_when_it_is_over() {
        let mut observed = Observed::of(&canary(REWARD));
        take(&mut observed, 1, 0, Happened::Reward(0.0));
        take(&mut observed, 1, 10, Happened::Call { failed: true });
        take(&mut observed, 1, 20, Happened::Call { failed: false });
        take(&mut observed, 1, 500, Happened::Reward(0.5));
        take(&mut observed, 2, 30, Happened::Reward(1.0));
        assert_eq!(over(&observed, 1_100, &[]), [], "it goes on for idle seconds");
        let taken = over(&observed, 1_101, &[]);
        let [one] = &taken[..] else { panic!("one has a call: {taken:?}") };
        assert_eq!((one.success, one.reward), (0.5, Some(0.25)));
        // a reward after that neither counts nor takes it again
        take(&mut observed, 1, 5_000, Happened::Reward(1.0));
        assert_eq!(over(&observed, 9_000, &taken), []);
        assert_eq!(over(&observed, 9_000, &[]), taken, "nor where nothing was taken yet");
    }

    #[test]
    fn conversations_are_taken_in_the_order_in_which_they_began() {
        let mut observed = Observed::of(&canary(REWARD));
        for second in (0..30_000).step_by(300) {
            take(&mut observed, 1, second, Happened::Call { failed: second > 25_000 });
        }
        take(&mut observed, 2, 10, Happened::Call { failed: false });
        assert_eq!(over(&observed, 20_000, &[]), [], "the first one goes on");
        let taken = over(&observed, 22_000, &[]);
        let ids: Vec<_> = taken.iter().map(|taken| taken.conversation.as_str()).collect();
        assert_eq!(ids, ["c-1", "c-2"]);
        assert!(taken[0].success > 0.99, "by its first six hours: {taken:?}");
        assert_eq!(over(&observed, 40_000, &[]), taken);
    }

    #[test]
    fn calls_of_other_canaries_and_what_was_before_do_not_count() {
        let mut observed = Observed::of(&canary(REWARD));
        observed.canary = "canary-2".to_owned();
        take(&mut observed, 1, 10, Happened::Call { failed: true });
        assert_eq!(observed.conversations.len(), 0);
        let mut later = canary(REWARD);
        later.id = "canary-2".to_owned();
        assert!(observed.over(&later, u64::MAX, &BTreeSet::new()).is_empty());
    }

    fn history() -> impl Strategy<Value = Vec<(u8, u64, Happened)>> {
        let happened = prop_oneof![
            any::<bool>().prop_map(|failed| Happened::Call { failed }),
            (-1.0..2.0f64).prop_map(Happened::Reward),
        ];
        prop::collection::vec((0u8..40, 0u64..5_000, happened), 0..120)
    }

    proptest! {
        #[test]
        fn any_order_of_the_record_gives_the_same_conversations(
            history in history(), turned in 0usize..120,
        ) {
            let fold = |history: &[(u8, u64, Happened)]| {
                let mut observed = Observed::of(&canary(REWARD));
                for (id, second, happened) in history {
                    take(&mut observed, *id, *second, *happened);
                }
                over(&observed, 20_000, &[])
            };
            let mut other = history.clone();
            other.rotate_left(turned.min(history.len()));
            other.reverse();
            let (one, other) = (fold(&history), fold(&other));
            prop_assert_eq!(one.len(), other.len());
            for (one, other) in one.iter().zip(&other) {
                prop_assert_eq!(&one.conversation, &other.conversation);
                prop_assert!((one.success - other.success).abs() < 1e-9);
                let rewards = one.reward.zip(other.reward);
                prop_assert_eq!(one.reward.is_some(), other.reward.is_some());
                prop_assert!(rewards.is_none_or(|(one, other)| (one - other).abs() < 1e-9));
            }
        }

        #[test]
        fn looking_often_takes_each_conversation_once_and_in_one_order(
            history in history(), looks in prop::collection::vec(0u64..20_000, 0..8),
        ) {
            let mut observed = Observed::of(&canary(REWARD));
            for (id, second, happened) in &history {
                take(&mut observed, *id, *second, *happened);
            }
            let mut looks = looks;
            looks.sort_unstable();
            looks.push(20_000);
            let mut taken: Vec<Taken> = Vec::new();
            for second in looks {
                let more = over(&observed, second, &taken);
                // what is kept between looks is read back after a kill
                let kept = serde_json::to_string(&taken).unwrap();
                taken = serde_json::from_str(&kept).unwrap();
                taken.extend(more);
            }
            let at_once = over(&observed, 20_000, &[]);
            prop_assert_eq!(&taken, &at_once);
            let design = canary(REWARD).design;
            prop_assert_eq!(Judge::of(&design, &taken), Judge::of(&design, &at_once));
        }
    }
}
