//! The rules under `triggers` in `ci/budgets.json`; every mistake is named with its place.

use super::{
    Action, Against, Burn, Condition, Drift, Evaluation, Measure, Pair, Rule, Test, Traffic, Wave,
};
use crate::formats::document::{DocumentError, Fields, kind};
use crate::formats::manifest::Tier;
use crate::formats::suggestion::did_you_mean;
use crate::slo::{self, DAY, MINUTE, Objective, Window};
use crate::statistics::change::Form;
use serde_json::Value;
use std::collections::BTreeSet;

const COMMON: [&str; 6] = ["name", "type", "for", "clear_for", "cool_down", "actions"];

/// The types, each with its own keys.
const TYPES: [(&str, &[&str]); 5] = [
    ("burn", &["objective", "windows", "min_events", "synthetic_per_hour"]),
    (
        "drift",
        &[
            "of",
            "range",
            "filter",
            "against",
            "test",
            "reference",
            "tolerance",
            "false_alarm_every",
            "threshold",
        ],
    ),
    ("feedback", &["window", "at_least", "times_usual", "alike"]),
    ("traffic", &["filter", "window", "below_usual", "min_events"]),
    ("evaluation", &["tier", "every"]),
];

/// The alerts of Google's SRE workbook, chapter 5, table 5-8 (2018).
const PAIRS: [(&str, &str, f64); 3] = [("1h", "5m", 14.4), ("6h", "30m", 6.0), ("3d", "6h", 1.0)];

/// The rules of the list; `place` names it in errors, and `objectives` are those of the same file.
pub fn rules(
    list: Vec<Value>,
    objectives: &[Objective],
    place: &str,
) -> Result<Vec<Rule>, DocumentError> {
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (number, value) in list.into_iter().enumerate() {
        let place = format!("{place}[{number}]");
        let rule = rule(value, objectives, &place)?;
        if !names.insert(rule.name.clone()) {
            return Err(DocumentError::new(
                place,
                format!("a second trigger has the name \"{}\"", rule.name),
                "give each trigger a name of its own",
            ));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(value: Value, objectives: &[Objective], place: &str) -> Result<Rule, DocumentError> {
    let (type_name, own) = type_of(&value, place)?;
    let keys: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    let mut fields = Fields::new(value, place, &format!("a trigger of type {type_name}"), &keys)?;
    fields.take("type");
    let name = slo::name(&mut fields, "errors-burn")?;
    let condition = match type_name {
        "burn" => Condition::Burn(burn(&mut fields, objectives, place)?),
        "drift" => Condition::Drift(drift(&mut fields, place)?),
        "feedback" => Condition::Feedback(wave(&mut fields)?),
        "traffic" => Condition::Traffic(traffic(&mut fields, place)?),
        _ => Condition::Evaluation(evaluation(&mut fields)?),
    };
    Ok(Rule {
        name,
        condition,
        held_s: up_to_a_day(&mut fields, "for", 0)?,
        clear_s: up_to_a_day(&mut fields, "clear_for", 10 * MINUTE)?,
        cool_down_s: duration(&mut fields, "cool_down", 60 * MINUTE)?,
        actions: actions(&mut fields, place)?,
    })
}

fn type_of(
    value: &Value,
    place: &str,
) -> Result<(&'static str, &'static [&'static str]), DocumentError> {
    let known = TYPES.map(|(name, _)| name);
    let error = |problem: String| {
        DocumentError::new(place, problem, format!("make \"type\" one of {}", known.join(", ")))
    };
    if !value.is_object() {
        return Err(DocumentError::new(
            place,
            format!("a trigger is {}, not an object", kind(value)),
            "write it as {\"name\": ..., \"type\": ..., ...}",
        ));
    }
    match value.get("type") {
        None => Err(error("\"type\" is missing".to_owned())),
        Some(Value::String(name)) => TYPES
            .into_iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| error(format!("\"type\" is \"{name}\"{}", did_you_mean(name, known)))),
        Some(other) => Err(error(format!("\"type\" is {}, not a text", kind(other)))),
    }
}

fn burn(fields: &mut Fields, objectives: &[Objective], place: &str) -> Result<Burn, DocumentError> {
    let known = || objectives.iter().map(|objective| objective.name.as_str());
    let Some(objective) = fields.text("objective")? else {
        return Err(fields.missing("objective", "name one of the objectives under \"slos\""));
    };
    if !known().any(|name| name == objective) {
        let names = known().collect::<Vec<_>>().join(", ");
        return Err(fields.error(
            format!("\"objective\" is \"{objective}\"{}", did_you_mean(&objective, known())),
            if names.is_empty() {
                "add an objective of that name under \"slos\"".to_owned()
            } else {
                format!("name one of the objectives under \"slos\": {names}")
            },
        ));
    }
    Ok(Burn {
        objective,
        pairs: pairs(fields, place)?,
        min_events: fields.count("min_events", 1..=u32::MAX)?.unwrap_or(10).into(),
        synthetic_per_hour: at_least_zero(fields, "synthetic_per_hour")?.unwrap_or(0.0),
    })
}

fn pairs(fields: &mut Fields, place: &str) -> Result<Vec<Pair>, DocumentError> {
    let Some(list) = fields.list("windows")? else {
        let window = |text| Window::parse(text).expect("a window of the workbook");
        let pair = |(long, short, rate)| Pair { long: window(long), short: window(short), rate };
        return Ok(PAIRS.map(pair).to_vec());
    };
    if list.is_empty() {
        return Err(
            fields.error("\"windows\" is empty", "leave it out for those of the SRE workbook")
        );
    }
    list.into_iter()
        .enumerate()
        .map(|(number, value)| pair(value, &format!("{place}.windows[{number}]")))
        .collect()
}

fn pair(value: Value, place: &str) -> Result<Pair, DocumentError> {
    let mut fields = Fields::new(value, place, "a pair of windows", &["long", "short", "rate"])?;
    let long = window(&mut fields, "long", "1h")?;
    let short = window(&mut fields, "short", "5m")?;
    if short > long {
        return Err(fields.error(
            format!("\"short\" is {short} and \"long\" is {long}"),
            "make the short window the shorter one",
        ));
    }
    match fields.number("rate")? {
        Some(rate) if rate > 0.0 => Ok(Pair { long, short, rate }),
        Some(rate) => {
            Err(fields.error(format!("\"rate\" is {rate}"), "make \"rate\" a number above 0"))
        }
        None => Err(fields.missing("rate", "add the burn rate, such as \"rate\": 14.4")),
    }
}

fn window(fields: &mut Fields, key: &str, example: &str) -> Result<Window, DocumentError> {
    let Some(text) = fields.text(key)? else {
        return Err(fields.missing(key, &format!("add one, such as \"{key}\": \"{example}\"")));
    };
    Window::parse(&text).ok_or_else(|| not_a_window(fields, key, &text))
}

fn not_a_window(fields: &Fields, key: &str, text: &str) -> DocumentError {
    fields.error(
        format!("\"{key}\" is \"{text}\""),
        format!("make \"{key}\" a number and one of m, h, d, w, 90d at most, such as \"1h\""),
    )
}

fn duration(fields: &mut Fields, key: &str, default: u64) -> Result<u64, DocumentError> {
    match fields.text(key)? {
        None => Ok(default),
        Some(text) if text == "0m" => Ok(0),
        Some(text) => {
            Ok(Window::parse(&text).ok_or_else(|| not_a_window(fields, key, &text))?.seconds)
        }
    }
}

/// Conditions are looked at minute by minute for a day back.
fn up_to_a_day(fields: &mut Fields, key: &str, default: u64) -> Result<u64, DocumentError> {
    match duration(fields, key, default)? {
        long if long > DAY => Err(fields.error(
            format!("\"{key}\" is longer than a day"),
            format!("make \"{key}\" 1d at most"),
        )),
        seconds => Ok(seconds),
    }
}

fn at_least_zero(fields: &mut Fields, key: &str) -> Result<Option<f64>, DocumentError> {
    match fields.number(key)? {
        Some(number) if number < 0.0 => {
            Err(fields.error(format!("\"{key}\" is {number}"), format!("make \"{key}\" 0 or more")))
        }
        number => Ok(number),
    }
}

/// One of these texts.
fn one_of<T: Copy>(
    fields: &mut Fields,
    key: &str,
    known: &[(&str, T)],
) -> Result<Option<T>, DocumentError> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    let names = || known.iter().map(|(name, _)| *name);
    match known.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(fields.error(
            format!("\"{key}\" is \"{text}\"{}", did_you_mean(&text, names())),
            format!("make \"{key}\" one of {}", names().collect::<Vec<_>>().join(", ")),
        )),
    }
}

fn drift(fields: &mut Fields, place: &str) -> Result<Drift, DocumentError> {
    let range = range(fields)?;
    let is_reward = one_of(fields, "of", &[("reward", true), ("success", false)])?
        .ok_or_else(|| fields.missing("of", "make it \"reward\" or \"success\""))?;
    let measure = match (is_reward, range) {
        (true, range) => {
            let (low, high) = range.unwrap_or((0.0, 1.0));
            Measure::Reward { low, high }
        }
        (false, None) => Measure::Success,
        (false, Some(_)) => {
            return Err(fields.error(
                "\"range\" is of rewards, and \"of\" is \"success\"",
                "leave \"range\" out",
            ));
        }
    };
    let filter = fields.take("filter");
    let against = [("own-past", Against::OwnPast), ("previous-version", Against::PreviousVersion)];
    Ok(Drift {
        measure,
        filter: slo::filter(filter, place)?,
        against: one_of(fields, "against", &against)?.unwrap_or(Against::OwnPast),
        test: test(fields)?,
        reference: fields.count("reference", 20..=1_000_000)?.unwrap_or(2_000).into(),
        tolerance: at_least_zero(fields, "tolerance")?.unwrap_or(0.0),
    })
}

fn range(fields: &mut Fields) -> Result<Option<(f64, f64)>, DocumentError> {
    let Some(list) = fields.list("range")? else { return Ok(None) };
    let numbers: Vec<_> = list.iter().filter_map(Value::as_f64).collect();
    match numbers[..] {
        [low, high] if low < high && (high - low).is_finite() && list.len() == 2 => {
            Ok(Some((low, high)))
        }
        _ => Err(fields.error(
            "\"range\" is not a lowest and a highest value",
            "write both as numbers, such as \"range\": [-1, 1]",
        )),
    }
}

/// Which test it is, and the bound that only one of them has.
fn test(fields: &mut Fields) -> Result<Test, DocumentError> {
    let known = [
        ("e-sr", Some(Form::ShiryaevRoberts)),
        ("e-cusum", Some(Form::Cusum)),
        ("page-hinkley", None),
    ];
    let form = one_of(fields, "test", &known)?.unwrap_or(Some(Form::ShiryaevRoberts));
    let every = fields.text("false_alarm_every")?;
    let threshold = fields.number("threshold")?;
    match (form, every, threshold) {
        (Some(_), _, Some(_)) => Err(fields.error(
            "\"threshold\" is of the test page-hinkley",
            "set \"false_alarm_every\", such as \"30d\", or \"test\": \"page-hinkley\"",
        )),
        (Some(form), every, None) => {
            let every = every.as_deref().unwrap_or("30d");
            let window = Window::parse(every)
                .ok_or_else(|| not_a_window(fields, "false_alarm_every", every))?;
            Ok(Test::EDetector { form, false_alarm_minutes: window.seconds / MINUTE })
        }
        (None, Some(_), _) => Err(fields.error(
            "the test page-hinkley guarantees no rate of false alarms",
            "leave \"false_alarm_every\" out, or choose \"test\": \"e-sr\"",
        )),
        (None, None, Some(threshold)) if threshold <= 0.0 => Err(fields.error(
            format!("\"threshold\" is {threshold}"),
            "make \"threshold\" a number above 0: a sum of falls, in units of the measure",
        )),
        (None, None, threshold) => Ok(Test::PageHinkley { threshold: threshold.unwrap_or(50.0) }),
    }
}

fn wave(fields: &mut Fields) -> Result<Wave, DocumentError> {
    Ok(Wave {
        window: window(fields, "window", "1d")?,
        at_least: fields.count("at_least", 2..=10_000)?.unwrap_or(5) as usize,
        times_usual: at_least_zero(fields, "times_usual")?.unwrap_or(3.0),
        alike: fields.share("alike")?,
    })
}

/// A window of at most a day: the reference is the same hours of other days, which must not overlap
/// it.
fn window_of_a_day(fields: &mut Fields) -> Result<Window, DocumentError> {
    let window = window(fields, "window", "15m")?;
    if window.seconds > DAY {
        return Err(fields.error(
            format!("\"window\" is {window}, longer than a day"),
            "make \"window\" 1d at most: it is compared with the same hours of the days before",
        ));
    }
    Ok(window)
}

fn traffic(fields: &mut Fields, place: &str) -> Result<Traffic, DocumentError> {
    let filter = fields.take("filter");
    Ok(Traffic {
        filter: slo::filter(filter, place)?,
        window: window_of_a_day(fields)?,
        below_usual: fields.share("below_usual")?.unwrap_or(0.1),
        min_events: fields.count("min_events", 1..=u32::MAX)?.unwrap_or(20).into(),
    })
}

fn evaluation(fields: &mut Fields) -> Result<Evaluation, DocumentError> {
    let known = Tier::ALL.map(|tier| (tier.as_str(), tier));
    Ok(Evaluation {
        tier: one_of(fields, "tier", &known)?.unwrap_or(Tier::Full),
        every_s: duration(fields, "every", DAY)?,
    })
}

fn actions(fields: &mut Fields, place: &str) -> Result<Vec<Action>, DocumentError> {
    let list = fields.list("actions")?.unwrap_or_default();
    list.into_iter()
        .enumerate()
        .map(|(number, value)| action(value, &format!("{place}.actions[{number}]")))
        .collect()
}

fn action(value: Value, place: &str) -> Result<Action, DocumentError> {
    const MEND: &str = "make it \"wake\", \"rollback\", \"freeze\", or {\"notify\": {\"command\": \
        [...]}} or {\"notify\": {\"url\": \"https://...\"}}";
    let known =
        [("wake", Action::Wake), ("rollback", Action::Rollback), ("freeze", Action::Freeze)];
    match value {
        Value::String(name) => {
            let names = known.each_ref().map(|(name, _)| *name);
            let found = known.into_iter().find(|(known, _)| *known == name);
            found.map(|(_, action)| action).ok_or_else(|| {
                let problem = format!("the action is \"{name}\"{}", did_you_mean(&name, names));
                DocumentError::new(place, problem, MEND)
            })
        }
        Value::Object(_) => notification(value, place),
        other => Err(DocumentError::new(place, format!("the action is {}", kind(&other)), MEND)),
    }
}

fn notification(value: Value, place: &str) -> Result<Action, DocumentError> {
    let mut fields = Fields::new(value, place, "an action", &["notify"])?;
    let notify = fields
        .take("notify")
        .ok_or_else(|| fields.missing("notify", "write {\"notify\": {\"command\": [...]}}"))?;
    let place = format!("{place}.notify");
    let mut fields = Fields::new(notify, &place, "a notification", &["command", "url"])?;
    match (fields.list("command")?, fields.text("url")?) {
        (Some(words), None) => command(&fields, &words),
        (None, Some(url)) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Action::Post(url))
        }
        (None, Some(url)) => {
            Err(fields.error(format!("\"url\" is \"{url}\""), "write a URL of http or https"))
        }
        _ => Err(fields.error(
            "a notification has a command or a URL, and not both",
            "write {\"command\": [\"program\", \"argument\"]} or {\"url\": \"https://...\"}",
        )),
    }
}

fn command(fields: &Fields, words: &[Value]) -> Result<Action, DocumentError> {
    let texts: Option<Vec<_>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    match texts {
        Some(words) if words.iter().any(|word| word.contains('\0')) => Err(fields.error(
            "\"command\" contains a NUL character, which no program can be given",
            "leave it out",
        )),
        Some(words) if words.first().is_some_and(|program| !program.is_empty()) => {
            Ok(Action::Command(words))
        }
        _ => Err(fields.error(
            "\"command\" is not a list of texts that begins with a program",
            "write it as [\"program\", \"argument\"]",
        )),
    }
}
