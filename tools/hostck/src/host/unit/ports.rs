//! The TCP ports on which the daemon listens, by its units: `--port` of a service, or the sockets that systemd binds for it.

use std::net::SocketAddr;

use super::file::{PLACES, joined_lines};
use super::{find_commands, is_daemon_unit};
use crate::host::AuditedHost;

/// The ports that the daemon's units give it, in order; none where no unit starts it, or none is known.
pub(crate) fn find_daemon_ports(host: &AuditedHost) -> Vec<u16> {
    let mut ports = Vec::new();
    for unit in host.units().units.iter().filter(|unit| is_daemon_unit(host, unit)) {
        let socket = format!("{}.socket", unit.name.trim_end_matches(".service"));
        let sockets = if host.is_enabled(&[&socket]) { read_socket_ports(host, &socket) } else { Vec::new() };
        // The daemon takes the sockets that it is given in the place of its own.
        match sockets.is_empty() {
            true => ports.extend(find_commands(host, unit).iter().filter_map(|command| command.port())),
            false => ports.extend(sockets),
        }
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The TCP ports of a socket unit and its drop-ins (systemd.socket(5), `ListenStream=`).
fn read_socket_ports(host: &AuditedHost, name: &str) -> Vec<u16> {
    let file = PLACES.iter().map(|place| format!("{place}/{name}")).find(|path| host.stat(path).is_ok());
    let drop_ins = PLACES.iter().rev().flat_map(|place| {
        let dir = format!("{place}/{name}.d");
        host.list_names(&dir).into_iter().filter(|n| n.ends_with(".conf")).map(move |n| format!("{dir}/{n}"))
    });
    let mut ports = Vec::new();
    for path in file.into_iter().chain(drop_ins) {
        let mut socket = false;
        for line in joined_lines(&host.read_file(&path).unwrap_or_default()) {
            let line = line.trim();
            if line.starts_with('[') {
                socket = line == "[Socket]";
            } else if let Some((key, value)) = line.split_once('=').filter(|_| socket) {
                match (key.trim(), value.trim()) {
                    ("ListenStream", "") => ports.clear(),
                    ("ListenStream", address) => ports.extend(parse_port(address)),
                    _ => {}
                }
            }
        }
    }
    ports
}

/// The port of `1778`, `0.0.0.0:1778`, `[::]:1778`, `[fe80::1%eth0]:1778`; none of a path.
fn parse_port(address: &str) -> Option<u16> {
    let plain = address.split_whitespace().next()?;
    match plain.parse::<SocketAddr>() {
        Ok(address) => Some(address.port()),
        Err(_) if plain.starts_with(['/', '@']) || plain.starts_with("vsock:") => None,
        Err(_) => plain.rsplit_once(':').map_or(plain, |(_, port)| port).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{clean_dir, write};

    /// The ports of an image with these files.
    fn ports(files: &[(&str, &str)]) -> Vec<u16> {
        let dir = clean_dir();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, 0o644, text);
        }
        let mut host = AuditedHost::open(dir.path(), false, None, 7).unwrap();
        host.asks_units = true;
        let ports = host.daemon_ports();
        host.asks_units = false;
        assert_eq!(host.daemon_ports(), [7], "--port counts where it is given");
        ports
    }

    #[test]
    fn units_give_the_daemon_its_ports() {
        let service = |line: &str| ports(&[("etc/systemd/system/profd.service", line)]);
        assert_eq!(service("[Service]\nExecStart=/usr/bin/profd --port 1999\n"), [1999]);
        assert_eq!(service("[Service]\nExecStart=/usr/bin/profd --port=1 --port=2\n"), [2]);
        assert_eq!(service("[Service]\nExecStart=/usr/bin/profd\n"), [1778]);
        assert_eq!(service("[Service]\nEnvironment=P=88\nExecStart=/usr/bin/dynolog -port ${P}\n"), [88]);
        // Not known, and not the daemon.
        assert_eq!(service("[Service]\nExecStart=/usr/bin/profd --port ${NOWHERE}\n"), [7]);
        assert_eq!(service("[Service]\nExecStart=/usr/bin/other --port 5\n"), [7]);
        assert_eq!(ports(&[]), [7]);
        let two = [
            (
                "etc/systemd/system/profd.service",
                "[Service]\nExecStart=/usr/bin/profd --config /etc/p.toml\n",
            ),
            ("etc/p.toml", "port = 4000\n"),
            ("usr/lib/systemd/system/dynolog.service", "[Service]\nExecStart=/usr/bin/dynolog\n"),
        ];
        assert_eq!(ports(&two), [1778, 4000]);
    }

    #[test]
    fn sockets_that_systemd_binds_take_the_place_of_the_port() {
        let service = ("lib/systemd/system/profd.service", "[Service]\nExecStart=/usr/bin/profd --port 5\n");
        let socket = (
            "lib/systemd/system/profd.socket",
            "[Socket]\nListenStream=0.0.0.0:1778\nListenStream=[::]:1779\nListenStream=/run/x\nListenDatagram=9\n",
        );
        assert_eq!(ports(&[service, socket]), [5], "it is not enabled");
        let wanted = ("etc/systemd/system/sockets.target.wants/profd.socket", "");
        assert_eq!(ports(&[service, socket, wanted]), [1778, 1779]);
        let own =
            ("etc/systemd/system/profd.socket.d/port.conf", "[Socket]\nListenStream=\nListenStream=90\n");
        assert_eq!(ports(&[service, socket, wanted, own]), [90]);
    }
}
