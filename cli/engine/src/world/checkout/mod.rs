//! Checkouts: the files of a tree in a separate folder, created once and shared by every process.
//! They are immutable; a change is detected when a child starts, and the checkout is recreated.
//!
//! The files are compared with the tree by their stamps (inode, size, times), and by content where
//! the stamps changed since the last comparison. The stamps are stored outside of the checkout.
//! This detects any change of a checkout, except by a program that also forges the record; so
//! checkouts for evidence, and small ones, are compared by content.

mod compare;
mod compile;
mod own_files;
mod record;
mod scan;
#[cfg(test)]
mod tests;

pub use compare::{Difference, How};
pub use compile::Compiler;
pub use own_files::SavedFiles;

use crate::world::fs::{self, FileLock, FsError};
use crate::world::git::{Git, GitError, Listed, Mode};
use crate::world::layout::Layout;
use crate::world::lease::Lease;
use crate::world::temporary::Temporary;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::{ObjectId, digest};
use compare::{Comparison, Keeps, compare, read, wanted};
use record::{Record, clock_is_past};
use scan::{Found, Kind, first_difference, scan};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Up to this number of files and bytes, reading everything costs less than the variance of a
/// start.
const FEW: usize = 512;
const LITTLE: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    #[error("the checkout of {tree} cannot be made as git has it: {difference}",
        tree = tree.short())]
    NotAsGitHasIt { tree: ObjectId, difference: Difference },
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Diagnose for CheckoutError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NotAsGitHasIt { .. } => FailureKind::Surroundings,
            Self::Git(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAsGitHasIt { .. } => Some(
                "is the file system case-sensitive, and does nothing else write to \
                `.agent`? `git fsck` looks at the repository"
                    .to_owned(),
            ),
            Self::Git(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

/// The purpose of a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckoutPurpose {
    /// Children run it.
    Code,
    /// It judges what they answer.
    Evaluators,
}

impl CheckoutPurpose {
    pub const ALL: [Self; 2] = [Self::Code, Self::Evaluators];

    /// Of the folder below `.agent`.
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "checkouts",
            Self::Evaluators => "evaluators",
        }
    }

    /// The folder in which such checkouts are made.
    pub fn folder(self, layout: &Layout) -> PathBuf {
        match self {
            Self::Code => layout.checkouts(),
            Self::Evaluators => layout.evaluators(),
        }
    }
}

/// A symbolic link that a checkout has besides its tree: to what is made elsewhere from files of
/// the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTo {
    /// From the root of the checkout.
    pub at: PathBuf,
    pub to: PathBuf,
    /// Distinguishes checkouts of one tree with different links.
    pub kind: String,
}

/// What is known of the checkout at a path.
pub fn record_of(layout: &Layout, place: &Path) -> PathBuf {
    let mut name = Path::new("records")
        .join(layout.below_home(place).as_deref().unwrap_or(place))
        .into_os_string();
    name.push(".json");
    layout.known(Path::new(&name))
}

/// The checkout of a tree. `agent gc` does not remove it while this value, or a clone of it,
/// exists.
#[derive(Debug, Clone)]
pub struct Checkout {
    tree: ObjectId,
    compiler: Option<Compiler>,
    link: Option<LinkTo>,
    place: PathBuf,
    layout: Layout,
    lease: Arc<Mutex<Option<Arc<Lease>>>>,
}

/// A checkout that is as git has it.
#[derive(Debug)]
pub struct Verified {
    /// For a child to hold as long as it runs.
    pub lease: Option<Arc<Lease>>,
    /// The differences of the checkout before it was recreated.
    pub repaired: Option<Difference>,
    /// What a server had written into it by then.
    pub kept: Option<SavedFiles>,
    found: Vec<Found>,
    /// Any change from now on changes the marks.
    certain: bool,
    /// Every file was read, regardless of the record.
    by_content: bool,
}

impl Checkout {
    /// The checkout of a tree that is in the repository, with compiled Python where there is a
    /// compiler; made when it is not there yet.
    pub fn of(
        git: &Git,
        layout: &Layout,
        purpose: CheckoutPurpose,
        tree: &ObjectId,
        compiler: Option<Compiler>,
        link: Option<LinkTo>,
    ) -> Result<Self, CheckoutError> {
        let kinds = compiler
            .as_ref()
            .map(Compiler::kind)
            .into_iter()
            .chain(link.as_ref().map(|link| link.kind.as_str()));
        let name = kinds.fold(tree.to_string(), |name, kind| format!("{name}-{kind}"));
        let made_at = purpose.folder(layout).join(&name);
        let place = layout.known(&Path::new(purpose.name()).join(name));
        let mut checkout = Self {
            tree: tree.clone(),
            compiler,
            link,
            place,
            layout: layout.clone(),
            lease: Arc::default(),
        };
        // what cannot be repaired in place is recreated elsewhere
        if checkout.place != made_at
            && !matches!(checkout.look(git), Ok(VerifyOutcome::Verified(_)))
        {
            checkout.place = made_at;
        }
        if !checkout.take_lease()? {
            let _turn = checkout.turn()?;
            // another process may have made it by now
            if !checkout.take_lease()? {
                checkout.make(git)?;
                checkout.take_lease()?;
            }
        }
        checkout.mark_used();
        Ok(checkout)
    }

    pub fn path(&self) -> &Path {
        &self.place
    }

    /// For the start of a child. A missing or modified checkout is recreated.
    pub fn verify(&self, git: &Git) -> Result<Verified, CheckoutError> {
        if let VerifyOutcome::Verified(verified) = self.look(git)? {
            return Ok(verified);
        }
        let _turn = self.turn()?;
        // another process may have made it again by now
        let difference = match self.look(git)? {
            VerifyOutcome::Verified(verified) => return Ok(verified),
            VerifyOutcome::Differs(difference) => difference,
        };
        let was_there = self.place.symlink_metadata().is_ok();
        // at worst, files written there are lost
        let kept = if was_there { self.keep_own_files(git).ok().flatten() } else { None };
        self.make(git)?;
        match self.look(git)? {
            VerifyOutcome::Verified(verified) => {
                Ok(Verified { repaired: was_there.then_some(difference), kept, ..verified })
            }
            VerifyOutcome::Differs(difference) => {
                Err(CheckoutError::NotAsGitHasIt { tree: self.tree.clone(), difference })
            }
        }
    }

    /// Watches a checkout that was verified, for evidence that is made on it.
    pub fn watch(&self, verified: Verified, git: &Git) -> Result<Watch, CheckoutError> {
        let reading =
            if verified.by_content { None } else { Some(self.start_reading(&verified, git)?) };
        Ok(Watch { checkout: self.clone(), verified, reading })
    }

    /// Reads every file, on a separate thread.
    fn start_reading(
        &self,
        verified: &Verified,
        git: &Git,
    ) -> Result<JoinHandle<Comparison>, CheckoutError> {
        let wanted = wanted(&self.listed(git)?, &self.compiled());
        let (place, found, keeps) = (self.place.clone(), verified.found.clone(), Keeps::of(git));
        Ok(std::thread::spawn(move || compare(&place, &found, &wanted, keeps)))
    }

    fn look(&self, git: &Git) -> Result<VerifyOutcome, CheckoutError> {
        self.take_lease()?;
        let record = Record::read(&self.record(), &self.tree);
        let found = scan(&self.place);
        let is_small =
            found.len() <= FEW && found.iter().map(|found| found.marks.size).sum::<u64>() <= LITTLE;
        let is_known = record.as_ref().is_some_and(|record| record.holds(&found));
        if is_known && !is_small {
            return Ok(self.verified(found, true, false));
        }
        let listed = self.listed(git)?;
        // to compare what git converted, git has to convert it again
        if is_known && git.converts(&listed)? {
            return Ok(self.verified(found, true, false));
        }
        let compiled = record.map(|record| record.compiled).unwrap_or_default();
        let comparison = compare(&self.place, &found, &wanted(&listed, &compiled), Keeps::of(git));
        if let Some(difference) = self.judge(comparison, &listed, git)? {
            return Ok(VerifyOutcome::Differs(difference));
        }
        let certain = is_known || self.note(&found, compiled);
        Ok(self.verified(found, certain, true))
    }

    fn verified(&self, found: Vec<Found>, certain: bool, by_content: bool) -> VerifyOutcome {
        let lease = self.lease.lock().expect("no panic while it is held").clone();
        VerifyOutcome::Verified(Verified {
            lease,
            repaired: None,
            kept: None,
            found,
            certain,
            by_content,
        })
    }

    /// The first difference that is none of git's making: what git converts when it writes a tree
    /// has other bytes than the tree.
    fn judge(
        &self,
        comparison: Comparison,
        listed: &[Listed],
        git: &Git,
    ) -> Result<Option<Difference>, CheckoutError> {
        if comparison.contents.is_empty() || !git.converts(listed)? {
            return Ok(comparison.difference());
        }
        let fresh = NewCheckout::create(&self.layout)?;
        let of_tree: Vec<_> = listed
            .iter()
            .filter(|file| self.link.as_ref().is_none_or(|link| link.at != file.path))
            .cloned()
            .collect();
        git.fill(&self.tree, &of_tree, &fresh.files)?;
        let is_alike = |path: &PathBuf| same_bytes(&self.place.join(path), &fresh.files.join(path));
        let contents = comparison.contents.into_iter().filter(|path| !is_alike(path)).collect();
        Ok(Comparison { contents, ..comparison }.difference())
    }

    /// Stores the stamps, and returns whether they are reliable. Where nothing can be written, the
    /// next comparison reads everything again.
    fn note(&self, found: &[Found], compiled: BTreeMap<String, String>) -> bool {
        let records = self.layout.checkout_records();
        // an overlay may be on another file system, with another clock
        let certain = (records.starts_with(self.layout.home())
            || !self.place.starts_with(self.layout.home()))
            && clock_is_past(found, &records).unwrap_or(false)
            && scan(&self.place) == found;
        let _ = self.keep(&Record::new(&self.tree, found, certain, compiled));
        certain
    }

    /// Writes the files beside their place and puts them there by a rename. Only who has the turn
    /// may do this.
    fn make(&self, git: &Git) -> Result<(), CheckoutError> {
        let listed = git.tree_files(&self.tree)?;
        let fresh = NewCheckout::create(&self.layout)?;
        git.fill(&self.tree, &listed, &fresh.files)?;
        if let Some(link) = self.own_link(&listed) {
            fs::link(&link.to, &fresh.files.join(&link.at))?;
        }
        if let Some(compiler) = &self.compiler {
            compiler.compile(&listed, &fresh.files, &self.place);
        }
        let compiled = added(&fresh.files, &listed);
        self.keep(&Record::new(&self.tree, &[], false, compiled))?;
        *self.lease.lock().expect("no panic while it is held") = None;
        fresh.put_at(&self.place)?;
        Ok(())
    }

    /// False when there is no checkout.
    fn take_lease(&self) -> Result<bool, CheckoutError> {
        // what is no folder is found when the checkout is verified
        let is_folder = self.place.symlink_metadata().map(|metadata| metadata.is_dir());
        let lease = match is_folder {
            Ok(true) => Lease::take(&self.place)?,
            Ok(false) => return Ok(true),
            Err(_) => None,
        };
        let is_there = lease.is_some();
        *self.lease.lock().expect("no panic while it is held") = lease.map(Arc::new);
        Ok(is_there)
    }

    /// One process at a time makes checkouts.
    fn turn(&self) -> Result<FileLock, FsError> {
        FileLock::acquire(&self.layout.checkout_records().join("turn"))
    }

    /// The expected entries except compiled files.
    fn listed(&self, git: &Git) -> Result<Vec<Listed>, GitError> {
        let mut listed = git.tree_files(&self.tree)?;
        if let Some(link) = self.own_link(&listed) {
            let id = ObjectId::of_blob(link.to.as_os_str().as_encoded_bytes());
            listed.push(Listed { path: link.at.clone(), mode: Mode::Link, id });
        }
        Ok(listed)
    }

    /// The link, unless the tree itself has something there.
    fn own_link(&self, listed: &[Listed]) -> Option<&LinkTo> {
        self.link.as_ref().filter(|link| !listed.iter().any(|file| file.path.starts_with(&link.at)))
    }

    fn compiled(&self) -> BTreeMap<String, String> {
        Record::read(&self.record(), &self.tree).map(|record| record.compiled).unwrap_or_default()
    }

    /// `agent gc` keeps recently used checkouts. If the use cannot be recorded, the checkout may
    /// have to be recreated.
    fn mark_used(&self) {
        fs::mark_used(&self.record());
    }

    fn record(&self) -> PathBuf {
        record_of(&self.layout, &self.place)
    }

    fn keep(&self, record: &Record) -> Result<(), FsError> {
        record.write(&self.layout.to_write(self.record())?)
    }
}

enum VerifyOutcome {
    Verified(Verified),
    Differs(Difference),
}

/// A checkout under watch while evidence is made on it.
#[derive(Debug)]
pub struct Watch {
    checkout: Checkout,
    verified: Verified,
    reading: Option<JoinHandle<Comparison>>,
}

impl Watch {
    /// The differences of the checkout from git at any time since it was verified. It is then
    /// recreated.
    pub fn end(self, git: &Git) -> Result<Option<Difference>, CheckoutError> {
        let Self { checkout, verified, reading } = self;
        let read = reading.map(|reading| reading.join().expect("a comparison does not panic"));
        let read = match read {
            Some(comparison) => checkout.judge(comparison, &checkout.listed(git)?, git)?,
            None => None,
        };
        let now = scan(&checkout.place);
        let touched = first_difference(&verified.found, &now)
            .map(|path| Difference { path: path.to_owned(), how: How::Touched });
        if read.is_none() && touched.is_none() && verified.certain {
            return Ok(None);
        }
        if read.is_some() {
            // the record was believed, and was wrong
            fs::remove_if_there(&checkout.layout.to_write(checkout.record())?)?;
        }
        let repaired = checkout.verify(git)?.repaired;
        Ok(read.or(repaired).or(touched))
    }
}

impl Keeps {
    fn of(git: &Git) -> Self {
        Self { programs: git.keeps_programs(), links: git.keeps_links() }
    }
}

/// The files of a folder that are not of its tree, by path, with their digests.
fn added(folder: &Path, listed: &[Listed]) -> BTreeMap<String, String> {
    let of_tree: HashSet<&Path> = listed.iter().map(|file| file.path.as_path()).collect();
    let found = scan(folder);
    let added = found
        .iter()
        .filter(|found| found.kind == Kind::File && !of_tree.contains(found.path.as_path()));
    let with_digest = |found: &Found| {
        let bytes = read(&folder.join(&found.path), found.marks.size).ok()?;
        Some((found.path.to_str()?.to_owned(), digest(&bytes)))
    };
    added.filter_map(with_digest).collect()
}

fn same_bytes(one: &Path, other: &Path) -> bool {
    let read = |path: &Path| read(path, path.symlink_metadata()?.len());
    matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
}

/// A folder of files that are to become a checkout.
struct NewCheckout {
    files: PathBuf,
    folder: Temporary,
}

impl NewCheckout {
    fn create(layout: &Layout) -> Result<Self, FsError> {
        let folder = layout.temporary_folder("checkout")?;
        let files = folder.path().join("files");
        fs::create_dir(&files)?;
        Ok(Self { files, folder })
    }

    /// Replaces the existing folder; while a process uses that, it stays beside this folder, until
    /// gc finds it unused.
    fn put_at(self, place: &Path) -> Result<(), FsError> {
        if let Some(folder) = place.parent() {
            fs::create_dir(folder)?;
        }
        if place.symlink_metadata().is_err() {
            return fs::rename(&self.files, place);
        }
        fs::exchange(&self.files, place)?;
        let is_folder = self.files.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let is_used = is_folder && Lease::take_alone(&self.files)?.is_none();
        if is_used {
            let beside = self.folder.path().with_extension("used");
            fs::rename(&self.files, &beside)?;
        }
        Ok(())
    }
}
