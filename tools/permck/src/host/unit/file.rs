//! Unit files as systemd reads them: where they lie, which hide others, what is masked, and what drop-ins change.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Host;

/// Where units lie, the first of which hides the others.
const PLACES: [&str; 6] = [
    "etc/systemd/system.control",
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// A service, with its drop-ins.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) name: String,
    /// Its file, below the root.
    pub(crate) path: String,
    /// Its file and drop-ins.
    pub(crate) files: Vec<String>,
    pub(crate) settings: Settings,
}

/// Settings of `[Service]`: every value that was given since the last empty one, which resets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<String, Vec<String>>);

impl Settings {
    /// The value that counts where there can be one only.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all(key).last().map(String::as_str)
    }

    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether it is set, be it to nothing.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn read(&mut self, text: &str) {
        let mut service = false;
        // A backslash joins lines.
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                service = line == "[Service]";
            } else if let Some((key, value)) = line.split_once('=').filter(|_| service) {
                let values = self.0.entry(key.trim().to_owned()).or_default();
                match value.trim() {
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }
}

/// Every service of the host that is not masked.
pub(crate) fn units(host: &Host) -> Vec<Unit> {
    let names: BTreeSet<String> = PLACES.iter().flat_map(|place| host.names(place)).collect();
    let services = names.into_iter().filter(|n| n.ends_with(".service"));
    services.filter_map(|name| unit(host, name)).collect()
}

fn unit(host: &Host, name: String) -> Option<Unit> {
    let path = PLACES.iter().map(|p| format!("{p}/{name}")).find(|p| is_there(host, p))?;
    let link = host.link(&path);
    // Another name of a unit that is looked at under its own.
    let alias = link.as_deref().and_then(|l| l.rsplit('/').next()).filter(|l| l.ends_with(".service"));
    let own = alias
        .filter(|l| **l != *name)
        .is_some_and(|l| PLACES.iter().any(|p| is_there(host, &format!("{p}/{l}"))));
    if masked(host, &path) || own {
        return None;
    }
    let mut settings = Settings::default();
    settings.read(&host.read(&path).ok()?);
    let mut files = vec![path.clone()];
    for drop_in in drop_ins(host, &name) {
        settings.read(&host.read(&drop_in).unwrap_or_default());
        files.push(drop_in);
    }
    Some(Unit { name, path, files, settings })
}

fn is_there(host: &Host, path: &str) -> bool {
    host.link(path).is_some() || host.stat(path).is_ok()
}

/// An empty file, or a link to nothing: the unit is as if it were not installed.
fn masked(host: &Host, path: &str) -> bool {
    host.link(path).is_some_and(|l| l == "/dev/null") || host.stat(path).is_ok_and(|st| st.st_size == 0)
}

/// The drop-ins of a unit, in the order in which they are read. Of the same name, the one that is more for this
/// unit hides the other, and then the one in the earlier place.
fn drop_ins(host: &Host, name: &str) -> Vec<String> {
    let mut files = BTreeMap::new();
    for unit in levels(name) {
        for place in PLACES.iter().rev() {
            let dir = format!("{place}/{unit}.d");
            for file in host.names(&dir).into_iter().filter(|n| n.ends_with(".conf")) {
                let path = format!("{dir}/{file}");
                files.insert(file, path);
            }
        }
    }
    files.into_values().filter(|path| !masked(host, path)).collect()
}

/// The names whose drop-ins are for a unit: `service`, `a-.service`, `a-b@.service`, `a-b@c.service`.
fn levels(name: &str) -> Vec<String> {
    let stem = name.trim_end_matches(".service");
    let dashes = stem.match_indices('-').map(|(at, _)| format!("{}.service", &stem[..=at]));
    let template = stem.split_once('@').filter(|(_, i)| !i.is_empty()).map(|(t, _)| format!("{t}@.service"));
    let own = [name.to_owned()];
    std::iter::once("service".to_owned()).chain(dashes).chain(template).chain(own).collect()
}
