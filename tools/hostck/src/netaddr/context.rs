//! The context of a word in its line: the key that it is the value of, or the command that it is an argument of.

/// The meaning that the words before give a dotted word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordContext {
    Nothing,
    /// It is where something is.
    Host,
    /// It is a container image.
    Image,
    /// It is a version.
    Version,
}

const HOSTS: [&str; 34] = [
    "host",
    "hosts",
    "hostname",
    "server",
    "servers",
    "endpoint",
    "endpoints",
    "registry",
    "url",
    "uri",
    "proxy",
    "addr",
    "address",
    "domain",
    "mirror",
    "mirrors",
    "upstream",
    "peer",
    "peers",
    "broker",
    "brokers",
    "ntp",
    "dns",
    "nameserver",
    "smtp",
    "pool",
    "remote",
    "site",
    "origin",
    "homepage",
    "baseurl",
    "gateway",
    "syslog",
    "fallbackntp",
];

const COMMANDS: [&str; 17] = [
    "curl",
    "wget",
    "ping",
    "ssh",
    "scp",
    "rsync",
    "nc",
    "ncat",
    "telnet",
    "dig",
    "nslookup",
    "traceroute",
    "clone",
    "fetch",
    "ntpdate",
    "login",
    "iperf3",
];

const IMAGES: [&str; 6] = ["image", "from", "pull", "push", "images", "baseimage"];

const VERSIONS: [&str; 8] =
    ["version", "ver", "release", "revision", "build", "versions", "firmware", "driver"];

/// Finds the meaning that the text before a word gives it.
pub(super) fn context_before(before: &[u8]) -> WordContext {
    // `==2.1.0.1`, `>=`, `~=`: a requirement.
    let trimmed = trim_quotes(before.trim_ascii_end());
    if [b"==", b">=", b"<=", b"~=", b"!="].iter().any(|op| trimmed.ends_with(*op)) {
        return WordContext::Version;
    }
    // Through the separator and quotes to the key: `"base_url" : "`, `FROM `, `server=`.
    let key = trimmed.trim_ascii_end();
    let key = key.strip_suffix(b":").or_else(|| key.strip_suffix(b"=")).unwrap_or(key);
    let key = trim_quotes(key.trim_ascii_end());
    let start =
        key.iter().rposition(|b| !(b.is_ascii_alphanumeric() || b"_-.".contains(b))).map_or(0, |i| i + 1);
    let Ok(key) = std::str::from_utf8(&key[start..]) else { return WordContext::Nothing };
    let last = last_part(key);
    match last.to_ascii_lowercase().as_str() {
        last if HOSTS.contains(&last) || COMMANDS.contains(&last) => WordContext::Host,
        last if IMAGES.contains(&last) => WordContext::Image,
        last if VERSIONS.contains(&last) => WordContext::Version,
        _ => WordContext::Nothing,
    }
}

/// The last part of a compound: `url` of `base_url`, `baseUrl` and `index-url`.
fn last_part(key: &str) -> &str {
    let key = key.rsplit(['_', '-', '.']).next().unwrap_or(key);
    let camel = key.char_indices().rev().find(|(i, c)| {
        c.is_ascii_uppercase() && *i > 0 && key.as_bytes().get(i - 1).is_some_and(u8::is_ascii_lowercase)
    });
    camel.map_or(key, |(i, _)| &key[i..])
}

/// Without quotes at the end.
fn trim_quotes(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| !b"\"'`".contains(b)).map_or(0, |i| i + 1);
    &text[..end]
}
