//! The command line of a unit: whether it runs the daemon, and with which options.

/// The daemon, and the one that it replaces.
pub(super) const NAMES: [&str; 2] = ["profd", "dynolog"];

/// Programs that start another one.
const STARTERS: [&str; 12] = [
    "env", "sh", "bash", "dash", "nice", "ionice", "numactl", "taskset", "chrt", "setpriv", "stdbuf", "exec",
];

/// A command line that runs the daemon.
#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    /// Started with `+` or `!`: what the unit takes away does not bind it.
    pub(super) privileged: bool,
    /// Its options as pairs: dashes and underscores are the same, and so are `--a=b` and `--a b`.
    options: Vec<(String, Option<String>)>,
    /// Some of its options come from a variable.
    pub(super) variable: bool,
}

impl Command {
    /// `None` where it runs another program.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words: Vec<String> = line.split_whitespace().map(|w| w.replace(['"', '\''], "")).collect();
        let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        // `@-:+!` say how to start it.
        let first = words.first()?;
        let plain = first.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let privileged = first[..first.len() - plain.len()].contains(['+', '!']);
        let first = base(plain);
        let at = match NAMES.contains(&first.as_str()) {
            true => 0,
            // Programs that run what they are given; others may have the name among their arguments.
            false if STARTERS.contains(&first.as_str()) => {
                words.iter().position(|w| NAMES.contains(&base(w).as_str()))?
            }
            false => return None,
        };
        let words = &words[at + 1..];
        let variable = words.iter().any(|w| w.starts_with('$'));
        let value = |i: usize| words.get(i + 1).filter(|w| !w.starts_with('-')).cloned();
        let options = words.iter().enumerate().filter_map(|(i, word)| {
            let option = word.strip_prefix('-')?.trim_start_matches('-');
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, value(i)),
            };
            Some((name.replace('_', "-"), value))
        });
        Some(Self { privileged, options: options.collect(), variable })
    }

    /// The values that an option has.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(n, _)| n == name).filter_map(|(_, value)| value.as_deref())
    }

    /// Whether a flag is given and not taken back.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut given = self.options.iter().filter(|(n, _)| n == name);
        given.next_back().is_some_and(|(_, value)| value.as_deref() != Some("false"))
    }

    /// The address of a `--bind` that means all of them.
    pub(super) fn everywhere(&self) -> Option<&str> {
        let address = |v: &str| v.parse().ok().or_else(|| Some(v.parse::<std::net::SocketAddr>().ok()?.ip()));
        self.values("bind").find(|v| address(v).is_some_and(|ip: std::net::IpAddr| ip.is_unspecified()))
    }

    /// The option that makes it talk to everybody without asking for a certificate.
    pub(super) fn without_tls(&self) -> Option<&'static str> {
        if self.values("certs-dir").last() == Some("NO_CERTS") {
            return Some("--certs-dir NO_CERTS");
        }
        self.has("insecure-listen").then_some("--insecure-listen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_the_daemon_reads_them() {
        let command =
            Command::parse("+/usr/bin/profd -certs_dir=x --bind 10.0.0.5 --certs-dir NO_CERTS --use-json")
                .unwrap();
        assert_eq!(command.without_tls(), Some("--certs-dir NO_CERTS"));
        assert!(command.privileged && command.has("use-json") && command.everywhere().is_none());
        let command = Command::parse("env A=b dynolog --insecure_listen --bind=::").unwrap();
        assert_eq!((command.without_tls(), command.everywhere()), (Some("--insecure-listen"), Some("::")));
        assert_eq!(
            Command::parse("profd --certs-dir /etc/profguard/server_certs").unwrap().without_tls(),
            None
        );
        assert!(Command::parse("profctl --certs-dir NO_CERTS profd").is_none());
    }
}
