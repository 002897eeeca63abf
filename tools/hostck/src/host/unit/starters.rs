//! Programs that start another one: which of their words are options, values and operands, and where the command that
//! they run begins. Sources: the man pages of coreutils 9.5, util-linux 2.41, sudo 1.9.13, systemd 252, numactl 2.0.18,
//! bubblewrap 0.11, tini 0.19 and dumb-init 1.2.

/// The programs.
const STARTERS: [&str; 24] = [
    "env",
    "nice",
    "ionice",
    "numactl",
    "taskset",
    "chrt",
    "setpriv",
    "stdbuf",
    "exec",
    "nohup",
    "setsid",
    "timeout",
    "prlimit",
    "unshare",
    "nsenter",
    "chroot",
    "sudo",
    "runuser",
    "su",
    "tini",
    "dumb-init",
    "systemd-run",
    "firejail",
    "bwrap",
];

/// Options of bubblewrap without a value, those with two, and those with three; the others take one.
const BWRAP_FLAGS: [&str; 8] = [
    "--share-net",
    "--clearenv",
    "--new-session",
    "--die-with-parent",
    "--as-pid-1",
    "--disable-userns",
    "--assert-userns-disabled",
    "--level-prefix",
];
const BWRAP_PAIRS: [&str; 14] = [
    "--bind",
    "--bind-try",
    "--dev-bind",
    "--dev-bind-try",
    "--ro-bind",
    "--ro-bind-try",
    "--symlink",
    "--file",
    "--bind-data",
    "--ro-bind-data",
    "--setenv",
    "--chmod",
    "--bind-fd",
    "--ro-bind-fd",
];
const BWRAP_TRIPLES: [&str; 1] = ["--overlay"];

/// Whether this is a program that starts another one.
pub(super) fn is_starter(program: &str) -> bool {
    STARTERS.contains(&program)
}

/// The number of words behind an option that are its values.
pub(super) fn count_values(program: &str, option: &str) -> usize {
    if option.contains('=') {
        return 0;
    }
    if program == "bwrap" {
        let flag = BWRAP_FLAGS.contains(&option) || option.starts_with("--unshare-");
        return match option {
            _ if flag => 0,
            _ if BWRAP_PAIRS.contains(&option) => 2,
            _ if BWRAP_TRIPLES.contains(&option) => 3,
            _ => 1,
        };
    }
    usize::from(options_with_value(program).contains(&option))
}

/// The options that take the next word as their value.
fn options_with_value(program: &str) -> &'static [&'static str] {
    match program {
        "env" => &["-u", "--unset", "-C", "--chdir", "-a", "--argv0"],
        "chroot" => &["--groups", "--userspec"],
        "nice" => &["-n", "--adjustment"],
        "ionice" => &["-c", "--class", "-n", "--classdata"],
        "numactl" => &[
            "-i",
            "--interleave",
            "-p",
            "--preferred",
            "-P",
            "--preferred-many",
            "-w",
            "--weighted-interleave",
            "-m",
            "--membind",
            "-N",
            "--cpunodebind",
            "-C",
            "--physcpubind",
            // Deprecated, and still accepted.
            "-c",
            "--cpubind",
        ],
        "chrt" => &["-T", "--sched-runtime", "-P", "--sched-period", "-D", "--sched-deadline"],
        "setpriv" => &[
            "--reuid",
            "--regid",
            "--ruid",
            "--rgid",
            "--euid",
            "--egid",
            "--groups",
            "--inh-caps",
            "--ambient-caps",
            "--bounding-set",
            "--securebits",
            "--pdeathsig",
            "--selinux-label",
            "--apparmor-profile",
            "--landlock-access",
            "--landlock-rule",
            "--seccomp-filter",
            "--ptracer",
        ],
        "stdbuf" => &["-i", "--input", "-o", "--output", "-e", "--error"],
        "exec" => &["-a"],
        "timeout" => &["-k", "--kill-after", "-s", "--signal"],
        "unshare" => &[
            "-S",
            "--setuid",
            "-G",
            "--setgid",
            "-R",
            "--root",
            "-w",
            "--wd",
            "--propagation",
            "--map-user",
            "--map-group",
            "--map-users",
            "--map-groups",
            "--setgroups",
            "--monotonic",
            "--boottime",
        ],
        "nsenter" => &["-t", "--target", "-S", "--setuid", "-G", "--setgid", "-W", "--wdns"],
        "sudo" => &[
            "-u",
            "--user",
            "-g",
            "--group",
            "-U",
            "--other-user",
            "-h",
            "--host",
            "-p",
            "--prompt",
            "-C",
            "--close-from",
            "-D",
            "--chdir",
            "-R",
            "--chroot",
            "-r",
            "--role",
            "-t",
            "--type",
            "-T",
            "--command-timeout",
        ],
        "su" | "runuser" => &[
            "-u",
            "--user",
            "-g",
            "--group",
            "-G",
            "--supp-group",
            "-s",
            "--shell",
            "-w",
            "--whitelist-environment",
        ],
        "tini" => &["-p", "-e"],
        "dumb-init" => &["-r", "--rewrite"],
        "systemd-run" => &[
            "-u",
            "--unit",
            "-p",
            "--property",
            "-M",
            "--machine",
            "-H",
            "--host",
            "-E",
            "--setenv",
            "--uid",
            "--gid",
            "--slice",
            "--description",
            "--nice",
            "--working-directory",
            "--service-type",
            "--path-property",
            "--socket-property",
            "--timer-property",
            "--on-active",
            "--on-boot",
            "--on-startup",
            "--on-unit-active",
            "--on-unit-inactive",
            "--on-calendar",
        ],
        _ => &[],
    }
}

/// The number of words before the command that are not options: a mask, a priority, a time, a directory, an account.
pub(super) fn count_operands(program: &str, names_user_by_option: bool) -> usize {
    match program {
        "taskset" | "chrt" | "timeout" | "chroot" | "su" => 1,
        "runuser" => usize::from(!names_user_by_option),
        _ => 0,
    }
}

/// The kind of a command that an option holds as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InlineCommand {
    /// A script for a shell.
    Script,
    /// Words, and the words behind the option are more of them.
    Words,
}

/// An option whose value is a whole command: its kind, and the value where it stands in the same word.
pub(super) fn inline_command<'w>(program: &str, option: &'w str) -> Option<(InlineCommand, Option<&'w str>)> {
    let (kind, long, short): (_, &[&str], &[&str]) = match program {
        "env" => (InlineCommand::Words, &["--split-string"], &["-S", "-vS"]),
        "su" | "runuser" => (InlineCommand::Script, &["--command", "--session-command"], &["-c"]),
        _ => return None,
    };
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    if long.contains(&name) {
        return Some((kind, value));
    }
    let glued = short.iter().find_map(|s| option.strip_prefix(s))?;
    Some((kind, Some(glued).filter(|g| !g.is_empty())))
}
