//! What a leaf says: for whom it is, for what, for how long.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use common::pki::name::{GeneralName, Name};
use common::pki::{Cert, Role, Time, is_dns_pattern};
use rcgen::SanType;
use time::{Duration, OffsetDateTime};

/// A certificate to be issued.
pub(crate) struct LeafRequest<'a> {
    pub(crate) role: Role,
    pub(crate) subject: LeafSubject<'a>,
    pub(crate) hosts: &'a [LeafHost],
    pub(crate) validity: Validity,
    pub(crate) addresses: &'a StatusUrls,
}

/// Whom a certificate is about.
#[derive(Clone, Copy)]
pub(crate) enum LeafSubject<'a> {
    /// A name of one part.
    Common(&'a str),
    /// The name of a certificate that was issued before, to the letter.
    Same(&'a Name),
}

/// The common name of a leaf that nobody gave one.
pub(crate) fn default_common_name(role: Role) -> String {
    format!("profguard {role}")
}

/// RFC 5280's upper bound of a common name.
pub(crate) fn parse_common_name(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("expected 1 to 64 characters".to_owned()) }
}

/// From when until when something is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) from: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

/// How far back a validity begins: clocks of two machines differ.
const SKEW: Duration = Duration::minutes(5);

impl Validity {
    /// So many days and not a second more: 825 is the limit for a leaf, and the time before now counts.
    pub(crate) fn for_days(days: u16) -> anyhow::Result<Self> {
        Self::starting_now(Duration::days(days.into()))
    }

    /// As long as something was valid before.
    pub(crate) fn as_long_as(from: Time, until: Time) -> anyhow::Result<Self> {
        let seconds = until.unix.saturating_sub(from.unix);
        ensure!(seconds > 0, "was valid from {from} to {until}, which is no time: say how long with --days");
        Self::starting_now(Duration::seconds(seconds))
    }

    fn starting_now(time: Duration) -> anyhow::Result<Self> {
        let from = OffsetDateTime::now_utc().replace_nanosecond(0)? - SKEW;
        let until = from.checked_add(time).context("ends in a year that no certificate can say")?;
        Ok(Self { from, until })
    }

    /// Cut where the issuer ends, and whether it was.
    ///
    /// # Errors
    /// The issuer has ended.
    pub(crate) fn within_issuer(self, issuer: &Cert) -> anyhow::Result<(Self, bool)> {
        let end = issuer.not_after;
        ensure!(
            end.unix > (self.from + SKEW).unix_timestamp(),
            "{}: ended at {end}: make a new authority with `certck mint`",
            issuer.subject
        );
        if self.until.unix_timestamp() <= end.unix {
            return Ok((self, false));
        }
        Ok((Self { until: OffsetDateTime::from_unix_timestamp(end.unix)?, ..self }, true))
    }
}

/// Where the state of a certificate can be asked.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatusUrls {
    /// Address of the CRL, to be named in the certificates: `certck crl fetch` then needs no --url; may be repeated
    /// [default of `mint leaf`: as the authority's authority.toml says]
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) crl_url: Vec<String>,
    /// Address of an OCSP responder, to be named in the certificates for `certck ocsp`; may be repeated [default of
    /// `mint leaf`: as the authority's authority.toml says]
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) ocsp_url: Vec<String>,
}

impl StatusUrls {
    /// Those of the options, and for each kind that no option names, those of the authority.
    pub(crate) fn or_defaults(&self, authority: Self) -> Self {
        let given = |own: &[String], default| if own.is_empty() { default } else { own.to_vec() };
        Self {
            crl_url: given(&self.crl_url, authority.crl_url),
            ocsp_url: given(&self.ocsp_url, authority.ocsp_url),
        }
    }

    /// Those that a certificate names.
    pub(crate) fn of_certificate(cert: &Cert) -> Self {
        let points = cert.extensions.crl_distribution_points.iter().flat_map(|p| &p.value);
        let names = points.flat_map(|p| &p.names).filter_map(|name| match name {
            GeneralName::Uri(uri) => Some(uri.clone()),
            _ => None,
        });
        let responders = cert.extensions.authority_info_access.iter().flat_map(|a| a.value.clone());
        Self { crl_url: names.collect(), ocsp_url: responders.collect() }
    }
}

/// An address that a certificate can name.
pub(crate) fn parse_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let good = !host.is_empty() && !host.contains('@') && text.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err("expected an http or https address, in ASCII".to_owned()) }
}

/// A name or address that a server's certificate is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeafHost {
    Name(String),
    Address(IpAddr),
}

impl LeafHost {
    /// Reads an IP address, or a DNS name, of which the first label may be `*`: what `check` will take.
    pub(crate) fn parse_host(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        // The dot at the end makes a name absolute where names are looked up; in a certificate it never matches.
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if is_dns_pattern(&name) {
            return Ok(Self::Name(name));
        }
        Err(match name.strip_prefix("*.") {
            Some(rest) if is_dns_pattern(rest) => {
                "a `*` needs two more labels after it: clients take no `*.com`"
            }
            _ if name.contains('_') => "a `_` is in no host name: clients would not take it",
            _ => "expected a DNS name or an IP address",
        }
        .to_owned())
    }

    /// Reads what a certificate is good for.
    fn from_general_name(name: &GeneralName) -> anyhow::Result<Self> {
        match name {
            GeneralName::Dns(text) => Self::parse_host(text).map_err(|e| anyhow::anyhow!("{name}: {e}")),
            GeneralName::Ip(_) => {
                let text = name.to_string();
                Self::parse_host(text.trim_start_matches("IP:")).map_err(|e| anyhow::anyhow!("{name}: {e}"))
            }
            other => anyhow::bail!("{other}: a name of this form cannot be renewed"),
        }
    }

    pub(crate) fn to_san(&self) -> anyhow::Result<SanType> {
        Ok(match self {
            Self::Name(name) => SanType::DnsName(name.as_str().try_into().context("not a DNS name")?),
            Self::Address(address) => SanType::IpAddress(*address),
        })
    }
}

impl std::fmt::Display for LeafHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The names that a certificate is good for.
pub(crate) fn hosts_of(cert: &Cert) -> anyhow::Result<Vec<LeafHost>> {
    let names = cert.extensions.subject_alt_name.iter().flat_map(|s| &s.value);
    names.map(LeafHost::from_general_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_wildcards_or_addresses() {
        assert_eq!(LeafHost::parse_host("::1"), Ok(LeafHost::Address("::1".parse().unwrap())));
        assert_eq!(LeafHost::parse_host("*.Example.org"), Ok(LeafHost::Name("*.example.org".into())));
        assert_eq!(
            LeafHost::parse_host("node1.example.org."),
            Ok(LeafHost::Name("node1.example.org".into()))
        );
        assert_eq!(LeafHost::parse_host("node1"), Ok(LeafHost::Name("node1".into())));
    }

    /// `check --profile strict` and every client refuse them.
    #[test]
    fn names_that_nobody_takes_are_refused_at_once() {
        let of = |text: &str| LeafHost::parse_host(text).unwrap_err();
        for wrong in ["a b", "", ".", "*", "-a.x", "a..b", "1.2.3", "a.*.b", "node1.."] {
            of(wrong);
        }
        assert!(of("foo_bar.x").contains('_'));
        assert!(of("*.com").contains("two"));
        assert!(of("*.localdomain").contains("two"));
    }

    #[test]
    fn addresses_are_http_without_secrets() {
        assert!(parse_url("http://pki.example.org/ca.crl").is_ok());
        for wrong in ["ftp://x/", "http://", "http:///x", "http://u:p@x/", "http://x/\u{e4}", "x"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
