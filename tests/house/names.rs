//! Names counted: functions of one word, types of one name, and who uses what `common` offers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use syn::visit::Visit;

use crate::modules::{Crate, is_test};

/// How functions and types are named.
pub(crate) struct Figures {
    functions: usize,
    one_word: usize,
    short: usize,
    types: usize,
    shared: BTreeMap<String, usize>,
    comment_lines: usize,
    code_lines: usize,
    links: usize,
}

impl Figures {
    pub(crate) fn of(crates: &[Crate]) -> Self {
        let mut names = Names::default();
        let (mut comment_lines, mut code_lines, mut links) = (0, 0, 0);
        for module in crates.iter().flat_map(|c| c.modules.values()) {
            names.place = module.path.display().to_string();
            names.visit_file(&module.file);
            for line in module.text.lines().map(str::trim_start).take_while(|l| *l != "#[cfg(test)]") {
                let is_comment = line.starts_with("//");
                comment_lines +=
                    usize::from(is_comment && !line.starts_with("///") && !line.starts_with("//!"));
                code_lines += usize::from(!is_comment && !line.is_empty());
                links += usize::from(is_comment && names_a_source(line));
            }
        }
        let shared = names.types.iter().filter(|(_, places)| places.len() > 1);
        Self {
            functions: names.functions.len(),
            one_word: names.functions.iter().filter(|n| !n.contains('_')).count(),
            short: names.functions.iter().filter(|n| n.len() <= 5).count(),
            types: names.types.len(),
            shared: shared.map(|(name, places)| (name.clone(), places.len())).collect(),
            comment_lines,
            code_lines,
            links,
        }
    }

    /// Functions named with one word, in percent.
    pub(crate) fn one_word_percent(&self) -> f64 {
        percent(self.one_word, self.functions)
    }

    /// Types whose name another file has too, in percent.
    pub(crate) fn shared_percent(&self) -> f64 {
        percent(self.shared.len(), self.types)
    }
}

fn percent(n: usize, of: usize) -> f64 {
    100.0 * n as f64 / of.max(1) as f64
}

/// A standard, a manual page, or a file of a project that the code has to agree with.
fn names_a_source(comment: &str) -> bool {
    const SOURCES: [&str; 9] =
        ["RFC ", "libkineto", "dynolog", "msMonitor", "CANN", "Trace Event Format", "X.690", "FIPS", "POSIX"];
    let manual = comment.split_whitespace().any(|word| {
        word.trim_end_matches(|c: char| ".,;:)".contains(c)).ends_with(|c: char| c.is_ascii_digit())
            && word.contains('(')
            && word.starts_with(|c: char| c.is_ascii_lowercase())
    });
    manual || SOURCES.iter().any(|s| comment.contains(s))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} functions, {:.1} % of one word, {:.1} % of at most five letters",
            self.functions,
            self.one_word_percent(),
            percent(self.short, self.functions)
        )?;
        writeln!(
            f,
            "{} types, {:.1} % with a name that another file has too",
            self.types,
            self.shared_percent()
        )?;
        let mut shared: Vec<_> = self.shared.iter().collect();
        shared.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), name.as_str()));
        let shown: Vec<String> = shared.iter().take(12).map(|(name, n)| format!("{name} {n}")).collect();
        writeln!(f, "  most often: {}", shown.join(", "))?;
        writeln!(
            f,
            "{} lines of code, a comment line inside for each {:.0}",
            self.code_lines,
            self.code_lines as f64 / self.comment_lines.max(1) as f64
        )?;
        write!(f, "{} comment lines that name a standard, a manual page or a project", self.links)
    }
}

/// What a file defines.
#[derive(Default)]
struct Names {
    place: String,
    functions: Vec<String>,
    types: BTreeMap<String, BTreeSet<String>>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(item) {
            return;
        }
        let ident = match item {
            syn::Item::Struct(i) => Some(&i.ident),
            syn::Item::Enum(i) => Some(&i.ident),
            syn::Item::Trait(i) => Some(&i.ident),
            syn::Item::Type(i) => Some(&i.ident),
            _ => None,
        };
        if let Some(ident) = ident {
            self.types.entry(ident.to_string()).or_default().insert(self.place.clone());
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.functions.push(signature.ident.to_string());
        syn::visit::visit_signature(self, signature);
    }
}

/// Public functions of `common` that one tool alone mentions, and nothing else in `common` does.
pub(crate) fn functions_with_one_user(crates: &[Crate]) -> Vec<String> {
    let (common, others): (Vec<&Crate>, Vec<&Crate>) = crates.iter().partition(|c| c.name == "common");
    let words: Vec<(&str, BTreeSet<&str>)> = others.iter().map(|c| (c.name.as_str(), words_of(c))).collect();
    let mut single = Vec::new();
    for (name, module) in common.iter().flat_map(|c| &c.modules) {
        for function in public_functions(&module.file) {
            let users: Vec<&str> =
                words.iter().filter(|(_, w)| w.contains(function.as_str())).map(|(n, _)| *n).collect();
            let inside = common
                .iter()
                .flat_map(|c| &c.modules)
                .any(|(other, m)| other != name && tokens(&m.text).any(|w| w == function));
            let here = tokens(&module.text).filter(|w| *w == function).count() > 1;
            if users.len() < 2 && !inside && !(here && users.is_empty()) {
                single.push(format!("common {}::{function}: {}", name.join("::"), users.join(", ")));
            }
        }
    }
    single
}

fn words_of(of: &Crate) -> BTreeSet<&str> {
    of.modules.values().flat_map(|m| tokens(&m.text)).collect()
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

fn public_functions(file: &syn::File) -> Vec<String> {
    let is_public = |vis: &syn::Visibility| matches!(vis, syn::Visibility::Public(_));
    let mut found = Vec::new();
    for item in &file.items {
        match item {
            syn::Item::Fn(f) if is_public(&f.vis) => found.push(f.sig.ident.to_string()),
            syn::Item::Impl(i) if i.trait_.is_none() => {
                found.extend(i.items.iter().filter_map(|item| match item {
                    syn::ImplItem::Fn(f) if is_public(&f.vis) => Some(f.sig.ident.to_string()),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    found
}
