//! The modules of each crate, and what each imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// A crate's source, without tests.
pub(crate) struct Crate {
    pub(crate) name: String,
    /// By module path: `["pki", "judge"]`; the root is empty.
    pub(crate) modules: BTreeMap<Vec<String>, Module>,
}

/// One file.
pub(crate) struct Module {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) file: syn::File,
}

/// Every crate of the workspace: `common` and the crates in it, and the tools.
pub(crate) fn workspace() -> Vec<Crate> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![root.join("common"), root.join("common/device"), root.join("common/trace")];
    dirs.extend(std::fs::read_dir(root.join("tools")).unwrap().map(|e| e.unwrap().path()));
    dirs.sort();
    dirs.iter().filter(|dir| dir.join("src/lib.rs").exists()).map(|dir| Crate::read(dir)).collect()
}

impl Crate {
    fn read(dir: &Path) -> Self {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let mut modules = BTreeMap::new();
        read_module(&dir.join("src/lib.rs"), &dir.join("src"), &[], &mut modules);
        Self { name, modules }
    }

    /// Each circle as a line: the crate, the module that holds the siblings, and the siblings.
    pub(crate) fn circles(&self) -> Vec<String> {
        let mut edges: BTreeMap<Vec<String>, BTreeSet<(String, String)>> = BTreeMap::new();
        for (from, module) in &self.modules {
            for to in imports(module, from).iter().filter_map(|path| self.module_of(path)) {
                let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                // A parent and its child may import each other: the parent is their common vocabulary.
                if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                    edges.entry(from[..shared].to_vec()).or_default().insert((a.clone(), b.clone()));
                }
            }
        }
        let lines = edges.iter().flat_map(|(parent, edges)| {
            components(edges).into_iter().map(move |circle| (parent.join("::"), circle))
        });
        lines.map(|(parent, circle)| format!("{} {parent}: {}", self.name, circle.join(", "))).collect()
    }

    /// The imports between modules of the top level: who, and from whom.
    pub(crate) fn top_level_imports(&self) -> BTreeSet<(String, String)> {
        let mut edges = BTreeSet::new();
        for (from, module) in self.modules.iter().filter(|(from, _)| !from.is_empty()) {
            for to in imports(module, from).iter().filter_map(|path| self.module_of(path)) {
                if let Some(to) = to.first().filter(|to| **to != from[0]) {
                    edges.insert((from[0].clone(), to.clone()));
                }
            }
        }
        edges
    }

    /// The module that a path leads into: its longest beginning that is one.
    fn module_of(&self, path: &[String]) -> Option<Vec<String>> {
        (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|p| self.modules.contains_key(p))
    }
}

fn read_module(path: &Path, below: &Path, name: &[String], modules: &mut BTreeMap<Vec<String>, Module>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    file.items.retain(|item| !is_test(item));
    for item in &file.items {
        if let syn::Item::Mod(syn::ItemMod { ident, content: None, .. }) = item {
            let child = [name, &[ident.to_string()]].concat();
            let (flat, nested) = (below.join(format!("{ident}.rs")), below.join(format!("{ident}/mod.rs")));
            let source = if flat.exists() { flat } else { nested };
            read_module(&source, &below.join(ident.to_string()), &child, modules);
        }
    }
    modules.insert(name.to_vec(), Module { path: path.to_owned(), text, file });
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Const(i) => &i.attrs,
        _ => return false,
    };
    attributes.iter().any(|a| {
        a.path().is_ident("cfg") && a.parse_args::<syn::Meta>().is_ok_and(|meta| meta.path().is_ident("test"))
    })
}

/// Every path of a file that begins at the crate's root, from `crate::`, `super::` and `self::`.
fn imports(module: &Module, name: &[String]) -> Vec<Vec<String>> {
    let mut found = Imports { name, paths: Vec::new() };
    found.visit_file(&module.file);
    found.paths
}

struct Imports<'a> {
    name: &'a [String],
    paths: Vec<Vec<String>>,
}

impl Imports<'_> {
    fn add(&mut self, path: &[String]) {
        let mut base = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("super" | "self") => self.name.to_vec(),
            _ => return,
        };
        for part in path {
            match part.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                other => base.push(other.to_owned()),
            }
        }
        self.paths.push(base);
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(p) => self.add_tree(&[before, &[p.ident.to_string()]].concat(), &p.tree),
            syn::UseTree::Name(n) => self.add(&[before, &[n.ident.to_string()]].concat()),
            syn::UseTree::Rename(r) => self.add(&[before, &[r.ident.to_string()]].concat()),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(g) => g.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        // What a module offers of its children again is no import of theirs.
        let offers = matches!(item, syn::Item::Use(i) if !matches!(i.vis, syn::Visibility::Inherited));
        if !is_test(item) && !offers {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add(&parts);
        syn::visit::visit_path(self, path);
    }
}

/// The groups of nodes that reach each other, each in the order of the alphabet.
fn components(edges: &BTreeSet<(String, String)>) -> Vec<Vec<String>> {
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(node) = next.pop() {
            for (_, to) in edges.iter().filter(|(a, _)| a == node) {
                if seen.insert(to.as_str()) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let nodes: BTreeSet<&str> = edges.iter().map(|(a, _)| a.as_str()).collect();
    let reach: BTreeMap<&str, BTreeSet<&str>> = nodes.iter().map(|n| (*n, reached(n))).collect();
    let mut groups = BTreeSet::new();
    for (node, seen) in &reach {
        let circle: Vec<String> = seen
            .iter()
            .filter(|other| reach.get(**other).is_some_and(|back| back.contains(node)))
            .map(|n| (*n).to_owned())
            .collect();
        if circle.len() > 1 {
            groups.insert(circle);
        }
    }
    groups.into_iter().collect()
}
