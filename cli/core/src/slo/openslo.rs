//! Objectives as OpenSLO v1 (<https://github.com/OpenSLO/OpenSLO>): read from the documents of a
//! YAML file, and written as such.
//!
//! An objective is a `kind: SLO` with a `ratioMetric` whose metric source is of the type `agent`.
//! The `spec` of that source has `indicator` and `filter` as ci/budgets.json has them; `good` are
//! the good events of the indicator and `total` are all of them.

use super::document::object;
use super::{
    Filter, Indicator, LONGEST_NAME, Objective, Window, filter, is_name, parse_indicator, parse_one,
};
use crate::formats::document::{DocumentError, Fields, kind};
use crate::formats::suggestion::did_you_mean;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const API_VERSION: &str = "openslo/v1";
/// The type of a metric source whose events `agent` recorded itself.
pub const SOURCE_TYPE: &str = "agent";
const SOURCE_EXAMPLE: &str = "{type: agent, spec: {indicator: {type: success}}}";
const WINDOW_EXAMPLE: &str = "write a rolling window of at most 90d, such as `timeWindow: \
    [{duration: 28d, isRolling: true}]`";

const OBJECT_KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
const METADATA_KEYS: [&str; 4] = ["name", "displayName", "labels", "annotations"];
const SLO_KEYS: [&str; 8] = [
    "description",
    "service",
    "indicator",
    "indicatorRef",
    "timeWindow",
    "budgetingMethod",
    "objectives",
    "alertPolicies",
];
const OBJECTIVE_KEYS: [&str; 10] = [
    "displayName",
    "target",
    "targetPercent",
    "op",
    "value",
    "timeSliceTarget",
    "timeSliceWindow",
    "compositeWeight",
    "indicator",
    "indicatorRef",
];
const RATIO_KEYS: [&str; 6] = ["counter", "good", "bad", "total", "raw", "rawType"];

/// The result of reading the documents of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Read {
    pub objectives: Vec<Objective>,
    /// Members of the file that an objective does not keep.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Slo,
    Sli,
    DataSource,
    /// One that is no part of an objective.
    Other(&'static str),
}

const KINDS: [(&str, Kind); 7] = [
    ("SLO", Kind::Slo),
    ("SLI", Kind::Sli),
    ("DataSource", Kind::DataSource),
    ("Service", Kind::Other("Service")),
    ("AlertPolicy", Kind::Other("AlertPolicy")),
    ("AlertCondition", Kind::Other("AlertCondition")),
    ("AlertNotificationTarget", Kind::Other("AlertNotificationTarget")),
];

struct Object {
    kind: Kind,
    name: String,
    display_name: Option<String>,
    /// `FILE: SLO NAME`, for errors.
    place: String,
    spec: Value,
}

/// The SLIs and the data sources that others refer to, by name.
#[derive(Default)]
struct Named {
    indicators: BTreeMap<String, Object>,
    source_types: BTreeMap<String, String>,
}

/// The objectives of a file's documents; a document may be a list of objects as well.
pub fn read(documents: Vec<Value>, file: &str) -> Result<Read, DocumentError> {
    let mut read = Read::default();
    let mut named = Named::default();
    let mut objectives: Vec<Object> = Vec::new();
    let objects = documents.into_iter().flat_map(|document| match document {
        Value::Array(objects) => objects,
        object => vec![object],
    });
    for (index, value) in objects.enumerate() {
        let place = format!("{file}: object {}", index + 1);
        let object = parse_object(without_nulls(value), file, &place, &mut read.left_out)?;
        match object.kind {
            Kind::Slo if objectives.iter().any(|other| other.name == object.name) => {
                return Err(twice(&object));
            }
            Kind::Slo => objectives.push(object),
            Kind::Sli if named.indicators.contains_key(&object.name) => {
                return Err(twice(&object));
            }
            Kind::Sli => drop(named.indicators.insert(object.name.clone(), object)),
            Kind::DataSource if named.source_types.contains_key(&object.name) => {
                return Err(twice(&object));
            }
            Kind::DataSource => {
                let of = source_type(&object)?;
                named.source_types.insert(object.name, of);
            }
            Kind::Other(kind) => read.left_out.push(format!("{kind} {}", object.name)),
        }
    }
    if objectives.is_empty() {
        return Err(DocumentError::new(
            file,
            "it has no object of the kind SLO",
            "`agent slo export` prints objectives as such objects",
        ));
    }
    for object in objectives {
        let objective = objective(object, &named, &mut read.left_out)?;
        read.objectives.push(objective);
    }
    Ok(read)
}

fn twice(object: &Object) -> DocumentError {
    DocumentError::new(
        &object.place,
        "a second object of its kind has this name",
        "give each object of a kind a name of its own",
    )
}

/// A key without a value is a key that is absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn parse_object(
    value: Value,
    file: &str,
    place: &str,
    left_out: &mut Vec<String>,
) -> Result<Object, DocumentError> {
    let mut fields = Fields::new(value, place, "an OpenSLO object", &OBJECT_KEYS)?;
    match fields.text("apiVersion")?.as_deref() {
        Some(API_VERSION) => {}
        Some(other) => {
            return Err(fields.error(
                format!("\"apiVersion\" is \"{other}\""),
                format!("convert it to {API_VERSION}, which `agent` reads"),
            ));
        }
        None => {
            return Err(fields.missing("apiVersion", &format!("add `apiVersion: {API_VERSION}`")));
        }
    }
    let kinds = KINDS.map(|(name, _)| name);
    let hint = format!("make \"kind\" one of {}", kinds.join(", "));
    let Some(kind_name) = fields.text("kind")? else { return Err(fields.missing("kind", &hint)) };
    let Some((_, kind)) = KINDS.into_iter().find(|(name, _)| *name == kind_name) else {
        let suggestion = did_you_mean(&kind_name, kinds);
        return Err(fields.error(format!("\"kind\" is \"{kind_name}\"{suggestion}"), hint));
    };
    let metadata = fields
        .take("metadata")
        .ok_or_else(|| fields.missing("metadata", "add `metadata: {name: NAME}`"))?;
    let mut metadata =
        Fields::new(metadata, &format!("{place}: metadata"), "the metadata", &METADATA_KEYS)?;
    let name = metadata
        .text("name")?
        .ok_or_else(|| metadata.missing("name", "add a name, such as `name: calls-succeed`"))?;
    if kind == Kind::Slo && !is_name(&name) {
        return Err(metadata.error(
            format!("\"name\" is \"{name}\""),
            "use lower-case letters, digits and `-`, 63 at most, as in `calls-succeed`",
        ));
    }
    let display_name = metadata.text("displayName")?;
    for key in ["labels", "annotations"] {
        if kind == Kind::Slo && metadata.take(key).is_some() {
            left_out.push(format!("metadata.{key} of SLO {name}"));
        }
    }
    let spec = fields.take("spec").unwrap_or_else(|| json!({}));
    let place = format!("{file}: {kind_name} {name}");
    Ok(Object { kind, name, display_name, place, spec })
}

fn source_type(object: &Object) -> Result<String, DocumentError> {
    match object.spec.get("type") {
        Some(Value::String(of)) => Ok(of.clone()),
        Some(other) => Err(DocumentError::new(
            format!("{}: spec", object.place),
            format!("\"type\" is {}, not a text", kind(other)),
            "name the type of the data source",
        )),
        None => Err(DocumentError::new(
            format!("{}: spec", object.place),
            "\"type\" is missing",
            "name the type of the data source, such as `type: agent`",
        )),
    }
}

fn objective(
    object: Object,
    named: &Named,
    left_out: &mut Vec<String>,
) -> Result<Objective, DocumentError> {
    let place = format!("{}: spec", object.place);
    let mut fields = Fields::new(object.spec, &place, "the spec of an SLO", &SLO_KEYS)?;
    let description = fields.text("description")?;
    // what an agent repository serves is one service
    fields.take("service");
    if fields.take("alertPolicies").is_some_and(|policies| policies != json!([])) {
        left_out.push(format!("spec.alertPolicies of SLO {}", object.name));
    }
    budgeting_method(&mut fields)?;
    let window = time_window(&mut fields, &place)?;
    let target = target(&mut fields, &place, &object.name, left_out)?;
    let (indicator, filter) = match (fields.take("indicator"), fields.text("indicatorRef")?) {
        (Some(inline), None) => {
            let place = format!("{place}.indicator");
            let mut inline = Fields::new(inline, &place, "an indicator", &OBJECT_KEYS)?;
            let spec = inline
                .take("spec")
                .ok_or_else(|| inline.missing("spec", "add its `ratioMetric`"))?;
            ratio(spec, &format!("{place}.spec"), named)?
        }
        (None, Some(name)) => {
            let Some(sli) = named.indicators.get(&name) else {
                let suggestion = did_you_mean(&name, named.indicators.keys().map(String::as_str));
                return Err(fields.error(
                    format!(
                        "\"indicatorRef\" is \"{name}\", which is no SLI of this file{suggestion}"
                    ),
                    "add the object `kind: SLI` of that name to the file",
                ));
            };
            ratio(sli.spec.clone(), &format!("{}: spec", sli.place), named)?
        }
        (Some(_), Some(_)) => {
            return Err(fields
                .error("it has both \"indicator\" and \"indicatorRef\"", "leave one of the two"));
        }
        (None, None) => {
            return Err(fields.missing(
                "indicator",
                "add `indicator` with its spec, or `indicatorRef` with the name of an SLI",
            ));
        }
    };
    let mut objective = Objective {
        name: object.name,
        display_name: object.display_name,
        description,
        indicator,
        filter,
        target,
        window,
    };
    // the rules of ci/budgets.json hold for what is written there
    objective = parse_one(objective.document(), &object.place)?;
    Ok(objective)
}

fn budgeting_method(fields: &mut Fields) -> Result<(), DocumentError> {
    let hint = "make \"budgetingMethod\" `Occurrences`: the share of good events is counted, \
        not that of good time slices";
    match fields.text("budgetingMethod")?.as_deref() {
        Some("Occurrences") => Ok(()),
        Some(other) => Err(fields.error(format!("\"budgetingMethod\" is \"{other}\""), hint)),
        None => Err(fields.missing("budgetingMethod", "add `budgetingMethod: Occurrences`")),
    }
}

fn time_window(fields: &mut Fields, place: &str) -> Result<Window, DocumentError> {
    let windows =
        fields.list("timeWindow")?.ok_or_else(|| fields.missing("timeWindow", WINDOW_EXAMPLE))?;
    let [window] = <[Value; 1]>::try_from(windows).map_err(|windows| {
        fields.error(format!("\"timeWindow\" has {} windows", windows.len()), WINDOW_EXAMPLE)
    })?;
    let place = format!("{place}.timeWindow[0]");
    let keys = ["duration", "isRolling", "calendar"];
    let mut fields = Fields::new(window, &place, "a time window", &keys)?;
    let is_rolling = match fields.take("isRolling") {
        None => None,
        Some(Value::Bool(flag)) => Some(flag),
        Some(other) => return Err(fields.wrong("isRolling", &other, "true or false")),
    };
    if fields.take("calendar").is_some() || is_rolling == Some(false) {
        return Err(fields.error("it is aligned to the calendar, not rolling", WINDOW_EXAMPLE));
    }
    let duration =
        fields.text("duration")?.ok_or_else(|| fields.missing("duration", WINDOW_EXAMPLE))?;
    Window::parse(&duration).ok_or_else(|| {
        let hint = if duration.ends_with(['M', 'Q', 'Y']) {
            "write months, quarters and years as days, which have one length: `30d`, at most `90d`"
        } else {
            WINDOW_EXAMPLE
        };
        fields.error(format!("\"duration\" is \"{duration}\""), hint)
    })
}

fn target(
    fields: &mut Fields,
    place: &str,
    name: &str,
    left_out: &mut Vec<String>,
) -> Result<f64, DocumentError> {
    let missing = "add one, such as `objectives: [{target: 0.99}]`";
    let objectives =
        fields.list("objectives")?.ok_or_else(|| fields.missing("objectives", missing))?;
    let [objective] = <[Value; 1]>::try_from(objectives).map_err(|objectives| {
        fields.error(
            format!("\"objectives\" has {} objectives", objectives.len()),
            "write an SLO with a name of its own for each of them",
        )
    })?;
    let place = format!("{place}.objectives[0]");
    let mut fields = Fields::new(objective, &place, "an objective", &OBJECTIVE_KEYS)?;
    for (key, why) in [
        ("op", "only a thresholdMetric has it; the indicator says which events are good"),
        ("value", "only a thresholdMetric has it; the indicator says which events are good"),
        ("timeSliceTarget", "good events are counted, not good time slices"),
        ("timeSliceWindow", "good events are counted, not good time slices"),
        ("compositeWeight", "an objective is about one indicator; write an SLO for each"),
        ("indicator", "an objective is about one indicator; write an SLO for each"),
        ("indicatorRef", "an objective is about one indicator; write an SLO for each"),
    ] {
        if fields.take(key).is_some() {
            return Err(fields
                .error(format!("\"{key}\" is not possible"), format!("remove \"{key}\": {why}")));
        }
    }
    if fields.take("displayName").is_some() {
        left_out.push(format!("spec.objectives[0].displayName of SLO {name}"));
    }
    let range = "make it above 0 and below 1 (`targetPercent`: 100): with a target of 1 there is \
        no error budget to spend";
    let (share, written) = match (fields.number("target")?, fields.number("targetPercent")?) {
        (Some(target), None) => (target, format!("\"target\" is {target}")),
        (None, Some(percent)) => (of_percent(percent), format!("\"targetPercent\" is {percent}")),
        (Some(_), Some(_)) => {
            return Err(fields
                .error("it has both \"target\" and \"targetPercent\"", "leave one of the two"));
        }
        (None, None) => return Err(fields.missing("target", "add one, such as `target: 0.99`")),
    };
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err(fields.error(written, range)) }
}

/// 99.95 is 0.9995, and not the nearest to it that a division finds.
fn of_percent(percent: f64) -> f64 {
    const DIGITS: f64 = 1e12;
    (percent / 100.0 * DIGITS).round() / DIGITS
}

/// The indicator and the filter of an SLI's spec.
fn ratio(spec: Value, place: &str, named: &Named) -> Result<(Indicator, Filter), DocumentError> {
    let keys = ["description", "thresholdMetric", "ratioMetric"];
    let mut fields = Fields::new(spec, place, "the spec of an SLI", &keys)?;
    if fields.take("thresholdMetric").is_some() {
        return Err(fields.error(
            "\"thresholdMetric\" is not possible: events are counted, and a threshold has none",
            format!("write a ratioMetric with the metricSource {SOURCE_EXAMPLE}"),
        ));
    }
    let metric = fields.take("ratioMetric").ok_or_else(|| {
        fields.missing(
            "ratioMetric",
            &format!("add it, with `good` and `total` from the metricSource {SOURCE_EXAMPLE}"),
        )
    })?;
    let place = format!("{place}.ratioMetric");
    let mut fields = Fields::new(metric, &place, "a ratio metric", &RATIO_KEYS)?;
    for key in ["raw", "rawType", "bad"] {
        if fields.take(key).is_some() {
            return Err(fields.error(
                format!("\"{key}\" is not possible"),
                "write `good` and `total`, whose events are counted",
            ));
        }
    }
    // events are counted either way; programs that write OpenSLO write false where it was left out
    fields.flag("counter")?;
    let mut side = |key: &str| {
        let metric = fields.take(key).ok_or_else(|| {
            fields.missing(key, &format!("add it with the metricSource {SOURCE_EXAMPLE}"))
        })?;
        source(metric, &format!("{place}.{key}"), named)
    };
    let (good, total) = (side("good")?, side("total")?);
    if good != total {
        return Err(fields.error(
            "\"good\" and \"total\" have different indicators or filters",
            "write the same spec under both: `good` are its good events, `total` all of them",
        ));
    }
    Ok(good)
}

fn source(metric: Value, place: &str, named: &Named) -> Result<(Indicator, Filter), DocumentError> {
    let mut fields = Fields::new(metric, place, "a metric", &["metricSource"])?;
    let metric_source = fields
        .take("metricSource")
        .ok_or_else(|| fields.missing("metricSource", &format!("add one: {SOURCE_EXAMPLE}")))?;
    let place = format!("{place}.metricSource");
    let keys = ["metricSourceRef", "type", "spec"];
    let mut fields = Fields::new(metric_source, &place, "a metric source", &keys)?;
    check_type(&mut fields, named)?;
    let spec = fields.take("spec").ok_or_else(|| {
        fields.missing("spec", "add one, such as `spec: {indicator: {type: success}}`")
    })?;
    let place = format!("{place}.spec");
    let mut fields = Fields::new(
        spec,
        &place,
        "the spec of a source of the type agent",
        &["indicator", "filter"],
    )?;
    let indicator = fields.take("indicator").ok_or_else(|| {
        fields.missing("indicator", "add one, such as `indicator: {type: success}`")
    })?;
    let indicator = parse_indicator(indicator, &format!("{place}.indicator"))?;
    let filter = filter(fields.take("filter"), &place)?;
    Ok((indicator, filter))
}

/// Only what `agent` recorded itself can be counted.
fn check_type(fields: &mut Fields, named: &Named) -> Result<(), DocumentError> {
    let own = fields.text("type")?;
    let reference = fields.text("metricSourceRef")?;
    let of_reference = reference.as_ref().and_then(|name| named.source_types.get(name));
    if let (Some(own), Some(other)) = (&own, of_reference)
        && own != other
    {
        return Err(fields.error(
            format!("\"type\" is \"{own}\", that of its DataSource is \"{other}\""),
            "leave \"type\" out where \"metricSourceRef\" names a DataSource",
        ));
    }
    match own.as_ref().or(of_reference) {
        Some(of) if of == SOURCE_TYPE => Ok(()),
        Some(other) => Err(fields.error(
            format!("events of the type \"{other}\" are not on record, so they cannot be counted"),
            format!("count what `agent` recorded itself: `metricSource: {SOURCE_EXAMPLE}`"),
        )),
        None => Err(match reference {
            Some(name) => fields.error(
                format!("\"metricSourceRef\" is \"{name}\", which is no DataSource of this file"),
                "add `type: agent`, or the object `kind: DataSource` of that name with this type",
            ),
            None => fields.missing("type", "add `type: agent`"),
        }),
    }
}

/// One object for each objective; `agent` is the name of the agent that their `spec.service` is.
pub fn write(objectives: &[Objective], agent: &str) -> Vec<Value> {
    let service = service_name(agent);
    objectives.iter().map(|objective| slo(objective, &service)).collect()
}

/// A name as OpenSLO's schema has it: lower-case letters, digits and `-`.
fn service_name(agent: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let plain: String = agent
        .to_lowercase()
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '-' })
        .take(LONGEST_NAME)
        .collect();
    let name = plain.trim_matches('-');
    if name.is_empty() { "agent".to_owned() } else { name.to_owned() }
}

fn slo(objective: &Objective, service: &str) -> Value {
    let filter = (objective.filter != Filter::default()).then(|| objective.filter.document());
    let spec = object([("indicator", Some(objective.indicator.document())), ("filter", filter)]);
    let metric = json!({"metricSource": {"type": SOURCE_TYPE, "spec": spec}});
    let metadata = object([
        ("name", Some(json!(objective.name))),
        ("displayName", objective.display_name.clone().map(Value::from)),
    ]);
    let spec = object([
        ("description", objective.description.clone().map(Value::from)),
        ("service", Some(json!(service))),
        (
            "indicator",
            Some(json!({"metadata": {"name": objective.name},
                "spec": {"ratioMetric": {"counter": true, "good": metric, "total": metric}}})),
        ),
        (
            "timeWindow",
            Some(json!([{"duration": objective.window.to_string(), "isRolling": true}])),
        ),
        ("budgetingMethod", Some(json!("Occurrences"))),
        ("objectives", Some(json!([{"target": objective.target}]))),
    ]);
    json!({"apiVersion": API_VERSION, "kind": "SLO", "metadata": metadata, "spec": spec})
}

#[cfg(test)]
mod tests;
