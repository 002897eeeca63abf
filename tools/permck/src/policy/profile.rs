//! The built-in profiles: policies like any other, in `profiles/`, compiled in.

/// Name, description and text of each.
pub(crate) const PROFILES: [(&str, &str, &str); 5] = [
    ("profguard", "an installation of these tools", include_str!("../../profiles/profguard.toml")),
    ("msmonitor", "an installation of msMonitor", include_str!("../../profiles/msmonitor.toml")),
    ("certs", "a certificate directory", include_str!("../../profiles/certs.toml")),
    ("ascend", "an output tree of the Ascend profiler", include_str!("../../profiles/ascend.toml")),
    (
        "cann",
        "a CANN toolkit owned by the unprivileged user who runs the tools",
        include_str!("../../profiles/cann.toml"),
    ),
];

/// Returns the text of a profile.
pub(crate) fn find_profile(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(n, ..)| *n == name).map(|(.., text)| *text)
}
