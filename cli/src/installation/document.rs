//! Writes an entry into a configuration and preserves everything else.

use crate::installation::host::{Field, Format, LAUNCH_KEYS, TOKEN_KEYS, VARIABLE_KEYS};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use toml_edit::{DocumentMut, Item, TableLike};

/// The entry to write: its name and its keys.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub fields: Vec<(&'static str, Field)>,
    /// The id of a secret that the host asks its user for.
    pub input: Option<&'static str>,
    /// Variables whose existing values are kept.
    pub lenient: Vec<String>,
}

impl Entry {
    fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, field)| field)
    }
}

/// The state of an entry in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Met {
    /// No entry of that name.
    Missing,
    /// An entry of `agent` with other content.
    Changed,
    Same,
}

/// Why nothing was written. Lines and columns count from 1; 0 is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Broken {
        line: usize,
        column: usize,
        message: String,
    },
    /// The name belongs to a server that is not `agent`.
    Taken {
        name: String,
    },
}

fn wrong_kind(key: &str, wanted: &str) -> Problem {
    Problem::Broken { line: 0, column: 0, message: format!("`{key}` is not {wanted}") }
}

/// The text with the entry in it, and the entry's former state.
pub fn with_entry(
    text: &str,
    format: Format,
    key: &str,
    entry: &Entry,
) -> Result<(String, Met), Problem> {
    match format {
        Format::Json => in_json(text, key, entry),
        Format::Toml => in_toml(text, key, entry),
    }
}

/// The target of an entry.
#[derive(Debug, Clone, Copy)]
pub enum LeadsTo<'a> {
    /// An `agent` that serves the repository in this folder.
    Repository(&'a str),
    Url(&'a str),
}

impl LeadsTo<'_> {
    fn is_so(self, read: impl Fn(&str) -> Option<Field>) -> bool {
        match self {
            // older versions of Gemini use `httpUrl`
            Self::Url(url) => ["url", "httpUrl"]
                .iter()
                .any(|key| read(key).is_some_and(|there| there == Field::Text(url.to_owned()))),
            Self::Repository(folder) => match read("args").or_else(|| read("command")) {
                Some(Field::List(words)) => {
                    let is_in = |pair: &[String]| pair[0] == "-C" && pair[1] == folder;
                    serves(&words) && words.windows(2).any(is_in)
                }
                _ => false,
            },
        }
    }
}

/// The text without the entry of this name; `None` where there is none. One that leads elsewhere
/// is `Taken`.
pub fn without_entry(
    text: &str,
    format: Format,
    key: &str,
    (name, leads_to): (&str, LeadsTo<'_>),
) -> Result<Option<String>, Problem> {
    let taken = || Problem::Taken { name: name.to_owned() };
    match format {
        Format::Json => {
            let root = json_root(text)?;
            let servers = root.object_value().and_then(|whole| whole.get(key)?.object_value());
            let Some(property) = servers.and_then(|servers| servers.get(name)) else {
                return Ok(None);
            };
            let there = property.object_value().ok_or_else(taken)?;
            if !leads_to.is_so(|key| json_field(&there.get(key)?.value()?)) {
                return Err(taken());
            }
            property.remove();
            Ok(Some(root.to_string()))
        }
        Format::Toml => {
            let mut document = toml_document(text)?;
            let Some(servers) = document.get_mut(key).and_then(Item::as_table_like_mut) else {
                return Ok(None);
            };
            let Some(there) = servers.get(name) else { return Ok(None) };
            let there = there.as_table_like().ok_or_else(taken)?;
            if !leads_to.is_so(|key| toml_field(there.get(key)?)) {
                return Err(taken());
            }
            servers.remove(name);
            Ok(Some(document.to_string()))
        }
    }
}

/// Whether these are the arguments of an `agent` that serves.
fn serves(arguments: &[String]) -> bool {
    arguments.windows(2).any(|pair| {
        pair[0] == "mcp" && ["runner", "tuner", "architect"].contains(&pair[1].as_str())
    })
}

/// Compares an existing entry with the one to write; `read` reads its keys.
fn met(entry: &Entry, read: impl Fn(&str) -> Option<Field>) -> Result<Met, Problem> {
    // a host that needs no type accepts one
    let is_free = |key: &str| key == "type" && entry.field(key).is_none();
    let is_reached_so =
        LAUNCH_KEYS.iter().all(|key| read(key).as_ref() == entry.field(key) || is_free(key));
    let has_token = TOKEN_KEYS.iter().all(|key| {
        entry.field(key).is_none_or(|wanted| read(key).is_some_and(|there| holds(&there, wanted)))
    });
    if is_reached_so && has_token && lacking(entry, &read).is_empty() {
        return Ok(Met::Same);
    }
    // older versions of Gemini use `httpUrl`
    let leads_there = entry
        .field("url")
        .is_some_and(|url| ["url", "httpUrl"].iter().any(|key| read(key).as_ref() == Some(url)));
    match read("args").or_else(|| read("command")) {
        Some(Field::List(words)) if serves(&words) => Ok(Met::Changed),
        _ if leads_there => Ok(Met::Changed),
        _ => Err(Problem::Taken { name: entry.name.clone() }),
    }
}

/// The fields with variables that have to change. Other variables of the user are kept.
fn lacking(entry: &Entry, read: impl Fn(&str) -> Option<Field>) -> Vec<(&'static str, Field)> {
    let map = |key: &str| match read(key) {
        Some(Field::Map(map)) => map,
        _ => Vec::new(),
    };
    let has = |map: &[(String, String)], name: &str| map.iter().any(|(there, _)| there == name);
    let is_settled = |map: &[(String, String)], name: &str| {
        entry.lenient.iter().any(|lenient| lenient == name) && has(map, name)
    };
    let mut lacking = Vec::new();
    for key in VARIABLE_KEYS {
        match entry.field(key) {
            Some(Field::List(names)) => {
                let env = map("env");
                let there = match read(key) {
                    Some(Field::List(there)) => there,
                    _ => Vec::new(),
                };
                let more: Vec<_> = names
                    .iter()
                    .filter(|name| !there.contains(name) && !is_settled(&env, name))
                    .cloned()
                    .collect();
                if !more.is_empty() {
                    lacking.push((key, Field::List(there.into_iter().chain(more).collect())));
                }
            }
            Some(Field::Map(wanted)) => {
                let there = map(key);
                let more: Vec<_> = wanted
                    .iter()
                    .filter(|pair| !there.contains(pair) && !is_settled(&there, &pair.0))
                    .cloned()
                    .collect();
                if !more.is_empty() {
                    lacking.push((key, Field::Map(more)));
                }
            }
            _ => {}
        }
    }
    lacking
}

/// Whether a value has what the entry requires. A map may have more keys.
fn holds(there: &Field, wanted: &Field) -> bool {
    match (there, wanted) {
        (Field::Map(there), Field::Map(wanted)) => wanted.iter().all(|pair| there.contains(pair)),
        _ => there == wanted,
    }
}

// ---- JSON

const JSON: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn json_root(text: &str) -> Result<CstRootNode, Problem> {
    let root = CstRootNode::parse(text, &JSON).map_err(|error| Problem::Broken {
        line: error.line_display(),
        column: error.column_display(),
        message: error.kind().to_string(),
    })?;
    if root.value().is_some_and(|value| value.as_object().is_none()) {
        return Err(wrong_kind("the whole", "an object"));
    }
    Ok(root)
}

fn in_json(text: &str, key: &str, entry: &Entry) -> Result<(String, Met), Problem> {
    let root = json_root(text)?;
    let whole = root.object_value_or_set();
    let servers = object_at(&whole, key)?;
    let met = match servers.get(&entry.name) {
        None => {
            let fields =
                entry.fields.iter().map(|(key, field)| ((*key).to_owned(), field.into())).collect();
            servers.append(&entry.name, CstInputValue::Object(fields));
            Met::Missing
        }
        Some(_) => change_json(&object_at(&servers, &entry.name)?, entry)?,
    };
    if let Some(id) = entry.input {
        add_prompt(&whole, id, &entry.name)?;
    }
    let mut text = root.to_string();
    if !text.ends_with('\n') && met != Met::Same {
        text.push('\n');
    }
    Ok((text, met))
}

/// Adds an input with which VS Code prompts its user for a secret, once for all servers.
fn add_prompt(whole: &CstObject, id: &str, name: &str) -> Result<(), Problem> {
    if whole.get("inputs").is_some_and(|inputs| inputs.array_value().is_none()) {
        return Err(wrong_kind("inputs", "a list"));
    }
    let inputs = whole.array_value_or_set("inputs");
    let is_it = |input: &CstNode| {
        let id_of = |input: &CstNode| {
            input.as_object()?.get("id")?.value()?.as_string_lit()?.decoded_value().ok()
        };
        id_of(input).is_some_and(|there| there == id)
    };
    if !inputs.elements().iter().any(is_it) {
        let text = |text: &str| CstInputValue::from(text);
        let input = [
            ("type", text("promptString")),
            ("id", text(id)),
            ("description", text(&format!("The token of {name}"))),
            ("password", CstInputValue::Bool(true)),
        ];
        inputs.append(CstInputValue::Object(
            input.map(|(key, value)| (key.to_owned(), value)).into(),
        ));
    }
    Ok(())
}

/// The object under a key, created where it is missing.
fn object_at(parent: &CstObject, key: &str) -> Result<CstObject, Problem> {
    match parent.get(key) {
        Some(property) => property.object_value().ok_or_else(|| wrong_kind(key, "an object")),
        None => Ok(parent.object_value_or_set(key)),
    }
}

fn change_json(there: &CstObject, entry: &Entry) -> Result<Met, Problem> {
    let read = |key: &str| there.get(key)?.value().and_then(|value| json_field(&value));
    let met = met(entry, read)?;
    if met == Met::Same {
        return Ok(met);
    }
    let variables = lacking(entry, read);
    for key in LAUNCH_KEYS.into_iter().chain(TOKEN_KEYS) {
        match (there.get(key), entry.field(key)) {
            (_, Some(field)) => merge_json(there, key, field)?,
            (Some(property), None) if LAUNCH_KEYS.contains(&key) => property.remove(),
            (_, None) => {}
        }
    }
    for (key, field) in variables {
        merge_json(there, key, &field)?;
    }
    Ok(met)
}

/// Sets a value; an existing map is merged by key.
fn merge_json(there: &CstObject, key: &str, field: &Field) -> Result<(), Problem> {
    match field {
        Field::Map(pairs) if there.get(key).is_some() => {
            let map = object_at(there, key)?;
            for (key, text) in pairs {
                set_json(&map, key, &Field::Text(text.clone()));
            }
        }
        _ => set_json(there, key, field),
    }
    Ok(())
}

fn set_json(there: &CstObject, key: &str, field: &Field) {
    match there.get(key) {
        Some(property) => property.set_value(field.into()),
        None => drop(there.append(key, field.into())),
    }
}

fn json_field(value: &CstNode) -> Option<Field> {
    let text = |value: &CstNode| value.as_string_lit()?.decoded_value().ok();
    if let Some(list) = value.as_array() {
        return list.elements().iter().map(text).collect::<Option<_>>().map(Field::List);
    }
    if let Some(object) = value.as_object() {
        let pair = |property: CstObjectProp| {
            Some((property.name()?.decoded_value().ok()?, text(&property.value()?)?))
        };
        return Some(Field::Map(object.properties().into_iter().filter_map(pair).collect()));
    }
    text(value).map(Field::Text)
}

impl From<&Field> for CstInputValue {
    fn from(field: &Field) -> Self {
        match field {
            Field::Text(text) => text.as_str().into(),
            Field::List(list) => {
                Self::Array(list.iter().map(|text| text.as_str().into()).collect())
            }
            Field::Map(map) => Self::Object(
                map.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect(),
            ),
        }
    }
}

// ---- TOML

fn toml_document(text: &str) -> Result<DocumentMut, Problem> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        Problem::Broken {
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|character| *character != '\n').count() + 1,
            message: error.message().lines().collect::<Vec<_>>().join("; "),
        }
    })
}

fn in_toml(text: &str, key: &str, entry: &Entry) -> Result<(String, Met), Problem> {
    let mut document = toml_document(text)?;
    let servers = document.entry(key).or_insert_with(|| {
        let mut table = toml_edit::Table::new();
        // without a header `[mcp_servers]`, as it is usually written
        table.set_implicit(true);
        Item::Table(table)
    });
    let servers = servers.as_table_like_mut().ok_or_else(|| wrong_kind(key, "a table"))?;
    let met = match servers.get_mut(&entry.name) {
        None => {
            let mut table = toml_edit::Table::new();
            table.extend(
                entry.fields.iter().map(|(key, field)| (*key, toml_edit::Value::from(field))),
            );
            servers.insert(&entry.name, Item::Table(table));
            Met::Missing
        }
        Some(there) => change_toml(
            there.as_table_like_mut().ok_or_else(|| wrong_kind(&entry.name, "a table"))?,
            entry,
        )?,
    };
    Ok((document.to_string(), met))
}

fn change_toml(there: &mut dyn TableLike, entry: &Entry) -> Result<Met, Problem> {
    let met = met(entry, |key| there.get(key).and_then(toml_field))?;
    if met == Met::Same {
        return Ok(met);
    }
    let variables = lacking(entry, |key| there.get(key).and_then(toml_field));
    for key in LAUNCH_KEYS.into_iter().chain(TOKEN_KEYS) {
        match entry.field(key) {
            Some(field) => put(there, key, field),
            None if LAUNCH_KEYS.contains(&key) => drop(there.remove(key)),
            None => {}
        }
    }
    for (key, field) in variables {
        match (there.get_mut(key).and_then(Item::as_table_like_mut), &field) {
            (Some(map), Field::Map(pairs)) => {
                for (name, text) in pairs {
                    put(map, name, &Field::Text(text.clone()));
                }
            }
            _ => put(there, key, &field),
        }
    }
    Ok(met)
}

/// Sets a value and keeps the comment after the former one.
fn put(there: &mut dyn TableLike, key: &str, field: &Field) {
    let mut value = toml_edit::Value::from(field);
    if let Some(before) = there.get(key).and_then(Item::as_value) {
        *value.decor_mut() = before.decor().clone();
    }
    there.insert(key, Item::Value(value));
}

fn toml_field(item: &Item) -> Option<Field> {
    if let Some(list) = item.as_array() {
        return list
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map(Field::List);
    }
    if let Some(table) = item.as_table_like() {
        let pairs = table
            .iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.as_str()?.to_owned())));
        return Some(Field::Map(pairs.collect()));
    }
    item.as_str().map(|text| Field::Text(text.to_owned()))
}

impl From<&Field> for toml_edit::Value {
    fn from(field: &Field) -> Self {
        match field {
            Field::Text(text) => text.as_str().into(),
            Field::List(list) => Self::Array(list.iter().map(String::as_str).collect()),
            Field::Map(map) => Self::InlineTable(
                map.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{Json, Toml};

    fn entry(arguments: &[&str]) -> Entry {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Entry {
            name: "a".to_owned(),
            fields: vec![
                ("command", Field::Text("/agent".to_owned())),
                ("args", Field::List(arguments)),
            ],
            input: None,
            lenient: Vec::new(),
        }
    }

    #[track_caller]
    fn check(format: Format, key: &str, before: &str, expected: Met, after: &str) {
        let entry = entry(&["-C", "/r", "mcp", "runner"]);
        let (text, met) = with_entry(before, format, key, &entry).unwrap();
        assert_eq!((met, text.as_str()), (expected, after));
        assert_eq!(
            with_entry(&text, format, key, &entry).unwrap(),
            (text.clone(), Met::Same),
            "a second time changes nothing"
        );
    }

    const ENTRY: &str =
        "\"command\": \"/agent\",\n      \"args\": [\"-C\", \"/r\", \"mcp\", \"runner\"]";

    #[test]
    fn an_empty_file_gets_a_complete_document() {
        let after =
            format!("{{\n  \"mcpServers\": {{\n    \"a\": {{\n      {ENTRY}\n    }}\n  }}\n}}\n");
        for before in ["", "{}", "\n"] {
            let (text, _) =
                with_entry(before, Json, "mcpServers", &entry(&["-C", "/r", "mcp", "runner"]))
                    .unwrap();
            assert_eq!(text.trim_start(), after, "{before:?}");
        }
        check(
            Toml,
            "mcp_servers",
            "",
            Met::Missing,
            "[mcp_servers.a]\ncommand = \"/agent\"\nargs = [\"-C\", \"/r\", \"mcp\", \"runner\"]\n",
        );
    }

    #[test]
    fn existing_content_is_preserved() {
        check(
            Json,
            "servers",
            "// mine\n\
            {\n\t\"inputs\": [],   // none\n\t\"servers\": {\n\t\t\"git\": { \"command\": \"uvx\" \
            }, // keep\n\t},\n\
            }",
            Met::Missing,
            "// mine\n\
            {\n\t\"inputs\": [],   // none\n\t\"servers\": {\n\t\t\"git\": { \"command\": \"uvx\" \
            }, // keep\n\t\t\"a\": {\n\t\t\t\"command\": \"/agent\",\n\t\t\t\"args\": \
            [\"-C\", \"/r\", \"mcp\", \"runner\"],\n\t\t},\n\t},\n\
            }\n",
        );
        check(
            Toml,
            "mcp_servers",
            "model = \"o\" # best\n\n[mcp_servers.git]\ncommand = 'uvx'\n\n[tools]\nweb = true\n",
            Met::Missing,
            "model = \"o\" # best\n\n\
            [mcp_servers.git]\n\
            command = 'uvx'\n\n\
            [mcp_servers.a]\n\
            command = \"/agent\"\n\
            args = [\"-C\", \"/r\", \"mcp\", \"runner\"]\n\n\
            [tools]\n\
            web = true\n",
        );
    }

    #[test]
    fn an_older_entry_of_agent_is_changed_and_keeps_its_other_keys() {
        check(
            Json,
            "mcpServers",
            "{\"mcpServers\": {\"a\": {\"command\": \"/old\", \"args\": \
            [\"mcp\", \"tuner\"], \"env\": {\"K\": \"v\"}}}}\n",
            Met::Changed,
            "{\"mcpServers\": {\"a\": {\"command\": \"/agent\", \"args\": \
            [\"-C\", \"/r\", \"mcp\", \"runner\"], \"env\": {\"K\": \"v\"}}}}\n",
        );
        check(
            Toml,
            "mcp_servers",
            "[mcp_servers.a]\n\
            command = \"/old\" # where\n\
            args = [\"mcp\", \"runner\"]\n\
            startup_timeout_sec = 30\n",
            Met::Changed,
            "[mcp_servers.a]\n\
            command = \"/agent\" # where\n\
            args = [\"-C\", \"/r\", \"mcp\", \"runner\"]\n\
            startup_timeout_sec = 30\n",
        );
        // another notation of the same entry is unchanged
        let inline = "mcp_servers = { a = { command = \"/agent\", args = \
            [\"-C\", \"/r\", \"mcp\", \"runner\"] } }\n";
        check(Toml, "mcp_servers", inline, Met::Same, inline);
    }

    #[test]
    fn a_change_from_stdio_to_http_leaves_no_stdio_keys() {
        let http = Entry {
            name: "a".to_owned(),
            fields: vec![("httpUrl", Field::Text("http://127.0.0.1:1/mcp".to_owned()))],
            ..entry(&[])
        };
        let before = "{\"mcpServers\": {\"a\": {\"command\": \"/agent\", \"args\": \
            [\"mcp\", \"runner\"], \"trust\": true}}}\n";
        let (text, met) = with_entry(before, Json, "mcpServers", &http).unwrap();
        let text: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(met, Met::Changed);
        assert_eq!(
            text["mcpServers"]["a"],
            serde_json::json!({"trust": true, "httpUrl": "http://127.0.0.1:1/mcp"})
        );
    }

    #[test]
    fn an_entry_is_removed_and_all_else_preserved() {
        let of = |folder| ("a", LeadsTo::Repository(folder));
        let json = "// mine\n{\n  \"s\": {\n    \"git\": {\"command\": \"uvx\"}, // keep\n    \"a\": {\n      \
            \"command\": \"/agent\", \"args\": [\"-C\", \"/r\", \"mcp\", \"runner\"]\n    }\n  },\n  \
            \"x\": 1.10\n}\n";
        let without = "// mine\n{\n  \"s\": {\n    \"git\": {\"command\": \"uvx\"} // keep\n  },\n  \
            \"x\": 1.10\n}\n";
        assert_eq!(without_entry(json, Json, "s", of("/r")).unwrap().as_deref(), Some(without));
        assert_eq!(without_entry(without, Json, "s", of("/r")), Ok(None));
        let toml = "model = \"o\" # best\n\n[s.git]\ncommand = 'uvx'\n\n[s.a]\ncommand = \"/agent\"\n\
            args = [\"-C\", \"/r\", \"mcp\", \"tuner\"]\n\n[tools]\nweb = true\n";
        let without = "model = \"o\" # best\n\n[s.git]\ncommand = 'uvx'\n\n[tools]\nweb = true\n";
        assert_eq!(without_entry(toml, Toml, "s", of("/r")).unwrap().as_deref(), Some(without));
        assert_eq!(without_entry(without, Toml, "s", of("/r")), Ok(None));
        assert_eq!(without_entry("", Json, "s", of("/r")), Ok(None));
        let taken = Err(Problem::Taken { name: "a".to_owned() });
        for (text, format) in [(json, Json), (toml, Toml)] {
            assert_eq!(without_entry(text, format, "s", of("/other")), taken);
            let url = ("a", LeadsTo::Url("http://h/mcp"));
            assert_eq!(without_entry(text, format, "s", url), taken);
        }
        let url = "{\"s\": {\"a\": {\"httpUrl\": \"http://h/mcp\"}}}";
        let removed = without_entry(url, Json, "s", ("a", LeadsTo::Url("http://h/mcp")));
        assert_eq!(removed.unwrap().as_deref(), Some("{\"s\": {}}"));
    }

    #[test]
    fn an_unreadable_configuration_or_a_foreign_server_of_that_name_is_an_error() {
        let refused = |text: &str, format| {
            with_entry(text, format, "s", &entry(&["mcp", "runner"])).unwrap_err()
        };
        for (text, format, line, column, part) in [
            ("{\n  \"s\": {\n    \"b\" 1\n", Json, 3, 9, "colon"),
            ("{\"s\": []}", Json, 0, 0, "`s` is not an object"),
            ("[]", Json, 0, 0, "is not an object"),
            ("{\"s\": {\"a\": 1}}", Json, 0, 0, "`a` is not an object"),
            ("{s: 1}", Json, 1, 2, ""),
            ("x = 1\ny = \n", Toml, 2, 5, ""),
            ("s = 1\n", Toml, 0, 0, "`s` is not a table"),
        ] {
            let Problem::Broken { line: at_line, column: at_column, message } =
                refused(text, format)
            else {
                panic!("{text}")
            };
            assert_eq!((at_line, at_column), (line, column), "{text}: {message}");
            assert!(message.to_lowercase().contains(part), "{text}: {message}");
        }
        let taken = Problem::Taken { name: "a".to_owned() };
        for (text, format) in [
            ("{\"s\": {\"a\": {\"command\": \"npx\", \"args\": [\"-y\", \"x\"]}}}", Json),
            ("{\"s\": {\"a\": {\"url\": \"https://example.org\"}}}", Json),
            ("[s.a]\ncommand = \"npx\"\n", Toml),
        ] {
            assert_eq!(refused(text, format), taken, "{text}");
        }
    }
}
