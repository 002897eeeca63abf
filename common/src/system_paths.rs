//! Which paths belong to the system: its files have owners, modes and set-user-id programs of their own, which no
//! class of the table describes.

use std::path::Path;

/// Trees that are the system's from top to bottom.
const TREES: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr",
];

/// Directories that the system shares out: what is below them may be anybody's, they themselves are not.
const SHARED: [&str; 9] =
    ["/", "/home", "/tmp", "/var", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp"];

/// Where administrators install what the system does not know, inside one of its trees.
const LOCAL: &str = "/usr/local";

/// Tells whether a path without links is the system's.
pub fn is_system_path(real: &Path) -> bool {
    let local = real.starts_with(LOCAL) && real != Path::new(LOCAL);
    (TREES.iter().any(|t| real.starts_with(t)) && !local) || SHARED.iter().any(|s| real == Path::new(s))
}

/// Tells whether a path without links holds trees that have nothing to do with each other: the system's, `/`, and
/// every directory directly below it, such as /data and /root. What may be deleted in one of them may not in others.
pub fn holds_unrelated_trees(real: &Path) -> bool {
    is_system_path(real) || real.components().count() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_told_from_what_is_installed_on_it() {
        for path in [
            "/",
            "/etc",
            "/etc/passwd",
            "/usr/bin/env",
            "/lib64",
            "/dev/null",
            "/proc/1",
            "/usr/local",
            "/var",
        ] {
            assert!(is_system_path(Path::new(path)), "{path}");
        }
        for path in
            ["/opt/profguard", "/usr/local/bin", "/var/lib/permck", "/home/ann", "/root", "/etcetera", "/srv"]
        {
            assert!(!is_system_path(Path::new(path)), "{path}");
        }
    }
    #[test]
    fn the_directories_below_the_root_hold_trees_of_all_sorts() {
        for path in ["/", "/tmp", "/home", "/root", "/srv", "/data", "/var", "/var/tmp", "/etc/profguard"] {
            assert!(holds_unrelated_trees(Path::new(path)), "{path}");
        }
        for path in
            ["/tmp/x", "/home/ann", "/srv/traces", "/data/traces", "/var/log/profguard", "/opt/profguard"]
        {
            assert!(!holds_unrelated_trees(Path::new(path)), "{path}");
        }
    }
}
