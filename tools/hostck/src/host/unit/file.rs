//! Unit files as systemd reads them: search path, precedence, masking and drop-ins, systemd.unit(5).

use std::collections::{BTreeMap, BTreeSet};

use crate::host::AuditedHost;

/// The search path of units in order of precedence (systemd.unit(5), "Unit File Load Path"), without generators.
pub(super) const PLACES: [&str; 6] = [
    "etc/systemd/system.control",
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// A service, with its drop-ins.
#[derive(Clone, Debug)]
pub(crate) struct ServiceUnit {
    pub(crate) name: String,
    /// Its file, below the root.
    pub(crate) path: String,
    /// Its file and drop-ins.
    pub(crate) files: Vec<String>,
    pub(crate) settings: ServiceSettings,
    /// Files of it that could not be read, and the reasons.
    pub(crate) unread: Vec<(String, String)>,
    /// Whether its files have changed since the running systemd read them.
    pub(crate) stale: bool,
}

/// Settings of `[Service]`: every value that was given since the last empty one, which resets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceSettings {
    values: BTreeMap<String, Vec<String>>,
    /// The file that sets each directive last.
    origins: BTreeMap<String, String>,
}

impl ServiceSettings {
    /// The value that counts where there can be one only.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all_values(key).last().map(String::as_str)
    }

    pub(crate) fn all_values(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether it is set, be it to nothing.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Sets the values of a directive; none sets it to nothing.
    pub(super) fn set_values(&mut self, key: &str, values: Vec<String>) {
        self.values.insert(key.to_owned(), values);
    }

    /// The file that sets a directive last, below the root; none if no file is known to.
    pub(super) fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    /// Takes the files that set directives from settings that were read from files.
    pub(super) fn take_origins(&mut self, own: &Self) {
        self.origins.clone_from(&own.origins);
    }

    pub(crate) fn read_text(&mut self, text: &str) {
        self.read_file(text, None);
    }

    /// Reads the text of a file, and notes the file as the origin of what it sets.
    fn read_file(&mut self, text: &str, path: Option<&str>) {
        let mut service = false;
        for line in joined_lines(text) {
            let line = line.trim();
            if line.starts_with('[') {
                service = line == "[Service]";
            } else if let Some((key, value)) = line.split_once('=').filter(|_| service) {
                if let Some(path) = path {
                    self.origins.insert(key.trim().to_owned(), path.to_owned());
                }
                let values = self.values.entry(key.trim().to_owned()).or_default();
                match value.trim() {
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }
}

/// Lines of a file, with those that a backslash joins. Comments between joined lines are left out, and do not end
/// them, systemd.syntax(7); one is a comment even where it ends with a backslash (`config_parse`,
/// src/shared/conf-parser.c of systemd).
pub(super) fn joined_lines(text: &str) -> Vec<String> {
    let (mut lines, mut open) = (Vec::new(), None::<String>);
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let line = line.trim_end();
        let mut whole = open.take().unwrap_or_default();
        // Two backslashes are one that is escaped.
        let joins = line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        if joins {
            whole.push_str(&line[..line.len() - 1]);
            whole.push(' ');
            open = Some(whole);
        } else {
            whole.push_str(line);
            lines.push(whole);
        }
    }
    lines.extend(open);
    lines
}

/// Every service of the host that is not masked.
pub(crate) fn list_units(host: &AuditedHost) -> Vec<ServiceUnit> {
    let names: BTreeSet<String> = PLACES.iter().flat_map(|place| host.list_names(place)).collect();
    let services = names.into_iter().filter(|n| n.ends_with(".service"));
    services.filter_map(|name| read_unit(host, name)).collect()
}

fn read_unit(host: &AuditedHost, name: String) -> Option<ServiceUnit> {
    let path = PLACES.iter().map(|p| format!("{p}/{name}")).find(|p| is_there(host, p))?;
    let link = host.read_link(&path);
    // Another name of a unit that is looked at under its own.
    let alias = link.as_deref().and_then(|l| l.rsplit('/').next()).filter(|l| l.ends_with(".service"));
    let own = alias
        .filter(|l| **l != *name)
        .is_some_and(|l| PLACES.iter().any(|p| is_there(host, &format!("{p}/{l}"))));
    if is_masked(host, &path) || own {
        return None;
    }
    let mut unit = ServiceUnit {
        name,
        path: path.clone(),
        files: Vec::new(),
        settings: ServiceSettings::default(),
        unread: Vec::new(),
        stale: false,
    };
    for file in std::iter::once(path).chain(drop_ins(host, &unit.name)) {
        match host.read_file(&file) {
            Ok(text) => unit.settings.read_file(&text, Some(&file)),
            Err(e) => unit.unread.push((file.clone(), common::error::io_reason(&e))),
        }
        unit.files.push(file);
    }
    Some(unit)
}

fn is_there(host: &AuditedHost, path: &str) -> bool {
    host.read_link(path).is_some() || host.stat(path).is_ok()
}

/// Whether a unit or drop-in is masked: an empty file or a symlink to /dev/null (systemd.unit(5), "mask").
fn is_masked(host: &AuditedHost, path: &str) -> bool {
    host.read_link(path).is_some_and(|l| l == "/dev/null") || host.stat(path).is_ok_and(|st| st.st_size == 0)
}

/// The drop-ins of a unit, in the order in which they are read. Of the same name, the one that is more for this
/// unit hides the other, and then the one in the earlier place.
fn drop_ins(host: &AuditedHost, name: &str) -> Vec<String> {
    let mut files = BTreeMap::new();
    for dir in drop_in_dirs(name) {
        for file in host.list_names(&dir).into_iter().filter(|n| n.ends_with(".conf")) {
            let path = format!("{dir}/{file}");
            files.insert(file, path);
        }
    }
    files.into_values().filter(|path| !is_masked(host, path)).collect()
}

/// The directories of a unit's drop-ins, whether or not they exist; a later one hides files of an earlier one.
fn drop_in_dirs(name: &str) -> impl Iterator<Item = String> {
    let units = drop_in_names(name).into_iter();
    units.flat_map(|unit| PLACES.iter().rev().map(move |place| format!("{place}/{unit}.d")))
}

/// The directories that decide what a unit is, where they exist: who can write to one can add a unit or a drop-in.
pub(super) fn deciding_dirs(host: &AuditedHost, name: &str) -> Vec<String> {
    let dirs = PLACES.iter().map(|place| (*place).to_owned()).chain(drop_in_dirs(name));
    dirs.filter(|dir| host.stat(dir).is_ok()).collect()
}

/// The names whose drop-ins are for a unit: `service`, `a-.service`, `a-b@.service`, `a-b@c.service`.
fn drop_in_names(name: &str) -> Vec<String> {
    let stem = name.trim_end_matches(".service");
    let dashes = stem.match_indices('-').map(|(at, _)| format!("{}.service", &stem[..=at]));
    let template = stem.split_once('@').filter(|(_, i)| !i.is_empty()).map(|(t, _)| format!("{t}@.service"));
    let own = [name.to_owned()];
    std::iter::once("service".to_owned()).chain(dashes).chain(template).chain(own).collect()
}
