//! Services as the running systemd has them: `systemctl show` prints the settings that are in force, drop-ins and
//! defaults included.
//!
//! Its lines are those of src/systemctl/systemctl-show.c (`print_property`) and src/shared/bus-print-properties.c
//! (`bus_print_property`) of systemd 252. They become the settings of a unit file that means the same, so that one code
//! checks both.

use std::collections::{BTreeMap, BTreeSet};

use super::environment::split_words;
use super::file::{self, ServiceSettings, ServiceUnit};
use super::program::DIRECTIVES;
use super::sandbox::plain_directives;
use crate::host::AuditedHost;
use crate::host::programs::ProgramOutput;

/// Units per call: names are short, and the length of a command line is limited.
const UNITS_PER_CALL: usize = 200;

/// Units that are asked for: more are a mistake, or an attack.
const MAX_UNITS: usize = 20_000;

/// Properties that are not the directives of [`plain_directives`] and [`DIRECTIVES`].
const OTHER_PROPERTIES: [&str; 16] = [
    "Id",
    "LoadState",
    "FragmentPath",
    "DropInPaths",
    "NeedDaemonReload",
    "User",
    "DynamicUser",
    "UMask",
    "WorkingDirectory",
    "Environment",
    "EnvironmentFiles",
    "UnsetEnvironment",
    "SystemCallFilter",
    "RestrictAddressFamilies",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
];

/// A set of at least this number of capabilities with [`CAPABILITIES_OF_ROOT`] is that of an unrestricted service: Linux has 41
/// since 5.9, and the oldest kernel that systemd 252 runs on has 38 (include/uapi/linux/capability.h).
const ALL_CAPABILITIES: usize = 36;
const CAPABILITIES_OF_ROOT: [&str; 3] = ["cap_chown", "cap_sys_admin", "cap_sys_module"];

/// System calls of a list that messages show.
const SHOWN_CALLS: usize = 3;

/// The services of a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostUnits {
    pub(crate) units: Vec<ServiceUnit>,
    /// Why the running systemd did not say what is in force; units are then as their files have them.
    pub(crate) not_shown: Option<String>,
}

/// The properties of one unit: each with its values, one a line.
type ShownUnit = BTreeMap<String, Vec<String>>;

impl HostUnits {
    /// Asks systemd on a running system, and reads the files where it does not answer, or of an image.
    pub(crate) fn load(host: &AuditedHost) -> Self {
        let files = file::list_units(host);
        if !host.live {
            return Self { units: files, not_shown: None };
        }
        match ask_systemd(host, &files) {
            Ok(shown) => Self { units: merge_units(shown, files), not_shown: None },
            Err(reason) => Self { units: files, not_shown: reason },
        }
    }
}

/// Takes each unit as systemd shows it. Templates are in force only by their instances, which have names of their own:
/// what their files say is what the next instance gets.
fn merge_units(shown: Vec<ShownUnit>, files: Vec<ServiceUnit>) -> Vec<ServiceUnit> {
    let mut by_name: BTreeMap<String, ServiceUnit> =
        files.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
    let mut units: BTreeMap<String, ServiceUnit> = BTreeMap::new();
    for properties in &shown {
        let name = value_of(properties, "Id");
        let own = by_name.remove(name);
        units.extend(make_unit(properties, own.as_ref()).map(|unit| (unit.name.clone(), unit)));
    }
    units.extend(by_name.into_iter().filter(|(name, _)| is_template(name)));
    units.into_values().collect()
}

fn is_template(name: &str) -> bool {
    name.ends_with("@.service")
}

/// Asks for the units that systemd has loaded and for those that have files. The error is none where there is no
/// systemctl.
fn ask_systemd(host: &AuditedHost, files: &[ServiceUnit]) -> Result<Vec<ShownUnit>, Option<String>> {
    let answer = |args: &[&str]| match host.programs.ask("systemctl", args) {
        ProgramOutput::Text(text) => Ok(text),
        ProgramOutput::Failed(reason) => Err(Some(reason)),
        ProgramOutput::Absent => Err(None),
    };
    let listed = answer(&["list-units", "--type=service", "--all", "--plain", "--no-legend", "--no-pager"])?;
    let listed = listed.lines().filter_map(|line| line.split_whitespace().next());
    let own = files.iter().map(|unit| unit.name.as_str());
    let names: BTreeSet<&str> = listed.chain(own).filter(|name| is_unit_name(name)).collect();
    let names: Vec<&str> = names.into_iter().take(MAX_UNITS).collect();
    let properties: Vec<String> = asked_properties().collect();
    let property = format!("--property={}", properties.join(","));
    let mut shown = Vec::new();
    for some in names.chunks(UNITS_PER_CALL) {
        let args = [&["show", "--no-pager", property.as_str(), "--"][..], some].concat();
        shown.extend(parse_shown(&answer(&args)?));
    }
    let named = |unit: &ShownUnit| unit.contains_key("Id") && unit.contains_key("LoadState");
    match shown.len() == names.len() && shown.iter().all(named) {
        true => Ok(shown),
        false => Err(Some("its output is not understood".to_owned())),
    }
}

/// Whether a name can be asked for: a service that is no template, of the characters of systemd.unit(5), "String Escaping
/// for Inclusion in Unit Names".
fn is_unit_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    name.ends_with(".service")
        && name.len() < 256
        && !name.starts_with('-')
        && !is_template(name)
        && name.bytes().all(plain)
}

fn asked_properties() -> impl Iterator<Item = String> {
    let commands = DIRECTIVES.iter().flat_map(|key| [(*key).to_owned(), format!("{key}Ex")]);
    plain_directives().chain(OTHER_PROPERTIES).map(str::to_owned).chain(commands)
}

/// Reads `KEY=VALUE` lines; an empty line stands between units.
fn parse_shown(text: &str) -> Vec<ShownUnit> {
    let asked: BTreeSet<String> = asked_properties().collect();
    let mut units = Vec::new();
    let mut unit = ShownUnit::new();
    for line in text.lines() {
        if line.is_empty() {
            units.extend(Some(std::mem::take(&mut unit)).filter(|unit| !unit.is_empty()));
        } else if let Some((key, value)) = line.split_once('=').filter(|(key, _)| asked.contains(*key)) {
            unit.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    units.extend(Some(unit).filter(|unit| !unit.is_empty()));
    units
}

/// The value of a property that has one; empty where it is not set, or where this systemd does not know it.
fn value_of<'u>(unit: &'u ShownUnit, key: &str) -> &'u str {
    unit.get(key).and_then(|values| values.first()).map_or("", String::as_str)
}

/// The unit that systemd shows; none where it is masked or does not exist.
fn make_unit(shown: &ShownUnit, own: Option<&ServiceUnit>) -> Option<ServiceUnit> {
    let name = value_of(shown, "Id").to_owned();
    match value_of(shown, "LoadState") {
        "loaded" => {}
        "masked" | "not-found" | "merged" => return None,
        // `error` and `bad-setting`: what is in force is not known, and the files are all there is.
        _ => return own.cloned(),
    }
    let below_root = |path: &str| path.trim_start_matches('/').to_owned();
    let path = match value_of(shown, "FragmentPath") {
        "" => format!("etc/systemd/system/{name}"),
        path => below_root(path),
    };
    let drop_ins = split_words(value_of(shown, "DropInPaths")).into_iter().map(|word| below_root(&word.text));
    let files = std::iter::once(path.clone()).chain(drop_ins).collect();
    let settings = make_settings(shown, own.map(|unit| &unit.settings));
    let stale = value_of(shown, "NeedDaemonReload") == "yes";
    Some(ServiceUnit { name, path, files, settings, unread: Vec::new(), stale })
}

/// The directives that mean the same as the properties. What a property has by default is not set.
fn make_settings(shown: &ShownUnit, own: Option<&ServiceSettings>) -> ServiceSettings {
    let mut settings = ServiceSettings::default();
    let mut set = |key: &str, values: Vec<String>| settings.set_values(key, values);
    for key in plain_directives().chain(["User", "DynamicUser", "UMask"]) {
        let value = value_of(shown, key);
        if !matches!(value, "" | "no" | "infinity") {
            set(key, vec![value.to_owned()]);
        }
    }
    // `!` where it may be missing (property_get_working_directory, src/core/dbus-execute.c).
    let dir = value_of(shown, "WorkingDirectory").trim_start_matches('!');
    if !dir.is_empty() {
        set("WorkingDirectory", vec![dir.to_owned()]);
    }
    for key in ["Environment", "UnsetEnvironment"] {
        // Specifiers are replaced already, and `$` is escaped within quotes (shell_maybe_quote, src/basic/escape.c).
        let value = value_of(shown, key).replace('%', "%%").replace("\\$", "$");
        if !value.is_empty() {
            set(key, vec![value]);
        }
    }
    let files = shown.get("EnvironmentFiles").into_iter().flatten();
    set("EnvironmentFile", files.filter_map(|line| environment_file(line)).collect());
    for key in ["SystemCallFilter", "RestrictAddressFamilies"] {
        let value = value_of(shown, key);
        // `none` allows no family, and is shown like a filter that is not set.
        let none = own.and_then(|own| own.get(key)).filter(|value| *value == "none");
        match (value, none) {
            ("", None) => {}
            ("", Some(none)) => set(key, vec![none.to_owned()]),
            (value, _) => set(key, vec![shorten_list(value)]),
        }
    }
    if let Some(value) = bounding_set(value_of(shown, "CapabilityBoundingSet")) {
        set("CapabilityBoundingSet", value);
    }
    let ambient = value_of(shown, "AmbientCapabilities").to_ascii_uppercase();
    if !ambient.is_empty() {
        set("AmbientCapabilities", vec![ambient]);
    }
    for key in DIRECTIVES {
        let own = own.map_or(&[][..], |own| own.all_values(key));
        let lines = command_lines(shown, key, own);
        if !lines.is_empty() {
            set(key, lines);
        }
    }
    own.into_iter().for_each(|own| settings.take_origins(own));
    settings
}

/// `/etc/default/x (ignore_errors=yes)` as `-/etc/default/x`.
fn environment_file(line: &str) -> Option<String> {
    let (path, errors) = line.rsplit_once(" (ignore_errors=")?;
    let optional = if errors.starts_with("yes") { "-" } else { "" };
    Some(format!("{optional}{}", path.replace('%', "%%")))
}

/// The capabilities that a service may have; none if nothing restricts them.
fn bounding_set(value: &str) -> Option<Vec<String>> {
    let names: Vec<&str> = value.split_whitespace().collect();
    let all = names.len() >= ALL_CAPABILITIES && CAPABILITIES_OF_ROOT.iter().all(|c| names.contains(c));
    let upper = (!names.is_empty()).then(|| names.join(" ").to_ascii_uppercase());
    (!all).then(|| upper.into_iter().collect())
}

/// The start of a list: `@system-service` is shown as hundreds of system calls.
fn shorten_list(value: &str) -> String {
    let names: Vec<&str> = value.split_whitespace().collect();
    match names.len() > 2 * SHOWN_CALLS {
        true => format!("{} … ({} of them)", names[..SHOWN_CALLS].join(" "), names.len()),
        false => value.to_owned(),
    }
}

/// The command lines of a directive, as a unit file has them. systemctl prints words with blanks between them: where the
/// file has the same words, its quotes are kept.
fn command_lines(shown: &ShownUnit, key: &str, own: &[String]) -> Vec<String> {
    // Only the later property says how commands are started (systemd 243 and later).
    let extended = shown.get(&format!("{key}Ex")).filter(|values| values.iter().any(|v| !v.is_empty()));
    let Some(values) = extended.or_else(|| shown.get(key)) else { return Vec::new() };
    values.iter().filter_map(|value| command_line(value, own)).collect()
}

/// `{ path=/bin/a ; argv[]=/bin/a -b ; flags=privileged ; … }` as `+/bin/a -b`.
fn command_line(value: &str, own: &[String]) -> Option<String> {
    let (path, rest) = value.strip_prefix("{ path=")?.split_once(" ; argv[]=")?;
    let end = [" ; flags=", " ; ignore_errors="].iter().filter_map(|mark| rest.rfind(mark)).min()?;
    let (argv, more) = rest.split_at(end);
    let flags = more.strip_prefix(" ; flags=").and_then(|more| more.split(" ; ").next()).unwrap_or("");
    // exec_command_strings, src/shared/exec-util.c.
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    let marks = [("ignore-failure", "-"), ("no-env-expand", ":"), ("privileged", "+"), ("no-setuid", "!")];
    let prefix: String = marks.into_iter().filter(|(flag, _)| has(flag)).map(|(_, mark)| mark).collect();
    if let Some(line) = own.iter().find(|line| same_words(line, path, argv)) {
        return Some(line.clone());
    }
    let arguments = argv.split(' ').skip(1).map(escape_word);
    let words: Vec<String> =
        std::iter::once(format!("{prefix}{}", escape_word(path))).chain(arguments).collect();
    Some(words.join(" "))
}

/// Whether a line of a file is one command of these words.
fn same_words(line: &str, path: &str, argv: &str) -> bool {
    let words = split_words(line);
    let Some(first) = words.first() else { return false };
    let plain = !first.text.starts_with('@')
        && words.iter().all(|word| !word.unknown && (word.literal || word.text != ";"));
    let named = first.text.trim_start_matches(['-', ':', '+', '!', '|']);
    let texts: Vec<&str> =
        std::iter::once(named).chain(words.iter().skip(1).map(|word| word.text.as_str())).collect();
    // A name without a directory is looked up: argv[0] stays what the file says.
    plain && (named == path || path.ends_with(&format!("/{named}"))) && texts.join(" ") == argv
}

/// A word whose specifiers and quotes are resolved already.
fn escape_word(word: &str) -> String {
    match word {
        ";" => "\\;".to_owned(),
        word => {
            let special = |c| matches!(c, '\\' | '"' | '\'').then_some('\\');
            let escaped: String = word.chars().flat_map(|c| special(c).into_iter().chain([c])).collect();
            escaped.replace('%', "%%")
        }
    }
}

#[cfg(test)]
mod tests;
