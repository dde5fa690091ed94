//! The coder that needs no model: it applies the inspirations that the feedback and the failing
//! cases suggest, one an attempt.

use crate::architect::change::CoderResult;
use crate::architect::coder::{Coded, Coder, Setting};
use crate::error::Failure;
use crate::world::git::{Mode, TreeEdit};
use agent_core::architect::brief::Brief;
use agent_core::architect::inspiration::{Inspiration, suggested};
use std::collections::BTreeMap;

/// The inspirations that are suggested and fit the code as it is, with the files they make.
pub struct Builtin<'a> {
    setting: Setting<'a>,
    fitting: Vec<(Inspiration, BTreeMap<String, String>)>,
    /// Suggested, but not made for this code: id and why.
    passed_over: Vec<(String, String)>,
}

impl<'a> Builtin<'a> {
    pub fn new(setting: Setting<'a>, all: &[Inspiration], brief: &Brief) -> Self {
        let git = &setting.repository.git;
        let read = |path: &str| {
            git.read(&setting.base, path)
                .ok()
                .flatten()
                .and_then(|bytes| String::from_utf8(bytes).ok())
        };
        let feedback: Vec<_> = brief.feedback.iter().map(|item| item.text.as_str()).collect();
        let failing: Vec<_> = brief.failing.iter().map(|case| case.case.to_string()).collect();
        let (mut fitting, mut passed_over) = (Vec::new(), Vec::new());
        for one in suggested(all, &feedback.join("\n"), &failing) {
            match one.applied(&read) {
                Ok(files) => fitting.push((one.clone(), files)),
                Err(why) => passed_over.push((one.id.clone(), why)),
            }
        }
        Self { setting, fitting, passed_over }
    }

    fn coded(&self, attempt: u32) -> Coded {
        let Some((inspiration, _)) = self.chosen(attempt) else {
            return Coded::NothingFits { why: self.nothing_fits() };
        };
        Coded::Done {
            summary: format!("{}: {}", inspiration.id, inspiration.title),
            message: Some(format!("{}\n\n{}", inspiration.commit, inspiration.about.trim())),
        }
    }

    /// The served code with the files of this attempt. An existing file keeps its mode.
    fn left(&self, attempt: u32) -> Result<CoderResult, Failure> {
        let (git, base) = (&self.setting.repository.git, &self.setting.base);
        let mut edits = Vec::new();
        for (path, text) in self.chosen(attempt).into_iter().flat_map(|(_, files)| files) {
            let mode = git
                .entry(base, path)?
                .map(|entry| entry.mode)
                .filter(|mode| *mode == Mode::Executable)
                .unwrap_or(Mode::File);
            edits.push(TreeEdit::Put {
                path: path.clone(),
                id: git.write_blob(text.as_bytes())?,
                mode,
            });
        }
        Ok(CoderResult::Tree(git.edit_tree(Some(base), &edits)?))
    }

    fn chosen(&self, attempt: u32) -> Option<&(Inspiration, BTreeMap<String, String>)> {
        self.fitting.get(attempt.saturating_sub(1) as usize)
    }

    fn nothing_fits(&self) -> String {
        let reasons: Vec<_> =
            self.passed_over.iter().map(|(id, why)| format!("{id}: {why}")).collect();
        match reasons.as_slice() {
            [] => "no inspiration matches this feedback".to_owned(),
            reasons => format!(
                "no inspiration that matches this feedback fits the code ({})",
                reasons.join("; ")
            ),
        }
    }
}

impl Coder for Builtin<'_> {
    /// One attempt for each inspiration that fits, and one that finds none left.
    fn attempts(&self) -> Option<u32> {
        Some(u32::try_from(self.fitting.len()).unwrap_or(u32::MAX).max(1))
    }

    fn is_curated(&self) -> bool {
        true
    }

    fn code(&self, brief: &Brief) -> Result<(Coded, CoderResult), Failure> {
        Ok((self.coded(brief.attempt), self.left(brief.attempt)?))
    }
}
