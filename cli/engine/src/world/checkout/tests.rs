//! Against real repositories, made by `git` itself.

use super::*;
use crate::world::git::tests::Repository;
use crate::world::process::Run;
use crate::world::python;
use agent_core::formats::manifest::Python;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::SystemTime;

struct World {
    repository: Repository,
    git: Git,
    layout: Layout,
    tree: ObjectId,
}

impl World {
    fn of(repository: Repository) -> Self {
        repository.commit_all("code");
        let git = repository.open();
        let tree = git.write_code_tree(&git.expect("main").unwrap()).unwrap();
        Self { layout: git.layout(), repository, git, tree }
    }

    fn new() -> Self {
        let repository = Repository::with_code();
        repository.write("bin/run", "#!/bin/sh\n");
        std::fs::set_permissions(
            repository.path().join("bin/run"),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        symlink("run", repository.path().join("bin/link")).unwrap();
        Self::of(repository)
    }

    /// More than is read each time.
    fn large() -> Self {
        let repository = Repository::with_code();
        repository.write("data/large", &"0".repeat(usize::try_from(LITTLE).unwrap()));
        repository.write("data/7.txt", "7");
        Self::of(repository)
    }

    fn checkout(&self) -> Checkout {
        Checkout::of(&self.git, &self.layout, CheckoutPurpose::Code, &self.tree, None, None)
            .unwrap()
    }

    fn place(&self) -> PathBuf {
        self.layout.checkouts().join(self.tree.as_str())
    }

    fn record(&self) -> PathBuf {
        record_of(&self.layout, &self.place())
    }

    /// The record as it is on disk.
    fn known(&self) -> Record {
        Record::read(&self.record(), &self.tree).unwrap()
    }
}

/// Lets the owner write a file of a checkout again, as an attacker of the same user can.
fn overwrite(path: &Path, text: &str) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, text).unwrap();
}

fn set_modified(path: &Path, time: SystemTime) {
    std::fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_checkout_is_the_code_without_the_state_and_not_writable() {
    let world = World::new();
    let checkout = world.checkout();
    let place = checkout.path();
    assert!(!place.join("state").exists());
    assert_eq!(std::fs::read_to_string(place.join("runner/__main__.py")).unwrap(), "print(1)\n");
    assert_eq!(std::fs::read_link(place.join("bin/link")).unwrap(), Path::new("run"));
    let mode = |path: &str| std::fs::metadata(place.join(path)).unwrap().mode() & 0o333;
    assert_eq!((mode("runner/__main__.py"), mode("bin/run")), (0, 0o111));
    assert!(checkout.verify(&world.git).unwrap().repaired.is_none());
    assert_eq!(std::fs::read_dir(world.layout.temporary()).unwrap().count(), 0);
    assert_eq!(
        world.repository.git(&["status", "--porcelain", "--", ":!.agent"]),
        "",
        "the user's index is untouched"
    );
}

#[test]
fn concurrent_checkouts_of_one_commit_agree() {
    let world = World::new();
    let made: Vec<u64> = std::thread::scope(|scope| {
        let make = || {
            let git = world.repository.open();
            let checkout =
                Checkout::of(&git, &world.layout, CheckoutPurpose::Code, &world.tree, None, None)
                    .unwrap();
            assert!(checkout.verify(&git).unwrap().repaired.is_none());
            checkout.path().metadata().unwrap().ino()
        };
        let makers: Vec<_> = (0..6).map(|_| scope.spawn(make)).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert!(made.iter().all(|inode| *inode == made[0]), "{made:?}");
}

/// Each of these is detected, named and repaired, whether the record was reliable or not.
#[test]
fn modified_checkout_is_detected_and_recreated() {
    type Tamper = fn(&Path, &Path);
    let ways: [(&str, How, Tamper); 14] = [
        ("runner/__main__.py", How::Content, |place, _| {
            overwrite(&place.join("runner/__main__.py"), "print(2)\n");
        }),
        ("runner/__main__.py", How::Content, |place, _| {
            let path = place.join("runner/__main__.py");
            let before = path.metadata().unwrap().modified().unwrap();
            overwrite(&path, "print(3)\n");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
            set_modified(&path, before);
        }),
        ("json.py", How::Added, |place, _| std::fs::write(place.join("json.py"), "").unwrap()),
        ("runner/__pycache__", How::Added, |place, _| {
            std::fs::create_dir(place.join("runner/__pycache__")).unwrap();
            std::fs::write(place.join("runner/__pycache__/__main__.cpython-311.pyc"), "").unwrap();
        }),
        ("empty", How::Added, |place, _| std::fs::create_dir(place.join("empty")).unwrap()),
        ("agent.toml", How::Missing, |place, _| {
            std::fs::remove_file(place.join("agent.toml")).unwrap();
        }),
        ("runner", How::Missing, |place, _| std::fs::remove_dir_all(place.join("runner")).unwrap()),
        ("bin/run", How::Mode, |place, _| {
            std::fs::set_permissions(place.join("bin/run"), std::fs::Permissions::from_mode(0o444))
                .unwrap();
        }),
        ("bin/link", How::Content, |place, _| {
            std::fs::remove_file(place.join("bin/link")).unwrap();
            symlink("/bin/sh", place.join("bin/link")).unwrap();
        }),
        ("agent.toml", How::Kind, |place, beside| {
            std::fs::rename(place.join("agent.toml"), beside.join("moved")).unwrap();
            symlink(beside.join("moved"), place.join("agent.toml")).unwrap();
        }),
        ("agent.toml", How::Content, |place, beside| {
            std::fs::write(beside.join("other"), "name = \"b\"\n").unwrap();
            std::fs::remove_file(place.join("agent.toml")).unwrap();
            std::fs::hard_link(beside.join("other"), place.join("agent.toml")).unwrap();
        }),
        ("agent.toml", How::Kind, |place, _| {
            std::fs::remove_file(place.join("agent.toml")).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                place.join("agent.toml"),
                rustix::fs::FileType::Fifo,
                0o644.into(),
                0,
            )
            .unwrap();
        }),
        ("runner", How::Kind, |place, beside| {
            std::fs::rename(place.join("runner"), beside.join("moved")).unwrap();
            symlink(beside.join("moved"), place.join("runner")).unwrap();
        }),
        ("", How::Kind, |place, beside| {
            std::fs::rename(place, beside.join("moved")).unwrap();
            symlink(beside.join("moved"), place).unwrap();
        }),
    ];
    let world = World::new();
    let checkout = world.checkout();
    for (path, how, tamper) in ways {
        for is_certain in [true, false] {
            checkout.verify(&world.git).unwrap();
            assert!(world.known().holds(&scan(checkout.path())));
            if !is_certain {
                std::fs::write(world.record(), "{\"torn").unwrap();
            }
            let beside = tempfile::tempdir_in(world.layout.temporary()).unwrap();
            tamper(checkout.path(), beside.path());
            let repaired = checkout.verify(&world.git).unwrap().repaired;
            assert_eq!(repaired, Some(Difference { path: path.into(), how }));
            assert!(checkout.path().symlink_metadata().unwrap().is_dir());
            assert_eq!(
                std::fs::read_to_string(checkout.path().join("runner/__main__.py")).unwrap(),
                "print(1)\n"
            );
            assert!(checkout.verify(&world.git).unwrap().repaired.is_none());
        }
    }
}

/// Larger than what is read each time: the marks alone decide, and find the same.
#[test]
fn large_checkout_is_reread_only_where_stamps_changed() {
    let world = World::large();
    let checkout = world.checkout();
    assert!(checkout.verify(&world.git).unwrap().by_content, "the first look reads everything");
    assert!(!checkout.verify(&world.git).unwrap().by_content, "the second need not");

    let path = checkout.path().join("data/7.txt");
    let before = path.metadata().unwrap();
    overwrite(&path, "8");
    std::fs::set_permissions(&path, before.permissions()).unwrap();
    set_modified(&path, before.modified().unwrap());
    let after = path.metadata().unwrap();
    assert_eq!(
        (after.len(), after.mtime_nsec(), after.mode(), after.ino()),
        (before.len(), before.mtime_nsec(), before.mode(), before.ino())
    );
    let repaired = checkout.verify(&world.git).unwrap().repaired.unwrap();
    assert_eq!(repaired, Difference { path: "data/7.txt".into(), how: How::Content });

    // a record that was copied, truncated or removed only makes the next comparison slower
    for forged in [Some("{}"), Some(""), None] {
        checkout.verify(&world.git).unwrap();
        match forged {
            Some(text) => std::fs::write(world.record(), text).unwrap(),
            None => std::fs::remove_file(world.record()).unwrap(),
        }
        let verified = checkout.verify(&world.git).unwrap();
        assert_eq!((verified.repaired, verified.by_content), (None, true));
    }
}

/// A process that can write the checkout can forge its record as well: files that evidence depends
/// on are read regardless.
#[test]
fn a_forged_record_does_not_pass_for_evidence() {
    let world = World::large();
    let checkout = world.checkout();
    checkout.verify(&world.git).unwrap();
    overwrite(&checkout.path().join("data/7.txt"), "666");
    Record::new(&world.tree, &scan(checkout.path()), true, BTreeMap::new())
        .write(&world.record())
        .unwrap();
    let verified = checkout.verify(&world.git).unwrap();
    assert_eq!(
        (verified.repaired.as_ref(), verified.by_content),
        (None, false),
        "the record was believed"
    );
    let watch = checkout.watch(verified, &world.git).unwrap();
    let difference = watch.end(&world.git).unwrap().unwrap();
    assert_eq!(difference.path, Path::new("data/7.txt"));
    assert_eq!(std::fs::read_to_string(checkout.path().join("data/7.txt")).unwrap(), "7");
}

#[test]
fn change_and_revert_during_a_watch_is_detected() {
    let world = World::new();
    let checkout = world.checkout();
    let watch = || checkout.watch(checkout.verify(&world.git).unwrap(), &world.git).unwrap();
    assert_eq!(watch().end(&world.git).unwrap(), None);

    let watched = watch();
    let path = checkout.path().join("runner/__main__.py");
    let before = path.metadata().unwrap();
    overwrite(&path, "print(2)\n");
    overwrite(&path, "print(1)\n");
    std::fs::set_permissions(&path, before.permissions()).unwrap();
    set_modified(&path, before.modified().unwrap());
    assert_eq!(
        watched.end(&world.git).unwrap(),
        Some(Difference { path: "runner/__main__.py".into(), how: How::Touched })
    );

    let watched = watch();
    std::fs::write(checkout.path().join("runner/json.py"), "").unwrap();
    std::fs::remove_file(checkout.path().join("runner/json.py")).unwrap();
    assert_eq!(
        watched.end(&world.git).unwrap(),
        Some(Difference { path: "runner".into(), how: How::Touched })
    );

    let watched = watch();
    std::fs::write(checkout.path().join("left.txt"), "").unwrap();
    assert_eq!(
        watched.end(&world.git).unwrap(),
        Some(Difference { path: "left.txt".into(), how: How::Added })
    );
    assert!(!checkout.path().join("left.txt").exists());
}

/// The same tree gives the same files whatever the user's line ending configuration; attributes of
/// the tree are applied, and not taken for a change.
#[test]
fn line_ending_configuration_is_ignored_and_attributes_apply() {
    let repository = Repository::with_code();
    repository.git(&["config", "core.autocrlf", "true"]);
    repository.git(&["config", "core.eol", "crlf"]);
    repository.git(&["config", "filter.shout.smudge", "tr a-z A-Z"]);
    repository.git(&["config", "filter.shout.clean", "tr A-Z a-z"]);
    let world = World::of(repository);
    let checkout = world.checkout();
    assert_eq!(
        std::fs::read_to_string(checkout.path().join("runner/__main__.py")).unwrap(),
        "print(1)\n"
    );

    let World { repository, .. } = world;
    repository.write(".gitattributes", "*.bat text eol=crlf\n*.txt filter=shout\n*.py text=auto\n");
    repository.write("do.bat", "rem one\n");
    repository.write("loud.txt", "quiet\n");
    let world = World::of(repository);
    let checkout = world.checkout();
    let read = |path: &str| std::fs::read_to_string(checkout.path().join(path)).unwrap();
    assert_eq!(
        (read("do.bat").as_str(), read("loud.txt").as_str(), read("runner/__main__.py").as_str()),
        ("rem one\r\n", "QUIET\n", "print(1)\n")
    );
    assert!(checkout.path().join("do.bat").metadata().unwrap().mode() & 0o222 == 0);
    let verified = checkout.verify(&world.git).unwrap();
    assert_eq!(verified.repaired, None);
    assert_eq!(checkout.watch(verified, &world.git).unwrap().end(&world.git).unwrap(), None);
    // what a filter would clean away is a change as well
    overwrite(&checkout.path().join("loud.txt"), "Quiet\n");
    let repaired = checkout.verify(&world.git).unwrap().repaired;
    assert_eq!(repaired, Some(Difference { path: "loud.txt".into(), how: How::Content }));
}

#[test]
fn unusual_names_and_an_empty_tree_are_kept() {
    let repository = Repository::with_code();
    repository.write("a\nb/ü .txt", "1");
    repository.write("aux.py", "2");
    let world = World::of(repository);
    let checkout = world.checkout();
    assert!(
        checkout.path().join("a\nb/ü .txt").is_file() && checkout.path().join("aux.py").is_file()
    );
    assert!(checkout.verify(&world.git).unwrap().repaired.is_none());
    let empty = world.git.edit_tree(None, &[]).unwrap();
    let checkout =
        Checkout::of(&world.git, &world.layout, CheckoutPurpose::Code, &empty, None, None).unwrap();
    assert!(checkout.verify(&world.git).unwrap().repaired.is_none());
}

#[test]
fn missing_checkout_is_recreated_without_a_notice() {
    let world = World::new();
    let checkout = world.checkout();
    std::fs::remove_dir_all(checkout.path()).unwrap();
    let verified = checkout.verify(&world.git).unwrap();
    assert!(verified.repaired.is_none() && checkout.path().join("agent.toml").is_file());
    drop(checkout);
    assert!(Lease::take_alone(&world.place()).unwrap().is_none(), "what a child holds is in use");
    drop(verified);
    Lease::take_alone_at_last(&world.place());
}

/// Python loads what was compiled with the checkout, writes nothing, and what was planted in its
/// place is found.
#[test]
fn compiled_python_is_made_with_the_checkout_and_compared_like_the_rest() {
    let repository = Repository::with_code();
    repository.write("runner/__main__.py", "from helper import answer\nprint(answer())\n");
    repository.write("helper.py", "def answer():\n    return 42\n");
    repository.write("broken.py", "def answer(:\n");
    repository.write("odd\nname.py", "x = 1\n");
    let world = World::of(repository);
    let interpreter = python::find(&world.layout, ">=3.11").unwrap();
    let compiler = Compiler::new(
        &interpreter,
        vec!["python".to_owned(), "-m".to_owned(), "runner".to_owned()],
    );
    let checkout = Checkout::of(
        &world.git,
        &world.layout,
        CheckoutPurpose::Code,
        &world.tree,
        Some(compiler),
        None,
    )
    .unwrap();
    assert!(checkout.path().file_name().unwrap().to_str().unwrap().ends_with(&interpreter.version));
    let run = || {
        let environment = python::child_environment(
            &python::Bytecode::InPlace,
            checkout.path(),
            &Python::default(),
        );
        let run = Run::new(&interpreter.executable)
            .args(["-v", "-m", "runner"])
            .directory(checkout.path());
        let finished = environment
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
            .succeed()
            .unwrap();
        (finished.text(), String::from_utf8_lossy(&finished.stderr).into_owned())
    };
    let made: Vec<_> = scan(checkout.path())
        .into_iter()
        .filter(|found| found.path.extension().is_some_and(|ending| ending == "pyc"))
        .collect();
    assert_eq!(made.len(), 3, "{made:?}");
    assert_eq!(checkout.verify(&world.git).unwrap().repaired, None);
    let (answer, printed) = run();
    assert_eq!(answer, "42");
    let loaded = printed
        .lines()
        .any(|line| line.starts_with("# code object from") && line.contains("__pycache__/helper."));
    assert!(
        loaded
            || printed
                .lines()
                .any(|line| line.contains("__pycache__/helper.") && line.contains("matches")),
        "{printed}"
    );
    assert_eq!(checkout.verify(&world.git).unwrap().repaired, None);

    let planted =
        made.iter().find(|found| found.path.to_string_lossy().contains("helper.")).unwrap();
    let (path, other) = (
        checkout.path().join(&planted.path),
        std::fs::read(checkout.path().join(&planted.path)).unwrap(),
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::write(
        &path,
        other.iter().map(|byte| if *byte == 42 { 66 } else { *byte }).collect::<Vec<_>>(),
    )
    .unwrap();
    assert_eq!(run().0, "66", "the attack works");
    let repaired = checkout.verify(&world.git).unwrap().repaired;
    assert_eq!(repaired, Some(Difference { path: planted.path.clone(), how: How::Content }));
    assert_eq!(run().0, "42");
}

/// Of many files only those are compiled that a start can need.
#[test]
fn large_program_is_compiled_from_its_entry_points() {
    let repository = Repository::with_code();
    repository.write("runner/__main__.py", "from . import tools\nimport lib.deep.thing\n");
    repository.write("runner/tools.py", "def f():\n    from lib import late\n");
    for path in [
        "lib/__init__.py",
        "lib/deep/__init__.py",
        "lib/deep/thing.py",
        "lib/late.py",
        "lib/never.py",
    ] {
        repository.write(path, "");
    }
    for number in 0..400 {
        repository.write(&format!("data/f{number}.py"), "");
    }
    let world = World::of(repository);
    let interpreter = python::find(&world.layout, ">=3.11").unwrap();
    let compiler = Compiler::new(
        &interpreter,
        vec!["python".to_owned(), "-m".to_owned(), "runner".to_owned()],
    );
    let checkout = Checkout::of(
        &world.git,
        &world.layout,
        CheckoutPurpose::Code,
        &world.tree,
        Some(compiler),
        None,
    )
    .unwrap();
    let record = Record::read(&checkout.record(), &world.tree).unwrap();
    let names: Vec<_> = record
        .compiled
        .keys()
        .map(|path| path.replace("__pycache__/", "").split('.').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "lib/__init__",
            "lib/late",
            "lib/deep/__init__",
            "lib/deep/thing",
            "runner/__main__",
            "runner/tools"
        ]
    );
}

/// A running child stays in the folder it was started in, although the checkout was recreated.
#[test]
fn checkout_in_use_survives_recreation() {
    let world = World::new();
    let old = world.checkout().verify(&world.git).unwrap();
    let checkout = world.checkout();
    std::fs::write(checkout.path().join("left.txt"), "").unwrap();
    assert!(checkout.verify(&world.git).unwrap().repaired.is_some());
    let left: Vec<_> = std::fs::read_dir(world.layout.temporary())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].join("left.txt").is_file() && Lease::take_alone(&left[0]).unwrap().is_none());
    drop(old);
    Lease::take_alone_at_last(&left[0]);
}
