//! `make demo` and `make install` as they are typed, wherever cargo puts what it builds.
//!
//! They run in a copy of the tree's own files, with a cargo that names the tools of this test run: nothing is built.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::{Done, TOOLS, bin, finish};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// A tree without anything built in it.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["Makefile", "demo", "packaging", "man", "completions"] {
            symlink(Path::new(TOP).join(name), dir.path().join(name)).unwrap();
        }
        let artifacts: String = TOOLS
            .map(|t| format!("{{\"reason\":\"x\",\"executable\":\"{}\",\"fresh\":true}}\n", bin(t)))
            .concat();
        std::fs::write(dir.path().join("artifacts"), artifacts).unwrap();
        let cargo = format!(
            "case \"$*\" in *--message-format=json*) cat {}/artifacts ;; esac\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("cargo"), cargo).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn make(&self, args: &[&str]) -> Done {
        let mut make = Command::new("make");
        make.args(["--no-print-directory", "-s", "-C"]).arg(self.path()).args(args);
        make.arg(format!("CARGO=sh {}/cargo", self.path().display())).stdin(Stdio::null());
        make.env("TMPDIR", self.path()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        finish(&mut make)
    }

    /// Installs some tools below `dest`.
    fn install(&self, dest: &str, more: &[&str]) -> Done {
        let dest = format!("DESTDIR={}", self.path().join(dest).display());
        self.make(&[&["install", &dest, "TOOLS=certck permck profctl"], more].concat())
    }
}

#[test]
fn the_demo_runs_wherever_cargo_puts_the_tools() {
    if testkit::require("make").is_none() {
        return;
    }
    let tree = Tree::new();
    let done = tree.make(&["demo"]).expect(0);
    assert!(done.stdout.contains("== Done. The trace is "), "{}", done.stdout);
}

/// The status of `packaging/release` for some tools of a package, or for all of them, and what it prints.
fn release(package: &Path, tools: &[&str], env: &[(&str, &str)]) -> Output {
    let mut script = Command::new("sh");
    script.arg(format!("{TOP}/packaging/release")).args(tools).current_dir(package);
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        script.env_remove(name);
    }
    script.env("CARGO", env!("CARGO")).env("CARGO_NET_OFFLINE", "true");
    script.envs(env.iter().copied()).output().unwrap()
}

#[test]
fn the_directory_of_the_tools_is_cargos() {
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("with space");
    std::fs::create_dir_all(package.join("src")).unwrap();
    let manifest = "[package]\nname = \"certck\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(package.join("src/main.rs"), "fn main() {}\n").unwrap();
    let printed = |env: &[(&str, &str)]| {
        let output = release(&package, &[], env);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end_matches('\n'));
        assert!(printed.is_absolute() && printed.join("certck").is_file(), "{}", printed.display());
        printed
    };
    let package = package.canonicalize().unwrap();
    assert_eq!(printed(&[]), package.join("target/release"));
    assert_eq!(printed(&[("CARGO_TARGET_DIR", "relative")]), package.join("relative/release"));
    let elsewhere = dir.path().canonicalize().unwrap().join("elsewhere");
    assert_eq!(printed(&[("CARGO_TARGET_DIR", elsewhere.to_str().unwrap())]), elsewhere.join("release"));
    std::fs::create_dir(package.join(".cargo")).unwrap();
    std::fs::write(package.join(".cargo/config.toml"), "[build]\ntarget-dir = \"configured\"\n").unwrap();
    assert_eq!(printed(&[]), package.join("configured/release"));
    // Again, and nothing is left to be built.
    assert_eq!(printed(&[]), package.join("configured/release"));
    // What does not compile is an error, and no directory of an earlier build.
    std::fs::write(package.join("src/main.rs"), "fn main() { no }\n").unwrap();
    let output = release(&package, &[], &[]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot find value `no`"));
}

/// `make demo` builds some of the tools, and needs nothing that only the others need.
#[test]
fn tools_that_are_named_are_built_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().canonicalize().unwrap();
    let bin = |name: &str| {
        format!("[[bin]]\nname = \"{name}\"\npath = \"{name}.rs\"\nrequired-features = [\"{name}\"]\n")
    };
    let manifest = "[package]\nname = \"all\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[features]\n\
                    default = [\"certck\", \"hostck\", \"permck\"]\ncertck = []\nhostck = []\npermck = []\n";
    let manifest = manifest.to_owned() + &["certck", "hostck", "permck"].map(bin).concat();
    std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
    for (name, text) in [("certck", "compile_error!();"), ("hostck", ""), ("permck", "")] {
        std::fs::write(package.join(format!("{name}.rs")), format!("{text} fn main() {{}}\n")).unwrap();
    }
    let output = release(&package, &["hostck", "permck"], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim_end(),
        package.join("target/release").display().to_string()
    );
    assert!(package.join("target/release/permck").is_file());
    assert!(!release(&package, &["nosuch"], &[]).status.success());
}

/// Where a tool was compiled is not in it: neither in what `packaging/release` adds to flags from a configuration, nor in
/// what it adds to those from the environment.
#[test]
fn a_tool_does_not_name_the_directory_where_it_was_compiled() {
    let dir = tempfile::Builder::new().prefix("compiled-here").tempdir().unwrap();
    let package = dir.path().canonicalize().unwrap().join("with space");
    std::fs::create_dir_all(package.join("src")).unwrap();
    // The absolute path of a generated file is in the tool, as those of dependencies are.
    let manifest = "[package]\nname = \"certck\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
    let build = "fn main() { let out = std::env::var(\"OUT_DIR\").unwrap(); \
                 std::fs::write(out + \"/place.rs\", \"pub fn place() -> &'static str { file!() }\").unwrap() }";
    std::fs::write(package.join("build.rs"), build).unwrap();
    let main = "include!(concat!(env!(\"OUT_DIR\"), \"/place.rs\")); fn main() { println!(\"{}\", place()) }";
    std::fs::write(package.join("src/main.rs"), main).unwrap();
    for env in [&[][..], &[("RUSTFLAGS", "--cfg one")], &[("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}two")]] {
        let output = release(&package, &[], env);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let built = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()).join("certck");
        let place = finish(&mut Command::new(&built)).expect(0).stdout;
        assert!(place.starts_with("/profguard/target/"), "{env:?}: {place}");
        let bytes = std::fs::read(&built).unwrap();
        assert!(!bytes.windows(13).any(|word| word == b"compiled-here"), "{env:?}");
    }
}

/// Runs an installed tool as another user; whether that was allowed.
fn runs_as(tool: &Path, uid: u32, gid: u32) -> bool {
    let output = Command::new(tool).arg("--version").uid(uid).gid(gid).current_dir("/").output();
    match output {
        Ok(output) => output.status.success(),
        Err(e) => {
            assert_eq!(e.kind(), std::io::ErrorKind::PermissionDenied, "{e}");
            false
        }
    }
}

const TRAINER: u32 = 65_534;
/// A group that every system has, and the trainer is not in.
const GROUP: u32 = 1;

/// Audits as the README says.
fn audit(tree: &Path) -> Done {
    let args = ["--format", "json", "audit", "--profile", "profguard"].map(std::ffi::OsStr::new);
    harness::run("permck", &[&args[..], &[tree.as_os_str()]].concat())
}

#[test]
fn root_installs_for_everybody_and_can_restrict_that_to_a_group() {
    if testkit::require("make").is_none() || !testkit::require_root() {
        return;
    }
    let tree = Tree::new();
    for prefix in ["/usr/local", "/opt/profguard"] {
        let prefix = format!("PREFIX={prefix}");
        let at = |dest: &str| tree.path().join(dest).join(&prefix["PREFIX=/".len()..]);
        let done = tree.install("open", &[&prefix]).expect(0);
        assert!(done.stderr.is_empty() && done.stdout.contains("GROUP=NAME"), "{done:?}");
        let tool = at("open").join("bin/certck");
        assert!(runs_as(&tool, TRAINER, TRAINER));
        assert_eq!(tool.metadata().unwrap().permissions().mode() & 0o7777, 0o555);
        // What the policy table does not allow is said, with the commands that change it.
        let found = audit(&at("open")).expect(0).of_type("permck.finding");
        assert_eq!(found.len(), 3, "{found:?}");
        for finding in found {
            let fix = finding["fix"].as_str().unwrap().replace("GROUP", &GROUP.to_string());
            finish(Command::new("sh").args(["-c", &fix])).expect(0);
        }
        audit(&at("open")).expect(0);
        assert!(runs_as(&tool, TRAINER, GROUP) && !runs_as(&tool, TRAINER, TRAINER));

        let group = format!("GROUP={GROUP}");
        tree.install("group", &[&prefix, &group]).expect(0);
        let tool = at("group").join("bin/certck");
        assert!(runs_as(&tool, TRAINER, GROUP) && !runs_as(&tool, TRAINER, TRAINER));
        audit(&at("group")).expect(0);
        // Once more, over what is there: for everybody again, but for the directories above it, which are named.
        let done = tree.install("group", &[&prefix]).expect(0);
        assert!(done.stderr.contains("mode 750: those who are to run the tools cannot enter it"), "{done:?}");
        for dir in ["", "opt", "opt/profguard", "usr", "usr/local"].map(|d| tree.path().join("group").join(d))
        {
            let _ = std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755));
        }
        let done = tree.install("group", &[&prefix]).expect(0);
        assert!(done.stderr.is_empty() && runs_as(&tool, TRAINER, TRAINER), "{done:?}");
        tree.make(&["uninstall", &format!("DESTDIR={}", tree.path().join("group").display()), &prefix])
            .expect(0);
        assert!(!tool.exists());
    }
}

#[test]
fn packages_hold_what_is_installed_and_the_same_bytes_each_time() {
    if ["tar", "gzip", "ar"].iter().any(|program| testkit::require(program).is_none()) {
        return;
    }
    // The tools themselves would take a minute to compress.
    let dir = tempfile::tempdir().unwrap();
    for tool in ["certck", "profctl"] {
        let path = dir.path().join(tool);
        std::fs::write(&path, format!("#!/bin/sh\n# GLIBC_2.9 GLIBC_2.31\necho '{tool} 1.2.3'\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let package = |format: &str| {
        let [one, two] = ["one", "two"].map(|out| {
            let mut script = Command::new("sh");
            script.arg(format!("{TOP}/packaging/package")).args([format, "certck", "profctl"]);
            script.env("BIN", dir.path()).env("CARGO", env!("CARGO"));
            script.env("OUT", dir.path().join(out)).env("SOURCE_DATE_EPOCH", "1700000000");
            PathBuf::from(finish(script.stdin(Stdio::null())).expect(0).stdout.trim_end())
        });
        assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap(), "{} differs", one.display());
        one
    };
    let archive = package("archive");
    let list = finish(Command::new("tar").args(["--numeric-owner", "-tvzf"]).arg(archive)).expect(0).stdout;
    let line =
        |end: &str| list.lines().find(|l| l.contains(end)).unwrap_or_else(|| panic!("no {end} in {list}"));
    assert!(line("/bin/certck").starts_with("-r-xr-xr-x 0/0 "), "{list}");
    assert!(line("/share/man/man1/certck.1").starts_with("-r--r--r-- 0/0 "), "{list}");
    assert!(
        line("/bin/dyno ").ends_with(" -> profctl") && line("copyright").starts_with("-r--r--r--"),
        "{list}"
    );
    assert!(line("sbom.cdx.json").starts_with("-r--r--r--") && list.contains("licenses.txt.gz"), "{list}");
    let deb = package("deb");
    if testkit::find("dpkg-deb").is_err() {
        return testkit::skip_part("no dpkg-deb on PATH");
    }
    let fields = finish(Command::new("dpkg-deb").arg("--info").arg(&deb)).expect(0).stdout;
    assert!(fields.contains("Package: profguard") && fields.contains("libc6 (>= 2.31)"), "{fields}");
    let content = finish(Command::new("dpkg-deb").arg("--contents").arg(deb)).expect(0).stdout;
    assert!(content.contains("-r-xr-xr-x") && content.contains("./usr/bin/certck"), "{content}");
    for unit in ["profd.service", "profd.socket", "profguard-crl.timer"] {
        assert!(content.contains(&format!("./usr/lib/systemd/system/{unit}")), "{content}");
    }
}

/// Directories of a system have their modes from the system.
#[test]
fn an_installation_leaves_directories_that_are_there() {
    if testkit::require("make").is_none() {
        return;
    }
    let tree = Tree::new();
    let modes = [("dest", 0o755), ("dest/usr", 0o755), ("dest/usr/bin", 0o711), ("dest/usr/share", 0o700)];
    for (dir, mode) in modes {
        let dir = tree.path().join(dir);
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(dir, PermissionsExt::from_mode(mode)).unwrap();
    }
    tree.install("dest", &["PREFIX=/usr"]).expect(0);
    for (dir, mode) in modes {
        assert_eq!(tree.path().join(dir).metadata().unwrap().permissions().mode() & 0o7777, mode, "{dir}");
    }
    let done = tree.install("dest", &["PREFIX=/usr", "GROUP=no-such-group"]);
    assert!(done.status == Some(2) && done.stderr.contains("no-such-group"), "{done:?}");
}

/// What others have put beside the tools stays, and so do the directories that were there.
#[test]
fn nothing_is_left_of_an_installation_but_what_others_put_there() {
    if testkit::require("make").is_none() {
        return;
    }
    let tree = Tree::new();
    let list = |dest: &str| {
        let done =
            finish(Command::new("find").arg(tree.path().join(dest)).args(["-mindepth", "1"])).expect(0);
        let mut names: Vec<String> = done.stdout.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let uninstall = |dest: &str| {
        let dest = format!("DESTDIR={}", tree.path().join(dest).display());
        tree.make(&["uninstall", &dest, "PREFIX=/usr", "TOOLS=certck permck profctl"]).expect(0);
    };
    tree.install("fresh", &["PREFIX=/usr"]).expect(0);
    assert!(list("fresh").len() > 20);
    uninstall("fresh");
    assert_eq!(list("fresh"), Vec::<String>::new());
    std::fs::create_dir_all(tree.path().join("used/usr/share/man/man1")).unwrap();
    std::fs::write(tree.path().join("used/usr/share/man/man1/other.1"), "").unwrap();
    let before = list("used");
    tree.install("used", &["PREFIX=/usr"]).expect(0);
    uninstall("used");
    assert_eq!(list("used"), before);
}

/// A socket unit that comes first makes the directory as root's, and with a mode that lets no process bind a socket in it.
#[test]
fn the_directory_of_sockets_is_the_same_whoever_makes_it() {
    let read = |name: &str| std::fs::read_to_string(Path::new(TOP).join("packaging").join(name)).unwrap();
    let service = read("profd.service");
    let value = |key: &str| {
        let line = service.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key}")).to_owned()
    };
    let line = format!("d /run/profd {} {} {}", value("RuntimeDirectoryMode"), value("User"), value("Group"));
    assert!(read("systemd/tmpfiles.conf").lines().any(|found| found == line), "{line}");
}

/// Where cargo builds is cargo's to say.
#[test]
fn no_script_names_cargos_directory() {
    let scripts = [
        "Makefile",
        ".ci/run",
        "demo/run",
        "fuzz/run",
        "packaging/install",
        "packaging/release",
        "tests/run",
    ];
    let more = [
        "benches/compare",
        "packaging/package",
        "packaging/image",
        "packaging/sbom",
        "tests/interop/run",
        "tests/interop/packages",
        "tests/interop/manifests",
        "tests/interop/python",
        "tests/interop/formats",
        "tests/interop/tls",
        "tests/interop/conversions",
        "tests/interop/traces-env",
        "tools/tracecv/bench/convert.sh",
        "tools/permck/bench/audit.sh",
        "tools/traceq/bench/databases.sh",
        "tools/traceq/bench/peers.sh",
        "tools/traceq/bench/peers-env",
    ];
    for script in scripts.into_iter().chain(more) {
        let text = std::fs::read_to_string(Path::new(TOP).join(script)).unwrap();
        for dir in ["target/release", "target/debug"] {
            assert!(!text.contains(dir), "{script}: {dir}: packaging/release prints the directory");
        }
    }
}

/// fuzz/run gives each target its seeds and its words.
#[test]
fn each_fuzz_target_has_seeds_and_a_dictionary() {
    let fuzz = Path::new(TOP).join("fuzz");
    let mut targets = 0;
    for target in std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap() {
        let path = target.unwrap().path();
        // A target may have a file of its own beside it.
        if path.extension() != Some("rs".as_ref()) {
            continue;
        }
        let name = path.file_stem().unwrap();
        assert!(
            fuzz.join("dict").join(name).metadata().is_ok_and(|m| m.len() > 0),
            "no dictionary for {name:?}"
        );
        assert!(
            fuzz.join("seeds").join(name).read_dir().is_ok_and(|mut d| d.next().is_some()),
            "no seeds for {name:?}"
        );
        targets += 1;
    }
    assert!(targets > 10);
}
