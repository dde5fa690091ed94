//! The plan of applying a template: the files that it would write, and the conflicts.

use super::{Status, last, manifest, pending, statuses};
use crate::adoption::footprint::Footprint;
use agent_core::adoption::joining::{self, Joined, Joining, STATE_FILE, StateTexts};
use agent_core::contract::new_keys::SCHEMA_FILE;
use agent_core::formats::canonical;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::{self as format, Manifest};
use agent_core::state::Rules;
use agent_engine::error::Failure;
use agent_engine::templates::{self, DEFAULT, NewFile, Template};
use agent_engine::world::fs;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

const RUNNER: &str = "runner";
const SERVER: &str = "runner/__main__.py";
const BUDGETS: &str = "ci/budgets.json";
const IGNORED: &str = ".gitignore";
/// Explains a template as a whole repository. `agent templates show` prints it.
const ABOUT: [&str; 4] = ["README.md", "AGENTS.md", "tests/README.md", ".gitattributes"];

/// The change of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    New,
    /// With what was added.
    Joined {
        added: Vec<String>,
    },
    /// With where its former content still is.
    Replaced {
        kept: String,
    },
}

#[derive(Debug)]
pub struct Planned {
    pub file: NewFile,
    pub change: Change,
}

/// Something in the way.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict {
    pub path: String,
    pub problem: String,
    /// Whether `--force` settles it.
    #[serde(skip)]
    is_forceable: bool,
}

#[derive(Debug)]
pub struct Plan {
    pub template: &'static Template,
    pub changes: Vec<Planned>,
    pub conflicts: Vec<Conflict>,
    /// Parts of the template that are not applied, as sentences.
    pub left_out: Vec<String>,
    /// Another template that was applied before and is not committed.
    pub pending: Option<String>,
}

impl Plan {
    /// With `force`, committed files with other content are replaced.
    pub fn of(folder: &Path, template: &'static Template, force: bool) -> Result<Self, Failure> {
        let files = Files::of(folder, template, force)?;
        let mut plan = Self {
            template,
            changes: Vec::new(),
            conflicts: Vec::new(),
            left_out: Vec::new(),
            pending: pending(folder)?.filter(|other| other != template.name),
        };
        plan.add_manifest(&files)?;
        plan.add_state(&files)?;
        plan.add_rest(&files)?;
        plan.refuse_links(folder);
        if plan.conflicts.is_empty() {
            plan.check(&files)?;
        }
        Ok(plan)
    }

    /// The conflicts as an error; `None` without any.
    pub fn refusal(&self) -> Option<Failure> {
        if self.conflicts.is_empty() {
            return None;
        }
        let name = self.template.name;
        let mut failure =
            Failure::new(FailureKind::Conflict, format!("the template {name} was not applied"));
        let shown = |one: &Conflict| format!("{}: {}", one.path, one.problem);
        failure.messages.extend(self.conflicts.iter().map(shown));
        let hint = if let Some(pending) = &self.pending {
            format!(
                "nothing was written; the template {pending} was applied before and is not \
                committed: `agent templates apply --undo` undoes it"
            )
        } else if self.conflicts.iter().all(|one| one.is_forceable) {
            format!(
                "nothing was written; `agent templates apply {name} --force` replaces these files, \
                which are committed"
            )
        } else {
            "nothing was written; commit, rename or move what is in the way, then run it again"
                .to_owned()
        };
        Some(failure.with_hint(hint))
    }

    fn add_manifest(&mut self, files: &Files) -> Result<(), Failure> {
        let Some(wanted) = files.wanted_text(format::FILE) else { return Ok(()) };
        let general = templates::named(DEFAULT)?.files();
        let general = general.iter().find(|file| file.path == Path::new(format::FILE));
        let general = general.map(|file| text(&file.bytes)).unwrap_or_default();
        let lock = files.lock.as_deref();
        let joining = manifest::joined(&files.own_text(format::FILE)?, &wanted, &general, lock);
        self.join(files, format::FILE, joining)
    }

    fn add_state(&mut self, files: &Files) -> Result<(), Failure> {
        let (Some(schema), Some(state)) =
            (files.wanted_text(SCHEMA_FILE), files.wanted_text(STATE_FILE))
        else {
            return Ok(());
        };
        let (own_schema, own_state) = (files.own_text(SCHEMA_FILE)?, files.own_text(STATE_FILE)?);
        if own_schema.is_empty() && own_state.is_empty() {
            let state = serde_json::from_str(&state).map(|value| canonical::to_bytes(&value));
            let state = state.map_err(|error| Failure::input(format!("{STATE_FILE}: {error}")))?;
            self.push(NewFile::new(SCHEMA_FILE, schema), Change::New);
            self.push(NewFile::new(STATE_FILE, state), Change::New);
            return Ok(());
        }
        let own = StateTexts { schema: &own_schema, state: &own_state };
        let read = |path: &str| files.own_text(path).ok().filter(|text| !text.is_empty());
        match joining::state(own, StateTexts { schema: &schema, state: &state }, &read) {
            Ok(joined) => {
                for (path, bytes) in joined.files {
                    let text = text(&bytes);
                    let added = joined.added.clone();
                    self.join(files, &path, Ok(Joined { text, added }))?;
                }
            }
            Err(problems) => self.refuse(SCHEMA_FILE, problems),
        }
        Ok(())
    }

    fn add_rest(&mut self, files: &Files) -> Result<(), Failure> {
        let needs_runner = files.tuner_imports_runner();
        let mut cases = 0;
        for file in &files.wanted {
            let path = file.path.to_string_lossy().into_owned();
            let is_done = [format::FILE, SCHEMA_FILE, STATE_FILE].contains(&path.as_str());
            if is_done
                || ABOUT.contains(&path.as_str())
                || file.path.starts_with("state/migrations")
            {
                continue;
            }
            let wanted = text(&file.bytes);
            if file.path.starts_with(RUNNER) && files.has_server {
                if needs_runner && path != SERVER {
                    self.add_module(files, file, &path)?;
                }
            } else if file.path.starts_with("tests") && files.has_server {
                let is_cases = file.path.extension() == Some(OsStr::new("jsonl"));
                cases += if is_cases { wanted.lines().count() } else { 0 };
            } else if path == IGNORED {
                let own = files.own_text(&path)?;
                self.join(files, &path, Ok(joining::lines(&own, &wanted)))?;
            } else if path == BUDGETS && files.has(BUDGETS)? {
                let own = files.own_text(&path)?;
                self.join(files, &path, joining::budgets(&own, &wanted, !files.has_server))?;
            } else if file.path.starts_with("tests")
                && file.path.extension() == Some(OsStr::new("jsonl"))
            {
                let own = files.own_text(&path)?;
                self.join(files, &path, joining::cases(&own, &wanted))?;
            } else if files.lock.as_deref() == Some(&path) {
                let own = files.own_text(&path)?;
                self.join(files, &path, joining::locks(&own, &wanted))?;
            } else {
                self.add_whole(files, file, &path)?;
            }
        }
        if files.has_server {
            self.left_out.push(format!(
                "the template's own Runner and its {cases} cases, since this repository has a \
                Runner"
            ));
        }
        for file in templates::runtime() {
            let path = file.path.to_string_lossy().into_owned();
            if !files.has(&path)? {
                self.push(file, Change::New);
            }
        }
        Ok(())
    }

    /// A module of the template's Runner that its Tuner imports. The Runner that is there may have
    /// one of that name, which it goes on with.
    fn add_module(&mut self, files: &Files, file: &NewFile, path: &str) -> Result<(), Failure> {
        let own = files.own(path)?;
        match own {
            None => self.push(file.clone(), Change::New),
            Some(own) if own == file.bytes || path.ends_with("__init__.py") => {}
            Some(_) => self.refuse(
                path,
                vec!["the Runner has another module of this name, which the Tuner imports".into()],
            ),
        }
        Ok(())
    }

    /// A file that cannot be joined.
    fn add_whole(&mut self, files: &Files, file: &NewFile, path: &str) -> Result<(), Failure> {
        let Some(own) = files.own(path)? else {
            self.push(file.clone(), Change::New);
            return Ok(());
        };
        if own == file.bytes {
            return Ok(());
        }
        let is_committed = !files.statuses.contains_key(path);
        if let Some(origin) = template_of(&file.path, &own) {
            let kept = format!("it was that of the template {origin}, unchanged");
            self.push(file.clone(), Change::Replaced { kept });
        } else if files.force && is_committed {
            let kept = "it is in the last commit".to_owned();
            self.push(file.clone(), Change::Replaced { kept });
        } else {
            let problem = if is_committed {
                "it exists with other content"
            } else {
                "it exists with other content, which is not committed"
            };
            self.conflicts.push(Conflict {
                path: path.to_owned(),
                problem: problem.to_owned(),
                is_forceable: is_committed,
            });
        }
        Ok(())
    }

    /// A file that gets what is missing.
    fn join(&mut self, files: &Files, path: &str, joining: Joining) -> Result<(), Failure> {
        let joined = match joining {
            Ok(joined) => joined,
            Err(problems) => {
                self.refuse(path, problems);
                return Ok(());
            }
        };
        let own = files.own(path)?;
        let joined_text = match &own {
            Some(own) => with_line_ends_of(own, joined.text),
            None => joined.text,
        };
        if own.as_deref() == Some(joined_text.as_bytes()) {
            return Ok(());
        }
        // `agent adopt` adds to it as well, and lines cannot be confused with others
        let is_lines = path == IGNORED;
        if own.is_some() && !is_lines && files.has_uncommitted_edits(path)? {
            self.refuse(path, vec!["it has uncommitted changes".to_owned()]);
            return Ok(());
        }
        let change =
            if own.is_none() { Change::New } else { Change::Joined { added: joined.added } };
        self.push(NewFile::new(path, joined_text), change);
        Ok(())
    }

    fn refuse(&mut self, path: &str, problems: Vec<String>) {
        self.conflicts.extend(problems.into_iter().map(|problem| Conflict {
            path: path.to_owned(),
            problem,
            is_forceable: false,
        }));
    }

    fn push(&mut self, file: NewFile, change: Change) {
        self.changes.push(Planned { file, change });
    }

    /// A file below a link would be written outside of the repository.
    fn refuse_links(&mut self, folder: &Path) {
        let is_behind_a_link = |path: &Path| {
            path.ancestors().skip(1).any(|above| {
                !above.as_os_str().is_empty() && fs::link_target(&folder.join(above)).is_ok()
            })
        };
        let (behind, own): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|planned| is_behind_a_link(&planned.file.path));
        self.changes = own;
        for planned in behind {
            let path = planned.file.path.to_string_lossy().into_owned();
            self.refuse(&path, vec!["a folder above it is a link".to_owned()]);
        }
    }

    /// The result as a whole, before anything is written.
    fn check(&self, files: &Files) -> Result<(), Failure> {
        let after = |path: &str| {
            let planned = self.changes.iter().find(|one| one.file.path == Path::new(path));
            planned.map_or_else(|| files.own_text(path), |one| Ok(text(&one.file.bytes)))
        };
        Manifest::parse(&after(format::FILE)?, format::FILE)?;
        let parsed = |path: &str| {
            serde_json::from_str(&after(path)?)
                .map_err(|error| Failure::input(format!("{path}: {error}")))
        };
        let schema = parsed(SCHEMA_FILE)?;
        let rules = Rules::new(Some(&schema)).map_err(Failure::input)?;
        rules.check(&parsed(STATE_FILE)?).map_err(Failure::input)?;
        Ok(())
    }
}

/// The files of both sides.
struct Files<'a> {
    folder: &'a Path,
    wanted: Vec<NewFile>,
    statuses: BTreeMap<String, Status>,
    /// What was applied before.
    last: Option<Footprint>,
    force: bool,
    /// Whether the template has a Runner: a Tuner alone suits any.
    has_server: bool,
    /// The template's lock of Python packages.
    lock: Option<String>,
}

impl<'a> Files<'a> {
    fn of(folder: &'a Path, template: &Template, force: bool) -> Result<Self, Failure> {
        let wanted = template.files();
        let mut paths: Vec<_> =
            wanted.iter().map(|file| file.path.to_string_lossy().into_owned()).collect();
        paths.push("state/migrations".to_owned());
        let mut files = Self {
            folder,
            statuses: statuses(folder, &paths)?,
            last: last(folder)?,
            force,
            has_server: wanted.iter().any(|file| file.path == Path::new(SERVER)),
            lock: None,
            wanted,
        };
        let manifest = files.wanted_text(format::FILE).map(|text| text.parse::<toml::Table>());
        let lock = manifest.and_then(Result::ok);
        let lock = lock
            .and_then(|manifest| manifest.get("python")?.get("lock")?.as_str().map(str::to_owned));
        files.lock = lock;
        Ok(files)
    }

    fn own(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(fs::read_if_there(&self.folder.join(path))?)
    }

    fn own_text(&self, path: &str) -> Result<String, Failure> {
        Ok(self.own(path)?.map(|bytes| text(&bytes)).unwrap_or_default())
    }

    fn has(&self, path: &str) -> Result<bool, Failure> {
        Ok(self.own(path)?.is_some())
    }

    fn wanted_text(&self, path: &str) -> Option<String> {
        let file = self.wanted.iter().find(|file| file.path == Path::new(path))?;
        Some(text(&file.bytes))
    }

    /// Whether a tracked file has changes that neither git has nor a template that was applied.
    fn has_uncommitted_edits(&self, path: &str) -> Result<bool, Failure> {
        if self.statuses.get(path) != Some(&Status::Changed) {
            return Ok(false);
        }
        match &self.last {
            Some(last) => Ok(!last.is_unchanged(path)?),
            None => Ok(true),
        }
    }

    fn tuner_imports_runner(&self) -> bool {
        let is_import = |line: &str| {
            let words: Vec<_> = line.split_whitespace().take(2).collect();
            let [from, module] = words.as_slice() else { return false };
            ["from", "import"].contains(from) && module.split('.').next() == Some(RUNNER)
        };
        self.wanted
            .iter()
            .filter(|file| file.path.starts_with("tuner"))
            .any(|file| text(&file.bytes).lines().any(is_import))
    }
}

/// The template that a file comes from unchanged.
fn template_of(path: &Path, bytes: &[u8]) -> Option<&'static str> {
    templates::all().iter().find_map(|template| {
        let files = template.files();
        let is_its = files.iter().any(|file| file.path == path && file.bytes == bytes);
        is_its.then_some(template.name)
    })
}

/// Parsers read both line ends and write one.
fn with_line_ends_of(own: &[u8], text: String) -> String {
    let plain = || text.replace("\r\n", "\n");
    if own.windows(2).any(|pair| pair == b"\r\n") { plain().replace('\n', "\r\n") } else { text }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
