//! Who listens on the daemon's port, on which addresses, and whether a firewall restricts it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use common::finding::{Finding, Severity};

use super::{Check, Host, unseen};

pub(super) static LISTEN: Check = Check {
    id: "listen",
    severity: Severity::Warning,
    what: "the daemon's port is open on all addresses",
    run: |host, check| {
        if !host.live {
            return Vec::new();
        }
        let open = |l: &Listener| l.address.is_unspecified();
        let listeners = match listeners(host) {
            Ok(found) => found,
            Err(note) => return vec![*note],
        };
        let finding = |l: Listener| {
            check
                .finding(format!("port {}", host.port))
                .found(format!("{} listens on {}, every address of this host", who(host, &l), l.address))
                .expected("one address, best of a network of its own")
                .fix("bind the daemon to one address: profd --listen ADDRESS")
        };
        listeners.into_iter().filter(open).map(finding).collect()
    },
};

pub(super) static FIREWALL: Check = Check {
    id: "firewall",
    severity: Severity::Warning,
    what: "no firewall rule restricts the daemon's port",
    run: firewall,
};

/// A socket that listens on the port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    uid: u32,
    inode: u64,
}

fn listeners(host: &Host) -> Result<Vec<Listener>, Box<Finding>> {
    let mut found = Vec::new();
    for table in ["proc/net/tcp", "proc/net/tcp6"] {
        match host.read(table) {
            Ok(text) => found.extend(text.lines().skip(1).filter_map(|l| listener(l, host.port))),
            // No IPv6 on this host.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => {}
            Err(e) => return Err(unseen(format!("/{table}"), crate::io_reason(&e)).into()),
        }
    }
    Ok(found)
}

/// A line of `/proc/net/tcp`: `0: 0100007F:06F2 00000000:0000 0A 0:0 0:0 0 UID 0 INODE …`; 0A is LISTEN.
fn listener(line: &str, port: u16) -> Option<Listener> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, "0A", _, _, _, uid, _, inode, ..] = fields[..] else { return None };
    let (address, local_port) = local.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    Some(Listener { address: ip(address)?, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
}

/// Addresses are words of 32 bits in the host's byte order, each in hexadecimal.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(hex)?))),
        32 => {
            let mut bytes = [0; 16];
            for (i, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(hex.get(i * 8..i * 8 + 8)?)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The process that holds the socket, where we may see it; its user always.
fn who(host: &Host, listener: &Listener) -> String {
    let wanted = format!("socket:[{}]", listener.inode);
    let user = host.ids.user(listener.uid);
    for pid in host.names("proc").into_iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        let fds = std::fs::read_dir(host.shown(&format!("proc/{pid}/fd"))).into_iter().flatten().flatten();
        if fds
            .map(|fd| fd.path())
            .any(|p| std::fs::read_link(p).is_ok_and(|t| t.as_os_str() == wanted.as_str()))
        {
            let name = host.read(&format!("proc/{pid}/comm")).unwrap_or_default();
            return format!("{} (pid {pid}) of {user}", name.trim());
        }
    }
    format!("a process of {user}")
}

fn firewall(host: &Host, check: &Check) -> Vec<Finding> {
    let finding = |place: &str| {
        check
            .finding(format!("port {}", host.port))
            .found(format!("{place} neither names the port nor drops what it does not name"))
            .expected("a rule that lets only the clients' addresses reach the port")
            .fix(format!("nft add rule inet filter input tcp dport {} ip saddr != CLIENTS drop", host.port))
    };
    if !host.live {
        return offline(host).map(|text| restricts(&text, host.port)).map_or_else(
            || vec![unseen("firewall", "this root has no firewall configuration that is known")],
            |ok| if ok { Vec::new() } else { vec![finding("the firewall configuration")] },
        );
    }
    // A port that only this host can reach needs no firewall, and one that nobody serves neither.
    match listeners(host) {
        Ok(l) if l.iter().all(|l| l.address.is_loopback()) => return Vec::new(),
        Ok(_) => {}
        Err(note) => return vec![*note],
    }
    let commands = [("nft", vec!["list", "ruleset"]), ("iptables-save", vec![]), ("ip6tables-save", vec![])];
    let answers: Vec<String> = commands.iter().filter_map(|(name, args)| output(name, args)).collect();
    if answers.is_empty() {
        let why = "neither nft nor iptables could be asked: they are not installed, or want root";
        return vec![unseen("firewall", why)];
    }
    if answers.iter().any(|text| restricts(text, host.port)) {
        Vec::new()
    } else {
        vec![finding("the ruleset")]
    }
}

/// What a program of the system answers, where it can be asked.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let place = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|d| format!("{d}/{program}"));
    let path = place.into_iter().find(|p| std::path::Path::new(p).exists())?;
    let answer = Command::new(path).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

fn offline(host: &Host) -> Option<String> {
    let known = [
        "etc/nftables.conf",
        "etc/sysconfig/nftables.conf",
        "etc/iptables/rules.v4",
        "etc/sysconfig/iptables",
    ];
    let texts: Vec<_> = known.iter().filter_map(|path| host.read(path).ok()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Tells whether a ruleset names the port, or drops on input what it does not name.
fn restricts(ruleset: &str, port: u16) -> bool {
    let port = port.to_string();
    let names_port = |line: &str| {
        let mut words =
            line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|w| !w.is_empty());
        words.any(|w| matches!(w, "dport" | "--dport" | "--dports"))
            && line.split(|c: char| !c.is_ascii_digit()).any(|n| n == port)
    };
    let drops = |line: &str| {
        (line.contains("hook input") && line.contains("policy drop"))
            || line.starts_with(":INPUT DROP")
            || line.starts_with(":INPUT REJECT")
    };
    ruleset.lines().map(str::trim).filter(|l| !l.starts_with('#')).any(|l| names_port(l) || drops(l))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let line = "   0: 0100007F:06F2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 x";
        let found = listener(line, 1778).unwrap();
        assert_eq!((found.address.to_string().as_str(), found.uid, found.inode), ("127.0.0.1", 1000, 4242));
        assert!(listener(line, 1779).is_none());
        assert!(listener(&line.replace(" 0A ", " 01 "), 1778).is_none());
        let six = line.replace("0100007F", &"0".repeat(32));
        assert!(listener(&six, 1778).unwrap().address.is_unspecified());
    }

    #[test]
    fn this_host_sees_its_own_listener() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let host = Host::open(std::path::Path::new("/"), true, None, port).unwrap();
        let found = listeners(&host).unwrap_or_default();
        assert_eq!(found.len(), 1);
        assert!(found[0].address.is_loopback());
        assert!(who(&host, &found[0]).contains(&format!("pid {}", std::process::id())));
    }

    #[test]
    fn rulesets_that_name_the_port_or_drop_the_rest_restrict_it() {
        for yes in [
            "table inet f { chain i { type filter hook input priority 0; policy drop; } }",
            "tcp dport { 22, 1778 } ip saddr 10.0.0.0/8 accept",
            "-A INPUT -p tcp -m tcp --dport 1778 -j DROP",
            ":INPUT DROP [0:0]",
        ] {
            assert!(restricts(yes, 1778), "{yes}");
        }
        for no in
            ["", "# dport 1778", "tcp dport 17780 accept", ":INPUT ACCEPT [0:0]", "counter packets 1778"]
        {
            assert!(!restricts(no, 1778), "{no}");
        }
    }
}
