//! Texts of traces in Markdown (GitHub Flavored Markdown 0.29): neither markup nor HTML, links nor mentions of people.

use crate::shorten::cut_to_width;

/// Maximum length of a text in a cell of a table, in characters.
pub(crate) const MOST_CELL: usize = 120;

/// A cell of a table: as it is where that is plain, or else as code, in which nothing has a meaning.
pub(crate) fn escape_cell(text: &str) -> String {
    let text = cut_to_width(text, MOST_CELL);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " .,:%/+()=-".contains(c);
    if text.chars().all(is_plain) && !has_link(&text) {
        return text;
    }
    // The fence must not be in the text; a space keeps a backtick at its end apart (section 6.1).
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    // Tables are divided before code is looked for (section 4.10).
    format!("{fence}{space}{}{space}{fence}", text.replace('|', "\\|"))
}

fn has_link(text: &str) -> bool {
    text.contains("://") || text.contains("www.")
}

/// A sentence, in which names of traces may be.
pub(crate) fn escape_sentence(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied().unwrap_or(' ');
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Within a word it is no emphasis (section 6.4).
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => out.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => out.extend(['\\', c]),
            // An invisible character ends a mention, and the address of a link (section 6.9).
            '@' => out.push_str("@&#8203;"),
            ':' if after == '/' => out.push_str(":&#8203;"),
            '.' if out.ends_with("www") => out.push_str("&#8203;."),
            c => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_cells_are_code() {
        for (text, expected) in [
            ("1.5", "1.5"),
            ("3 of 3 (+2.1%)", "3 of 3 (+2.1%)"),
            ("void gemm<float>(int*)", "`void gemm<float>(int*)`"),
            ("a|b", "`a\\|b`"),
            ("a`b``", "``` a`b`` ```"),
            ("http://evil", "`http://evil`"),
            ("@all", "`@all`"),
        ] {
            assert_eq!(escape_cell(text), expected);
        }
        assert!(escape_cell(&"é".repeat(5000)).chars().count() <= MOST_CELL + 2);
    }

    #[test]
    fn sentences_have_no_markup_but_their_own() {
        for (text, expected) in [
            ("most by all_reduce", "most by all_reduce"),
            ("__init__ <b>", "\\_\\_init\\_\\_ &lt;b&gt;"),
            ("![x](http://evil) @all", "\\!\\[x\\](http:&#8203;//evil) @&#8203;all"),
            ("see www.evil.org", "see www&#8203;.evil.org"),
        ] {
            assert_eq!(escape_sentence(text), expected);
        }
    }
}
