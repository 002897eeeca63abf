//! Prometheus' text format, version 0.0.4 (prometheus.io, "Exposition formats").

use std::fmt::{Display, Write};

/// A page of metrics.
#[derive(Debug, Default)]
pub(super) struct MetricPage {
    text: String,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyKind {
    Counter,
    Gauge,
}

/// A metric whose samples are added.
pub(super) struct FamilyWriter<'a> {
    page: &'a mut MetricPage,
    name: String,
}

impl MetricPage {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Begins a metric. A name must not come twice.
    pub(super) fn family(&mut self, name: &str, kind: FamilyKind, help: &str) -> FamilyWriter<'_> {
        let kind = match kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        FamilyWriter { page: self, name: name.to_owned() }
    }

    /// Adds a counter with one sample.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, FamilyKind::Counter, help).sample(&[], value);
    }

    /// Adds a gauge with one sample.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, FamilyKind::Gauge, help).sample(&[], value);
    }
}

impl FamilyWriter<'_> {
    /// Adds a sample. The names of labels are constants; their values may be anything.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.page.text;
        text.push_str(&self.name);
        for (n, (name, value)) in labels.iter().enumerate() {
            let _ = write!(text, "{}{name}=\"{}\"", if n == 0 { '{' } else { ',' }, escape_label(value));
        }
        let _ = writeln!(text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_cannot_forge_a_line() {
        let mut page = MetricPage::default();
        let mut family = page.family("a_total", FamilyKind::Counter, "What\nis \\ it.");
        family.sample(&[("x", "\"} 1\nb 2\\"), ("y", "")], 1.5);
        family.sample(&[], u64::MAX);
        let expected = "# HELP a_total What\\nis \\\\ it.\n# TYPE a_total counter\n\
                        a_total{x=\"\\\"} 1\\nb 2\\\\\",y=\"\"} 1.5\na_total 18446744073709551615\n";
        assert_eq!(page.into_text(), expected);
    }
}
