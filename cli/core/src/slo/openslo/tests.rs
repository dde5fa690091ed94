use super::*;
use crate::formats::yaml;
use crate::slo::{Line, parse};
use proptest::prelude::*;

fn read_text(text: &str) -> Result<Read, DocumentError> {
    read(yaml::documents(text, "slo.yaml")?, "slo.yaml")
}

const INLINE: &str = "\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: fast-answers
  displayName: Fast answers
spec:
  description: Most answers take half a second at most
  service: docs # a comment
  indicator:
    metadata:
      name: fast
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: agent
            spec:
              indicator: {type: latency, at_most_ms: 500}
              filter: {tool: ask, version: ^1.2}
        total:
          metricSource:
            type: agent
            spec:
              indicator: {type: latency, at_most_ms: 500}
              filter: {tool: ask, version: ^1.2}
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.95
";

const BY_REFERENCE: &str = "\
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: record}
spec:
  type: agent
  connectionDetails: {}
---
apiVersion: openslo/v1
kind: SLI
metadata:
  name: success
  labels: {team: [a, b]}
spec:
  description: ~
  ratioMetric:
    good: &events
      metricSource:
        metricSourceRef: record
        spec: {indicator: {type: success}}
    total: *events
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: calls-succeed
  labels:
    team: docs
spec:
  service: docs
  indicatorRef: success
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - displayName: Calls
      targetPercent: 99.95
  alertPolicies:
    - FooAlertPolicy
---
apiVersion: openslo/v1
kind: Service
metadata: {name: docs}
spec: {description: the documents}
";

#[test]
fn an_inline_indicator_is_read() {
    let read = read_text(INLINE).unwrap();
    assert_eq!(read.left_out, Vec::<String>::new());
    let [objective] = &read.objectives[..] else { panic!("one objective") };
    let expected = json!({"name": "fast-answers", "display_name": "Fast answers",
        "description": "Most answers take half a second at most",
        "indicator": {"type": "latency", "at_most_ms": 500.0},
        "filter": {"tool": "ask", "version": "^1.2"}, "target": 0.95, "window": "28d"});
    assert_eq!(objective.document(), expected);
}

#[test]
fn references_are_followed_in_a_file_of_many_documents() {
    let read = read_text(BY_REFERENCE).unwrap();
    let expected = json!({"name": "calls-succeed", "indicator": {"type": "success"},
        "target": 0.9995, "window": "30d"});
    assert_eq!(read.objectives.iter().map(Objective::document).collect::<Vec<_>>(), [expected]);
    assert_eq!(
        read.left_out,
        [
            "metadata.labels of SLO calls-succeed",
            "Service docs",
            "spec.alertPolicies of SLO calls-succeed",
            "spec.objectives[0].displayName of SLO calls-succeed",
        ]
    );
    let uncounted = INLINE.replace("counter: true", "counter: false");
    assert_eq!(read_text(&uncounted).unwrap(), read_text(INLINE).unwrap());
    // the objects may be the elements of a list as well, in any order
    let mut objects = yaml::documents(BY_REFERENCE, "slo.yaml").unwrap();
    objects.reverse();
    let list = super::read(vec![Value::Array(objects)], "slo.yaml").unwrap();
    assert_eq!(list.objectives, read.objectives);
}

#[track_caller]
fn check(text: &str, change: (&str, &str), message: &str) {
    let (from, to) = change;
    assert!(text.contains(from), "{from}");
    let error = read_text(&text.replacen(from, to, 1)).unwrap_err();
    assert!(!error.hint.is_empty());
    assert_eq!(error.to_string(), format!("slo.yaml: {message}"));
}

#[test]
fn what_is_not_possible_names_the_field() {
    let slo = "SLO fast-answers: spec";
    for (from, to, message) in [
        ("openslo/v1", "openslo/v1alpha", "object 1: \"apiVersion\" is \"openslo/v1alpha\""),
        ("kind: SLO", "kind: SLOO", "object 1: \"kind\" is \"SLOO\" (did you mean \"SLO\"?)"),
        ("kind: SLO", "kind: Service", "it has no object of the kind SLO"),
        ("fast-answers", "Fast", "object 1: metadata: \"name\" is \"Fast\""),
        (
            "budgetingMethod: Occurrences",
            "budgetingMethod: Timeslices",
            &format!("{slo}: \"budgetingMethod\" is \"Timeslices\""),
        ),
        (
            "isRolling: true",
            "calendar: {startTime: 2020-01-21 12:30:00, timeZone: America/New_York}",
            &format!("{slo}.timeWindow[0]: it is aligned to the calendar, not rolling"),
        ),
        (
            "isRolling: true",
            "isRolling: false",
            &format!("{slo}.timeWindow[0]: it is aligned to the calendar, not rolling"),
        ),
        ("4w", "1M", &format!("{slo}.timeWindow[0]: \"duration\" is \"1M\"")),
        ("4w", "365d", &format!("{slo}.timeWindow[0]: \"duration\" is \"365d\"")),
        (
            "- target: 0.95",
            "- {target: 0.95, timeSliceTarget: 0.9}",
            &format!("{slo}.objectives[0]: \"timeSliceTarget\" is not possible"),
        ),
        ("target: 0.95", "target: 0.0", &format!("{slo}.objectives[0]: \"target\" is 0")),
        (
            "target: 0.95",
            "targetPercent: 100",
            &format!("{slo}.objectives[0]: \"targetPercent\" is 100"),
        ),
        (
            "- target: 0.95",
            "- {target: 0.95, indicatorRef: fast}",
            &format!("{slo}.objectives[0]: \"indicatorRef\" is not possible"),
        ),
        (
            "counter: true",
            "counter: 1",
            &format!("{slo}.indicator.spec.ratioMetric: \"counter\" is 1, not true or false"),
        ),
        (
            "- target: 0.95",
            "- target: 0.95\n    - target: 0.99",
            &format!("{slo}: \"objectives\" has 2 objectives"),
        ),
    ] {
        check(INLINE, (from, to), message);
    }
}

#[test]
fn what_is_not_possible_of_an_indicator_names_the_field() {
    let slo = "SLO fast-answers: spec";
    let source = format!("{slo}.indicator.spec.ratioMetric.good.metricSource");
    for (from, to, message) in [
        (
            "type: agent",
            "type: Prometheus",
            &format!(
                "{source}: events of the type \"Prometheus\" are not on record, so they cannot be \
                counted"
            ),
        ),
        (
            "type: agent",
            "metricSourceRef: elsewhere",
            &format!(
                "{source}: \"metricSourceRef\" is \"elsewhere\", which is no DataSource of this \
                file"
            ),
        ),
        (
            "at_most_ms: 500",
            "at_most_ms: 400",
            &format!(
                "{slo}.indicator.spec.ratioMetric: \"good\" and \"total\" have different \
                indicators or filters"
            ),
        ),
        (
            "type: latency",
            "type: speed",
            &format!("{source}.spec.indicator: \"type\" is \"speed\""),
        ),
        (
            "        good:",
            "        bad:",
            &format!("{slo}.indicator.spec.ratioMetric: \"bad\" is not possible"),
        ),
        (
            "ratioMetric:",
            "thresholdMetric:",
            &format!(
                "{slo}.indicator.spec: \"thresholdMetric\" is not possible: events are counted, \
                and a threshold has none"
            ),
        ),
        (
            "  indicator:\n    metadata",
            "  indicatorRef: fast\n  indicator:\n    metadata",
            &format!("{slo}: it has both \"indicator\" and \"indicatorRef\""),
        ),
        (
            "service:",
            "servce:",
            &format!(
                "{slo}: \"servce\" is not a key of the spec of an SLO (did you mean \"service\"?)"
            ),
        ),
    ] {
        check(INLINE, (from, to), message);
    }
}

#[test]
fn what_is_wrong_with_a_reference_names_the_object() {
    check(
        BY_REFERENCE,
        ("indicatorRef: success", "indicatorRef: succes"),
        "SLO calls-succeed: spec: \"indicatorRef\" is \"succes\", which is no SLI of this file \
        (did you mean \"success\"?)",
    );
    check(
        BY_REFERENCE,
        ("  type: agent", "  type: Datadog"),
        "SLI success: spec.ratioMetric.good.metricSource: events of the type \"Datadog\" are not \
        on record, so they cannot be counted",
    );
    let twice = format!("{INLINE}---\n{INLINE}");
    assert!(read_text(&twice).unwrap_err().to_string().contains("a second object"));
}

#[test]
fn a_percent_is_the_share_that_it_is_written_as() {
    for (percent, share) in [(99.95, 0.9995), (99.9, 0.999), (99.0, 0.99), (7.0, 0.07)] {
        assert!((of_percent(percent) - share).abs() < f64::EPSILON / 4.0, "{percent}");
    }
}

#[test]
fn the_service_has_a_name_that_others_accept() {
    for (agent, service) in [
        ("docs-search", "docs-search"),
        ("Time Estimates", "time-estimates"),
        ("Ünï", "n"),
        ("!", "agent"),
    ] {
        assert_eq!(service_name(agent), service);
    }
    assert_eq!(service_name(&"x".repeat(99)).len(), LONGEST_NAME);
}

fn objective() -> impl Strategy<Value = Objective> {
    let indicator = prop_oneof![
        Just(Indicator::Success),
        (1e-6..1e6f64).prop_map(|at_most_ms| Indicator::Latency { at_most_ms }),
        (-1e3..1e3f64).prop_map(|at_least| Indicator::Reward { at_least }),
        (1e-6..1e3f64).prop_map(|at_most_usd| Indicator::Cost { at_most_usd }),
    ];
    let text = || prop::option::of(".{1,40}|[: #\\-'\"\n]{1,6}");
    let line = prop::option::of((0u64..9, 0u64..9))
        .prop_map(|line| line.map(|(major, minor)| Line { major, minor }));
    let version = prop::option::of(prop::sample::select(vec!["^1.2", "*", ">=1, <2", "=1.0.0"]))
        .prop_map(|range| range.map(|range| range.parse().unwrap()));
    let filter =
        (text(), version, line).prop_map(|(tool, version, line)| Filter { tool, version, line });
    let window = (1u64..=2160).prop_map(|hours| Window { seconds: hours * 3600 });
    let name = prop_oneof!["[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", Just("null".to_owned())];
    (name, text(), text(), indicator, filter, 1e-9..0.999_999_999f64, window).prop_map(
        |(name, display_name, description, indicator, filter, target, window)| Objective {
            name,
            display_name,
            description,
            indicator,
            filter,
            target,
            window,
        },
    )
}

proptest! {
    #[test]
    fn an_export_is_imported_as_the_same(
        one in objective(),
        other in objective(),
        service in ".{1,20}",
    ) {
        let mut objectives = vec![one, other];
        objectives.dedup_by(|one, other| one.name == other.name);
        let text = yaml::text(&write(&objectives, &service));
        let read = read_text(&text);
        let expected = Read { objectives: objectives.clone(), left_out: vec![] };
        prop_assert_eq!(read, Ok(expected), "{}", text);
        // and so is what stands in ci/budgets.json
        let documents = objectives.iter().map(Objective::document).collect();
        prop_assert_eq!(parse(documents, "f"), Ok(objectives));
    }
}
