//! The values of single extensions, each parsed from its DER.

use std::collections::BTreeSet;

use super::super::der::{self, Der, Malformed, Result, context_tag, explicit_tag};
use super::super::name::{GeneralName, Name};
use super::super::oid;
use super::{
    AuthorityKeyId, BasicConstraints, DistributionPoint, KeyUsage, NameConstraints, PolicyConstraints,
    PolicyMapping, Subtree,
};

pub(super) fn parse_basic_constraints(value: &[u8]) -> Result<BasicConstraints> {
    let mut both = Der::open_only(value, der::SEQUENCE)?;
    let ca = both.read_default_false()?;
    let path_len = both.read_optional(der::INTEGER)?.map(der::parse_u32).transpose()?;
    both.expect_end()?;
    Ok(BasicConstraints { ca, path_len })
}

pub(super) fn parse_key_usage(value: &[u8]) -> Result<KeyUsage> {
    let mut only = Der::new(value);
    let bits = only.read_tagged(der::BIT_STRING)?;
    only.expect_end()?;
    parse_named_bits(bits).map(KeyUsage)
}

/// Up to sixteen named bits, the first of them lowest.
fn parse_named_bits(bits: &[u8]) -> Result<u16> {
    match bits {
        [unused, rest @ ..] if *unused < 8 && rest.len() <= 2 && (*unused == 0 || !rest.is_empty()) => {
            Ok(rest.iter().rev().fold(0u16, |n, b| n << 8 | u16::from(b.reverse_bits())))
        }
        _ => Err(Malformed::new("not a bit string of at most nine bits")),
    }
}

/// All reasons of RFC 5280, 4.2.1.13, as bits.
pub(in crate::pki) const REASONS: u16 = 0b1_1111_1110;

/// ReasonFlags: those of RFC 5280, without the unused first bit.
pub(in crate::pki) fn parse_reason_bits(bits: &[u8]) -> Result<u16> {
    parse_named_bits(bits).map(|b| b & REASONS)
}

pub(super) fn parse_oids(value: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut list = Der::open_only(value, der::SEQUENCE)?;
    let mut oids = Vec::new();
    while !list.is_empty() {
        oids.push(list.read_oid()?.to_vec());
    }
    if oids.is_empty() { Err(Malformed::new("the list is empty")) } else { Ok(oids) }
}

pub(super) fn parse_name_constraints(value: &[u8]) -> Result<NameConstraints> {
    let mut both = Der::open_only(value, der::SEQUENCE)?;
    let permitted = both.read_optional(explicit_tag(0))?.map(parse_subtrees).transpose()?.unwrap_or_default();
    let excluded = both.read_optional(explicit_tag(1))?.map(parse_subtrees).transpose()?.unwrap_or_default();
    both.expect_end()?;
    if permitted.is_empty() && excluded.is_empty() {
        return Err(Malformed::new("constrains nothing"));
    }
    Ok(NameConstraints { permitted, excluded })
}

fn parse_subtrees(value: &[u8]) -> Result<Vec<Subtree>> {
    let mut list = Der::new(value);
    let mut subtrees = Vec::new();
    while !list.is_empty() {
        let mut one = list.open_sequence()?;
        let base = GeneralName::read_der(&mut one)?;
        let minimum = one.read_optional(context_tag(0))?.map(der::parse_u32).transpose()?.unwrap_or(0);
        let maximum = one.read_optional(context_tag(1))?;
        one.expect_end()?;
        subtrees.push(Subtree { base, plain: minimum == 0 && maximum.is_none() });
    }
    if subtrees.is_empty() { Err(Malformed::new("an empty list of subtrees")) } else { Ok(subtrees) }
}

pub(super) fn parse_octets(value: &[u8]) -> Result<Vec<u8>> {
    let mut only = Der::new(value);
    let bytes = only.read_tagged(der::OCTET_STRING)?;
    only.expect_end()?;
    Ok(bytes.to_vec())
}

/// Reads authorityKeyIdentifier, of certificates and CRLs.
pub(in crate::pki) fn parse_authority_key_id(value: &[u8]) -> Result<AuthorityKeyId> {
    let mut all = Der::open_only(value, der::SEQUENCE)?;
    let key_id = all.read_optional(context_tag(0))?.map(<[u8]>::to_vec);
    let issuer =
        all.read_optional(explicit_tag(1))?.map(|n| GeneralName::read_all(Der::new(n))).transpose()?;
    let serial = all.read_optional(context_tag(2))?.map(<[u8]>::to_vec);
    all.expect_end()?;
    Ok(AuthorityKeyId { key_id, issuer, serial })
}

pub(super) fn parse_policies(value: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut list = Der::open_only(value, der::SEQUENCE)?;
    let mut policies: Vec<Vec<u8>> = Vec::new();
    let mut seen = BTreeSet::new();
    while !list.is_empty() {
        let mut one = list.open_sequence()?;
        let id = one.read_oid()?;
        one.read_optional(der::SEQUENCE)?;
        one.expect_end()?;
        if !seen.insert(id) {
            return Err(Malformed::new("a policy occurs twice"));
        }
        policies.push(id.to_vec());
    }
    if policies.is_empty() { Err(Malformed::new("the list is empty")) } else { Ok(policies) }
}

pub(super) fn parse_policy_mappings(value: &[u8]) -> Result<Vec<PolicyMapping>> {
    let mut list = Der::open_only(value, der::SEQUENCE)?;
    let mut mappings = Vec::new();
    while !list.is_empty() {
        let mut pair = list.open_sequence()?;
        let (from, to) = (pair.read_oid()?.to_vec(), pair.read_oid()?.to_vec());
        pair.expect_end()?;
        if from == oid::ANY_POLICY || to == oid::ANY_POLICY {
            return Err(Malformed::new("anyPolicy cannot be mapped"));
        }
        mappings.push((from, to));
    }
    if mappings.is_empty() { Err(Malformed::new("the list is empty")) } else { Ok(mappings) }
}

pub(super) fn parse_policy_constraints(value: &[u8]) -> Result<PolicyConstraints> {
    let mut both = Der::open_only(value, der::SEQUENCE)?;
    let require_explicit = both.read_optional(context_tag(0))?.map(der::parse_u32).transpose()?;
    let inhibit_mapping = both.read_optional(context_tag(1))?.map(der::parse_u32).transpose()?;
    both.expect_end()?;
    if require_explicit.is_none() && inhibit_mapping.is_none() {
        return Err(Malformed::new("constrains nothing"));
    }
    Ok(PolicyConstraints { require_explicit, inhibit_mapping })
}

pub(super) fn parse_number(value: &[u8]) -> Result<u32> {
    let mut only = Der::new(value);
    let n = der::parse_u32(only.read_integer()?)?;
    only.expect_end()?;
    Ok(n)
}

pub(super) fn parse_distribution_points(value: &[u8]) -> Result<Vec<DistributionPoint>> {
    let mut list = Der::open_only(value, der::SEQUENCE)?;
    let mut points = Vec::new();
    while !list.is_empty() {
        let mut one = list.open_sequence()?;
        let names = one.read_optional(explicit_tag(0))?.map(parse_distribution_point_name).transpose()?;
        let (names, relative) = names.unwrap_or_default();
        let reasons = one.read_optional(context_tag(1))?.map(parse_reason_bits).transpose()?;
        let other_issuer = one.read_optional(explicit_tag(2))?.is_some();
        one.expect_end()?;
        points.push(DistributionPoint { names, relative, reasons, other_issuer });
    }
    if points.is_empty() { Err(Malformed::new("the list is empty")) } else { Ok(points) }
}

/// Reads `DistributionPointName`: full names, or one relative to the issuer's.
pub(in crate::pki) fn parse_distribution_point_name(
    value: &[u8],
) -> Result<(Vec<GeneralName>, Option<Name>)> {
    let mut choice = Der::new(value);
    let full = choice.read_optional(explicit_tag(0))?;
    let relative = choice.read_optional(explicit_tag(1))?;
    choice.expect_end()?;
    match (full, relative) {
        (Some(names), None) => Ok((GeneralName::read_all(Der::new(names))?, None)),
        (None, Some(part)) => Ok((Vec::new(), Some(Name::read_part(part)?))),
        _ => Err(Malformed::new("not a distribution point's name")),
    }
}

pub(super) fn parse_responders(value: &[u8]) -> Result<Vec<String>> {
    let mut list = Der::open_only(value, der::SEQUENCE)?;
    let mut responders = Vec::new();
    while !list.is_empty() {
        let mut one = list.open_sequence()?;
        let method = one.read_oid()?;
        let name = GeneralName::read_der(&mut one)?;
        one.expect_end()?;
        if let (true, GeneralName::Uri(uri)) = (method == oid::OCSP, name) {
            responders.push(uri);
        }
    }
    Ok(responders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_usage_counts_bits_from_the_left() {
        let usage = parse_key_usage(&[3, 2, 1, 0b0000_0110]).unwrap();
        assert_eq!(usage.usage_names(), ["keyCertSign", "cRLSign"]);
        assert_eq!(
            parse_key_usage(&[3, 3, 7, 0x80, 0x80]).unwrap().usage_names(),
            ["digitalSignature", "decipherOnly"]
        );
        assert!(parse_key_usage(&[3, 1, 1]).is_err());
    }
}
