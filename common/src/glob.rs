//! Path patterns of policies: `*` and `?` within a name, `[a-z]`, and `**` for any number of directories.
//!
//! Matching is `globset`'s, in time linear in the length of the name: names are hostile. Bytes are compared, so names
//! that are not UTF-8 can be matched. What differs from `globset` is what a policy must not be ambiguous about: `**`
//! stands alone between slashes and may be no directory at all, also at the end; `{` and `}` are ordinary characters; no
//! bracket expression matches a slash.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    matcher: GlobMatcher,
    /// Whether the pattern matches absolute paths instead of paths relative to a root.
    pub absolute: bool,
}

impl Glob {
    /// Parses a pattern; `.` is the root itself.
    ///
    /// # Errors
    /// It is empty, contains `..`, `**` within a name, or an expression that is not closed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty pattern".into());
        }
        let failed = |e: &dyn std::fmt::Display| format!("pattern {text:?}: {e}");
        let pattern = translate_pattern(text).map_err(|e| failed(&e))?;
        let compiled = GlobBuilder::new(&pattern)
            .literal_separator(true)
            .backslash_escape(true)
            .empty_alternates(true)
            .build()
            .map_err(|e| failed(e.kind()))?;
        Ok(Self { matcher: compiled.compile_matcher(), absolute: text.starts_with('/') })
    }

    /// Returns whether the whole path matches. Slashes at its beginning and end do not count.
    pub fn matches(&self, path: &[u8]) -> bool {
        let begin = path.iter().take_while(|b| **b == b'/').count();
        let end = path[begin..].iter().rev().take_while(|b| **b == b'/').count();
        self.matcher.is_match(OsStr::from_bytes(&path[begin..path.len() - end]))
    }
}

/// Writes the pattern in the language of `globset`: without empty names, and with an optional last `**`.
fn translate_pattern(text: &str) -> Result<String, &'static str> {
    let mut names = Vec::new();
    for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
        match name {
            ".." => return Err("contains `..`"),
            "**" if names.last().is_some_and(|last| last == "**") => {}
            "**" => names.push(name.to_owned()),
            name if name.contains("**") => return Err("`**` must stand alone between slashes"),
            // A name has at least one character: `*` is not the root itself.
            "*" => names.push("?*".to_owned()),
            name => names.push(translate_name(name)?),
        }
    }
    match &names[..] {
        [before @ .., last] if last == "**" && !before.is_empty() => {
            Ok(format!("{}{{,/**}}", before.join("/")))
        }
        names => Ok(names.join("/")),
    }
}

/// Escapes braces, and keeps bracket expressions from matching a slash.
fn translate_name(name: &str) -> Result<String, &'static str> {
    let mut translated = String::new();
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => translated.extend([c, rest.next().ok_or("ends with a backslash")?]),
            '{' | '}' => translated.extend(['\\', c]),
            '[' => {
                let (set, after) = split_bracket(rest.as_str()).ok_or("`[` without `]`")?;
                translated.push_str(&translate_set(set)?);
                rest = after.chars();
            }
            c => translated.push(c),
        }
    }
    Ok(translated)
}

/// Splits what follows a `[` into the expression and what is after its `]`. A `]` at the beginning is a character of it.
fn split_bracket(text: &str) -> Option<(&str, &str)> {
    let not = usize::from(text.starts_with(['!', '^']));
    let first = text[not..].chars().next()?.len_utf8();
    let end = not + first + text[not + first..].find(']')?;
    Some((&text[..end], &text[end + 1..]))
}

fn translate_set(set: &str) -> Result<String, &'static str> {
    if !set.starts_with(['!', '^']) {
        let chars: Vec<char> = set.chars().collect();
        let has_slash = chars.windows(3).any(|w| w[1] == '-' && (w[0]..=w[2]).contains(&'/'));
        return if has_slash { Err("a range of `[…]` contains the slash") } else { Ok(format!("[{set}]")) };
    }
    // A dash at the end stays there, where it begins no range.
    let (set, dash) = set.strip_suffix('-').map_or((set, ""), |set| (set, "-"));
    Ok(format!("[{set}/{dash}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn patterns_mean_what_the_manual_says() {
        for (pattern, path) in [
            ("bin/*", "bin/profd"),
            ("**/bin/*", "bin/profd"),
            ("**/bin/*", "usr/local/bin/profd"),
            ("**", ""),
            ("**", "a/b/c"),
            (".", ""),
            ("a/**/z", "a/z"),
            ("a/**/z", "a/b/c/z"),
            ("**/a/**/b", "x/a/b/a/c/b"),
            ("*.log.[0-9]", "x.log.7"),
            ("[!a]?c", "xyc"),
            ("*a*b*c", "1a2b3abc"),
            ("\\*", "*"),
            ("/etc/x", "etc/x"),
            ("a/**", "a"),
            ("a/**", "a/b/c"),
            ("**/a/**/**", "x/a"),
            ("a//./b/", "/a/b/"),
            ("{a,b}", "{a,b}"),
            ("[{]x[}]", "{x}"),
            ("[]a]", "]"),
            ("[!]a]", "b"),
            ("[!-]", "b"),
            ("[a-]", "-"),
            ("*", ".hidden"),
            ("?", "\n"),
        ] {
            assert!(is(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("bin/*", "bin/a/b"),
            ("bin/*", "bin"),
            (".", "a"),
            ("a/**/z", "a/b/c"),
            ("**/x", "x/y"),
            ("[!a]", "a"),
            ("*.log", "log"),
            ("a*b", "a/b"),
            ("\\*", "x"),
            ("a/**", "ab"),
            ("a[!b]c", "a/c"),
            ("a[!-]c", "a/c"),
            ("a[!b-]c", "a/c"),
            ("a[!]]c", "a/c"),
            ("[!-]", "-"),
            ("[!]a]", "]"),
            ("{a,b}", "a"),
        ] {
            assert!(!is(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_match_by_their_bytes() {
        for pattern in ["a*", "a?", "a[!b]", "**"] {
            assert!(Glob::parse(pattern).unwrap().matches(b"a\xff"), "{pattern}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in ["", "../x", "a**", "[a", "[]", "[!]", "[z-a]", "[+-9]", "x\\"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    /// The oracle tries every way to match, by definition.
    #[test]
    fn every_short_pattern_and_path_agree_with_the_definition() {
        fn slow(p: &[&str], n: &[&str]) -> bool {
            match (p.first(), n.first()) {
                (None, None) => true,
                (Some(&"**"), _) => slow(&p[1..], n) || (!n.is_empty() && slow(p, &n[1..])),
                (Some(&"*"), Some(_)) => slow(&p[1..], &n[1..]),
                (Some(a), Some(b)) => a == b && slow(&p[1..], &n[1..]),
                _ => false,
            }
        }
        let words = |alphabet: &[&'static str], length: u32, mut i: usize| {
            let mut word = Vec::new();
            for _ in 0..length {
                word.push(alphabet[i % alphabet.len()]);
                i /= alphabet.len();
            }
            word
        };
        for lp in 1..=4 {
            for i in 0..4_usize.pow(lp) {
                let pattern = words(&["a", "b", "*", "**"], lp, i);
                let glob = Glob::parse(&pattern.join("/")).unwrap();
                for ln in 0..=4 {
                    for j in 0..2_usize.pow(ln) {
                        let path = words(&["a", "b"], ln, j);
                        let wanted = slow(&pattern, &path);
                        assert_eq!(glob.matches(path.join("/").as_bytes()), wanted, "{pattern:?} {path:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn hostile_names_do_not_take_long() {
        let glob = Glob::parse("**/*a*a*a*a*a*a*a*b").unwrap();
        let path = ["a".repeat(255).as_str(); 200].join("/");
        assert!(!glob.matches(path.as_bytes()));
    }
}
