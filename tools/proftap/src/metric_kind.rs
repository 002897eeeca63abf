//! The kinds of metrics.

use std::fmt;

/// A kind of metric. The names are those of msMonitor (b942bf5) on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Marker,
    Kernel,
    Hccl,
    Communication,
    Memory,
    MemSet,
    MemCpy,
    Api,
    AclApi,
    NodeApi,
    RuntimeApi,
}

impl MetricKind {
    const ALL: [Self; 11] = [
        Self::Marker,
        Self::Kernel,
        Self::Hccl,
        Self::Communication,
        Self::Memory,
        Self::MemSet,
        Self::MemCpy,
        Self::Api,
        Self::AclApi,
        Self::NodeApi,
        Self::RuntimeApi,
    ];

    /// Returns the name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Marker => "Marker",
            Self::Kernel => "Kernel",
            Self::Hccl => "Hccl",
            Self::Communication => "Communication",
            Self::Memory => "Memory",
            Self::MemSet => "MemSet",
            Self::MemCpy => "MemCpy",
            Self::Api => "API",
            Self::AclApi => "AclAPI",
            Self::NodeApi => "NodeAPI",
            Self::RuntimeApi => "RuntimeAPI",
        }
    }

    /// Parses a name on the wire; `None` for an unknown one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_parsed_from_its_name() {
        for kind in MetricKind::ALL {
            assert_eq!(MetricKind::parse(&kind.to_string()), Some(kind));
        }
        assert_eq!(MetricKind::parse("kernel"), None);
    }
}
