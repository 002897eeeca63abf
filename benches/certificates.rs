//! How long `certck` takes, as processes: one directory, beside a script of openssl calls that checks half as much;
//! thousands of directories on one core and on all, with peak memory and how it grows; path validations per second.
//! Prints JSON lines, asserts nothing.
//!
//!     cargo bench --bench certificates            2000 directories
//!     cargo bench --bench certificates -- 20000

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

/// What operators do today: seven calls, which look at validity, chain, revocation, key and names.
const SCRIPT: &str = "cd \"$1\" && openssl x509 -in server.crt -noout -checkend 2592000 \
    && openssl x509 -in ca.crt -noout -checkend 2592000 \
    && openssl crl -in ca.crl -noout -CAfile ca.crt -nextupdate \
    && openssl verify -x509_strict -CAfile ca.crt -CRLfile ca.crl -crl_check -purpose sslserver server.crt \
    && openssl x509 -in server.crt -noout -checkhost localhost \
    && test \"$(openssl x509 -in server.crt -noout -pubkey)\" = \"$(openssl pkey -in server.key -pubout)\"";

fn main() {
    let directories = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(2000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    for algo in ["ecdsa-p256", "ed25519", "rsa-3072"] {
        let pki = dir.path().join(algo);
        let minted =
            Command::new(env!("CARGO_BIN_EXE_certck")).args(["mint", "--algo", algo]).arg(&pki).status();
        assert!(minted.expect("certck runs").success());
        one(algo, &pki.join("server_certs"));
    }
    let server = dir.path().join("ecdsa-p256/server_certs");
    for n in [directories / 4, directories] {
        many(&copies(dir.path(), &server, n), n);
    }
    paths(dir.path(), &server, 20_000);
}

/// One directory in a process of its own, beside the script.
fn one(algo: &str, server: &Path) {
    let certck = median(100, || {
        Command::new(env!("CARGO_BIN_EXE_certck"))
            .arg("check")
            .arg(server)
            .stdout(Stdio::null())
            .status()
            .is_ok()
    });
    let script = median(20, || {
        let mut sh = Command::new("sh");
        sh.args(["-c", SCRIPT, "sh"]).arg(server).stdout(Stdio::null()).stderr(Stdio::null());
        sh.status().is_ok_and(|s| s.success())
    });
    line(&json!({
        "type": "bench.certck", "v": 1, "what": "one directory, whole process", "algo": algo,
        "certck_ms": certck.map(|s| s * 1e3), "openssl_script_ms": script.map(|s| s * 1e3),
        "ratio": script.zip(certck).map(|(s, c)| s / c),
    }));
}

/// Many directories from a NUL-separated list.
fn many(list: &Path, n: usize) {
    for cores in ["0", "all"] {
        let mut command = if cores == "all" {
            Command::new(env!("CARGO_BIN_EXE_certck"))
        } else {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", cores, env!("CARGO_BIN_EXE_certck")]);
            taskset
        };
        command.args(["-v", "check", "-0", "--files-from"]).arg(list).args(["--format", "json"]);
        let start = Instant::now();
        let Ok(output) = command.stdout(Stdio::null()).stderr(Stdio::piped()).output() else { continue };
        let seconds = start.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let memory =
            said.lines().find_map(|l| l.split("peak memory ").nth(1)).unwrap_or("unknown").to_owned();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        line(&json!({
            "type": "bench.certck", "v": 1, "what": "many directories, one process", "directories": n,
            "cores": if cores == "all" { "all" } else { "1" }, "per_second": n as f64 / seconds,
            "peak_memory": memory, "exit": output.status.code(),
        }));
    }
}

/// Copies of a directory, and the list of them.
fn copies(top: &Path, server: &Path, n: usize) -> std::path::PathBuf {
    let list = top.join(format!("list-{n}"));
    let mut names = std::fs::File::create(&list).expect("the list can be written");
    for i in 0..n {
        let copy = top.join(format!("many/{i}"));
        if !copy.exists() {
            std::fs::create_dir_all(copy.parent().expect("it has one")).expect("a directory");
            let copied = Command::new("cp").arg("-rp").arg(server).arg(&copy).status();
            assert!(copied.expect("cp runs").success());
        }
        write!(names, "{}\0", copy.display()).expect("the list can be written");
    }
    list
}

/// Path validations through `verify`, the same case again and again.
fn paths(top: &Path, server: &Path, n: usize) {
    let read = |name: &str| std::fs::read_to_string(server.join(name)).expect("it was minted");
    let case = json!({"id": "a", "peer": read("server.crt"), "roots": [read("ca.crt")], "crls": [read("ca.crl")],
        "kind": "server", "names": [{"kind": "dns", "value": "localhost"}]});
    let cases = top.join("cases");
    std::fs::write(&cases, format!("{case}\n").repeat(n)).expect("the cases can be written");
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_certck"));
    let status = command.args(["verify", "--format", "json"]).arg(&cases).stdout(Stdio::null()).status();
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    line(&json!({"type": "bench.certck", "v": 1, "what": "path validations, one process", "cases": n,
        "per_second": n as f64 / seconds, "exit": status.ok().and_then(|s| s.code())}));
}

/// The median time of so many runs in seconds; nothing, where one cannot be run or fails.
fn median(runs: usize, mut run: impl FnMut() -> bool) -> Option<f64> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        if !run() {
            return None;
        }
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times.get(runs / 2).copied()
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
fn line(value: &serde_json::Value) {
    println!("{value}");
}
