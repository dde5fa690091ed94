//! The version a repository begins with.

use semver::Version;

/// Where its manifest does not name another.
pub const FIRST: Version = Version::new(0, 1, 0);

/// Whether a repository may begin with it, so that no later version runs out of numbers.
pub fn can_begin(version: &Version) -> bool {
    const MOST: u64 = 1_000_000_000;
    let is_plain = version.pre.is_empty() && version.build.is_empty();
    is_plain && [version.major, version.minor, version.patch].iter().all(|part| *part < MOST)
}
