//! The version of the first release of an adopted repository.

use crate::formats::first_version::{FIRST, can_begin};
use crate::version::{Bump, tag};
use semver::Version;

/// The version of the first release of an adopted repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstVersion {
    pub version: Version,
    /// The reason, as a sentence, where there is one.
    pub why: Option<String>,
}

/// The project's version, where it is three numbers; the next one without a tag, where its tag
/// exists already. `own` is absent where there is no project.
pub fn first_version(own: Option<&str>, is_tagged: impl Fn(&Version) -> bool) -> FirstVersion {
    let usual = |why| FirstVersion { version: FIRST, why };
    let Some(own) = own else { return usual(None) };
    let Some(mut version) = Version::parse(own).ok().filter(can_begin) else {
        return usual(Some(format!(
            "the first release will be {}: the project's version, {own}, is not three numbers such \
            as 1.4.2",
            tag(&FIRST)
        )));
    };
    if !is_tagged(&version) {
        let why = format!("the first release will be {}, the project's own version", tag(&version));
        return FirstVersion { version, why: Some(why) };
    }
    while is_tagged(&version) {
        version = Bump::Minor.apply(&version);
    }
    let why = format!(
        "the first release will be {}: the project's version, {own}, is tagged already",
        tag(&version)
    );
    FirstVersion { version, why: Some(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_version_follows_the_project_version() {
        let first = |own: Option<&str>, tagged: &[&str]| {
            let first =
                first_version(own, |version| tagged.contains(&version.to_string().as_str()));
            (first.version.to_string(), first.why.unwrap_or_default())
        };
        assert_eq!(first(None, &[]), ("0.1.0".to_owned(), String::new()));
        assert_eq!(first(Some("1.4.2"), &[]).0, "1.4.2");
        assert_eq!(first(Some("1.4.2"), &["1.4.2", "1.5.0"]).0, "1.6.0");
        assert!(first(Some("1.4.2"), &["1.4.2"]).1.contains("is tagged already"));
        for other in [
            "1.0rc1",
            "2024.1.post1",
            "1.4",
            "1.4.2-beta.1",
            "1.4.2+local",
            "01.2.3",
            "18446744073709551615.0.0",
            "",
        ] {
            let (version, why) = first(Some(other), &[]);
            assert_eq!(version, "0.1.0", "{other}");
            assert!(why.contains(other) && why.contains("three numbers"), "{why}");
        }
    }
}
