//! The registry over real tags: loose and packed, yanked, pinned, paged.

use super::publish_tests::{DONE, candidate, patch, publication, served};
use super::tests::Repository;
use super::*;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::Kind;
use agent_core::version::registry::Filter;
use agent_core::version::trailers::Trailers;
use agent_core::version::what::What;
use semver::Version;

/// Publishes promotions up to v0.1.`last`; gives back the tip.
fn promoted(git: &Git, first: &ObjectId, last: u64) -> ObjectId {
    (1..=last).fold(first.clone(), |tip, number| {
        let next = candidate(git, &tip, &patch(number), &format!("{{\"n\": {number}}}\n"));
        assert_eq!(git.publish(&publication(Some(&tip), &next, &patch(number))).unwrap(), DONE);
        next
    })
}

/// Publishes v0.1.`number`, which serves the tree of `target` again and undoes what came after it.
fn rolled_back(
    git: &Git,
    tip: &ObjectId,
    target: &ObjectId,
    number: u64,
    undoes: &[u64],
) -> ObjectId {
    let target = git.commit(target).unwrap();
    let trailers = Trailers {
        kind: Some(Kind::Rollback),
        version: Some(patch(number)),
        state: target.trailers.state,
        base: Some(tip.clone()),
        eval: target.trailers.eval,
        undoes: undoes.iter().map(|number| patch(*number)).collect(),
        ..Trailers::default()
    };
    let message = trailers.message("rollback", "");
    let commit = git
        .write_commit(&CommitSpec { tree: target.tree, parents: vec![tip.clone()], message })
        .unwrap();
    assert_eq!(git.publish(&publication(Some(tip), &commit, &patch(number))).unwrap(), DONE);
    commit
}

fn check_newest(git: &Git, range: Option<&str>, expected: Option<u64>) {
    let range = range.map(|range| range.parse().unwrap());
    assert_eq!(git.newest(range.as_ref()).unwrap(), expected.map(patch), "{range:?}");
}

#[test]
fn rolled_back_version_is_yanked_in_clones() {
    let (repository, git, first) = served();
    let tip = promoted(&git, &first, 3);
    let good = git.version_commit(&patch(1)).unwrap().unwrap();
    rolled_back(&git, &tip, &good, 4, &[3, 2]);
    let clone = repository.beside("clone");
    repository.git(&["clone", "-q", "-b", "active", ".", clone.to_str().unwrap()]);
    for git in [git, Git::discover(&clone).unwrap()] {
        check_newest(&git, None, Some(4));
        check_newest(&git, Some("<0.1.4"), Some(1));
        check_newest(&git, Some("=0.1.3"), None);
        check_newest(&git, Some("^1"), None);
        let entry = git.registered(&patch(2)).unwrap();
        assert_eq!(
            (entry.yanked, entry.evidence.undone_by, entry.base),
            (true, Some(patch(4)), Some(patch(1)))
        );
        assert!(!git.registered(&patch(1)).unwrap().yanked);
    }
}

#[test]
fn the_listing_is_paged_newest_first() {
    let (_repository, git, first) = served();
    promoted(&git, &first, 4);
    let page = |after: Option<u64>| {
        let listing = git.listing(2, after.map(patch).as_ref(), None).unwrap();
        (
            listing.versions.into_iter().map(|entry| entry.version.patch).collect::<Vec<_>>(),
            listing.next.map(|next| next.patch),
        )
    };
    assert_eq!(page(None), (vec![4, 3], Some(3)));
    assert_eq!(page(Some(3)), (vec![2, 1], Some(1)));
    assert_eq!(page(Some(1)), (vec![0], None));
    assert_eq!(page(Some(0)), (vec![], None));
}

#[test]
fn packed_and_loose_tags_are_one_registry() {
    let (repository, git, first) = served();
    let tip = promoted(&git, &first, 2);
    repository.git(&["tag", "-a", "-m", "annotated by hand", "v0.0.9", first.as_str()]);
    repository.git(&["tag", "v1", tip.as_str()]);
    repository.git(&["tag", "v9.0.0-rc1", tip.as_str()]);
    repository.git(&["pack-refs", "--all"]);
    let tip = candidate(&git, &tip, &patch(3), "{\"n\": 3}\n");
    repository.git(&["tag", "v0.1.3", tip.as_str()]);
    let git = repository.open();
    assert_eq!(
        git.versions().unwrap(),
        [Version::new(0, 0, 9), patch(0), patch(1), patch(2), patch(3)]
    );
    assert_eq!(git.latest().unwrap(), Some(patch(3)));
    assert_eq!(git.version_commit(&Version::new(0, 0, 9)).unwrap(), Some(first));
    assert_eq!(git.version_commit(&patch(7)).unwrap(), None);
}

#[test]
fn no_versions_is_an_empty_registry() {
    let repository = Repository::with_code();
    let git = repository.open();
    assert_eq!(
        (git.versions().unwrap(), git.latest().unwrap(), git.newest(None).unwrap()),
        (vec![], None, None)
    );
    assert_eq!(git.listing(10, None, None).unwrap().versions, []);
}

#[test]
fn a_pin_is_set_moved_pushed_and_removed() {
    let (repository, git, _) = served();
    let (version, range): (What, What) = ("0.1.0".parse().unwrap(), "^0.1".parse().unwrap());
    assert_eq!(git.set_pin("stable", &version).unwrap().value, None);
    assert_eq!(git.set_pin("stable", &range).unwrap().value, Some(version));
    assert_eq!(git.pins().unwrap(), [("stable".to_owned(), range.clone())]);
    let bare = repository.beside("bare.git");
    repository.git(&["init", "-q", "--bare", bare.to_str().unwrap()]);
    repository.git(&["push", "-q", bare.to_str().unwrap(), "refs/agent/pins/*:refs/agent/pins/*"]);
    assert_eq!(Git::discover(&bare).unwrap().pin("stable").unwrap(), Some(range.clone()));
    assert_eq!(
        git.remove_pin("stable").unwrap().value,
        Unpinned { before: Some(range), remotes: Vec::new() }
    );
    assert_eq!(
        (git.remove_pin("stable").unwrap().value, git.pin("stable").unwrap()),
        (Unpinned::default(), None)
    );
    assert_eq!(
        git.set_pin("active", &"0.1.0".parse().unwrap()).unwrap_err().to_string(),
        "`active` cannot name a pin: it already has a meaning as a version"
    );
}

#[test]
fn newer_of_local_and_remote_pin_wins() {
    let (repository, git, _) = served();
    let theirs = "refs/agent-remotes/origin/pins/stable";
    let put = |what: &str, at: &str| {
        let pin = agent_core::version::registry::Pin::new(&what.parse().unwrap(), at.to_owned());
        repository.git(&["update-ref", theirs, git.write_blob(&pin.to_bytes()).unwrap().as_str()]);
    };
    put("^0.1", "2000-01-01T00:00:00.000Z");
    assert_eq!(git.pins().unwrap(), [("stable".to_owned(), "^0.1".parse().unwrap())]);
    assert_eq!(
        git.set_pin("stable", &"0.1.0".parse().unwrap()).unwrap().value,
        Some("^0.1".parse().unwrap())
    );
    assert_eq!(git.pin("stable").unwrap(), Some("0.1.0".parse().unwrap()));
    put("^0.2", "9999-01-01T00:00:00.000Z");
    assert_eq!(git.pin("stable").unwrap(), Some("^0.2".parse().unwrap()));
    assert_eq!(
        git.remove_pin("stable").unwrap().value,
        Unpinned { before: Some("^0.2".parse().unwrap()), remotes: vec!["origin".to_owned()] }
    );
    assert_eq!(git.pins().unwrap(), []);
}

#[test]
fn a_damaged_pin_is_named_and_can_be_set_again() {
    let (repository, git, _) = served();
    let blob = git.write_blob(b"rubbish").unwrap();
    repository.git(&["update-ref", "refs/agent/pins/stable", blob.as_str()]);
    let error = git.pin("stable").unwrap_err();
    assert!(error.to_string().starts_with("pin `stable` cannot be read"), "{error}");
    let _ = git.set_pin("stable", &"0.1.0".parse().unwrap()).unwrap();
    assert_eq!(git.pin("stable").unwrap(), Some("0.1.0".parse().unwrap()));
}

#[test]
fn catalog_is_a_snapshot_of_the_refs() {
    let (repository, git, first) = served();
    let mut catalog = Catalog::default();
    let mut check = |filter: &Filter, expected: &[u64], newest: u64| {
        git.refresh(&mut catalog).unwrap();
        let (page, _) = git.page(&catalog, 3, None, filter).unwrap();
        assert_eq!(page.iter().map(|version| version.patch).collect::<Vec<_>>(), expected);
        assert_eq!(git.newest_known(&catalog, None).unwrap(), Some(patch(newest)));
        let listed = git.listing(3, None, filter.range.as_ref()).unwrap();
        for entry in listed.versions {
            assert_eq!(
                catalog.undone_by(&entry.version),
                entry.evidence.undone_by.as_ref(),
                "{}",
                entry.version
            );
        }
    };
    let all = Filter::default();
    check(&all, &[0], 0);
    let tip = promoted(&git, &first, 4);
    check(&all, &[4, 3, 2], 4);
    let good = git.version_commit(&patch(1)).unwrap().unwrap();
    rolled_back(&git, &tip, &good, 5, &[4, 3]);
    check(&all, &[5, 4, 3], 5);
    repository.git(&["pack-refs", "--all"]);
    check(&all, &[5, 4, 3], 5);
    check(&Filter { kind: Some(Kind::Rollback), ..Filter::default() }, &[5], 5);
    check(
        &Filter {
            range: Some("<0.1.4".parse().unwrap()),
            kind: Some(Kind::Promotion),
            line: Some("0.1".to_owned()),
        },
        &[3, 2, 1],
        5,
    );
    check(&Filter { line: Some("0.2".to_owned()), ..Filter::default() }, &[], 5);
    // a tag whose commit says another version, or none, is no version
    repository.git(&["tag", "v0.1.9", "v0.1.5"]);
    repository.git(&["tag", "v0.1.8", "v0.1.5^{tree}"]);
    check(&all, &[5, 4, 3], 5);
    check(&Filter { kind: Some(Kind::Rollback), ..Filter::default() }, &[5], 5);
}
