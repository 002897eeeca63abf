//! The sockets that listen on the daemon's port, with their addresses and processes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::finding::{Finding, Severity};
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

pub(super) static LISTEN: HostCheck = HostCheck {
    rule: Rule {
        id: "listen",
        severity: Severity::Warning,
        what: "the daemon's port is open on all addresses",
        why: "A port on every address can be reached from networks that the daemon is not meant to serve.",
        fix: "profd --bind ADDRESS",
        reference: "msMonitor security statement, communication",
    },
    run: |host, check| {
        if !host.live {
            return Vec::new();
        }
        let open = |(_, l): &(u16, PortListener)| l.address.is_unspecified();
        let mut listeners = Vec::new();
        for port in host.daemon_ports() {
            match find_listeners(host, port) {
                Ok(found) => listeners.extend(found.into_iter().map(|l| (port, l))),
                Err(note) => return vec![*note],
            }
        }
        let finding = |(port, l): (u16, PortListener)| {
            check
                .finding(format!("port {port}"))
                .found(format!(
                    "{} listens on {}: all addresses of this host",
                    describe_owner(host, &l),
                    l.address
                ))
                .expected("one address, preferably of a management network")
                .fix("bind the daemon to one address: profd --bind ADDRESS")
        };
        listeners.into_iter().filter(open).map(finding).collect()
    },
};

/// A socket that listens on the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortListener {
    pub(super) address: IpAddr,
    uid: u32,
    inode: u64,
}

pub(super) fn find_listeners(host: &AuditedHost, port: u16) -> Result<Vec<PortListener>, Box<Finding>> {
    let mut found = Vec::new();
    for table in ["proc/net/tcp", "proc/net/tcp6"] {
        match host.read_file(table) {
            Ok(text) => found.extend(text.lines().skip(1).filter_map(|l| parse_listener(l, port))),
            // No IPv6 on this host.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => {}
            Err(e) => return Err(note_unseen(format!("/{table}"), common::error::io_reason(&e)).into()),
        }
    }
    Ok(found)
}

/// A line of `/proc/net/tcp`: `0: 0100007F:06F2 00000000:0000 0A 0:0 0:0 0 UID 0 INODE …`; 0A is LISTEN.
fn parse_listener(line: &str, port: u16) -> Option<PortListener> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, "0A", _, _, _, uid, _, inode, ..] = fields[..] else { return None };
    let (address, local_port) = local.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    Some(PortListener {
        address: parse_hex_address(address)?,
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// Addresses are words of 32 bits in the host's byte order, each in hexadecimal.
fn parse_hex_address(hex: &str) -> Option<IpAddr> {
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

/// Describes the process that holds the socket, if its descriptors can be read, and its user.
fn describe_owner(host: &AuditedHost, listener: &PortListener) -> String {
    let wanted = format!("socket:[{}]", listener.inode);
    let user = host.ids.describe_user(listener.uid);
    for pid in host.list_names("proc").into_iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        let fds =
            std::fs::read_dir(host.display_path(&format!("proc/{pid}/fd"))).into_iter().flatten().flatten();
        if fds
            .map(|fd| fd.path())
            .any(|p| std::fs::read_link(p).is_ok_and(|t| t.as_os_str() == wanted.as_str()))
        {
            let name = host.read_file(&format!("proc/{pid}/comm")).unwrap_or_default();
            return format!("{} (pid {pid}) of {user}", name.trim());
        }
    }
    format!("a process of {user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_net_tcp_are_parsed() {
        let line = "   0: 0100007F:06F2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 x";
        let found = parse_listener(line, 1778).unwrap();
        assert_eq!((found.address.to_string().as_str(), found.uid, found.inode), ("127.0.0.1", 1000, 4242));
        assert!(parse_listener(line, 1779).is_none());
        assert!(parse_listener(&line.replace(" 0A ", " 01 "), 1778).is_none());
        let six = line.replace("0100007F", &"0".repeat(32));
        assert!(parse_listener(&six, 1778).unwrap().address.is_unspecified());
    }

    #[test]
    fn this_host_sees_its_own_listener() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let host = AuditedHost::open(std::path::Path::new("/"), true, None, port).unwrap();
        let found = find_listeners(&host, port).unwrap_or_default();
        assert_eq!(found.len(), 1);
        assert!(found[0].address.is_loopback());
        assert!(describe_owner(&host, &found[0]).contains(&format!("pid {}", std::process::id())));
    }
}
