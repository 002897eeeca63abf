//! The CANN toolkit: owned by the account that runs the tools, writable by this account only, its environment
//! unchanged since set_env.sh.

use common::finding::{Finding, Severity};
use common::policy::{Mode, shell_quote};
use common::rule::Rule;

use super::{AuditedHost, HostCheck};

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "cann",
        severity: Severity::Error,
        what: "the CANN toolkit or its environment could have been changed by others",
        why: "Code that another account can change runs with the rights of the account that loads it.",
        fix: "chown -R USER DIR; chmod -R go-w DIR; source set_env.sh",
        reference: "msMonitor security statement, running security",
    },
    run: |host, check| {
        let mut found: Vec<_> =
            find_toolkits(host).iter().flat_map(|home| check_toolkit(host, check, home)).collect();
        found.extend(check_environment(host, check));
        found
    },
};

/// Variables that set_env.sh sets to a place in the toolkit.
const PLACES: [&str; 4] = ["ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "ASCEND_AICPU_PATH"];

/// Variables that name directories from which code is loaded.
const SEARCHED: [&str; 3] = ["LD_LIBRARY_PATH", "PYTHONPATH", "PATH"];

fn find_variable<'a>(host: &'a AuditedHost, name: &str) -> Option<&'a str> {
    host.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// Where toolkits are: as the environment says, or where they are usually installed.
fn find_toolkits(host: &AuditedHost) -> Vec<String> {
    let given = PLACES[..2].iter().filter_map(|name| find_variable(host, name)).map(str::to_owned);
    let user = host.user.as_deref().unwrap_or_default();
    let home =
        host.ids.home_of(user).map_or_else(|| format!("/home/{user}").into(), std::path::Path::to_owned);
    let usual = ["/usr/local/Ascend".to_owned(), format!("{}/Ascend", home.display())];
    let mut homes: Vec<_> = given.chain(usual).map(|p| p.trim_matches('/').to_owned()).collect();
    homes.retain(|p| !p.is_empty() && host.stat(p).is_ok());
    homes.sort();
    homes.dedup();
    homes
}

/// The packages of CANN in an installation directory, which may itself be one (CANN 8.3 and 8.5, "Environment
/// variables configured after installation": `ascend-toolkit/set_env.sh`, `nnal/atb/set_env.sh`, `cann/set_env.sh`).
const PACKAGES: [&str; 13] = [
    "",
    "/latest",
    "/ascend-toolkit",
    "/ascend-toolkit/latest",
    "/cann",
    "/nnae",
    "/nnae/latest",
    "/nnrt",
    "/nnrt/latest",
    "/nnal",
    "/nnal/atb",
    "/nnal/asdsip",
    "/driver",
];

/// The parts of a package that are loaded, run or sourced.
const PARTS: [&str; 8] =
    ["", "/set_env.sh", "/bin", "/bin/setenv.bash", "/lib64", "/opp", "/python", "/tools"];

/// The toolkit's directory and the parts of it that are loaded and run.
fn check_toolkit(host: &AuditedHost, check: &HostCheck, home: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let paths =
        PACKAGES.iter().flat_map(|package| PARTS.iter().map(move |part| format!("{home}{package}{part}")));
    // `latest` leads to a directory of a version, which another path may name, too.
    let mut seen = std::collections::BTreeSet::new();
    for path in paths {
        let Ok(st) = host.stat(&path) else { continue };
        if !seen.insert((st.st_dev, st.st_ino)) {
            continue;
        }
        let (place, mode) = (host.display_path(&path), Mode::of(st.st_mode));
        if mode.0 & 0o022 != 0 {
            let finding = check.finding(&place).found(format!("mode {mode} lets others change the toolkit"));
            found.push(
                finding
                    .expected("writable by its owner only")
                    .fix(format!("chmod -R go-w {}", shell_quote(&place))),
            );
        }
        let Some(uid) = host.user.as_deref().and_then(|user| host.ids.uid_of(user)) else { continue };
        if st.st_uid != uid {
            // Root can change everything anyway, but then the toolkit is not the account's.
            let severity = if st.st_uid == 0 { Severity::Warning } else { Severity::Error };
            found.push(
                Finding { severity, ..check.finding(&place) }
                    .found(format!("owned by {}", host.ids.describe_user(st.st_uid)))
                    .expected(format!("{}, who runs the tools", host.ids.describe_user(uid)))
                    .fix("install CANN as the user who runs the tools"),
            );
        }
    }
    found
}

fn check_environment(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(home) = find_variable(host, PLACES[0]).or_else(|| find_variable(host, PLACES[1])) {
        let top = home.trim_end_matches('/').trim_end_matches("/latest");
        for name in PLACES {
            if let Some(value) = find_variable(host, name).filter(|v| !v.starts_with(top)) {
                let finding = check.finding(format!("${name}")).found(format!("is {value}, not below {top}"));
                found.push(
                    finding
                        .expected("as set_env.sh sets it")
                        .fix("source set_env.sh again, and nothing after it"),
                );
            }
        }
    } else {
        // Without a toolkit there is no environment to check.
        return found;
    }
    for name in SEARCHED {
        for dir in find_variable(host, name).unwrap_or_default().split(':') {
            found.extend(check_search_path(host, check, name, dir));
        }
    }
    found
}

/// Checks a directory of a search path: an empty or relative one depends on the current directory.
fn check_search_path(host: &AuditedHost, check: &HostCheck, name: &str, dir: &str) -> Option<Finding> {
    let finding = |found: String| {
        let finding = check.finding(format!("${name}")).found(found);
        finding
            .expected("absolute directories that only their owner can write")
            .fix(format!("remove it from {name}"))
    };
    if find_variable(host, name).is_none_or(str::is_empty) {
        return None;
    }
    if !dir.starts_with('/') {
        return Some(finding(format!("holds {dir:?}, which is relative to the current directory")));
    }
    let mode = Mode::of(host.stat(dir.trim_start_matches('/')).ok()?.st_mode);
    (mode.0 & 0o002 != 0)
        .then(|| finding(format!("holds {dir}, which every account can write to: mode {mode}")))
}
