//! The content of a leaf: subject, role, hosts, validity, addresses.

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

/// The subject of a certificate.
#[derive(Clone, Copy)]
pub(crate) enum LeafSubject<'a> {
    /// A common name only.
    Common(&'a str),
    /// The subject of the certificate that is renewed, unchanged.
    Same(&'a Name),
}

/// The common name where none is given.
pub(crate) fn default_common_name(role: Role) -> String {
    format!("profguard {role}")
}

/// Parses a common name of at most 64 characters (RFC 5280, appendix A.1, ub-common-name).
pub(crate) fn parse_common_name(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("expected 1 to 64 characters".to_owned()) }
}

/// The validity of a certificate or CRL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) from: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

/// How far back a validity begins, because clocks of two machines differ.
const SKEW: Duration = Duration::minutes(5);

impl Validity {
    /// A validity of exactly this many days, the time before now included: 825 days is the limit for a leaf.
    pub(crate) fn for_days(days: u16) -> anyhow::Result<Self> {
        Self::starting_now(Duration::days(days.into()))
    }

    /// A validity from now with the length of an earlier one.
    pub(crate) fn as_long_as(from: Time, until: Time) -> anyhow::Result<Self> {
        let seconds = until.unix.saturating_sub(from.unix);
        ensure!(
            seconds > 0,
            "was valid from {from} to {until}, which is not a valid period: give the length with --days"
        );
        Self::starting_now(Duration::seconds(seconds))
    }

    fn starting_now(time: Duration) -> anyhow::Result<Self> {
        let from = OffsetDateTime::now_utc().replace_nanosecond(0)? - SKEW;
        let until = from
            .checked_add(time)
            .context("expires after the year 9999, which a certificate cannot express")?;
        Ok(Self { from, until })
    }

    /// The validity without what lies after the issuer's notAfter, and whether it was shortened.
    ///
    /// # Errors
    /// The issuer has expired.
    pub(crate) fn within_issuer(self, issuer: &Cert) -> anyhow::Result<(Self, bool)> {
        let end = issuer.not_after;
        ensure!(
            end.unix > (self.from + SKEW).unix_timestamp(),
            "{}: expired at {end}: make a new authority with `certck mint`",
            issuer.subject
        );
        if self.until.unix_timestamp() <= end.unix {
            return Ok((self, false));
        }
        Ok((Self { until: OffsetDateTime::from_unix_timestamp(end.unix)?, ..self }, true))
    }
}

/// Where the revocation status of a certificate is published.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatusUrls {
    /// CRL distribution point to put into certificates, used by `certck crl fetch`; may be repeated [default of `mint
    /// leaf`: that of the authority's authority.toml]
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) crl_url: Vec<String>,
    /// OCSP responder to put into certificates, used by `certck ocsp`; may be repeated [default of `mint leaf`: that of
    /// the authority's authority.toml]
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) ocsp_url: Vec<String>,
}

impl StatusUrls {
    /// Those of the options, and for each kind that no option names, those of the authority.
    pub(crate) fn or_defaults(&self, authority: &Self) -> Self {
        let given = |own: &[String], default: &[String]| if own.is_empty() { default } else { own }.to_vec();
        Self {
            crl_url: given(&self.crl_url, &authority.crl_url),
            ocsp_url: given(&self.ocsp_url, &authority.ocsp_url),
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

/// Parses an address that a certificate can name: http or https, ASCII, without a user name.
pub(crate) fn parse_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let good = !host.is_empty() && !host.contains('@') && text.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err("expected an http or https address, in ASCII".to_owned()) }
}

/// A name or address for which a server's certificate is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeafHost {
    Name(String),
    Address(IpAddr),
}

impl LeafHost {
    /// Parses an IP address, or a DNS name whose first label may be `*`, as `check` accepts it.
    pub(crate) fn parse_host(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return match common::pki::explain_no_host_address(address) {
                None => Ok(Self::Address(address)),
                Some(why) => Err(format!("{why}: name what clients connect to")),
            };
        }
        // A trailing dot makes a name absolute for resolvers; in a certificate it never matches (RFC 5280, 4.2.1.6).
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if is_dns_pattern(&name) {
            return Ok(Self::Name(name));
        }
        Err(match name.strip_prefix("*.") {
            Some(rest) if is_dns_pattern(rest) => {
                "a `*` needs two more labels after it: clients reject `*.com`"
            }
            _ if name.contains('_') => "a host name cannot contain `_`: clients would reject it",
            _ => "expected a DNS name or an IP address",
        }
        .to_owned())
    }

    /// Converts a subject alternative name.
    fn from_general_name(name: &GeneralName) -> anyhow::Result<Self> {
        match name {
            GeneralName::Dns(text) => Self::parse_host(text).map_err(|e| anyhow::anyhow!("{name}: {e}")),
            GeneralName::Ip(_) => {
                let text = name.to_string();
                let address = text.trim_start_matches("IP:").parse();
                address.map(Self::Address).map_err(|e| anyhow::anyhow!("{name}: {e}"))
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

/// The names and addresses for which a certificate is valid.
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

    /// `check --profile strict` and every client reject them.
    #[test]
    fn host_names_that_clients_reject_are_rejected_when_minting() {
        let of = |text: &str| LeafHost::parse_host(text).unwrap_err();
        for wrong in ["a b", "", ".", "*", "-a.x", "a..b", "1.2.3", "a.*.b", "node1.."] {
            of(wrong);
        }
        assert!(of("foo_bar.x").contains('_'));
        assert!(of("*.com").contains("two"));
        assert!(of("*.localdomain").contains("two"));
        for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0"] {
            assert!(of(address).contains("name what clients connect to"), "{address}");
        }
        assert!(LeafHost::parse_host("::1").is_ok() && LeafHost::parse_host("127.0.0.1").is_ok());
    }

    #[test]
    fn addresses_are_http_without_secrets() {
        assert!(parse_url("http://pki.example.org/ca.crl").is_ok());
        for wrong in ["ftp://x/", "http://", "http:///x", "http://u:p@x/", "http://x/\u{e4}", "x"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
