//! Two network namespaces with a cable between them: rule sets are loaded in one, and the other connects.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cases::{Case, Input, Legacy, Loader, Nft, Shell};
use crate::harness::{Done, bin, finish};

/// A connection that takes longer is dropped: both ends are on this machine.
const CONNECT: Duration = Duration::from_millis(300);

/// Addresses of the daemon's host and of the other, from the documentation ranges (RFC 5737, RFC 3849).
pub(crate) const V4: [&str; 2] = ["198.51.100.1", "198.51.100.2"];
pub(crate) const V6: [&str; 2] = ["2001:db8:1::1", "2001:db8:1::2"];

/// Two network namespaces with a cable between them; the first is the daemon's.
pub(crate) struct NamespacePair {
    names: [String; 2],
}

impl NamespacePair {
    pub(crate) fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("profguard-{}-{count}-{side}", std::process::id());
        // From here on they are removed, whatever happens.
        let pair = Self { names: [name("daemon"), name("other")] };
        let [daemon, other] = &pair.names;
        run_ip(&["netns", "add", daemon])?;
        run_ip(&["netns", "add", other])?;
        let (mac, peer) = ("02:00:00:00:00:01", "02:00:00:00:00:02");
        let link = ["link", "add", "v", "netns", daemon, "address", mac, "type", "veth"];
        run_ip(&[&link[..], &["peer", "name", "v", "netns", other, "address", peer]].concat())?;
        for (at, own_mac_of_peer) in [(0, peer), (1, mac)] {
            let name = &pair.names[at];
            let set = |args: &[&str]| run_ip(&[&["-n", name][..], args].concat());
            set(&["link", "set", "lo", "up"])?;
            set(&["link", "set", "v", "up"])?;
            set(&["addr", "add", &format!("{}/24", V4[at]), "dev", "v"])?;
            set(&["addr", "add", &format!("{}/64", V6[at]), "dev", "v", "nodad"])?;
            // The verdict is about TCP: rules that drop neighbor discovery do not matter here.
            for peer in [V4[1 - at], V6[1 - at]] {
                set(&["neigh", "replace", peer, "lladdr", own_mac_of_peer, "dev", "v", "nud", "permanent"])?;
            }
        }
        Ok(pair)
    }

    pub(crate) fn command(&self, side: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[side], program]).stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }

    /// Runs a function in one of the namespaces, in a thread of its own.
    pub(crate) fn run_inside<T: Send>(&self, side: usize, run: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.names[side])).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                run()
            });
            thread.join().unwrap()
        })
    }

    pub(crate) fn load_case(&self, case: &Case) -> Result<(), String> {
        let rules = case.rules;
        let script = match case.loader {
            Input(policy) => format!(
                "nft -f - <<'END'\ntable inet f {{ chain in {{ type filter hook input priority 0; policy {policy}; {rules}; }}\n}}\nEND"
            ),
            // nft wants a line end behind a block.
            Nft => format!(
                "nft -f - <<'END'\n{}\nEND",
                rules.replace("} }", "}\n}").replace("} chain", "}\nchain")
            ),
            Shell | Legacy => rules.to_owned(),
        };
        let mut shell = self.command(0, "sh");
        let done = finish(shell.args(["-ec", &script]));
        if done.status == Some(0) { Ok(()) } else { Err(done.stderr.trim().to_owned()) }
    }

    /// Whether the other host can connect.
    pub(crate) fn can_connect(&self, address: &str, port: u16) -> bool {
        let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        self.run_inside(1, || TcpStream::connect_timeout(&address, CONNECT).is_ok())
    }

    pub(crate) fn audit_live(&self) -> Done {
        finish(self.command(0, bin("hostck")).args(["check", "--format", "json"]))
    }
}

impl NamespacePair {
    /// The verdict on an image whose configuration is what the programs list now.
    pub(crate) fn audit_image(&self, loader: Loader) -> Done {
        let list = |program: &str, args: &[&str], file: &'static str| {
            (file, finish(self.command(0, program).args(args)).expect(0).stdout)
        };
        match loader {
            Input(_) | Nft => audit_files(&[list("nft", &["-nn", "list", "ruleset"], "nftables.conf")]),
            Shell | Legacy => {
                let kind = if loader == Legacy { "-legacy-save" } else { "-save" };
                audit_files(&[
                    list(&format!("iptables{kind}"), &[], "iptables/rules.v4"),
                    list(&format!("ip6tables{kind}"), &[], "iptables/rules.v6"),
                ])
            }
        }
    }

    /// Loads a file with a program, in the daemon's namespace.
    pub(crate) fn load_file(&self, program: &str, text: &str) {
        let mut shell = self.command(0, "sh");
        finish(shell.args(["-ec", &format!("{program} <<'END'\n{text}END")])).expect(0);
    }
}

/// The verdict on an image with these files below `/etc`.
pub(crate) fn audit_files(files: &[(&str, String)]) -> Done {
    let root = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = root.path().join("etc").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    finish(Command::new(bin("hostck")).args(["check", "--format", "json", "--root"]).arg(root.path()))
}

impl Drop for NamespacePair {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = run_ip(&["netns", "del", name]);
        }
    }
}

fn run_ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
