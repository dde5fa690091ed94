use super::drift::Served;
use super::firing::{Firing, Open, Past, Step, Why, step};
use super::levels::{ByVersion, Levels};
use super::wave::Item;
use super::*;
use crate::slo::series::{Count, Series};
use crate::slo::{DAY, HOUR, MINUTE, Objective};
use crate::statistics::bootstrap::SplitMix64;
use proptest::prelude::*;
use serde_json::json;

const NOW: u64 = 1_800_000_000;

fn objectives() -> Vec<Objective> {
    let slos = vec![json!({"name": "calls-succeed", "indicator": {"type": "success"},
        "target": 0.99, "window": "28d"})];
    crate::slo::parse(slos, "f: slos").unwrap()
}

fn read(value: Value) -> Result<Rule, String> {
    let read = parse::rules(vec![value], &objectives(), "ci/budgets.json: triggers");
    let mut rules = read.map_err(|error| {
        assert!(!error.hint.is_empty());
        error.to_string()
    })?;
    Ok(rules.remove(0))
}

fn rule(mut value: Value) -> Rule {
    value["name"] = json!("a");
    read(value).unwrap()
}

fn minimal() -> [Value; 5] {
    [
        json!({"name": "a", "type": "burn", "objective": "calls-succeed"}),
        json!({"name": "a", "type": "drift", "of": "reward"}),
        json!({"name": "a", "type": "feedback", "window": "1d"}),
        json!({"name": "a", "type": "traffic", "window": "15m"}),
        json!({"name": "a", "type": "evaluation"}),
    ]
}

#[test]
fn rules_of_every_type_have_defaults() {
    for value in minimal() {
        let rule = read(value.clone()).unwrap();
        assert_eq!(value["type"], rule.condition.type_name());
        assert_eq!((rule.held_s, rule.clear_s, rule.cool_down_s), (0, 600, 3600));
        assert!(rule.actions.is_empty());
        assert!(fits_the_schema(&value), "{value}");
    }
    let Condition::Burn(burn) = read(minimal()[0].clone()).unwrap().condition else { panic!() };
    let shown: Vec<_> = burn
        .pairs
        .iter()
        .map(|pair| format!("{} {} {}", pair.long, pair.short, pair.rate))
        .collect();
    assert_eq!(shown, ["1h 5m 14.4", "6h 30m 6", "3d 6h 1"]);
}

#[test]
fn a_mistake_in_a_rule_names_its_place() {
    let [burn, drift, feedback, traffic, evaluation] = minimal();
    let with = |base: &Value, key: &str, value: Value| {
        let mut wrong = base.clone();
        wrong[key] = value;
        read(wrong).unwrap_err()
    };
    for (base, key, value, message) in [
        (&burn, "type", json!("burns"), ": \"type\" is \"burns\" (did you mean \"burn\"?)"),
        (&burn, "type", json!(1), ": \"type\" is 1, not a text"),
        (&burn, "objective", json!("calls"), ": \"objective\" is \"calls\""),
        (&burn, "name", json!("A"), ": \"name\" is \"A\""),
        (&burn, "for", json!("1y"), ": \"for\" is \"1y\""),
        (&burn, "for", json!("25h"), ": \"for\" is longer than a day"),
        (&traffic, "window", json!("2d"), ": \"window\" is 2d, longer than a day"),
        (&burn, "windows", json!([]), ": \"windows\" is empty"),
        (
            &burn,
            "windows",
            json!([{"long": "5m", "short": "1h", "rate": 1}]),
            ".windows[0]: \"short\" is 1h and \"long\" is 5m",
        ),
        (
            &burn,
            "windows",
            json!([{"long": "1h", "short": "5m", "rate": 0}]),
            ".windows[0]: \"rate\" is 0",
        ),
        (&burn, "synthetic_per_hour", json!(-1), ": \"synthetic_per_hour\" is -1"),
        (
            &burn,
            "window",
            json!("1h"),
            ": \"window\" is not a key of a trigger of type burn (did you mean \"windows\"?)",
        ),
        (
            &burn,
            "actions",
            json!(["wak"]),
            ".actions[0]: the action is \"wak\" (did you mean \"wake\"?)",
        ),
        (&burn, "actions", json!([1]), ".actions[0]: the action is 1"),
        (
            &burn,
            "actions",
            json!([{"notify": {}}]),
            ".actions[0].notify: a notification has a command or a URL, and not both",
        ),
        (
            &burn,
            "actions",
            json!([{"notify": {"url": "ftp://x"}}]),
            ".actions[0].notify: \"url\" is \"ftp://x\"",
        ),
        (
            &burn,
            "actions",
            json!([{"notify": {"command": []}}]),
            ".actions[0].notify: \"command\" is not a list of texts that begins with a program",
        ),
        (
            &burn,
            "actions",
            json!([{"notify": {"command": ["sh", "a\0b"]}}]),
            ".actions[0].notify: \"command\" contains a NUL character, which no program can be \
            given",
        ),
        (&drift, "of", json!("rewards"), ": \"of\" is \"rewards\" (did you mean \"reward\"?)"),
        (&drift, "range", json!([1, 0]), ": \"range\" is not a lowest and a highest value"),
        (&drift, "test", json!("adwin"), ": \"test\" is \"adwin\""),
        (&drift, "threshold", json!(3), ": \"threshold\" is of the test page-hinkley"),
        (
            &drift,
            "reference",
            json!(3),
            ": \"reference\" is 3, not a whole number from 20 to 1000000",
        ),
        (&feedback, "alike", json!(2), ": \"alike\" is 2, not a number from 0 to 1"),
        (
            &feedback,
            "at_least",
            json!(1),
            ": \"at_least\" is 1, not a whole number from 2 to 10000",
        ),
        (&traffic, "filter", json!({"tol": "x"}), ".filter: \"tol\" is not a key of a filter"),
        (&evaluation, "tier", json!("ful"), ": \"tier\" is \"ful\" (did you mean \"full\"?)"),
    ] {
        let error = with(base, key, value.clone());
        let expected = format!("ci/budgets.json: triggers[0]{message}");
        assert!(error.starts_with(&expected), "{error}\nis not {expected}");
        // that an objective is defined, and which window is shorter, no schema can say
        let is_beyond_schemas = key == "objective"
            || expected.contains("longer than a day")
            || expected.contains("\"short\" is")
            || expected.contains("a lowest and a highest");
        let mut wrong = base.clone();
        wrong[key] = value;
        assert!(is_beyond_schemas || !fits_the_schema(&wrong), "the schema takes {wrong}");
    }
}

#[test]
fn two_rules_of_one_name_and_what_is_no_rule_are_refused() {
    let [burn, ..] = minimal();
    let twice = parse::rules(vec![burn.clone(), burn], &objectives(), "f").unwrap_err();
    assert_eq!(twice.to_string(), "f[1]: a second trigger has the name \"a\"");
    assert_eq!(
        read(json!([])).unwrap_err(),
        "ci/budgets.json: triggers[0]: a trigger is a list, not an object"
    );
}

/// Whether a rule fits the published schema of ci/budgets.json.
fn fits_the_schema(rule: &Value) -> bool {
    let schema = include_str!("../../../../templates/observability/budgets.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    schema.is_valid(&json!({"schema": "agent/budgets@1", "triggers": [rule]}))
}

/// Ten calls a minute for a day; from `ago` seconds on, this share fails.
fn calls(ago: u64, failing: f64) -> Series {
    let mut series = Series::default();
    let mut random = SplitMix64::new(5);
    for minute in 0..DAY / MINUTE {
        let at = NOW - minute * MINUTE;
        for _ in 0..10 {
            let fails = NOW - at < ago && random.unit() < failing;
            series.add(at, Count::of(!fails));
        }
    }
    series
}

fn burn(value: Value, series: &Series, now: u64) -> Assessment {
    let rule = rule(value);
    let Condition::Burn(burn) = &rule.condition else { panic!("a burn rule") };
    burn.assess(&objectives()[0], series, (rule.held_s, rule.clear_s), now)
}

#[test]
fn a_fast_burn_is_an_alarm_that_is_dated_and_ends() {
    let plain = || json!({"type": "burn", "objective": "calls-succeed"});
    let series = calls(30 * MINUTE, 0.5);
    let assessment = burn(plain(), &series, NOW);
    let State::Alarm { began } = assessment.state else { panic!("{assessment:?}") };
    assert!(began.abs_diff(NOW - 29 * MINUTE) <= 2 * MINUTE, "{}", (NOW - began) / MINUTE);
    assert!(!assessment.is_over);
    let mut held = plain();
    held["for"] = json!("2h");
    assert!(matches!(burn(held, &series, NOW).state, State::Pending { .. }));
    // the traffic goes on without errors
    let mut later = series;
    for minute in 1..=60 {
        (0..10).for_each(|_| later.add(NOW + minute * MINUTE, Count::of(true)));
    }
    let pair = json!({"type": "burn", "objective": "calls-succeed",
        "windows": [{"long": "1h", "short": "5m", "rate": 14.4}]});
    assert!(!burn(pair.clone(), &later, NOW + 10 * MINUTE).is_over);
    assert!(burn(pair, &later, NOW + 20 * MINUTE).is_over);
    assert_eq!(burn(plain(), &calls(0, 0.0), NOW).state, State::Quiet);
}

#[test]
fn a_single_error_at_low_traffic_is_no_alarm() {
    let mut series = Series::default();
    series.add(NOW - MINUTE, Count::of(false));
    let plain = json!({"type": "burn", "objective": "calls-succeed"});
    assert_eq!(burn(plain, &series, NOW).state, State::NotEnough);
    let few = json!({"type": "burn", "objective": "calls-succeed", "min_events": 1});
    assert!(matches!(burn(few.clone(), &series, NOW).state, State::Alarm { .. }));
    let mut synthetic = few;
    synthetic["synthetic_per_hour"] = json!(60);
    assert_eq!(burn(synthetic, &series, NOW).state, State::Quiet);
    // what is dated in the future counts in its own time
    let mut ahead = Series::default();
    (0..50).for_each(|_| ahead.add(NOW + HOUR, Count::of(false)));
    let plain = json!({"type": "burn", "objective": "calls-succeed"});
    assert_eq!(burn(plain, &ahead, NOW).state, State::NotEnough);
}

#[test]
fn a_gap_of_traffic_is_an_alarm_where_traffic_is_usual() {
    let mut series = Series::default();
    for minute in 20..3 * DAY / MINUTE {
        (0..5).for_each(|_| series.add(NOW - minute * MINUTE, Levels::one(1.0)));
    }
    let rule = rule(json!({"type": "traffic", "window": "15m"}));
    let Condition::Traffic(traffic) = &rule.condition else { panic!("a traffic rule") };
    let at = |now| traffic.assess(&series, (0, 600), now);
    assert!(matches!(at(NOW).state, State::Alarm { .. }), "{:?}", at(NOW));
    assert_eq!(at(NOW - HOUR).state, State::Quiet);
    assert_eq!(traffic.assess(&Series::default(), (0, 600), NOW).state, State::NotEnough);
}

/// Rewards of 0 or 1 by minute: `(version, from, to, mean)` in minutes before now.
fn rewards(parts: &[(&str, u64, u64, f64)], seed: u64) -> ByVersion {
    let mut random = SplitMix64::new(seed);
    let mut counts = ByVersion::new();
    for (version, from, to, mean) in parts {
        let series = counts.entry((*version).to_owned()).or_default();
        for minute in *to..*from {
            for _ in 0..5 {
                let value = f64::from(u8::from(random.unit() < *mean));
                series.add(NOW - minute * MINUTE, Levels::one(value));
            }
        }
    }
    counts
}

fn served(version: &str, previous: Option<&str>) -> Served {
    Served {
        version: version.to_owned(),
        previous: previous.map(str::to_owned),
        fired_for: None,
        since: 0,
    }
}

fn drift(value: Value, counts: &ByVersion, served: &Served) -> Assessment {
    let rule = rule(value);
    let Condition::Drift(drift) = &rule.condition else { panic!("a drift rule") };
    drift.assess(counts, served, (0, 600), NOW)
}

#[test]
fn a_fall_of_the_mean_reward_is_found_against_the_own_past_and_the_version_before() {
    let fell = rewards(&[("0.1.0", 3000, 600, 0.8), ("0.1.0", 600, 0, 0.65)], 1);
    for test in ["e-sr", "e-cusum"] {
        let own = json!({"type": "drift", "of": "reward", "test": test});
        let assessment = drift(own, &fell, &served("0.1.0", None));
        let State::Alarm { began } = assessment.state else { panic!("{assessment:?}") };
        assert!(began.abs_diff(NOW - 600 * MINUTE) < 150 * MINUTE, "{}", (NOW - began) / MINUTE);
        assert!(!assessment.is_over);
    }
    let hinkley = json!({"type": "drift", "of": "reward", "test": "page-hinkley",
        "threshold": 60, "tolerance": 0.05});
    assert!(matches!(drift(hinkley, &fell, &served("0.1.0", None)).state, State::Alarm { .. }));
    let even = rewards(&[("0.1.0", 3000, 0, 0.8)], 2);
    let own = json!({"type": "drift", "of": "reward"});
    assert_eq!(drift(own.clone(), &even, &served("0.1.0", None)).state, State::Quiet);
    let worse = rewards(&[("0.1.0", 3000, 600, 0.8), ("0.1.1", 600, 0, 0.65)], 3);
    let before = json!({"type": "drift", "of": "reward", "against": "previous-version"});
    let now = served("0.1.1", Some("0.1.0"));
    assert!(matches!(drift(before.clone(), &worse, &now).state, State::Alarm { .. }));
    assert_eq!(drift(before, &worse, &served("0.1.0", None)).state, State::NotEnough);
    // another version is served by now
    let after = Served { fired_for: Some("0.1.0".to_owned()), ..now };
    assert!(drift(own, &worse, &after).is_over);
}

#[test]
fn more_feedback_than_usual_is_a_wave() {
    let item = |number: usize, text: &str, ago: u64| Item {
        id: format!("f-{number}"),
        text: text.to_owned(),
        at: NOW - ago,
    };
    let mut items: Vec<_> = (0..10)
        .map(|day| item(day, &format!("something about {day}"), (12 - day as u64) * DAY))
        .collect();
    items.extend((10..15).map(|number| item(number, "search finds no plurals", HOUR)));
    let rule = rule(json!({"type": "feedback", "window": "1d", "alike": 0.5}));
    let Condition::Feedback(wave) = &rule.condition else { panic!("a feedback rule") };
    let assessment = wave.assess(&items, 0, NOW);
    assert_eq!(assessment.state, State::Alarm { began: NOW - HOUR });
    assert_eq!(assessment.figures["items"].as_array().unwrap().len(), 5);
    assert_eq!(wave.assess(&items[..14], 0, NOW).state, State::Quiet);
    assert!(wave.assess(&items, 0, NOW + 2 * DAY).is_over);
    // so many items are usual where there were as many before
    let usual: Vec<_> =
        (0..140).map(|number| item(number, "x", 14 * DAY - number as u64 * DAY / 10)).collect();
    let all = Wave { alike: None, ..wave.clone() };
    assert_eq!(all.assess(&usual, 0, NOW).state, State::Quiet);
}

#[test]
fn a_rule_fires_once_until_it_is_cleared() {
    let rule = rule(json!({"type": "burn", "objective": "calls-succeed"}));
    let assessed = |state, is_over| Assessment {
        state,
        is_over,
        latest: None,
        summary: String::new(),
        figures: Value::Null,
        version: None,
    };
    let alarm = assessed(State::Alarm { began: NOW - 60 }, false);
    let over = assessed(State::Quiet, true);
    let none = Past::default();
    let open = |is_own| Past { open: Some(Open { fired: NOW - 30, is_own }), ..none };
    assert_eq!(step(&rule, &alarm, none, NOW), Step::Fire { began: NOW - 60 });
    assert_eq!(step(&rule, &alarm, open(true), NOW), Step::Nothing(Why::Open));
    assert_eq!(step(&rule, &over, open(true), NOW), Step::Clear);
    // a clock that went back, and a clone without any event since, say nothing of its end
    assert_eq!(step(&rule, &over, open(true), NOW - 60), Step::Nothing(Why::Open));
    assert_eq!(step(&rule, &over, open(false), NOW), Step::Nothing(Why::Open));
    let seen = Assessment { latest: Some(NOW), ..over.clone() };
    assert_eq!(step(&rule, &seen, open(false), NOW), Step::Clear);
    assert_eq!(
        step(&rule, &assessed(State::Quiet, false), open(true), NOW),
        Step::Nothing(Why::Open)
    );
    let cleared = Past { cleared: Some(NOW - 600), ..none };
    assert_eq!(
        step(&rule, &alarm, cleared, NOW),
        Step::Nothing(Why::CoolDown { until: NOW + 3000 })
    );
    assert_eq!(step(&rule, &alarm, cleared, NOW + 3000), Step::Fire { began: NOW - 60 });
    let muted = Past { muted_until: Some(NOW + 1), ..none };
    assert_eq!(step(&rule, &alarm, muted, NOW), Step::Nothing(Why::Muted { until: NOW + 1 }));
    assert_eq!(step(&rule, &alarm, muted, NOW + 1), Step::Fire { began: NOW - 60 });
}

#[test]
fn an_incident_after_a_cleared_one_has_its_own_id() {
    let began = "2026-11-29T09:11:00.000Z";
    let first = firing::id("errors-burn", began, None);
    assert_eq!(first, firing::id("errors-burn", began, None));
    let second = firing::id("errors-burn", began, Some(1_795_944_780));
    assert_ne!(first, second);
    assert_ne!(second, firing::id("errors-burn", began, Some(1_795_944_840)));
    assert_ne!(first, firing::id("calls-burn", began, None));
}

fn any_firing() -> impl Strategy<Value = Firing> {
    let at = || "2026-11-2[0-9]T00:00:00.000Z";
    let action = (at(), any::<bool>()).prop_map(|(at, pending)| firing::ActionResult {
        at,
        result: "x".to_owned(),
        pending,
    });
    let outcome = ("r-[12]", proptest::option::of("v0\\.[12]\\.0"))
        .prop_map(|(run, version)| firing::Outcome { run, status: "taken".to_owned(), version });
    (
        proptest::collection::btree_map("wake|freeze", action, 0..3),
        proptest::option::of(at()),
        proptest::option::of(outcome),
        proptest::option::of(at()),
    )
        .prop_map(|(actions, cleared, outcome, acknowledged)| Firing {
            schema: firing::SCHEMA.to_owned(),
            id: "t-1".to_owned(),
            rule: "a".to_owned(),
            type_name: "burn".to_owned(),
            began: String::new(),
            fired: String::new(),
            version: None,
            summary: String::new(),
            figures: Value::Null,
            traces: Vec::new(),
            changed: Vec::new(),
            feedback: "f-1".to_owned(),
            clone: None,
            actions,
            acknowledged: acknowledged.map(|at| firing::Acknowledged {
                at,
                by: "x".to_owned(),
                note: None,
            }),
            cleared,
            outcome,
        })
}

proptest! {
    #[test]
    fn firings_join_in_any_order(firings in proptest::array::uniform3(any_firing())) {
        let [one, two, three] = firings;
        let join = |one: &Firing, two: &Firing| one.clone().join(two.clone());
        prop_assert_eq!(join(&one, &two), join(&two, &one));
        prop_assert_eq!(join(&join(&one, &two), &three), join(&one, &join(&two, &three)));
        prop_assert_eq!(join(&one, &one), one.clone());
        prop_assert_eq!(Firing::parse(&one.to_bytes()).unwrap(), one);
    }
}
