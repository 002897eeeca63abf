//! `hostck netaddr`: public network addresses in configuration and scripts.

use std::ffi::CStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::record::RecordPath;
use common::record::hostck::{AddressRecord as Record, AddressScope, NetaddrSummary};
use common::text::Safe;
use rustix::fs::{self as rfs, FileType, OFlags, Statx};
use rustix::io::Errno;

use crate::netaddr::allow::AllowList;
use crate::netaddr::{
    LocatedAddress, TextStyle, is_configuration, is_plain_configuration, is_script, scan_line,
};
use common::inputs::PathInputs;
use common::walk::{self, OpenDirectory, WalkOptions, WalkVisitor, file_type};

/// Longer lines are scanned in pieces of this length; an address across a cut may be missed.
const LINE: u64 = 1 << 20;

/// Longest allow list.
const LIST: u64 = 16 << 20;

/// Configuration is smaller; JSON that is larger is data.
const CONFIGURATION: u64 = 16 << 20;

/// Bytes at the start of a file by which scripts and binary files are recognized.
const HEAD: usize = 8 << 10;

const EXAMPLES: &str = "\
Examples:
  hostck netaddr /opt/profguard
      List the public addresses in its configuration and scripts.
  hostck netaddr --allow published.txt --format json . | jq -r 'select(.address).address' | sort -u
      List those that are not on the published list, each once.";

/// List public network addresses in configuration and scripts
///
/// Finds IPv4 and IPv6 addresses, URLs, host names and mail addresses, and prints each with file, line and column.
/// Private, loopback, documentation and example addresses are printed with --all-scopes only. The exit status is 1
/// when a public address is not on an allow list. Credentials in URLs are printed as `***`.
///
/// Reads scripts, recognized by their first line, name or execute permission; configuration: *.conf, *.cfg, *.cnf, *.ini, *.toml, *.yaml,
/// *.yml, *.env, *.properties, *.service, *.socket, *.timer; and, up to 16 MiB, *.json, *.jsonc, *.json5, *.ipynb, *.xml,
/// *.js, *.mjs, *.ts, *.tf, *.hcl, *.j2, *.tmpl, *.list, *.repo, *.sources, *.mount, *.dockerfile, Dockerfile, Dockerfile.*,
/// Containerfile, Makefile, CMakeLists.txt, Jenkinsfile, crontab, hosts, fstab, requirements.txt, constraints.txt, config,
/// ssh_config, sshd_config, known_hosts, .npmrc, .pypirc, .gitmodules and .netrc. --all-files reads every text file.
///
/// A dotted word counts as a host name in a URL or a container image, with a port, as the value of a key such as
/// server, host, endpoint, registry, url or proxy, before `:/` as in scp, or when it ends in a well-known top-level
/// domain that is not a file suffix, too.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = EXAMPLES)]
pub(crate) struct NetaddrArgs {
    #[command(flatten)]
    inputs: PathInputs,
    /// File of allowed hosts, *.domains, addresses, networks and ranges, one per line; may be repeated
    ///
    /// `*.vendor.com` and `.vendor.com` allow every host below vendor.com, but not vendor.com itself. # starts a comment.
    /// The file must be owned by this user or root and not be writable by others.
    #[arg(long, value_name = "FILE")]
    allow: Vec<PathBuf>,
    /// Also print addresses that are not public
    #[arg(long)]
    all_scopes: bool,
    /// Read every text file, not only configuration and scripts
    #[arg(long)]
    all_files: bool,
}

impl NetaddrArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let allow = self.read_allow_lists()?;
        let paths = self.inputs.paths()?.collect::<anyhow::Result<Vec<_>>>()?;
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let options = WalkOptions { threads, cross_mounts: false };
        let (diag, _) = out.parts();
        let new =
            || AddressScanner { cmd: &self, allow: &allow, diag, found: Vec::new(), files: 0, allowed: 0 };
        let (scanners, errors) = walk::walk_trees(&paths, options, new);
        errors.into_iter().for_each(|e| diag.error(e.path.display(), common::error::errno_reason(e.error)));
        let mut summary = NetaddrSummary::default();
        let mut found = Vec::new();
        for scanner in scanners {
            summary.files += scanner.files;
            summary.allowed += scanner.allowed;
            found.extend(scanner.found);
        }
        found.sort_by(|a, b| (&a.path, a.line, a.address.at).cmp(&(&b.path, b.line, b.address.at)));
        summary.public = found.iter().filter(|f| f.address.scope == AddressScope::Public).count() as u64;
        summary.other = found.len() as u64 - summary.public;
        for f in &found {
            f.write_record(format, out)?;
        }
        summary.errors = out.diag().errors();
        if format == Format::Json {
            out.record(&summary)?;
        }
        Ok(if summary.public > 0 { Exit::No } else { Exit::Ok })
    }

    fn read_allow_lists(&self) -> anyhow::Result<AllowList> {
        let mut allow = AllowList::default();
        for path in &self.allow {
            let shown = path.display().to_string();
            let text = read_allow_list(path).with_context(|| shown.clone())?;
            for (i, line) in text.lines().enumerate() {
                allow.add_line(line).map_err(|e| anyhow::anyhow!("{shown}:{}: {e}", i + 1))?;
            }
        }
        Ok(allow)
    }
}

/// Reads an allow list that only this user or root can write.
fn read_allow_list(path: &Path) -> anyhow::Result<String> {
    let (file, meta) =
        common::fsat::open_regular(path).map_err(|e| anyhow::anyhow!(common::error::io_reason(&e)))?;
    common::fsat::require_trusted(&meta)?;
    let bytes = common::fsat::read_bounded(file, LIST)?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("is not UTF-8"))
}

/// An address and where it stands.
struct AddressInFile {
    path: PathBuf,
    line: u64,
    address: LocatedAddress,
}

impl AddressInFile {
    fn write_record(&self, format: Format, out: &mut Out) -> std::io::Result<()> {
        let (a, column) = (&self.address, self.address.at as u64 + 1);
        match format {
            Format::Text => writeln!(
                out.text(),
                "{}:{}:{column}: {} {} {}",
                Safe(&self.path.to_string_lossy()),
                self.line,
                a.scope,
                a.kind,
                Safe(&a.text)
            ),
            Format::Json => out.record(&Record {
                path: RecordPath::from(&*self.path),
                line: self.line,
                column,
                address: a.text.clone(),
                kind: a.kind,
                scope: a.scope,
                host: a.host.clone(),
            }),
        }
    }
}

struct AddressScanner<'a> {
    cmd: &'a NetaddrArgs,
    allow: &'a AllowList,
    diag: &'a Diag,
    found: Vec<AddressInFile>,
    files: u64,
    allowed: u64,
}

impl AddressScanner<'_> {
    fn scan_file(
        &mut self,
        file: File,
        name: &[u8],
        st: &Statx,
        path: impl Fn() -> PathBuf,
    ) -> std::io::Result<()> {
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let head = reader.fill_buf()?;
        let head = &head[..head.len().min(HEAD)];
        let named = is_configuration(name) && st.stx_size <= CONFIGURATION;
        let wanted = named || is_script(name, head, st.stx_mode.into()) || is_plain_configuration(name);
        let style = TextStyle::from_name(name);
        if is_configuration(name) && !(named || wanted || self.cmd.all_files) {
            self.diag.info(path().display(), "larger than 16 MiB, skipped: --all-files reads it");
        }
        // Binary files hold no addresses that were written by hand.
        if !(wanted || self.cmd.all_files) || head.contains(&0) {
            return Ok(());
        }
        self.files += 1;
        let (mut line, mut number, mut offset) = (Vec::new(), 1, 0);
        loop {
            line.clear();
            if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            for mut address in scan_line(&line, style) {
                if address.scope == AddressScope::Public && self.allow.contains_host(&address.host) {
                    self.allowed += 1;
                } else if address.scope == AddressScope::Public || self.cmd.all_scopes {
                    address.at += offset;
                    self.found.push(AddressInFile { path: path(), line: number, address });
                }
            }
            if line.last() == Some(&b'\n') {
                number += 1;
                offset = 0;
            } else {
                offset += line.len();
            }
        }
    }
}

impl WalkVisitor for AddressScanner<'_> {
    type DirectoryState = ();

    fn visit_file(&mut self, dir: &OpenDirectory, (): &mut (), name: &CStr, st: &Statx) {
        if file_type(st) != FileType::RegularFile || st.stx_size == 0 {
            return;
        }
        let path = || dir.node.path_of(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rfs::openat(dir, name, flags, rfs::Mode::empty());
        let read = opened
            .map_err(std::io::Error::from)
            .and_then(|fd| self.scan_file(fd.into(), name.to_bytes(), st, path));
        if let Err(e) = read {
            self.diag.error(path().display(), common::error::io_reason(&e));
        }
    }

    fn visit_directory(&mut self, _dir: &OpenDirectory, (): ()) {}

    fn visit_mount_point(&mut self, parent: &OpenDirectory, name: &CStr, _st: &Statx) {
        self.diag.warn(parent.node.path_of(name).display(), "another file system, not entered");
    }

    fn report_error(&mut self, parent: &OpenDirectory, name: &CStr, _st: Option<&Statx>, error: Errno) {
        self.diag.error(parent.node.path_of(name).display(), common::error::errno_reason(error));
    }

    fn count_vanished(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{clean_dir, hostck, write};
    use std::ffi::OsStr;

    fn netaddr(dir: &Path, more: &[&str]) -> (Exit, String) {
        let mut args: Vec<&OsStr> = vec!["netaddr".as_ref()];
        args.extend(more.iter().map(OsStr::new));
        args.push(dir.as_ref());
        hostck(&args)
    }

    #[test]
    fn public_addresses_are_listed_unless_they_are_allowed() {
        let dir = clean_dir();
        let path = dir.path().join("a.conf");
        write(&path, 0o640, "x = 1\nserver = 8.8.8.8  # 10.0.0.1\nurl = https://vendor.com/x\n");
        write(&dir.path().join("data.bin"), 0o640, b"8.8.8.8\0");
        write(&dir.path().join("notes.md"), 0o640, "8.8.8.8");
        let (exit, text) = netaddr(dir.path(), &[]);
        let shown = path.display();
        assert_eq!(exit, Exit::No);
        assert_eq!(
            text,
            format!("{shown}:2:10: public ipv4 8.8.8.8\n{shown}:3:7: public url https://vendor.com/x\n")
        );
        assert!(netaddr(dir.path(), &["--all-scopes"]).1.contains(":2:21: private ipv4 10.0.0.1\n"));
        assert!(netaddr(dir.path(), &["--all-files"]).1.contains("notes.md:1:1: public ipv4 8.8.8.8\n"));
        let allow = clean_dir();
        let list = allow.path().join("list");
        write(&list, 0o600, "8.8.8.0/24\nvendor.com\n");
        let (exit, json) = netaddr(dir.path(), &["--allow", list.to_str().unwrap(), "--format", "json"]);
        assert_eq!(exit, Exit::Ok);
        let summary = r#"{"type":"hostck.netaddr_summary","v":1,"files":1,"public":0,"other":0,"allowed":2,"errors":0}"#;
        assert_eq!(json.trim_end(), summary);
    }

    #[test]
    fn allow_lists_must_be_trusted_and_valid() {
        let dir = clean_dir();
        let list = dir.path().join("list");
        let with = |list: &Path| netaddr(dir.path(), &["--allow", list.to_str().unwrap()]).0;
        write(&list, 0o640, "vendor.com\n");
        assert_eq!(with(&list), Exit::Ok);
        write(&list, 0o640, "vendor.com\n*github*\n");
        assert_eq!(with(&list), Exit::Failed);
        write(&list, 0o666, "vendor.com\n");
        assert_eq!(with(&list), Exit::Failed);
        let fifo = dir.path().join("fifo");
        rfs::mknodat(rfs::CWD, &fifo, FileType::Fifo, rfs::Mode::RUSR, 0).unwrap();
        assert_eq!(with(&fifo), Exit::Failed);
    }

    #[test]
    fn json_xml_and_dockerfiles_are_read() {
        let dir = clean_dir();
        write(&dir.path().join("a.json"), 0o640, r#"{"server": "8.8.8.8"}"#);
        write(&dir.path().join("b.xml"), 0o640, "<a>https://vendor.com/</a>");
        write(&dir.path().join("Dockerfile"), 0o640, "FROM nvcr.io/nvidia/pytorch:24.01\n");
        assert_eq!(netaddr(dir.path(), &[]).1.lines().count(), 3);
    }

    #[test]
    fn the_help_names_the_files_that_are_read() {
        use clap::CommandFactory;
        let mut cli = crate::Cli::command();
        let help = cli.find_subcommand_mut("netaddr").unwrap().render_long_help().to_string();
        for name in crate::netaddr::CONFIGURATION_NAMES {
            assert!(help.contains(name), "{name}");
        }
        for end in crate::netaddr::CONFIGURATION_SUFFIXES {
            assert!(help.contains(&format!("*{end}")), "{end}");
        }
    }

    #[test]
    fn crontabs_requirements_notebooks_and_scp_are_read() {
        let dir = clean_dir();
        write(&dir.path().join("crontab"), 0o640, "* * * * * root curl -s http://vendor.cn/x\n");
        write(&dir.path().join("requirements.txt"), 0o640, "--index-url https://vendor.cn/simple\n");
        write(&dir.path().join("config"), 0o640, "HostName bastion.vendor.cn\n");
        write(&dir.path().join("a.ipynb"), 0o640, "{\"source\": [\"https://vendor.cn/\"]}");
        write(&dir.path().join("run.sh"), 0o750, "#!/bin/sh\nscp x store.vendor.io:/srv\n");
        let (_, text) = netaddr(dir.path(), &[]);
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}
