//! How long the daemon takes to notice what changes around it: a revocation, a process that ends, other rules.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::client::{ask, connect};
use crate::ipc::CONFIG;
use crate::report::{say, summarize};
use crate::server::{Daemon, Reaped};

/// How often each change is made.
const ROUNDS: usize = 10;
/// After which a change counts as not noticed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one change and returns how long it took until an answer showed it.
type Change = fn(&Runtime) -> anyhow::Result<Duration>;

/// Measures from the moment when the change is made to the first answer that shows it.
pub(crate) fn notice() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measurements: [(&str, Change); 4] = [
        ("revoked client is rejected", notice_revocation),
        ("renewed certificate is served", notice_renewal),
        ("ended process is gone", notice_end_of_process),
        ("new rules are in force", notice_rules),
    ];
    for (what, measure) in measurements {
        let latencies: anyhow::Result<Vec<Duration>> = (0..ROUNDS).map(|_| measure(&runtime)).collect();
        let mut line = json!({"bench": "notice", "what": what});
        summarize(&mut line, &mut latencies?, Duration::from_secs(1));
        if let Some(line) = line.as_object_mut() {
            line.remove("per_s");
        }
        say(&line)?;
    }
    Ok(())
}

fn wait_until(mut is_noticed: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    while !is_noticed()? {
        anyhow::ensure!(start.elapsed() < PATIENCE, "not noticed in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}

/// Asks on a connection of its own; `None` if the daemon rejects the client.
fn ask_once(runtime: &Runtime, daemon: &Daemon, request: &str) -> Option<Value> {
    let answer =
        runtime.block_on(async { ask(&mut connect(daemon).await?, request.as_bytes()).await }).ok()?;
    serde_json::from_slice(&answer).ok()
}

/// The CRL is made before the measurement and moved into the directory at its start.
fn notice_revocation(runtime: &Runtime) -> anyhow::Result<Duration> {
    let daemon = Daemon::start(true)?;
    let pki = daemon.dir.path().join("pki");
    anyhow::ensure!(ask_once(runtime, &daemon, VERSION).is_some(), "a good client is rejected");
    let mut certck = Command::new(env!("CARGO_BIN_EXE_certck"));
    certck.args(["--quiet", "revoke", ".", "client_certs/client.crt"]).current_dir(&pki);
    anyhow::ensure!(certck.stdout(Stdio::null()).status()?.success(), "certck revoke failed");
    let staged = pki.join("server_certs/.ca.crl.new");
    std::fs::copy(pki.join("ca/ca.crl"), &staged)?;
    std::fs::rename(&staged, pki.join("server_certs/ca.crl"))?;
    wait_until(|| Ok(ask_once(runtime, &daemon, VERSION).is_none()))
}

/// The certificate is renewed before the measurement, in a copy, and moved into the directory at its start.
fn notice_renewal(runtime: &Runtime) -> anyhow::Result<Duration> {
    const STATUS: &str = r#"{"fn":"getStatus","extended":true}"#;
    let daemon = Daemon::start(true)?;
    let (pki, copy) = (daemon.dir.path().join("pki"), daemon.dir.path().join("copy"));
    anyhow::ensure!(Command::new("cp").arg("-a").arg(&pki).arg(&copy).status()?.success(), "cp failed");
    let mut certck = Command::new(env!("CARGO_BIN_EXE_certck"));
    certck.args(["--quiet", "mint", "renew", "--all", ".", "server_certs"]).current_dir(&copy);
    anyhow::ensure!(certck.stdout(Stdio::null()).status()?.success(), "certck mint renew failed");
    let served =
        || ask_once(runtime, &daemon, STATUS).map(|s| s["detail"]["certificates"]["leaf"]["sha256"].clone());
    let former = served();
    anyhow::ensure!(former.as_ref().is_some_and(Value::is_string), "no certificate is reported");
    for name in ["server.key", "server.crt"] {
        std::fs::rename(copy.join("server_certs").join(name), pki.join("server_certs").join(name))?;
    }
    wait_until(|| Ok(served().is_some_and(|now| Some(now) != former)))
}

const VERSION: &str = r#"{"fn":"getVersion"}"#;

fn notice_end_of_process(runtime: &Runtime) -> anyhow::Result<Duration> {
    let daemon = Daemon::start(false)?;
    let mut job = Command::new(std::env::current_exe()?);
    job.arg("--child").arg("ending").arg(daemon.dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut job = Reaped(job.spawn()?);
    let stdout = job.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut String::new())?;
    if let Some(stdin) = &mut job.0.stdin {
        stdin.write_all(b"0\n")?;
    }
    stdout.read_line(&mut String::new())?;
    let count = || {
        let answer = ask_once(runtime, &daemon, r#"{"fn":"getStatus","extended":true}"#);
        Ok::<_, anyhow::Error>(
            answer.map_or(0, |answer| answer["detail"]["processes"].as_array().map_or(0, Vec::len)),
        )
    };
    anyhow::ensure!(count()? == 1, "the process is not registered");
    job.0.kill()?;
    let noticed = wait_until(|| Ok(count()? == 0));
    job.0.wait()?;
    noticed
}

fn notice_rules(runtime: &Runtime) -> anyhow::Result<Duration> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("rules.toml");
    let write_rules = |allowed: &str| {
        let staged = path.with_extension("new");
        let rule = format!("version = 1\n[[rule]]\nname = \"all\"\nplain = true\nallow = [\"{allowed}\"]\n");
        std::fs::write(&staged, rule)?;
        std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o640))?;
        std::fs::rename(&staged, &path)
    };
    write_rules("trace")?;
    let daemon = Daemon::start_with(false, &[&format!("--rules={}", path.display())])?;
    // `read` is part of every rule, `trace` is not.
    let request =
        json!({"fn": "setKinetOnDemandRequest", "config": CONFIG, "job_id": 0, "pids": []}).to_string();
    let is_allowed =
        || ask_once(runtime, &daemon, &request).is_some_and(|answer| answer["error"]["code"] != "forbidden");
    anyhow::ensure!(is_allowed(), "the first rules do not allow to trace");
    write_rules("read")?;
    wait_until(|| Ok(!is_allowed()))
}
