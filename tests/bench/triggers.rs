//! How soon triggers fire, and how often without a reason: ten simulated days of 1,000,000 calls,
//! each with one planted incident, and 100 quiet days.
//!
//!     cargo bench -p agent-core --bench triggers [-- QUIET_DAYS [FILE]]
//!
//! Each call fails with 0.5 %; one in ten has a reward, 1 with 80 % and else 0. The same streams go
//! through plain thresholds and Page-Hinkley; with FILE they are written by minute, for
//! `tests/bench/triggers_adwin.py`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use agent_core::slo::series::{Count, Series};
use agent_core::slo::{self, DAY, HOUR, MINUTE, Objective};
use agent_core::statistics::bootstrap::SplitMix64;
use agent_core::trigger::drift::Served;
use agent_core::trigger::levels::{ByVersion, Levels, of_all_versions};
use agent_core::trigger::wave::Item;
use agent_core::trigger::{Assessment, Condition, Rule, State, parse};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const START: u64 = 1_800_000_000 / DAY * DAY;
const CALLS_A_MINUTE: u64 = 694;
/// The version that is served, the one before, and one that is pinned by some hosts.
const VERSIONS: [&str; 3] = ["0.2.0", "0.1.0", "0.1.1"];
/// Days before the incident's own.
const BEFORE: u64 = 2;
/// When incidents begin, in minutes of their day.
const NOON: u64 = 12 * 60;

fn main() {
    let arguments: Vec<_> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let quiet_days = arguments.first().map_or(100, |days| days.parse().expect("a number"));
    let mut dump = String::new();
    println!(
        "{:<18} {:<28} {:<24} {:<20} {:<20}",
        "incident", "fired first", "others", "threshold", "page-hinkley"
    );
    for incident in Incident::ALL {
        delays(incident, &mut dump);
    }
    quiet(quiet_days, &mut dump);
    if let Some(file) = arguments.get(1) {
        std::fs::write(file, dump).expect("the file is written");
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Incident {
    ErrorBurst,
    SlowCreep,
    RewardDrop,
    ModelChange,
    ComplaintWave,
    TrafficGap,
    ClockJump,
    LateBatch,
    LowTraffic,
    BadPromotion,
}

impl Incident {
    const ALL: [Self; 10] = [
        Self::ErrorBurst,
        Self::SlowCreep,
        Self::RewardDrop,
        Self::ModelChange,
        Self::ComplaintWave,
        Self::TrafficGap,
        Self::ClockJump,
        Self::LateBatch,
        Self::LowTraffic,
        Self::BadPromotion,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ErrorBurst => "error burst",
            Self::SlowCreep => "slow creep",
            Self::RewardDrop => "reward -5 points",
            Self::ModelChange => "model at midnight",
            Self::ComplaintWave => "complaint wave",
            Self::TrafficGap => "traffic gap",
            Self::ClockJump => "clock jump",
            Self::LateBatch => "late batch",
            Self::LowTraffic => "low traffic",
            Self::BadPromotion => "bad promotion",
        }
    }

    /// The minute of the last day at which it begins.
    const fn begins(self) -> u64 {
        match self {
            Self::ModelChange => 0,
            _ => NOON,
        }
    }

    /// At a minute since it began.
    fn traffic(self, since: u64) -> Traffic {
        let usual = Traffic::default();
        match self {
            Self::ErrorBurst if since < 20 => Traffic { failing: 0.2, ..usual },
            Self::SlowCreep => Traffic { failing: 0.005 + since as f64 / 720.0 * 0.025, ..usual },
            Self::RewardDrop => Traffic { rewarded: 0.75, ..usual },
            Self::ModelChange => Traffic { rewarded: 0.70, ..usual },
            Self::TrafficGap if since < 45 => Traffic { calls: 0, ..usual },
            Self::ClockJump if since < 10 => Traffic { ahead: 3 * HOUR, ..usual },
            Self::LateBatch if since < 30 => Traffic { failing: 0.2, late: 2 * HOUR, ..usual },
            Self::LowTraffic => Traffic { failing: 0.5, ..usual },
            Self::BadPromotion => Traffic { rewarded: 0.72, ..usual },
            _ => usual,
        }
    }

    /// Calls a minute; under low traffic one in three minutes.
    const fn calls(self, minute: u64) -> u64 {
        match self {
            Self::LowTraffic => minute.is_multiple_of(3) as u64,
            _ => CALLS_A_MINUTE,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Traffic {
    calls: u64,
    failing: f64,
    rewarded: f64,
    /// How far the clock of its events is ahead.
    ahead: u64,
    /// How much later they arrive.
    late: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { calls: 1, failing: 0.005, rewarded: 0.8, ahead: 0, late: 0 }
    }
}

/// What a minute came to.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    calls: u64,
    failed: u64,
    rewards: u64,
    good: u64,
}

impl Minute {
    fn draw(traffic: Traffic, calls: u64, random: &mut SplitMix64) -> Self {
        let mut drawn = Self::default();
        for call in 0..calls * traffic.calls {
            drawn.calls += 1;
            drawn.failed += u64::from(random.unit() < traffic.failing);
            if call % 10 == 0 {
                drawn.rewards += 1;
                drawn.good += u64::from(random.unit() < traffic.rewarded);
            }
        }
        drawn
    }
}

/// What rules read.
#[derive(Default)]
struct Record {
    objective: Series,
    calls: ByVersion,
    rewards: ByVersion,
    feedback: Vec<Item>,
}

fn times(value: f64, count: u64) -> Levels {
    let mut levels = Levels::default();
    (0..count).for_each(|_| levels += Levels::one(value));
    levels
}

impl Record {
    fn take(&mut self, version: &str, at: u64, minute: Minute) {
        let Minute { calls, failed, rewards, good } = minute;
        if calls == 0 {
            return;
        }
        self.objective.add(at, Count { good: calls - failed, total: calls });
        let series = self.calls.entry(version.to_owned()).or_default();
        series.add(at, times(1.0, calls - failed));
        series.add(at, times(0.0, failed));
        let series = self.rewards.entry(version.to_owned()).or_default();
        series.add(at, times(1.0, good));
        series.add(at, times(0.0, rewards - good));
    }

    fn compact(&mut self, now: u64) {
        self.objective.compact(now);
        for series in self.calls.values_mut().chain(self.rewards.values_mut()) {
            series.compact(now);
        }
    }
}

struct Rules {
    objectives: Vec<Objective>,
    rules: Vec<Rule>,
}

impl Rules {
    fn read() -> Self {
        let slos = vec![json!({"name": "calls-succeed", "indicator": {"type": "success"},
            "target": 0.98, "window": "28d"})];
        let objectives = slo::parse(slos, "slos").expect("objectives");
        let rules = vec![
            json!({"name": "burn", "type": "burn", "objective": "calls-succeed"}),
            json!({"name": "errors", "type": "drift", "of": "success", "tolerance": 0.002}),
            json!({"name": "reward", "type": "drift", "of": "reward", "tolerance": 0.01}),
            json!({"name": "before", "type": "drift", "of": "reward",
                "against": "previous-version", "tolerance": 0.01}),
            json!({"name": "feedback", "type": "feedback", "window": "1h", "alike": 0.5}),
            json!({"name": "traffic", "type": "traffic", "window": "15m"}),
        ];
        let rules = parse::rules(rules, &objectives, "triggers").expect("rules");
        Self { objectives, rules }
    }

    /// `is_young`: the served version was made today.
    fn assess(&self, rule: &Rule, record: &Record, now: u64) -> Assessment {
        let held = (rule.held_s, rule.clear_s);
        let served = Served {
            version: VERSIONS[0].to_owned(),
            previous: Some(VERSIONS[1].to_owned()),
            fired_for: None,
            since: 0,
        };
        match &rule.condition {
            Condition::Burn(burn) => burn.assess(&self.objectives[0], &record.objective, held, now),
            Condition::Drift(drift) => {
                let counts = if rule.name == "errors" { &record.calls } else { &record.rewards };
                drift.assess(counts, &served, held, now)
            }
            Condition::Feedback(wave) => wave.assess(&record.feedback, rule.held_s, now),
            Condition::Traffic(traffic) => {
                traffic.assess(&of_all_versions(&record.calls), held, now)
            }
            Condition::Evaluation(_) => unreachable!("there is no rule of this type here"),
        }
    }
}

/// Plain rules of five minutes and an hour, as alerts are often written: more than 5 % errors in
/// five minutes of at least 50 calls; a mean reward of an hour below 0.77.
#[derive(Default)]
struct Threshold {
    minutes: Vec<Minute>,
}

impl Threshold {
    fn take(&mut self, minute: Minute) -> bool {
        self.minutes.push(minute);
        let sum = |of: fn(&Minute) -> u64, minutes: usize| -> u64 {
            self.minutes.iter().rev().take(minutes).map(of).sum()
        };
        let (failed, calls) = (sum(|it| it.failed, 5), sum(|it| it.calls, 5));
        let (good, rewards) = (sum(|it| it.good, 60), sum(|it| it.rewards, 60));
        (calls >= 50 && failed as f64 > 0.05 * calls as f64)
            || (rewards >= 50 && (good as f64) < 0.77 * rewards as f64)
    }
}

/// Page-Hinkley over single events, as the literature sets it: slack 0.005, threshold 50; the mean
/// is the running one.
#[derive(Default)]
struct PageHinkley {
    errors: RunningTest,
    rewards: RunningTest,
}

#[derive(Default)]
struct RunningTest {
    count: f64,
    mean: f64,
    sum: f64,
    least: f64,
}

impl RunningTest {
    /// `bad` events among `count`, one after another.
    fn take(&mut self, bad: u64, count: u64) -> bool {
        let mut alarms = false;
        for number in 0..count {
            let value = f64::from(u8::from(number < bad));
            self.count += 1.0;
            self.mean += (value - self.mean) / self.count;
            self.sum += value - self.mean - 0.005;
            self.least = self.least.min(self.sum);
            alarms |= self.sum - self.least > 50.0;
        }
        if alarms {
            *self = Self::default();
        }
        alarms
    }
}

impl PageHinkley {
    fn take(&mut self, minute: Minute) -> bool {
        let errors = self.errors.take(minute.failed, minute.calls);
        self.rewards.take(minute.rewards - minute.good, minute.rewards) | errors
    }
}

fn shown(minutes: Option<u64>) -> String {
    minutes.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes} min"))
}

fn row(dump: &mut String, name: &str, minute: u64, it: Minute) {
    let Minute { calls, failed, rewards, good } = it;
    let _ = writeln!(dump, "{name},{minute},{calls},{failed},{rewards},{good}");
}

fn delays(incident: Incident, dump: &mut String) {
    let rules = Rules::read();
    let mut random = SplitMix64::new(incident as u64 + 1);
    let mut record = Record::default();
    let (mut threshold, mut hinkley) = (Threshold::default(), PageHinkley::default());
    let mut plain: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
    let mut early: Vec<&str> = Vec::new();
    let mut arriving: Vec<(u64, u64, Minute)> = Vec::new();
    let begins = BEFORE * 24 * 60 + incident.begins();
    for minute in 0..(BEFORE + 1) * 24 * 60 {
        let now = START + minute * MINUTE;
        let has_begun = minute >= begins;
        let traffic =
            if has_begun { incident.traffic(minute - begins) } else { Traffic::default() };
        let drawn = Minute::draw(traffic, incident.calls(minute), &mut random);
        // a bad promotion is a new version; until then the one before served all
        let version = match incident {
            Incident::BadPromotion if !has_begun => VERSIONS[1],
            _ => VERSIONS[0],
        };
        arriving.push((now + traffic.late, now + traffic.ahead, drawn));
        arriving.retain(|(arrives, at, drawn)| {
            if *arrives <= now {
                record.take(version, *at, *drawn);
            }
            *arrives > now
        });
        if minute < BEFORE * 24 * 60 && version == VERSIONS[0] {
            let few = Minute::draw(Traffic::default(), incident.calls(minute) / 10, &mut random);
            record.take(VERSIONS[1], now, few);
            record.take(VERSIONS[2], now, few);
        }
        if incident == Incident::ComplaintWave && has_begun && (minute - begins).is_multiple_of(5) {
            record.feedback.push(Item {
                id: format!("f-{minute}"),
                text: format!("search finds no plurals, as in {minute}"),
                at: now,
            });
        } else if minute.is_multiple_of(180) {
            record.feedback.push(Item {
                id: format!("f-{minute}"),
                text: format!("{minute} could be better"),
                at: now,
            });
        }
        row(dump, incident.name(), minute, drawn);
        for (name, alarms) in
            [("threshold", threshold.take(drawn)), ("hinkley", hinkley.take(drawn))]
        {
            if alarms && has_begun {
                plain.entry(name).or_insert(Some(minute - begins));
            }
        }
        if minute + 60 < begins && !minute.is_multiple_of(10) {
            continue;
        }
        for rule in &rules.rules {
            let State::Alarm { .. } = rules.assess(rule, &record, now + 59).state else { continue };
            if has_begun {
                fired.entry(&rule.name).or_insert(minute - begins);
            } else if !early.contains(&rule.name.as_str()) {
                early.push(&rule.name);
            }
        }
    }
    let mut order: Vec<_> = fired.iter().filter(|(name, _)| !early.contains(name)).collect();
    order.sort_by_key(|(_, delay)| **delay);
    let first =
        order.first().map_or_else(|| "-".to_owned(), |(name, delay)| format!("{name} {delay} min"));
    let others: Vec<_> =
        order.iter().skip(1).map(|(name, delay)| format!("{name} {delay}")).collect();
    let plain = |name| shown(plain.get(name).copied().flatten());
    println!(
        "{:<18} {first:<28} {:<24} {:<20} {:<20}{}",
        incident.name(),
        others.join(", "),
        plain("threshold"),
        plain("hinkley"),
        if early.is_empty() { String::new() } else { format!(" before it began: {early:?}") }
    );
}

fn quiet(days: u64, dump: &mut String) {
    let rules = Rules::read();
    let mut random = SplitMix64::new(99);
    let mut record = Record::default();
    let (mut threshold, mut hinkley) = (Threshold::default(), PageHinkley::default());
    let mut alarms: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut was_high, mut longest) = (false, std::time::Duration::ZERO);
    for minute in 0..days * 24 * 60 {
        let now = START + minute * MINUTE;
        let drawn = Minute::draw(Traffic::default(), CALLS_A_MINUTE, &mut random);
        record.take(VERSIONS[0], now, drawn);
        if minute < 24 * 60 {
            record.take(VERSIONS[1], now, drawn);
        }
        row(dump, "quiet", minute, drawn);
        let high = threshold.take(drawn);
        *alarms.entry("threshold").or_default() += u64::from(high && !was_high);
        was_high = high;
        *alarms.entry("page-hinkley").or_default() += u64::from(hinkley.take(drawn));
        let is_midnight = minute % (24 * 60) == 24 * 60 - 1;
        if is_midnight {
            record.compact(now);
        }
        for rule in &rules.rules {
            // an e-detector's alarm stays in its history, so that one look a day sees each
            let looks = match rule.condition {
                Condition::Drift(_) => is_midnight,
                _ => minute % 5 == 4,
            };
            if !looks {
                continue;
            }
            let began = std::time::Instant::now();
            let assessment = rules.assess(rule, &record, now + 59);
            longest = longest.max(began.elapsed());
            if let State::Alarm { .. } = assessment.state {
                *alarms.entry(&rule.name).or_default() += 1;
            }
        }
    }
    println!(
        "\n{days} quiet days of 1,000,000 calls: alarms {alarms:?}; looks with a burn, feedback or \
        traffic alarm each count"
    );
    println!(
        "the longest assessment of a rule over them took {:.1} ms",
        longest.as_secs_f64() * 1e3
    );
}
