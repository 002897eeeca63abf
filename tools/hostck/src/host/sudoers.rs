//! The part of the sudoers(5) language that says which users a rule applies to: lists, aliases, groups, ids and
//! included files. The commands of a rule are printed as they are written.

use std::collections::HashMap;

/// A rule, and the file that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SudoRule {
    pub(crate) file: String,
    /// As it is written, on one line.
    pub(crate) text: String,
    users: Vec<String>,
}

/// All rules of a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sudoers {
    pub(crate) rules: Vec<SudoRule>,
    aliases: HashMap<String, Vec<String>>,
}

/// Aliases by name, and whether each matches the user; `None` is unsure.
type KnownAliases<'a> = HashMap<&'a str, Option<bool>>;

/// A file or directory that a line includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SudoInclude {
    File(String),
    Directory(String),
}

/// The user that rules are matched with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SudoUser<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: Option<u32>,
    /// Names and numbers of groups.
    pub(crate) groups: &'a [(String, u32)],
}

impl Sudoers {
    /// Adds the rules of one file, and returns what it includes.
    pub(crate) fn add_file(&mut self, file: &str, text: &str) -> Vec<SudoInclude> {
        let mut includes = Vec::new();
        // A backslash joins lines.
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            if let Some(include) = parse_include(line) {
                includes.push(include);
                continue;
            }
            let line = strip_comment(line);
            let first = line.split_whitespace().next().unwrap_or("");
            match first {
                "" => {}
                "User_Alias" => self.add_alias(line["User_Alias".len()..].trim()),
                "Runas_Alias" | "Host_Alias" | "Cmnd_Alias" | "Cmd_Alias" => {}
                first if first.starts_with("Defaults") => {}
                _ => self.rules.extend(parse_rule(file, line)),
            }
        }
        includes
    }

    /// `NAME = a, b : OTHER = c`.
    fn add_alias(&mut self, text: &str) {
        for part in text.split(':') {
            if let Some((name, members)) = part.split_once('=') {
                self.aliases.insert(name.trim().to_owned(), parse_list(members));
            }
        }
    }

    /// Whether a rule applies to a user; `None` if it names a netgroup or another source that is not read.
    pub(crate) fn applies_to(&self, rule: &SudoRule, who: SudoUser<'_>) -> Option<bool> {
        self.match_items(&rule.users, who, &mut KnownAliases::new())
    }

    /// The last item that matches decides (sudoers(5), "User_List").
    fn match_items<'a>(
        &'a self,
        items: &'a [String],
        who: SudoUser<'_>,
        known: &mut KnownAliases<'a>,
    ) -> Option<bool> {
        let mut unsure = false;
        for item in items.iter().rev() {
            let plain = item.trim_start_matches('!');
            let negated = (item.len() - plain.len()) % 2 == 1;
            match self.match_item(plain, who, known) {
                Some(true) => return (!unsure).then_some(!negated),
                Some(false) => {}
                None => unsure = true,
            }
        }
        (!unsure).then_some(false)
    }

    fn match_item<'a>(
        &'a self,
        item: &'a str,
        who: SudoUser<'_>,
        known: &mut KnownAliases<'a>,
    ) -> Option<bool> {
        if let Some(members) = self.aliases.get(item) {
            // Aliases may name each other, and a hostile file may close a circle, or name one over and over.
            if let Some(answer) = known.get(item) {
                return *answer;
            }
            known.insert(item, Some(false));
            let answer = self.match_items(members, who, known);
            known.insert(item, answer);
            return answer;
        }
        if let Some(gid) = item.strip_prefix("%#") {
            let gid: u32 = gid.parse().ok()?;
            return Some(who.groups.iter().any(|(_, id)| *id == gid));
        }
        if item.starts_with("%:") || item.starts_with('+') {
            return None;
        }
        if let Some(group) = item.strip_prefix('%') {
            return Some(who.groups.iter().any(|(name, _)| name == group));
        }
        if let Some(uid) = item.strip_prefix('#') {
            return Some(uid.parse().ok() == who.uid && who.uid.is_some());
        }
        Some(item == "ALL" || item == who.name)
    }
}

/// `users hosts = commands`.
fn parse_rule(file: &str, line: &str) -> Option<SudoRule> {
    let (left, _) = line.split_once('=')?;
    let mut users = parse_list(left);
    // The last of them is followed by the hosts, after a blank.
    let n = users.iter().position(|u| u.contains(char::is_whitespace))?;
    users.truncate(n + 1);
    if let Some(last) = users.last_mut() {
        *last = last.split_whitespace().next()?.to_owned();
    }
    let text = line.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(SudoRule { file: file.to_owned(), text, users: users.iter().map(|u| unquote(u)).collect() })
}

fn parse_list(text: &str) -> Vec<String> {
    text.split(',').map(|item| unquote(item.trim())).filter(|i| !i.is_empty()).collect()
}

fn unquote(item: &str) -> String {
    item.replace('"', "").replace("\\ ", " ").replace("! ", "!")
}

/// `#` begins a comment, but not where a number follows: that is an id.
fn strip_comment(line: &str) -> &str {
    let mut at = 0;
    while let Some(found) = line[at..].find('#') {
        let hash = at + found;
        if !line[hash + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            return line[..hash].trim_end();
        }
        at = hash + 1;
    }
    line
}

fn parse_include(line: &str) -> Option<SudoInclude> {
    let words = line.strip_prefix('#').or_else(|| line.strip_prefix('@'))?;
    let (what, path) = words.split_once(char::is_whitespace)?;
    let path = path.trim().trim_matches('"').replace("\\ ", " ");
    match what {
        "include" => Some(SudoInclude::File(path)),
        "includedir" => Some(SudoInclude::Directory(path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applies(text: &str) -> Vec<Option<bool>> {
        let mut sudoers = Sudoers::default();
        sudoers.add_file("f", text);
        let groups = [("ann".to_owned(), 1000), ("devs".to_owned(), 77)];
        let who = SudoUser { name: "ann", uid: Some(1000), groups: &groups };
        sudoers.rules.iter().map(|r| sudoers.applies_to(r, who)).collect()
    }

    #[test]
    fn rules_are_for_users_groups_ids_and_aliases() {
        for yes in [
            "ann ALL=(ALL) ALL",
            "%devs ALL=(ALL) NOPASSWD: ALL",
            "%#77 ALL = ALL",
            "#1000 ALL=(ALL) ALL",
            "ALL ALL=(ALL) ALL",
            "bob, ann ALL = ALL",
            "bob,\\\n  ann,eve ALL=ALL # why",
            "User_Alias ADMINS = bob, %devs : X = y\nADMINS ALL=ALL",
            "User_Alias A = B\nUser_Alias B = ann\nA ALL=ALL",
            "ALL, !bob ALL=ALL",
            "\"ann\" ALL=ALL",
        ] {
            assert_eq!(applies(yes), [Some(true)], "{yes}");
        }
        for no in [
            "bob ALL=ALL",
            "%wheel ALL=ALL",
            "#1001 ALL=ALL",
            "ALL, !ann ALL=ALL",
            "!ann ALL=ALL",
            "User_Alias A = A\nA ALL=ALL",
            "User_Alias A = A, A, A, A, A, A, A, A, A, A, A, A, A\nA ALL=ALL",
        ] {
            assert_eq!(applies(no), [Some(false)], "{no}");
        }
        assert_eq!(applies("+net ALL=ALL"), [None]);
        assert!(applies("Defaults:ann !requiretty\nCmnd_Alias X = /bin/ls\n# ann ALL=ALL\n\n").is_empty());
    }

    #[test]
    fn included_files_are_named() {
        let mut sudoers = Sudoers::default();
        let includes = sudoers
            .add_file("f", "#includedir /etc/sudoers.d\n@include \"/etc/my file\"\n# include nothing\n");
        assert_eq!(
            includes,
            [SudoInclude::Directory("/etc/sudoers.d".into()), SudoInclude::File("/etc/my file".into())]
        );
    }
}
