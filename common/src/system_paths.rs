//! System paths: their files have owners, modes and setuid programs that the classes of the policy table do not cover
//! (hier(7)).

use std::path::Path;

/// Trees that are entirely system paths.
const TREES: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr",
];

/// Directories that are system paths themselves, while the trees below them are not.
const SHARED: [&str; 13] = [
    "/",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    "/tmp",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
];

/// The tree for locally installed software below a system tree, and the directories in it that programs share.
const LOCAL: &str = "/usr/local";
const SHARED_LOCAL: [&str; 10] =
    ["bin", "etc", "games", "include", "lib", "libexec", "man", "sbin", "share", "src"];

/// Returns whether a path without symbolic links is a system path.
pub fn is_system_path(real: &Path) -> bool {
    let local = real.strip_prefix(LOCAL).is_ok_and(|below| {
        !below.as_os_str().is_empty() && !SHARED_LOCAL.iter().any(|name| below == Path::new(name))
    });
    (TREES.iter().any(|t| real.starts_with(t)) && !local) || SHARED.iter().any(|s| real == Path::new(s))
}

/// Returns whether a path without symbolic links holds unrelated trees: system paths, `/`, and every directory directly
/// below it, such as /data and /root. Files that may be deleted in one of them may be needed in another.
pub fn holds_unrelated_trees(real: &Path) -> bool {
    is_system_path(real) || real.components().count() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_paths_exclude_local_software() {
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
            "/opt",
            "/srv",
            "/mnt",
            "/media",
            "/usr/local/bin",
        ] {
            assert!(is_system_path(Path::new(path)), "{path}");
        }
        for path in [
            "/opt/profguard",
            "/usr/local/profguard",
            "/usr/local/lib/x",
            "/var/lib/permck",
            "/home/ann",
            "/root",
            "/etcetera",
            "/srv/traces",
        ] {
            assert!(!is_system_path(Path::new(path)), "{path}");
        }
    }
    #[test]
    fn directories_below_the_root_hold_unrelated_trees() {
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
