//! The coder that is a program of the user's: a workplace to edit, a HOME where it is confined, and
//! a check that nothing else was changed.

use crate::architect::change::CoderResult;
use crate::architect::coder::{Coded, Coder, Setting};
use crate::architect::command::CommandCoder;
use crate::architect::footprint::Footprint;
use crate::architect::home::CoderHome;
use crate::architect::workplace::Workplace;
use crate::error::Failure;
use crate::repository::run_report::CoderConfinement;
use crate::target::confinement;
use crate::world::{env, git_command, python, sandbox};
use agent_core::architect::brief::Brief;
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::manifest::{EntryPoint, Store};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub struct Program<'a> {
    setting: Setting<'a>,
}

impl Coder for Program<'_> {
    fn confinement(&self) -> Option<CoderConfinement> {
        Some(self.effective_confinement())
    }

    /// Runs the program in a separate workplace.
    fn code(&self, brief: &Brief) -> Result<(Coded, CoderResult), Failure> {
        let Setting { repository, active, base, folder, run } = &self.setting;
        let confinement = self.effective_confinement();
        let workplace = Workplace::open(&repository.git, &repository.layout, run, base)?;
        let footprint =
            Footprint::of(repository, &active.manifest, confinement == CoderConfinement::Confined)?;
        let home = coder_home(&workplace, confinement)?;
        let coded = self.command(&workplace, home.as_ref(), confinement)?.code(brief);
        if let Some(Err(error)) = home.map(|home| home.take_logins_back()) {
            repository.notices.warn(format!(
                "a login that the coder renewed could not be copied back: {}",
                error.messages().join(": ")
            ));
        }
        let changes = footprint.compare(repository, &folder.join("evidence"))?;
        if !changes.is_empty() {
            return Ok((
                Coded::OutsideChange { changes },
                CoderResult::unfit("the coder changed something outside of its workplace"),
            ));
        }
        let coded = coded?;
        let is_done = matches!(coded, Coded::Done { .. });
        Ok((
            coded,
            if is_done { workplace.left()? } else { CoderResult::unfit("the coder was not done") },
        ))
    }
}

impl<'a> Program<'a> {
    pub fn new(setting: Setting<'a>) -> Self {
        Self { setting }
    }

    /// How far the program is confined to its workplace.
    fn effective_confinement(&self) -> CoderConfinement {
        match (self.setting.active.manifest.architect.confine, sandbox::has_landlock()) {
            (false, _) => CoderConfinement::SwitchedOff,
            (true, false) => CoderConfinement::NotByThisKernel,
            (true, true) => CoderConfinement::Confined,
        }
    }

    fn command<'w>(
        &'w self,
        workplace: &'w Workplace<'w>,
        home: Option<&'w CoderHome>,
        confinement: CoderConfinement,
    ) -> Result<CommandCoder<'w>, Failure> {
        let Setting { repository, active, folder, .. } = &self.setting;
        let (manifest, layout) = (&active.manifest, &repository.layout);
        let notices = repository.notices.clone();
        let say = |text: &str| repository.notices.info(text);
        let interpreter = python::interpreter(layout, &active.directory, &manifest.python, &say)?;
        // an environment made for the lock is below `.agent`
        let environment = interpreter
            .ancestors()
            .nth(2)
            .filter(|folder| folder.starts_with(layout.home()))
            .map(Path::to_owned);
        let read: Vec<_> = environment.into_iter().collect();
        let write = [workplace.home().to_owned()];
        let entry =
            EntryPoint { command: manifest.architect.command.clone(), ..EntryPoint::default() };
        Ok(CommandCoder {
            command: python::command(&entry, &interpreter),
            workplace,
            folder,
            withheld: withheld(&manifest.store),
            confinement: (confinement == CoderConfinement::Confined)
                .then(|| confinement::coder(repository, manifest, &read, &write)),
            home: home.map(CoderHome::folder),
            time_limit: Duration::from_secs(manifest.architect.time_limit_s),
            listener: Arc::new(move |line| notices.detail(format!("  coder: {line}"))),
        })
    }
}

/// Environment variables that give access to the repository, its remote store or our servers.
fn withheld(store: &Store) -> Vec<OsString> {
    let of_the_store = if store.is_remote() { env::aws() } else { Vec::new() };
    let names = of_the_store.into_iter().map(|(name, _)| name.into()).chain([env::TOKEN.into()]);
    git_command::local_variables().chain(names).collect()
}

/// The HOME of a confined coder.
fn coder_home(
    workplace: &Workplace,
    confinement: CoderConfinement,
) -> Result<Option<CoderHome>, Failure> {
    let users = env::home().filter(|_| confinement == CoderConfinement::Confined);
    Ok(users
        .map(|users| CoderHome::make(workplace.home().join("home"), users.into()))
        .transpose()?)
}
