//! Path patterns of policies: `*` and `?` within a name, `[a-z]`, and `**` for any number of directories.
//!
//! Matching takes at most (length of name × length of pattern) steps: names are hostile. Bytes are compared, so
//! names that are not UTF-8 can be matched.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<PatternPart>,
    /// Whether the pattern matches absolute paths instead of paths relative to a root.
    pub absolute: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    /// `**`
    Any,
    Name(Vec<NameToken>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NameToken {
    Byte(u8),
    One,
    Star,
    Set { not: bool, ranges: Vec<(u8, u8)> },
}

impl Glob {
    /// Parses a pattern; `.` is the root itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let absolute = text.starts_with('/');
        let names = text.split('/').filter(|n| !n.is_empty() && *n != ".");
        let part = |name: &str| match name {
            ".." => Err(format!("pattern {text:?} contains `..`")),
            "**" => Ok(PatternPart::Any),
            name if name.contains("**") => {
                Err(format!("pattern {text:?}: `**` must stand alone between slashes"))
            }
            name => parse_tokens(name.as_bytes())
                .map(PatternPart::Name)
                .map_err(|e| format!("pattern {text:?}: {e}")),
        };
        let parts = names.map(part).collect::<Result<Vec<_>, _>>()?;
        if text.is_empty() {
            return Err("empty pattern".into());
        }
        Ok(Self { parts, absolute })
    }

    /// Returns whether the whole path matches. `path` has no slash at either end.
    pub fn matches(&self, path: &[u8]) -> bool {
        let names = || path.split(|&b| b == b'/').filter(|n| !n.is_empty());
        // The usual way: on a mismatch, only the last `**` needs to take one name more.
        let (mut part, mut rest) = (0, names());
        let mut retry: Option<(usize, _)> = None;
        loop {
            if let Some(PatternPart::Any) = self.parts.get(part) {
                part += 1;
                retry = Some((part, rest.clone()));
                continue;
            }
            let before = rest.clone();
            match (rest.next(), self.parts.get(part)) {
                (None, None) => return true,
                (Some(name), Some(PatternPart::Name(tokens))) if matches_name(tokens, name) => part += 1,
                // Names ran out before the pattern: taking more of them away does not help.
                (None, Some(_)) => return false,
                _ => {
                    drop(before);
                    let Some((at, from)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    part = *at;
                    rest = from.clone();
                }
            }
        }
    }
}

fn parse_tokens(name: &[u8]) -> Result<Vec<NameToken>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match byte {
            b'*' => NameToken::Star,
            b'?' => NameToken::One,
            b'\\' => {
                let (&next, tail) = rest.split_first().ok_or("ends with a backslash")?;
                rest = tail;
                NameToken::Byte(next)
            }
            b'[' => {
                let end = rest.iter().skip(1).position(|&b| b == b']').ok_or("`[` without `]`")? + 1;
                let set = parse_set(&rest[..end]);
                rest = &rest[end + 1..];
                set
            }
            byte => NameToken::Byte(byte),
        });
    }
    Ok(tokens)
}

fn parse_set(body: &[u8]) -> NameToken {
    let (not, mut body) = match body.split_first() {
        Some((b'!' | b'^', rest)) if !rest.is_empty() => (true, rest),
        _ => (false, body),
    };
    let mut ranges = Vec::new();
    while let Some((&first, rest)) = body.split_first() {
        match rest {
            [b'-', last, tail @ ..] => {
                ranges.push((first, *last));
                body = tail;
            }
            _ => {
                ranges.push((first, first));
                body = rest;
            }
        }
    }
    NameToken::Set { not, ranges }
}

fn matches_name(tokens: &[NameToken], name: &[u8]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() || t < tokens.len() {
        match tokens.get(t) {
            Some(NameToken::Star) => {
                t += 1;
                retry = Some((t, n));
                continue;
            }
            Some(token) if n < name.len() && matches_byte(token, name[n]) => {
                t += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        match &mut retry {
            Some((at, from)) if *from < name.len() => {
                *from += 1;
                (t, n) = (*at, *from);
            }
            _ => return false,
        }
    }
    true
}

fn matches_byte(token: &NameToken, byte: u8) -> bool {
    match token {
        NameToken::Byte(b) => *b == byte,
        NameToken::One => true,
        NameToken::Star => false,
        NameToken::Set { not, ranges } => ranges.iter().any(|&(a, z)| (a..=z).contains(&byte)) != *not,
    }
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
        ] {
            assert!(!is(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in ["", "../x", "a**", "[a", "x\\"] {
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
