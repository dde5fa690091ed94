//! The coder that needs no model: it applies the inspirations that the feedback and the failing cases suggest, one an attempt.

use crate::architect::change::Left;
use crate::architect::coder::Coded;
use crate::error::Failure;
use crate::world::git::{Git, Mode, TreeEdit};
use agent_core::architect::brief::Brief;
use agent_core::architect::inspiration::{Inspiration, suggested};
use agent_core::formats::object_id::ObjectId;
use std::collections::BTreeMap;

/// The inspirations that are suggested and fit the code as it is, with the files they make.
pub struct Builtin {
    fitting: Vec<(Inspiration, BTreeMap<String, String>)>,
    /// Suggested, but not made for this code: id and why.
    passed_over: Vec<(String, String)>,
}

impl Builtin {
    pub fn new(all: &[Inspiration], brief: &Brief, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let feedback: Vec<_> = brief.feedback.iter().map(|item| item.text.as_str()).collect();
        let failing: Vec<_> = brief.failing.iter().map(|case| case.case.to_string()).collect();
        let mut builtin = Self { fitting: Vec::new(), passed_over: Vec::new() };
        for one in suggested(all, &feedback.join("\n"), &failing) {
            match one.applied(read) {
                Ok(files) => builtin.fitting.push((one.clone(), files)),
                Err(why) => builtin.passed_over.push((one.id.clone(), why)),
            }
        }
        builtin
    }

    /// How many attempts there are to make: one for each that fits, and one to find that none does.
    pub fn count(&self) -> u32 {
        u32::try_from(self.fitting.len()).unwrap_or(u32::MAX).max(1)
    }

    pub fn code(&self, attempt: u32) -> Coded {
        let Some((inspiration, _)) = self.chosen(attempt) else {
            return Coded::NothingFits { why: self.nothing_fits() };
        };
        Coded::Done {
            said: format!("{}: {}", inspiration.id, inspiration.title),
            message: Some(format!("{}\n\n{}", inspiration.commit, inspiration.about.trim())),
        }
    }

    /// The code that is served with the files of this attempt. A file that is there keeps its mode.
    pub fn left(&self, attempt: u32, git: &Git, base: &ObjectId) -> Result<Left, Failure> {
        let mut edits = Vec::new();
        for (path, text) in self.chosen(attempt).into_iter().flat_map(|(_, files)| files) {
            let mode = git.entry(base, path)?.map(|entry| entry.mode).filter(|mode| *mode == Mode::Executable).unwrap_or(Mode::File);
            edits.push(TreeEdit::Put { path: path.clone(), id: git.write_blob(text.as_bytes())?, mode });
        }
        Ok(Left::Tree(git.edit_tree(Some(base), &edits)?))
    }

    fn chosen(&self, attempt: u32) -> Option<&(Inspiration, BTreeMap<String, String>)> {
        self.fitting.get(attempt.saturating_sub(1) as usize)
    }

    fn nothing_fits(&self) -> String {
        let reasons: Vec<_> = self.passed_over.iter().map(|(id, why)| format!("{id}: {why}")).collect();
        match reasons.as_slice() {
            [] => "no inspiration answers this feedback".to_owned(),
            reasons => format!("no inspiration that answers this feedback fits the code ({})", reasons.join("; ")),
        }
    }
}
