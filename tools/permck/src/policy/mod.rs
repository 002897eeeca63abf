//! Which class, owner and group a policy demands of an entry, and which findings it accepts.
//!
//! A policy is rows of path patterns, in a file ([`file`]) or built in ([`profile`]). Of the rows that match an
//! entry the first decides; where none does, the class is told from the content.

use std::path::Path;

use common::policy::{Class, Mode};
use time::Date;
use time::macros::format_description;

use crate::ids::Ids;
use crate::rule::{Allowed, RULES, Standard};

pub(crate) mod file;
pub(crate) mod glob;
pub(crate) mod manual;
pub(crate) mod profile;

use file::{Bad, File};
use glob::Glob;

/// Policy files are short; more than this is not one.
const LIMIT: u64 = 4 << 20;

/// A policy, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    rows: Vec<Row>,
    exceptions: Vec<Exception>,
    owner: Option<Owners>,
    group: Option<Vec<u32>>,
}

#[derive(Debug)]
struct Row {
    globs: Vec<Glob>,
    class: Option<Class>,
    max: Option<Mode>,
    owner: Option<Owners>,
    group: Option<Allowed>,
    /// `policy row 3: bin/* (…)`.
    by: String,
}

/// Owners, some of which are known only when the path is.
#[derive(Clone, Debug, Default)]
struct Owners {
    any: bool,
    path: bool,
    ids: Vec<u32>,
}

impl Owners {
    fn allowed(&self, path_owner: u32) -> Allowed {
        if self.any {
            return Allowed::Any;
        }
        let own = self.path.then_some(path_owner);
        Allowed::Ids(own.into_iter().chain(self.ids.iter().copied()).collect())
    }
}

#[derive(Debug)]
struct Exception {
    globs: Vec<Glob>,
    rules: Vec<String>,
    pub(crate) until: Date,
    reason: String,
}

/// An entry as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Below the audited path.
    pub(crate) below: &'a [u8],
    /// The audited path without links.
    pub(crate) root: &'a Path,
    pub(crate) dir: bool,
}

/// What the rows say of an entry; what none says is missing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand<'a> {
    row: Option<&'a Row>,
    policy: Option<&'a Policy>,
}

impl Policy {
    /// Adds a file's rows after those that are there, and those of the profiles that it extends after them.
    pub(crate) fn add(&mut self, text: &str, ids: &Ids) -> Result<(), Bad> {
        let file = file::parse(text)?;
        self.compile(&file, ids)?;
        for name in &file.extends {
            let text =
                profile::find(name).ok_or_else(|| Bad::new(format!("no profile is called {name:?}")))?;
            self.add(text, ids)?;
        }
        Ok(())
    }

    /// Reads a policy file, which nobody but root and we may be able to change.
    pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
        let (file, meta) =
            common::fsat::open_regular(path).map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))?;
        crate::trusted(&meta)?;
        let bytes = common::fsat::read_bounded(file, LIMIT)?;
        String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("is not UTF-8"))
    }

    fn compile(&mut self, file: &File, ids: &Ids) -> Result<(), Bad> {
        if self.owner.is_none() {
            self.owner = file.owner.as_deref().map(|names| owners(names, ids)).transpose()?;
        }
        if self.group.is_none() {
            self.group = file.group.as_deref().map(|names| groups(names, ids)).transpose()?.flatten();
        }
        for (i, row) in file.path.iter().enumerate() {
            let row = compile(i + 1, row, ids).map_err(|e| Bad::new(format!("path {}: {e}", i + 1)))?;
            self.rows.push(row);
        }
        for (i, e) in file.exception.iter().enumerate() {
            let exception = exception(e).map_err(|e| Bad::new(format!("exception {}: {e}", i + 1)))?;
            self.exceptions.push(exception);
        }
        Ok(())
    }

    /// What this policy says of an entry.
    pub(crate) fn demand(&self, place: Place<'_>) -> Demand<'_> {
        let mut whole = None;
        let fits = |row: &Row| row.class.is_none_or(|c| c.row().name.ends_with("_dir") == place.dir);
        let row = self.rows.iter().find(|r| fits(r) && r.globs.iter().any(|g| place.is(g, &mut whole)));
        Demand { row, policy: Some(self) }
    }

    /// Tells whether a finding is accepted today.
    pub(crate) fn accepts(&self, rule: &str, place: Place<'_>, today: Date) -> bool {
        let mut whole = None;
        self.exceptions.iter().any(|e| {
            e.until >= today
                && e.rules.iter().any(|r| r == rule)
                && e.globs.iter().any(|g| place.is(g, &mut whole))
        })
    }

    /// The exceptions that have ended, in words.
    pub(crate) fn expired(&self, today: Date) -> impl Iterator<Item = String> + '_ {
        let ended = self.exceptions.iter().filter(move |e| e.until < today);
        ended.map(|e| format!("exception for {} ended on {}: {}", e.rules.join(", "), e.until, e.reason))
    }

    /// Tells whether it says nothing about classes and owners.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.owner.is_none() && self.group.is_none()
    }

    pub(crate) fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }
}

impl Place<'_> {
    fn is(&self, glob: &Glob, whole: &mut Option<Vec<u8>>) -> bool {
        if !glob.absolute {
            return glob.matches(self.below);
        }
        let whole = whole.get_or_insert_with(|| {
            let mut path = self.root.as_os_str().as_encoded_bytes().to_vec();
            path.push(b'/');
            path.extend_from_slice(self.below);
            path
        });
        glob.matches(whole)
    }
}

impl<'a> Demand<'a> {
    /// The class and maximum; `None` where the class is to be told from the content.
    pub(crate) fn standard(&self) -> Option<Standard<'a>> {
        let row = self.row?;
        let class = row.class?;
        let max = row.max.map_or(class.max(), |m| Mode(m.0 & class.max().0));
        Some(Standard { class, max, by: &row.by })
    }

    /// A maximum without a class tightens the one that is told.
    pub(crate) fn tighten(&self, mut standard: Standard<'a>) -> Standard<'a> {
        if let Some(max) = self.row.and_then(|r| r.max) {
            standard.max = Mode(standard.max.0 & max.0);
        }
        standard
    }

    /// Who may own it, where the policy says so; `given` tells that the user named the owners, who then stand in
    /// the place of the policy's general ones.
    pub(crate) fn owner(&self, path_owner: u32, given: bool) -> Option<Allowed> {
        let general = || self.policy.filter(|_| !given).and_then(|p| p.owner.as_ref());
        let owners = self.row.and_then(|r| r.owner.as_ref()).or_else(general);
        owners.map(|o| o.allowed(path_owner))
    }

    /// Which group it may have.
    pub(crate) fn group(&self) -> Allowed {
        if let Some(group) = self.row.and_then(|r| r.group.clone()) {
            return group;
        }
        self.policy.and_then(|p| p.group.clone()).map_or(Allowed::Any, Allowed::Ids)
    }
}

fn compile(number: usize, row: &file::Row, ids: &Ids) -> Result<Row, String> {
    let class = row.class.as_deref().map(|name| Class::from_name(name).ok_or_else(|| unknown_class(name)));
    let class = class.transpose()?;
    let max = row.max.as_deref().map(octal).transpose()?;
    if let (Some(class), Some(max)) = (class, max)
        && max.beyond(class.max()).0 != 0
    {
        return Err(format!("max {max} allows more than {} ({})", class.row().name, class.max()));
    }
    let group = row.group.as_deref().map(|names| groups(names, ids)).transpose().map_err(|e| e.reason)?;
    let reason = row.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
    Ok(Row {
        globs: globs(&row.r#match)?,
        class,
        max,
        owner: row.owner.as_deref().map(|names| owners(names, ids)).transpose().map_err(|e| e.reason)?,
        group: group.map(|g| g.map_or(Allowed::Any, Allowed::Ids)),
        by: format!("policy row {number}: {}{reason}", row.r#match.join(", ")),
    })
}

fn exception(e: &file::Exception) -> Result<Exception, String> {
    for rule in &e.rules {
        if !RULES.iter().any(|r| r.id == rule) && !crate::rule::PLACE_RULES.iter().any(|r| r.0 == rule) {
            return Err(format!("no rule is called {rule:?}"));
        }
    }
    if e.rules.is_empty() || e.reason.trim().is_empty() {
        return Err("needs rules and a reason".into());
    }
    let until = Date::parse(&e.until, format_description!("[year]-[month]-[day]"));
    let until = until.map_err(|_| format!("until {:?} is no day such as \"2027-01-31\"", e.until))?;
    Ok(Exception { globs: globs(&e.r#match)?, rules: e.rules.clone(), until, reason: e.reason.clone() })
}

fn globs(patterns: &[String]) -> Result<Vec<Glob>, String> {
    if patterns.is_empty() {
        return Err("match is empty".into());
    }
    patterns.iter().map(|p| Glob::parse(p)).collect()
}

fn unknown_class(name: &str) -> String {
    let known: Vec<_> = common::policy::TABLE.iter().map(|r| r.name).collect();
    format!("no class is called {name:?}; there are {}", known.join(", "))
}

fn octal(text: &str) -> Result<Mode, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777);
    mode.map(Mode).ok_or_else(|| format!("max {text:?} is no octal mode such as \"0640\""))
}

fn owners(names: &[String], ids: &Ids) -> Result<Owners, Bad> {
    let mut owners = Owners::default();
    for name in names {
        match name.as_str() {
            "any" => owners.any = true,
            "path" => owners.path = true,
            "self" => owners.ids.push(rustix::process::geteuid().as_raw()),
            name => {
                owners.ids.push(ids.uid(name).ok_or_else(|| Bad::new(format!("no user is called {name:?}")))?)
            }
        }
    }
    Ok(owners)
}

fn groups(names: &[String], ids: &Ids) -> Result<Option<Vec<u32>>, Bad> {
    if names.iter().any(|n| n == "any") {
        return Ok(None);
    }
    let id = |name: &String| ids.gid(name).ok_or_else(|| Bad::new(format!("no group is called {name:?}")));
    names.iter().map(id).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests;
