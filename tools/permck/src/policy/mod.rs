//! Policies: the class, owner and group that an entry must have, and the findings that are accepted.
//!
//! A policy is a list of rows with path patterns, in a file ([`file`]) or built in ([`profile`]). The first row that
//! matches an entry decides; without one the class is decided by the content.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::policy::{Class, Mode};
use time::Date;
use time::macros::format_description;

use crate::rule::{AllowedIds, ClassLimit, rule_descriptions};
use common::accounts::AccountTable;

pub(crate) mod file;
pub(crate) mod manual;
pub(crate) mod profile;

use common::glob::Glob;
use file::{PolicyError, PolicyFile};

/// Maximum size of a policy file in bytes.
const MAX_POLICY_SIZE: u64 = 4 << 20;

/// A compiled policy.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    rows: Vec<CompiledRow>,
    exceptions: Vec<CompiledException>,
    owner: Option<OwnerRule>,
    group: Option<Vec<u32>>,
}

#[derive(Debug)]
struct CompiledRow {
    globs: Vec<Glob>,
    class: Option<Class>,
    max: Option<Mode>,
    owner: Option<OwnerRule>,
    group: Option<AllowedIds>,
    /// `policy row 3: bin/* (…)`, `profile certs row 1: …`.
    by: String,
    /// Whether it is from the policy file, not from a profile.
    own: bool,
    /// The name of its class, where that is one of the policy.
    own_class: Option<String>,
    /// Whether it has a reason, with which its maximum may allow more than the class.
    loosens: bool,
    /// Whether it matched an entry.
    used: AtomicBool,
}

/// Allowed owners; some are known only with the audited path.
#[derive(Clone, Debug, Default)]
struct OwnerRule {
    any: bool,
    path: bool,
    /// The account that runs the tools: see [`Policy::needs_account`].
    account: bool,
    ids: Vec<u32>,
}

impl OwnerRule {
    fn resolve(&self, path_owner: u32, given: Option<&[u32]>) -> AllowedIds {
        if self.any {
            return AllowedIds::Any;
        }
        let own = self.path.then_some(path_owner);
        let mut ids: Vec<u32> = own.into_iter().chain(self.ids.iter().copied()).collect();
        if self.account {
            ids.extend(given.map_or_else(|| vec![rustix::process::geteuid().as_raw()], <[u32]>::to_vec));
        }
        AllowedIds::Ids(ids)
    }
}

#[derive(Debug)]
struct CompiledException {
    globs: Vec<Glob>,
    rules: Vec<String>,
    /// Only entries of these classes, by their names; all entries where it is empty.
    classes: Vec<String>,
    until: Date,
    reason: String,
    /// Its number in the policy file; none in a profile, whose exceptions need not match.
    number: Option<usize>,
    /// Whether it matched a finding.
    used: AtomicBool,
}

/// The location of an entry, for matching patterns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryLocation<'a> {
    /// The path below the audited path; none for a directory above it.
    pub(crate) below: Option<&'a [u8]>,
    /// The audited path without links.
    pub(crate) root: &'a Path,
    pub(crate) dir: bool,
}

/// The policy of an entry: the row that matches it, and the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PolicyMatch<'a> {
    row: Option<&'a CompiledRow>,
    policy: Option<&'a Policy>,
}

impl Policy {
    /// Adds the rows of a policy file, then those of the profiles that it extends.
    pub(crate) fn add_file(&mut self, text: &str, ids: &AccountTable) -> Result<(), PolicyError> {
        self.add_text(text, ids, None)
    }

    /// Adds the rows of a built-in profile.
    pub(crate) fn add_profile(&mut self, name: &str, ids: &AccountTable) -> Result<(), PolicyError> {
        let text = profile::find_profile(name)
            .ok_or_else(|| PolicyError::new(format!("unknown profile {name:?}")))?;
        self.add_text(text, ids, Some(name))
    }

    fn add_text(&mut self, text: &str, ids: &AccountTable, profile: Option<&str>) -> Result<(), PolicyError> {
        let file = file::parse(text)?;
        self.compile_file(&file, ids, profile)?;
        file.extends.iter().try_for_each(|name| self.add_profile(name, ids))
    }

    /// Reads a policy file. A file that other users can write is an error.
    pub(crate) fn read_file(path: &Path) -> anyhow::Result<String> {
        let (file, meta) =
            common::fsat::open_regular(path).map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))?;
        crate::trusted(&meta)?;
        let bytes = common::fsat::read_bounded(file, MAX_POLICY_SIZE)?;
        String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("is not UTF-8"))
    }

    fn compile_file(
        &mut self,
        file: &PolicyFile,
        ids: &AccountTable,
        profile: Option<&str>,
    ) -> Result<(), PolicyError> {
        let own = profile.is_none();
        let source = profile.map_or_else(|| "policy".to_owned(), |name| format!("profile {name}"));
        if self.owner.is_none() {
            self.owner = file.owner.as_deref().map(|names| parse_owners(names, ids)).transpose()?;
        }
        if self.group.is_none() {
            self.group = file.group.as_deref().map(|names| parse_groups(names, ids)).transpose()?.flatten();
        }
        let mut classes = Vec::new();
        for class in &file.class {
            let own =
                compile_class(class).map_err(|e| PolicyError::new(format!("class {:?}: {e}", class.name)))?;
            classes.push(own);
        }
        for (i, row) in file.path.iter().enumerate() {
            let name = format!("{source} row {}", i + 1);
            let row = compile_row(&name, row, &classes, ids)
                .map_err(|e| PolicyError::new(format!("path {}: {e}", i + 1)))?;
            self.rows.push(CompiledRow { own, ..row });
        }
        for (i, e) in file.exception.iter().enumerate() {
            let exception = compile_exception(e, &classes)
                .map_err(|e| PolicyError::new(format!("exception {}: {e}", i + 1)))?;
            self.exceptions.push(CompiledException { number: own.then_some(i + 1), ..exception });
        }
        Ok(())
    }

    /// Looks up the policy of an entry.
    pub(crate) fn match_entry(&self, place: EntryLocation<'_>) -> PolicyMatch<'_> {
        let row = self.find_row(place);
        row.inspect(|row| row.used.store(true, Ordering::Relaxed));
        PolicyMatch { row, policy: Some(self) }
    }

    /// Returns the first row that matches.
    fn find_row(&self, place: EntryLocation<'_>) -> Option<&CompiledRow> {
        let mut whole = None;
        let fits = |row: &CompiledRow| row.class.is_none_or(|c| c.row().name.ends_with("_dir") == place.dir);
        self.rows.iter().find(|r| fits(r) && r.globs.iter().any(|g| place.matches_glob(g, &mut whole)))
    }

    /// Returns whether an exception accepts a finding about an entry of this class on this day. Exceptions of a profile do
    /// not apply to entries that the policy file has a row for.
    pub(crate) fn accepts_finding(
        &self,
        rule: &str,
        place: EntryLocation<'_>,
        class: Option<&str>,
        today: Date,
    ) -> bool {
        let mut whole = None;
        let own = OnceCell::new();
        let stricter = || *own.get_or_init(|| self.find_row(place).is_some_and(|row| row.own));
        let accepting = self.exceptions.iter().filter(|e| {
            e.until >= today
                && e.rules.iter().any(|r| r == rule)
                && (e.classes.is_empty() || class.is_some_and(|c| e.classes.iter().any(|name| name == c)))
                && e.globs.iter().any(|g| place.matches_glob(g, &mut whole))
                && (e.number.is_some() || !stricter())
        });
        // Every exception that matches counts as used.
        accepting.map(|e| e.used.store(true, Ordering::Relaxed)).count() > 0
    }

    /// Describes the exceptions of the policy file that have expired.
    pub(crate) fn expired_exceptions(&self, today: Date) -> impl Iterator<Item = String> + '_ {
        let expired = self.exceptions.iter().filter(move |e| e.number.is_some() && e.until < today);
        expired.map(|e| format!("{} expired on {}: {}", e.label(), e.until, e.reason))
    }

    /// Describes the exceptions of the policy file that are still valid and matched no finding.
    pub(crate) fn unused_exceptions(&self, today: Date) -> impl Iterator<Item = String> + '_ {
        let unused = self
            .exceptions
            .iter()
            .filter(move |e| e.number.is_some() && e.until >= today && !e.used.load(Ordering::Relaxed));
        unused.map(|e| format!("{} matched no finding: {}", e.label(), e.reason))
    }

    /// Describes the rows of the policy file that decided about no entry.
    pub(crate) fn unused_rows(&self) -> impl Iterator<Item = String> + '_ {
        let unused = self.rows.iter().filter(|row| row.own && !row.used.load(Ordering::Relaxed));
        unused.map(|row| format!("{} matched no entry, or only entries of rows before it", row.by))
    }

    /// Describes every row and exception, in the order in which they are tried.
    pub(crate) fn describe(&self) -> impl Iterator<Item = String> + '_ {
        let rows = self.rows.iter().map(|row| {
            let class = row.own_class.as_deref().or(row.class.map(|class| class.row().name));
            let max = row.max.or(row.class.map(Class::max));
            let max = max.map_or_else(String::new, |max| format!(", at most {max}"));
            format!("{} -> {}{max}", row.by, class.unwrap_or("class by content"))
        });
        let exceptions =
            self.exceptions.iter().map(|e| format!("{} until {}: {}", e.label(), e.until, e.reason));
        rows.chain(exceptions)
    }

    /// Returns the row that decides about an entry.
    pub(crate) fn describe_match(&self, place: EntryLocation<'_>) -> Option<&str> {
        self.find_row(place).map(|row| row.by.as_str())
    }

    /// Returns whether it requires the account that runs the tools as owner, which must then be known.
    pub(crate) fn needs_account(&self) -> bool {
        let rows = self.rows.iter().filter_map(|r| r.owner.as_ref());
        rows.chain(&self.owner).any(|o| o.account)
    }

    /// Returns whether it has no rows and no default owner or group.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.owner.is_none() && self.group.is_none()
    }

    pub(crate) fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }
}

impl CompiledException {
    fn label(&self) -> String {
        format!("exception {} for {}", self.number.unwrap_or_default(), self.rules.join(", "))
    }
}

impl<'p> EntryLocation<'p> {
    /// Makes the location of a directory above the audited path, which only absolute patterns match.
    pub(crate) fn above_root(dir: &'p Path) -> Self {
        Self { below: None, root: dir, dir: true }
    }

    fn matches_glob(&self, glob: &Glob, whole: &mut Option<Vec<u8>>) -> bool {
        if !glob.absolute {
            return self.below.is_some_and(|below| glob.matches(below));
        }
        let whole = whole.get_or_insert_with(|| {
            let mut path = self.root.as_os_str().as_encoded_bytes().to_vec();
            path.push(b'/');
            path.extend_from_slice(self.below.unwrap_or_default());
            path
        });
        glob.matches(whole)
    }
}

impl<'a> PolicyMatch<'a> {
    /// Returns the class and maximum; `None` where the content decides the class.
    pub(crate) fn limit(&self) -> Option<ClassLimit<'a>> {
        let row = self.row?;
        let class = row.class?;
        let name = row.own_class.as_deref().unwrap_or(class.row().name);
        Some(ClassLimit { class, name, max: row.max.unwrap_or(class.max()), by: &row.by })
    }

    /// Applies the maximum of a row without a class: it tightens the class and, with a reason, replaces its maximum.
    pub(crate) fn tighten_limit(&self, mut limit: ClassLimit<'a>) -> ClassLimit<'a> {
        if let Some(max) = self.row.and_then(|r| r.max) {
            let loosens = self.row.is_some_and(|row| row.loosens);
            limit.max = if loosens { max } else { Mode(limit.max.0 & max.0) };
        }
        limit
    }

    /// Returns the allowed owners, where the policy has some. `given` are the owners from `--owner`: they replace the
    /// default owners of the policy, and are the account where the policy requires it.
    pub(crate) fn allowed_owners(&self, path_owner: u32, given: Option<&[u32]>) -> Option<AllowedIds> {
        let general = self.policy.and_then(|p| p.owner.as_ref()).filter(|o| given.is_none() || o.account);
        let owners = self.row.and_then(|r| r.owner.as_ref()).or(general);
        owners.map(|o| o.resolve(path_owner, given))
    }

    /// Returns the allowed groups.
    pub(crate) fn allowed_groups(&self) -> AllowedIds {
        if let Some(group) = self.row.and_then(|r| r.group.clone()) {
            return group;
        }
        self.policy.and_then(|p| p.group.clone()).map_or(AllowedIds::Any, AllowedIds::Ids)
    }
}

/// A class of the policy: its name, the class that it is like, and its maximum.
type OwnClass = (String, Class, Mode);

fn compile_class(class: &file::PolicyClass) -> Result<OwnClass, String> {
    let like = Class::from_name(&class.like).ok_or_else(|| unknown_class(&class.like))?;
    if Class::from_name(&class.name).is_some() {
        return Err("is a class of the table".into());
    }
    if like.is_dir() != class.name.ends_with("_dir") {
        return Err("the name of a class ends in _dir if and only if it is for directories".into());
    }
    if class.reason.trim().is_empty() {
        return Err("needs a reason".into());
    }
    Ok((class.name.clone(), like, parse_maximum(&class.max)?))
}

fn compile_row(
    name: &str,
    row: &file::PolicyRow,
    classes: &[OwnClass],
    ids: &AccountTable,
) -> Result<CompiledRow, String> {
    let own_class = classes.iter().find(|(name, ..)| Some(name) == row.class.as_ref());
    let class = match (own_class, row.class.as_deref()) {
        (Some((_, like, _)), _) => Some(*like),
        (None, Some(name)) => Some(Class::from_name(name).ok_or_else(|| unknown_class(name))?),
        (None, None) => None,
    };
    let max = row.max.as_deref().map(parse_maximum).transpose()?;
    let loosens = row.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
    if let (Some(class), Some(max), None) = (class, max, own_class) {
        if max.beyond(class.max()).0 != 0 && !loosens {
            let (name, most) = (class.row().name, class.max());
            return Err(format!("max {max} allows more than {name} ({most}); that needs a reason"));
        }
    }
    let max = max.or(own_class.map(|(_, _, max)| *max));
    let group =
        row.group.as_deref().map(|names| parse_groups(names, ids)).transpose().map_err(|e| e.reason)?;
    let reason = row.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
    Ok(CompiledRow {
        globs: parse_globs(&row.r#match)?,
        class,
        max,
        owner: row
            .owner
            .as_deref()
            .map(|names| parse_owners(names, ids))
            .transpose()
            .map_err(|e| e.reason)?,
        group: group.map(|g| g.map_or(AllowedIds::Any, AllowedIds::Ids)),
        by: format!("{name}: {}{reason}", row.r#match.join(", ")),
        own: false,
        own_class: own_class.map(|(name, ..)| name.clone()),
        loosens,
        used: AtomicBool::new(false),
    })
}

fn compile_exception(e: &file::PolicyException, classes: &[OwnClass]) -> Result<CompiledException, String> {
    for rule in &e.rules {
        if !rule_descriptions().any(|r| r.id == rule) {
            return Err(format!("unknown rule {rule:?}; `permck rules` lists them"));
        }
    }
    if e.rules.is_empty() || e.reason.trim().is_empty() {
        return Err("needs rules and a reason".into());
    }
    let day = e.until.text();
    let until = Date::parse(&day, format_description!("[year]-[month]-[day]"));
    let until = until.map_err(|_| format!("until {day:?} is not a date such as \"2027-01-31\""))?;
    let is_known =
        |name: &String| Class::from_name(name).is_some() || classes.iter().any(|(own, ..)| own == name);
    if let Some(unknown) = e.classes.iter().find(|name| !is_known(name)) {
        return Err(unknown_class(unknown));
    }
    Ok(CompiledException {
        globs: parse_globs(&e.r#match)?,
        rules: e.rules.clone(),
        classes: e.classes.clone(),
        until,
        reason: e.reason.clone(),
        number: None,
        used: AtomicBool::new(false),
    })
}

fn parse_globs(patterns: &[String]) -> Result<Vec<Glob>, String> {
    if patterns.is_empty() {
        return Err("match is empty".into());
    }
    patterns.iter().map(|p| Glob::parse(p)).collect()
}

fn unknown_class(name: &str) -> String {
    let known: Vec<_> = common::policy::TABLE.iter().map(|r| r.name).collect();
    format!("unknown class {name:?}; the classes are {}", known.join(", "))
}

fn parse_maximum(text: &str) -> Result<Mode, String> {
    let mode = Mode::parse(text).filter(|mode| mode.0 <= 0o777);
    mode.ok_or_else(|| format!("max {text:?} is not an octal mode such as \"0640\""))
}

fn parse_owners(names: &[String], ids: &AccountTable) -> Result<OwnerRule, PolicyError> {
    let mut owners = OwnerRule::default();
    for name in names {
        match name.as_str() {
            "any" => owners.any = true,
            "path" => owners.path = true,
            "account" => owners.account = true,
            "self" => owners.ids.push(rustix::process::geteuid().as_raw()),
            name => owners
                .ids
                .push(ids.uid_of(name).ok_or_else(|| PolicyError::new(format!("unknown user {name:?}")))?),
        }
    }
    Ok(owners)
}

fn parse_groups(names: &[String], ids: &AccountTable) -> Result<Option<Vec<u32>>, PolicyError> {
    if names.iter().any(|n| n == "any") {
        return Ok(None);
    }
    let id =
        |name: &String| ids.gid_of(name).ok_or_else(|| PolicyError::new(format!("unknown group {name:?}")));
    names.iter().map(id).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests;
