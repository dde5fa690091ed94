//! agent.toml with the sections of a template's, in its own formatting.

use agent_core::adoption::joining::{Joined, Joining};
use agent_core::formats::manifest;
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

const TUNER: &str = "tuner";
/// What describes the repository itself and its server, and is never taken from a template.
const OWN: [&str; 7] = ["schema", "name", "first_version", "runner", "python", "node", "remote"];

/// Adds sections that are missing, with their comments. Of sections that are there only `[tuner]`
/// gets missing keys; other sections are the repository's own, and so are those that `general`, the
/// smallest template, has as well: nothing of the template depends on them.
pub fn joined(own: &str, template: &str, general: &str, lock: Option<&str>) -> Joining {
    let mut document = parsed(own)?;
    let (wanted, general) = (parsed(template)?, parsed(general)?);
    let mut added = Vec::new();
    for (key, item) in wanted.iter().filter(|(key, _)| !OWN.contains(key)) {
        let is_general = general.get(key).is_some_and(|other| same(other, item));
        if document.get(key).is_none() && (key == TUNER || !is_general) {
            document.insert(key, unplaced(item));
            added.push(format!("[{key}]"));
        }
    }
    let (tuner, wanted_tuner) = (document.get_mut(TUNER), wanted.get(TUNER));
    if let (Some(tuner), Some(wanted)) =
        (tuner.and_then(Item::as_table_like_mut), wanted_tuner.and_then(Item::as_table_like))
    {
        complete(tuner, wanted, &mut added)?;
    }
    if let Some(lock) = lock {
        let python = document.entry("python").or_insert_with(|| Item::Table(Table::new()));
        if let Some(python) = python.as_table_like_mut()
            && python.get("lock").is_none()
        {
            python.insert("lock", value(lock));
            added.push("python.lock".to_owned());
        }
    }
    Ok(Joined { text: document.to_string(), added })
}

fn parsed(text: &str) -> Result<DocumentMut, Vec<String>> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        vec![format!("{}: {}", manifest::FILE, error.to_string().trim().replace('\n', " "))]
    })
}

fn complete(
    own: &mut dyn TableLike,
    wanted: &dyn TableLike,
    added: &mut Vec<String>,
) -> Result<(), Vec<String>> {
    let mut conflicts = Vec::new();
    for (key, item) in wanted.iter() {
        match own.get(key) {
            None => {
                own.insert(key, unplaced(item));
                added.push(format!("{TUNER}.{key}"));
            }
            Some(there) if same(there, item) => {}
            Some(there) => conflicts.push(format!(
                "`{TUNER}.{key}` is {} here, and {} in the template",
                shown(there),
                shown(item)
            )),
        }
    }
    if conflicts.is_empty() { Ok(()) } else { Err(conflicts) }
}

/// A section without its place in the document that it is from.
fn unplaced(item: &Item) -> Item {
    let mut item = item.clone();
    if let Some(table) = item.as_table_mut() {
        forget_place(table);
        let prefix = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
        let prefix = format!("\n{}", prefix.trim_start_matches('\n'));
        table.decor_mut().set_prefix(prefix);
    }
    item
}

fn forget_place(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        if let Some(inner) = item.as_table_mut() {
            forget_place(inner);
        }
    }
}

fn shown(item: &Item) -> String {
    item.to_string().trim().replace('\n', "; ")
}

/// Whether two values are the same apart from comments and spaces.
fn same(one: &Item, other: &Item) -> bool {
    let bare = |item: &Item| {
        let mut document = DocumentMut::new();
        document.insert("item", unplaced(item));
        document.to_string().parse::<toml::Table>().ok()
    };
    bare(one).is_some_and(|one| Some(one) == bare(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN_FILE: &str = "# mine\nschema = \"agent/manifest@1\"\nname = \"time\" # a name\n\n\
        [runner]\ncommand = [ \"python\", \"-m\", \"x\" ]\n\n[python]\nrequires = \">=3.11\"\n\n\
        [limits] # as measured\nstart_s = 30\n";
    const TEMPLATE: &str = "schema = \"agent/manifest@1\"\nname = \"bandit\"\n\n\
        [runner]\ncommand = [\"python\", \"-m\", \"runner\"]\n\n\
        [tuner]\ncommand = [\"python\", \"-m\", \"tuner\"]\n\n\
        # what it may request\n[tuner.effects]\nusd = 1.0\n\n\
        [limits]\nstart_s = 10\n\n[store]\nurl = \"file:.agent/store\"\n\n[tests]\nanswers = true\n";
    const GENERAL: &str = "[store] # the usual\nurl = 'file:.agent/store'\n";

    #[test]
    fn missing_sections_are_added_and_all_else_stays_as_it_is() {
        let found = joined(OWN_FILE, TEMPLATE, GENERAL, None).unwrap();
        assert_eq!(found.added, ["[tuner]", "[tests]"]);
        let rest = found.text.strip_prefix(OWN_FILE).unwrap_or_else(|| panic!("{}", found.text));
        assert_eq!(
            rest,
            "\n[tuner]\ncommand = [\"python\", \"-m\", \"tuner\"]\n\n\
            # what it may request\n[tuner.effects]\nusd = 1.0\n\n[tests]\nanswers = true\n"
        );
        assert_eq!(joined(&found.text, TEMPLATE, GENERAL, None).unwrap().added, [""; 0]);
    }

    #[test]
    fn a_tuner_gets_missing_keys_and_another_value_is_a_conflict() {
        let own = format!("{OWN_FILE}\n[tuner]\ncommand = ['python', '-m', 'tuner'] # mine\n");
        let found = joined(&own, TEMPLATE, TEMPLATE, Some("requirements.lock")).unwrap();
        assert_eq!(found.added, ["tuner.effects", "python.lock"]);
        assert!(found.text.contains("['python', '-m', 'tuner'] # mine\n"), "{}", found.text);
        assert!(found.text.contains("\n[tuner.effects]\nusd = 1.0\n"), "{}", found.text);
        assert!(found.text.contains(">=3.11\"\nlock = \"requirements.lock\"\n"), "{}", found.text);
        let own = own.replace("'tuner'", "'learner'");
        let conflicts = joined(&own, TEMPLATE, TEMPLATE, None).unwrap_err();
        assert!(conflicts[0].starts_with("`tuner.command` is ['python', '-m', 'learner']"));
    }
}
