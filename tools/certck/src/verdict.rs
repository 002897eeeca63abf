//! How `certck check` shows what it found: text, JSON lines, and metrics with the end of each validity.

use std::io::{self, Write};
use std::path::Path;

use common::finding::Severity;
use common::record::certck as record;
use common::record::{Line, Record};
use common::report::{End, Writer};
use common::text::{Safe, safe};

use crate::cmd::check::{Checked, Report};

/// Sentences, grouped by directory.
pub(crate) struct Text;

impl Report for Text {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        let refused = checked.findings.iter().any(|f| f.severity == Severity::Error);
        let verdict = if refused { "not fit to serve" } else { "fit to serve" };
        writeln!(to, "{} ({}): {verdict}", Safe(&checked.dir.to_string_lossy()), checked.role)?;
        for f in &checked.findings {
            let path = Path::new(&f.path);
            let file = path.strip_prefix(&checked.dir).unwrap_or(path).to_string_lossy();
            let file = if file.is_empty() { ".".into() } else { file };
            writeln!(to, "  {:7} {}: {}", f.severity, Safe(&file), Safe(&f.reason()))?;
            if !f.fix.is_empty() {
                writeln!(to, "          fix: {}", Safe(&f.fix))?;
            }
        }
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, _end: &End, summary: &record::Summary) -> anyhow::Result<()> {
        if summary.checked > 1 {
            writeln!(to, "{} directories, {} not fit to serve", summary.checked, summary.refused)?;
        }
        if summary.suppressed > 0 {
            writeln!(to, "{} findings suppressed", summary.suppressed)?;
        }
        Ok(())
    }
}

/// JSON lines.
pub(crate) struct Json;

impl Json {
    fn line<R: Record>(to: &mut dyn Write, record: &R) -> anyhow::Result<()> {
        serde_json::to_writer(&mut *to, &Line::new(record)).map_err(io::Error::from)?;
        Ok(to.write_all(b"\n")?)
    }
}

impl Report for Json {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        let dir = checked.dir.to_string_lossy();
        checked.findings.iter().cloned().try_for_each(|finding| {
            Self::line(
                to,
                &record::Finding { dir: dir.to_string(), role: checked.role.name().to_owned(), finding },
            )
        })
    }

    fn end(&mut self, to: &mut dyn Write, _end: &End, summary: &record::Summary) -> anyhow::Result<()> {
        Self::line(to, summary)
    }
}

/// The metrics of every audit, and when each certificate and CRL ends.
pub(crate) struct Metrics {
    shared: Box<dyn Writer>,
    ends: Vec<String>,
}

impl Metrics {
    pub(crate) fn new(shared: Box<dyn Writer>) -> Self {
        Self { shared, ends: Vec::new() }
    }
}

impl Report for Metrics {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        checked.findings.iter().try_for_each(|f| self.shared.finding(to, f))?;
        let fit = u8::from(checked.findings.iter().all(|f| f.severity < Severity::Error));
        let dir = label(&checked.dir.to_string_lossy());
        self.ends.push(format!("certck_fit{{dir=\"{dir}\",role=\"{}\"}} {fit}", checked.role));
        self.ends.extend(checked.ends.iter().map(|e| {
            let (path, name) = (label(&e.path.to_string_lossy()), label(&e.name));
            format!("certck_end_timestamp_seconds{{path=\"{path}\",name=\"{name}\"}} {}", e.at)
        }));
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, end: &End, _summary: &record::Summary) -> anyhow::Result<()> {
        self.shared.end(to, end)?;
        let metrics = [
            ("certck_fit", "Whether a directory is fit to serve."),
            ("certck_end_timestamp_seconds", "When a certificate's validity or a CRL's nextUpdate ends."),
        ];
        // Lines of one metric stand together.
        self.ends.sort_unstable();
        for (metric, help) in metrics {
            writeln!(to, "# HELP {metric} {help}\n# TYPE {metric} gauge")?;
            for line in self.ends.iter().filter(|l| l.starts_with(metric)) {
                writeln!(to, "{line}")?;
            }
        }
        Ok(())
    }
}

/// A label's value as the text format wants it.
fn label(text: &str) -> String {
    safe(text).replace('\\', "\\\\").replace('"', "\\\"")
}
