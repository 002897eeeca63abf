//! The page itself: a template, a style and a script of our own, and the data as JSON.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::PageData;

const TEMPLATE: &str = include_str!("assets/report.html");
const STYLE: &str = include_str!("assets/report.css");
const DEFINITIONS: &str = include_str!("assets/definitions.html");
/// One script, in this order.
const SCRIPTS: [&str; 8] = [
    "\"use strict\";\n",
    include_str!("assets/numbers.js"),
    include_str!("assets/elements.js"),
    include_str!("assets/table.js"),
    include_str!("assets/plots.js"),
    include_str!("assets/heat.js"),
    include_str!("assets/flame.js"),
    include_str!("assets/report.js"),
];

/// Writes a report.
///
/// # Errors
/// An I/O error of the stream.
pub(crate) fn write_page(to: &mut dyn Write, page: &PageData) -> io::Result<()> {
    let script = SCRIPTS.concat();
    let made_by = concat!("tracewhy ", env!("CARGO_PKG_VERSION"));
    let mut rest = TEMPLATE;
    // What takes the place of a name is not looked at again: it may hold anything.
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        to.write_all(before.as_bytes())?;
        match name {
            "policy" => to.write_all(policy(&script).as_bytes())?,
            "made_by" => to.write_all(made_by.as_bytes())?,
            "style" => to.write_all(STYLE.as_bytes())?,
            "title" => to.write_all(escape_html(&page.title).as_bytes())?,
            "verdict" => to.write_all(escape_html(&page.headline).as_bytes())?,
            "notes" => write_notes(to, &page.notes)?,
            "recorded" => write_recorded(to, page.recorded.as_deref())?,
            "definitions" => to.write_all(DEFINITIONS.as_bytes())?,
            "data" => serde_json::to_writer(ScriptText(to), page)?,
            "script" => to.write_all(script.as_bytes())?,
            _ => {}
        }
        rest = after;
    }
    to.write_all(rest.as_bytes())
}

/// Nothing runs or styles the page but what is in it from us, and nothing is loaded (Content Security Policy Level 3,
/// W3C, sections 6.1 and 6.7: sources by hash).
fn policy(script: &str) -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        base64(&Sha256::digest(script)),
        base64(&Sha256::digest(STYLE))
    )
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63];
            out.push(if i > group.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

/// A text as HTML, between tags or in quotes.
fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in common::text::safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn write_notes(to: &mut dyn Write, notes: &[String]) -> io::Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", escape_html(note))).collect();
    write!(to, "<ul>{items}</ul>")
}

fn write_recorded(to: &mut dyn Write, recorded: Option<&str>) -> io::Result<()> {
    recorded.map_or(Ok(()), |time| write!(to, " from traces that begin at {}", escape_html(time)))
}

/// Writes JSON so that no text in it can end the element that holds it (WHATWG HTML, 4.12.1.3: `</script` and `<!--`),
/// and no character reorders the source as it is displayed.
struct ScriptText<'a>(&'a mut dyn Write);

impl Write for ScriptText<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // These bytes are in no character but their own, and outside of texts JSON has none of them.
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| matches!(b, b'<' | b'>' | b'&')) {
            self.0.write_all(&rest[..at])?;
            write!(self.0, "\\u{:04x}", rest[at])?;
            rest = &rest[at + 1..];
        }
        self.0.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn texts_cannot_leave_their_place() {
        assert_eq!(escape_html("<b onx='\"'>&\u{202e}"), "&lt;b onx=&#39;&quot;&#39;&gt;&amp;\\u{202e}");
        let mut out = Vec::new();
        serde_json::to_writer(ScriptText(&mut out), "</script><!--<script>&").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains(['<', '>', '&']), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "</script><!--<script>&");
    }

    /// Each number of the page links to its definition: those that the script names are there.
    #[test]
    fn everything_that_is_linked_is_defined() {
        let script: String = SCRIPTS.concat().split_whitespace().collect();
        let mut linked = 0;
        for start in ["def:\"", "definedLabel(\"", "tile(\""] {
            for rest in script.split(start).skip(1) {
                let id = rest.split('"').next().unwrap();
                assert!(DEFINITIONS.contains(&format!("id=\"def-{id}\"")), "{id} is not defined");
                linked += 1;
            }
        }
        assert!(linked > 50, "{linked}");
        // The other way round: what is defined is used, by the script or in the text.
        for rest in DEFINITIONS.split("id=\"def-").skip(1) {
            let id = rest.split('"').next().unwrap();
            assert!(script.contains(&format!("\"{id}\"")), "{id} is defined and not used");
        }
    }

    #[test]
    fn nothing_is_loaded_and_nothing_is_made_of_markup() {
        let script = SCRIPTS.concat();
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "fetch(",
            "import(",
            "XMLHttpRequest",
        ] {
            assert!(!script.contains(word), "{word}");
        }
        let page = [TEMPLATE, STYLE, DEFINITIONS].concat();
        for word in ["http://", "https://", "url(", "@import", " src=", " style="] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
