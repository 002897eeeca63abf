//! The metrics of accelerators, from libraries of our own making with the functions of NVML, DCGM and DCMI
//! (`tests/fixtures/*.c`). What real drivers do is not tested here.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Deployment, Log, command, eventually};

/// A daemon with the library of one source.
struct Devices {
    deployment: Deployment,
    http: u16,
    /// Where the library lies; nothing is left behind when it is dropped.
    dir: tempfile::TempDir,
}

/// Builds a library from a fixture. `None` where there is no C compiler.
fn build(dir: &Path, source: &str, macros: &[&str]) -> Option<PathBuf> {
    let cc = testkit::require("cc")?;
    let library = dir.join(format!("lib{source}.so"));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{source}.c"));
    let mut compiler = Command::new(cc);
    compiler.args(["-shared", "-fPIC", "-w", "-o"]).arg(&library).arg(fixture);
    compiler.arg(format!("-DTROUBLE=\"{}\"", dir.display()));
    compiler.args(macros.iter().map(|name| format!("-D{name}")));
    assert!(compiler.status().unwrap().success());
    Some(library)
}

impl Devices {
    /// Starts a daemon with `--{source}-library` and `--device-metrics={source}`.
    fn start(source: &str, macros: &[&str], more: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let library = build(dir.path(), source, macros)?;
        let library = format!("--{source}-library={}", library.display());
        let metrics = format!("--device-metrics={source}");
        Some(Self::with(dir, &[&[library.as_str(), &metrics], more].concat()))
    }

    fn with(dir: tempfile::TempDir, more: &[&str]) -> Self {
        // Free a moment ago.
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("--http-listen=127.0.0.1:{http}");
        let options = [&[listen.as_str(), "--device-interval=200ms"], more].concat();
        Self { deployment: Deployment::start(false, &options), http, dir }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The values of a source, without those of the host and of the daemon, in order.
    fn values(&self) -> Vec<String> {
        let page = self.get("/metrics");
        let is_device = |line: &&str| {
            ["DCGM_", "npu_", "profd_device_", "gpu_", "node_perf_"].iter().any(|p| line.starts_with(p))
        };
        page.lines().filter(is_device).map(str::to_owned).collect()
    }

    /// Waits until the source is up, and returns its values.
    fn values_when_up(&self) -> Vec<String> {
        eventually("the source is up", || {
            let values = self.values();
            values
                .iter()
                .any(|line| line.starts_with("profd_device_source_up") && line.ends_with(" 1"))
                .then_some(values)
        })
    }

    /// Waits until the source was tried more than twice without success.
    fn wait_for_failures(&self) {
        eventually("it is tried again", || {
            let page = self.get("/metrics");
            let tries = page.lines().find_map(|l| l.strip_prefix("profd_devices_failures_total "))?;
            (tries.parse::<u64>().ok()? > 2).then_some(())
        });
    }

    fn trouble(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&mut self) -> Log {
        self.deployment.log()
    }

    /// The processes that the daemon has started.
    fn workers(&self) -> Vec<u32> {
        let parent = format!("PPid:\t{}\n", self.deployment.daemon.pid());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_child = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/status"))
                .is_ok_and(|status| status.contains(&parent))
        };
        pids.filter(is_child).collect()
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let first = name.split('.').next().unwrap().to_owned();
    first.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[test]
fn nvml_tells_of_two_gpus_and_leaves_out_what_one_does_not_support() {
    let Some(mut devices) = Devices::start("nvml", &[], &["--dynolog-names"]) else { return };
    let values = devices.values_when_up();
    let host = host_name();
    let gpu = |n: u32| {
        let (uuid, bus, model) =
            [("GPU-aaaa", "3B", "Stand-in A"), ("GPU-bbbb", "3C", "Stand-in \\\"B\\\"")][n as usize];
        format!(
            "{{gpu=\"{n}\",UUID=\"{uuid}\",pci_bus_id=\"00000000:{bus}:00.0\",device=\"nvidia{}\",\
             modelName=\"{model}\",Hostname=\"{host}\"}}",
            4 + n
        )
    };
    let mut expected = Vec::new();
    let mut add = |name: &str, values: [Option<&str>; 2]| {
        for (n, value) in (0..).zip(values) {
            expected.extend(value.map(|value| format!("{name}{} {value}", gpu(n))));
        }
    };
    add("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", [Some("8"), None]);
    add("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", [Some("7"), None]);
    add("DCGM_FI_DEV_FB_FREE", [Some("71680"), Some("71680")]);
    add("DCGM_FI_DEV_FB_TOTAL", [Some("81920"), Some("81920")]);
    // Without what is reserved, as dcgm-exporter has it.
    add("DCGM_FI_DEV_FB_USED", [Some("9216"), Some("9216")]);
    add("DCGM_FI_DEV_GPU_TEMP", [Some("61"), Some("62")]);
    add("DCGM_FI_DEV_GPU_UTIL", [Some("87"), None]);
    add("DCGM_FI_DEV_MEM_CLOCK", [Some("2619"), Some("2619")]);
    add("DCGM_FI_DEV_MEM_COPY_UTIL", [Some("43"), None]);
    add("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", [Some("5"), Some("5")]);
    add("DCGM_FI_DEV_POWER_USAGE", [Some("512.34"), Some("512.339")]);
    add("DCGM_FI_DEV_SM_CLOCK", [Some("1980"), Some("1980")]);
    add("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", [Some("123456789012"), None]);
    let dynolog =
        |name: &str, n: u32, value: &str| format!("{name}{{host_name=\"{host}\",device=\"{n}\"}} {value}");
    expected.extend([
        dynolog("gpu_device_utilization", 0, "87"),
        dynolog("gpu_frequency_mhz", 0, "1980"),
        dynolog("gpu_frequency_mhz", 1, "1980"),
        dynolog("gpu_memory_utilization", 0, "43"),
        dynolog("gpu_power_draw", 0, "512.34"),
        dynolog("gpu_power_draw", 1, "512.339"),
    ]);
    let own =
        |n: u32| format!("source=\"nvml\",device=\"{n}\",uuid=\"{}\"", ["GPU-aaaa", "GPU-bbbb"][n as usize]);
    let info = |n: u32, rest: &str| format!("profd_device_info{{{},{rest},driver=\"550.54.15\"}} 1", own(n));
    expected.extend([
        info(0, "pci_bus_id=\"00000000:3B:00.0\",model=\"Stand-in A\""),
        info(1, "pci_bus_id=\"00000000:3C:00.0\",model=\"Stand-in \\\"B\\\"\""),
        // Of the second process the driver does not know it.
        format!("profd_device_process_memory_bytes{{{},pid=\"4242\"}} 3221225472", own(0)),
        format!("profd_device_processes{} 2", gpu(0)),
        format!("profd_device_processes{} 0", gpu(1)),
        "profd_device_source_up{source=\"nvml\"} 1".to_owned(),
    ]);
    assert_eq!(values, expected);
    let log = devices.log();
    log.says("nvml: driver 550.54.15, 2 devices");
    log.says("nvml: device 1: energy: NVML error 999");
    let page = devices.get("/metrics");
    assert!(page.contains("# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n"), "{page}");
    assert!(!page.contains("profd_devices_failed_calls_total 0"), "{page}");
}

/// The process of the library has nothing of the daemon.
#[test]
fn the_library_runs_confined_in_a_process_of_its_own() {
    let Some(devices) = Devices::start("nvml", &[], &[]) else { return };
    devices.values_when_up();
    let workers = devices.workers();
    assert_eq!(workers.len(), 1);
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", workers[0])).unwrap();
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
    if !testkit::is_root() {
        return testkit::skip_part("only root may look into a process that cannot be dumped");
    }
    assert!(!read("maps").is_empty() && read("maps").contains("libnvml.so"));
    let of_daemon = std::fs::read_to_string(format!("/proc/{}/maps", devices.deployment.daemon.pid()));
    assert!(!of_daemon.unwrap().contains("libnvml.so"), "not in the daemon");
    assert_eq!(std::fs::read(format!("/proc/{}/environ", workers[0])).unwrap(), b"");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", workers[0])).unwrap().flatten();
    let targets: Vec<_> = descriptors.filter_map(|fd| std::fs::read_link(fd.path()).ok()).collect();
    let is_plain = |path: &PathBuf| {
        let text = path.to_string_lossy().into_owned();
        text.starts_with("pipe:") || text == "/dev/null"
    };
    assert!(targets.len() == 4 && targets.iter().all(is_plain), "{targets:?}");
}

#[test]
fn a_driver_that_hangs_delays_nobody_and_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = build(dir.path(), "nvml", &[]) else { return };
    let library = format!("--nvml-library={}", library.display());
    let options = [library.as_str(), "--device-metrics=nvml", "--device-timeout=500ms"];
    let mut devices = Devices::with(dir, &options);
    let log = devices.log();
    assert!(devices.values_when_up().len() > 20);
    std::fs::write(devices.trouble("hang"), "").unwrap();
    log.says("nvml: no answer within 0.5 s (--device-timeout): its metrics are left out until it answers");
    let begun = Instant::now();
    assert_eq!(devices.values(), ["profd_device_source_up{source=\"nvml\"} 0"]);
    assert!(devices.get("/metrics").contains("\nprofd_devices_timeouts_total 1\n"));
    assert!(devices.get("/readyz").contains("\nnote: devices: nvml does not answer\n"));
    assert!(devices.get("/healthz").contains("200 OK"));
    devices.deployment.profctl(&["version"]).expect(0);
    // No assertion about speed: only that nobody has waited for the driver, which hangs for ever.
    assert!(begun.elapsed() < Duration::from_secs(60));
    std::fs::remove_file(devices.trouble("hang")).unwrap();
    log.says("nvml: answers again, after ");
    devices.values_when_up();
    // Nor does the end of the daemon wait for it.
    std::fs::write(devices.trouble("hang"), "").unwrap();
    eventually("it hangs again", || {
        devices.get("/metrics").contains("\nprofd_devices_timeouts_total 2\n").then_some(())
    });
    assert_eq!(devices.deployment.daemon.terminate(), Some(0));
}

#[test]
fn a_library_that_crashes_costs_its_metrics_only() {
    let Some(mut devices) = Devices::start("nvml", &[], &[]) else { return };
    let log = devices.log();
    devices.values_when_up();
    std::fs::write(devices.trouble("crash"), "").unwrap();
    log.says(
        "nvml: the process that asked its driver has ended (signal: 6 (SIGABRT)): no metrics until a restart",
    );
    assert_eq!(devices.values(), ["profd_device_source_up{source=\"nvml\"} 0"]);
    devices.deployment.profctl(&["version"]).expect(0);
}

#[test]
fn an_older_library_gives_what_it_has() {
    let Some(devices) = Devices::start("nvml", &["NO_POWER", "NO_MEMORY2"], &[]) else { return };
    let values = devices.values_when_up();
    assert!(!values.iter().any(|line| line.starts_with("DCGM_FI_DEV_POWER_USAGE")));
    // With what is reserved: version 1 of the function does not tell it.
    let used = values.iter().find(|line| line.starts_with("DCGM_FI_DEV_FB_USED")).unwrap();
    assert!(used.ends_with(" 10240"), "{used}");
}

#[test]
fn what_cannot_be_used_is_said_once_with_its_reason() {
    for (macros, reason) in [
        ("OLD", "libnvml.so: too old: it has no nvmlInit_v2 (drivers since 319 have it)"),
        ("NOT_LOADED", "libnvml.so: nvmlInit_v2: NVML error 9: the driver is not loaded"),
    ] {
        let Some(mut devices) = Devices::start("nvml", &[macros], &[]) else { return };
        let log = devices.log();
        log.says(reason);
        assert_eq!(devices.values(), ["profd_device_source_up{source=\"nvml\"} 0"]);
        devices.wait_for_failures();
        assert_eq!(log.count(reason), 1);
    }
}

#[test]
fn a_library_that_others_could_have_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = build(dir.path(), "nvml", &[]) else { return };
    testkit::chmod(&library, 0o777);
    let option = format!("--nvml-library={}", library.display());
    let mut devices = Devices::with(dir, &[&option, "--device-metrics=nvml"]);
    devices.log().says("libnvml.so: mode 0777 lets others write to it");
    assert_eq!(devices.values(), ["profd_device_source_up{source=\"nvml\"} 0"]);
}

/// Neither the environment of the daemon nor its working directory says where libraries are.
#[test]
fn the_environment_names_no_library() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = build(dir.path(), "nvml", &[]) else { return };
    std::fs::rename(library, dir.path().join("libnvidia-ml.so.1")).unwrap();
    let mut deployment = Deployment::plain();
    deployment.daemon.terminate();
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut daemon = command("profd");
    daemon.env("LD_LIBRARY_PATH", dir.path()).current_dir(dir.path());
    daemon
        .arg(format!("--http-listen=127.0.0.1:{http}"))
        .args(["--enable_gpu_monitor", "--device-interval=1"]);
    deployment.restart(&mut daemon);
    let mut devices = Devices { deployment, http, dir };
    let log = devices.log();
    // A host with a driver has a library of that name, which is another one.
    eventually("all sources are tried", || {
        let told = log.count("nvml: ") > 0 && log.count("dcmi: ") > 0 && log.count("dcgm: ") > 0;
        told.then_some(())
    });
    assert!(!devices.get("/metrics").contains("GPU-aaaa"));
}

#[test]
fn dcmi_tells_of_two_chips() {
    let Some(mut devices) = Devices::start("dcmi", &[], &[]) else { return };
    let values = devices.values_when_up();
    let chip = |n: u32| {
        format!(
            "{{id=\"{}\",model_name=\"910B3-Ascend-V1\",vdie_id=\"64036E64-00A07559-5C350CF2-B9D00485-104301E{n}\",\
             pcie_bus_info=\"0000:C{}:00.0\"}}",
            6 + n,
            1 + n
        )
    };
    let mut expected = Vec::new();
    let mut add = |name: &str, values: [Option<&str>; 2]| {
        for (n, value) in (0..).zip(values) {
            expected.extend(value.map(|value| format!("{name}{} {value}", chip(n))));
        }
    };
    add("npu_chip_info_aicore_current_freq", [Some("1800"), Some("1800")]);
    add("npu_chip_info_hbm_total_memory", [Some("65536"), None]);
    add("npu_chip_info_hbm_used_memory", [Some("8192"), None]);
    add("npu_chip_info_health_status", [Some("1"), Some("0")]);
    add("npu_chip_info_power", [Some("188.5"), Some("188.5")]);
    add("npu_chip_info_process_info_num", [Some("1"), None]);
    add("npu_chip_info_temperature", [Some("62"), Some("-5")]);
    add("npu_chip_info_utilization", [Some("36"), Some("37")]);
    add("npu_chip_info_voltage", [Some("0.89"), None]);
    add("profd_device_active_errors", [Some("0"), Some("1")]);
    let own = |n: u32| {
        let id = 6 + n;
        format!("source=\"dcmi\",device=\"{id}\",uuid=\"64036E64-00A07559-5C350CF2-B9D00485-104301E{n}\"")
    };
    let info = |n: u32| {
        let bus = 1 + n;
        format!(
            "profd_device_info{{{},pci_bus_id=\"0000:C{bus}:00.0\",model=\"910B3-Ascend-V1\",driver=\"24.1.rc2\"}} 1",
            own(n)
        )
    };
    expected.extend([info(0), info(1)]);
    expected.push(format!("profd_device_memory_bandwidth_percent{} 12", chip(0)));
    expected.push(format!("profd_device_memory_temperature_celsius{} 55", chip(0)));
    expected.push(format!("profd_device_process_memory_bytes{{{},pid=\"899293\"}} 60062433280", own(0)));
    expected.push("profd_device_source_up{source=\"dcmi\"} 1".to_owned());
    assert_eq!(values, expected);
    devices.log().says("dcmi: device 7: hbm: DCMI error -8009: ioctl(2) of the driver failed");
}

#[test]
fn dcgm_tells_the_profiling_counters() {
    let Some(devices) = Devices::start("dcgm", &[], &["--dcgm-address=127.0.0.1:5599"]) else { return };
    let values = devices.values_when_up();
    let host = host_name();
    let gpu = format!(
        "{{gpu=\"2\",UUID=\"GPU-aaaa\",pci_bus_id=\"00000000:3B:00.0\",device=\"nvidia2\",\
         modelName=\"Stand-in A\",Hostname=\"{host}\"}}"
    );
    // Blank and missing ones are left out: NVLink, and the units for 16 bits.
    let expected = [
        ("DCGM_FI_PROF_DRAM_ACTIVE", "0.3125"),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.0625"),
        ("DCGM_FI_PROF_PCIE_RX_BYTES", "1000001010"),
        ("DCGM_FI_PROF_PCIE_TX_BYTES", "1000001009"),
        ("DCGM_FI_PROF_PIPE_FP32_ACTIVE", "0.4375"),
        ("DCGM_FI_PROF_PIPE_FP64_ACTIVE", "0.375"),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "0.25"),
        ("DCGM_FI_PROF_SM_ACTIVE", "0.125"),
        ("DCGM_FI_PROF_SM_OCCUPANCY", "0.1875"),
    ];
    let mut expected: Vec<_> = expected.iter().map(|(name, value)| format!("{name}{gpu} {value}")).collect();
    expected.push("profd_device_source_up{source=\"dcgm\"} 1".to_owned());
    assert_eq!(values, expected);
}

#[test]
fn a_host_engine_that_is_not_there_is_said() {
    let Some(mut devices) = Devices::start("dcgm", &[], &["--dcgm-address=127.0.0.1:5598"]) else { return };
    devices.log().says(
        "libdcgm.so: host engine 127.0.0.1:5598 (is nvidia-dcgm running?): DCGM error -21: no connection to the host engine",
    );
}

/// Where the kernel gives the counters, they count; where it does not, one line says why.
#[test]
fn counters_of_the_processor_count_or_are_said_to_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--enable_perf_monitor", "--dynolog-names", "--dynolog-interval=1s"];
    let mut devices = Devices::with(dir, &options);
    let log = devices.log();
    eventually("the counters are tried", || (log.count("pmu: ") > 0).then_some(()));
    if log.count("pmu: perf_event_open(2): ") > 0 {
        devices.wait_for_failures();
        assert_eq!(log.count("pmu: "), 1, "said once");
        assert_eq!(devices.values(), ["profd_device_source_up{source=\"pmu\"} 0"]);
        return testkit::skip_part("the kernel gives no performance counters");
    }
    let values = devices.values_when_up();
    assert!(values.iter().any(|line| line.starts_with("node_perf_cpucycles_total{cpu=\"0\"} ")));
    eventually("there are two samples", || {
        devices.get("/metrics").lines().any(|line| line.starts_with("mips{host_name=")).then_some(())
    });
}
