//! The ResponseData of an OCSP response: the responder, the status of each certificate, and its validity.

use common::pki::der::{self, Der, Malformed, Result, Time, context_tag, explicit_tag};
use common::pki::extension::read_extension;
use common::pki::name::Name;
use common::pki::{Cert, format_utc, oid};

use super::{OcspError, OcspStatus, reject_response, sha1};

/// How far a responder's clock may be ahead of ours, in seconds.
const SKEW: i64 = 300;

/// The greatest age of a status without nextUpdate, in seconds.
const RECENT: i64 = 7 * 86_400;

/// ResponseData.
pub(super) struct ResponseData<'a> {
    pub(super) responder: Responder<'a>,
    pub(super) singles: Vec<SingleResponse<'a>>,
    pub(super) nonce: Option<&'a [u8]>,
}

pub(super) enum Responder<'a> {
    Name(Name),
    /// The SHA-1 hash of its key.
    Key(&'a [u8]),
}

impl Responder<'_> {
    pub(super) fn is_named_by(&self, cert: &Cert) -> bool {
        match self {
            Self::Name(name) => *name == cert.subject,
            Self::Key(hash) => *hash == sha1(&cert.key.bits),
        }
    }
}

/// SingleResponse.
pub(super) struct SingleResponse<'a> {
    /// CertID: hash algorithm, hashes of the issuer's name and key, serial number.
    pub(super) id: (&'a [u8], &'a [u8], &'a [u8], &'a [u8]),
    pub(super) status: OcspStatus,
    pub(super) this_update: Time,
    pub(super) next_update: Option<Time>,
}

impl<'a> ResponseData<'a> {
    pub(super) fn read_der(data: &'a [u8]) -> Result<Self> {
        let mut data = Der::new(data);
        if data.read_optional(explicit_tag(0))?.is_some_and(|version| version != [der::INTEGER, 1, 0]) {
            return Err(Malformed::new("an unknown version"));
        }
        let responder = data.read_element()?;
        let responder = match responder.tag {
            t if t == explicit_tag(1) => {
                let mut inner = Der::new(responder.value);
                let name = Name::read_der(&mut inner)?;
                inner.expect_end()?;
                Responder::Name(name)
            }
            t if t == explicit_tag(2) => {
                let mut inner = Der::new(responder.value);
                let hash = inner.read_tagged(der::OCTET_STRING)?;
                inner.expect_end()?;
                Responder::Key(hash)
            }
            _ => return Err(Malformed::new("no responder")),
        };
        read_generalized_time(&mut data).map_err(|e| e.within("producedAt"))?;
        let mut list = data.open_sequence()?;
        let mut singles = Vec::new();
        while !list.is_empty() {
            singles.push(
                SingleResponse::read_der(&mut list.open_sequence()?)
                    .map_err(|e| e.within("a single response"))?,
            );
        }
        let nonce = data.read_optional(explicit_tag(1))?.map(read_nonce).transpose()?.flatten();
        data.expect_end()?;
        Ok(Self { responder, singles, nonce })
    }
}

impl<'a> SingleResponse<'a> {
    pub(super) fn read_der(single: &mut Der<'a>) -> Result<Self> {
        let mut id = single.open_sequence()?;
        // Parameters of the algorithm are absent or NULL, as the responder likes.
        let algorithm = id.open_sequence()?.read_oid()?;
        let (name, key) = (id.read_tagged(der::OCTET_STRING)?, id.read_tagged(der::OCTET_STRING)?);
        let serial = id.read_integer()?;
        id.expect_end()?;
        let status = single.read_element()?;
        let status = match status.tag {
            t if t == context_tag(0) => OcspStatus::Good,
            t if t == explicit_tag(1) => {
                let mut revoked = Der::new(status.value);
                let at = read_generalized_time(&mut revoked)?;
                let reason = revoked.read_optional(explicit_tag(0))?;
                revoked.expect_end()?;
                let reason = reason.map(|r| Der::new(r).read_tagged(der::ENUMERATED)).transpose()?;
                OcspStatus::Revoked { at, reason: reason.and_then(|r| r.first().copied()) }
            }
            t if t == context_tag(2) => OcspStatus::Unknown,
            _ => return Err(Malformed::new("an unknown state")),
        };
        let this_update = read_generalized_time(single)?;
        let next_update = single
            .read_optional(explicit_tag(0))?
            .map(|t| read_generalized_time(&mut Der::new(t)))
            .transpose()?;
        single.read_optional(explicit_tag(1))?.map(read_nonce).transpose()?;
        single.expect_end()?;
        Ok(Self { id: (algorithm, name, key, serial), status, this_update, next_update })
    }

    /// Checks thisUpdate and nextUpdate. A response with neither nextUpdate nor nonce is rejected, because it could be an
    /// old one that is replayed.
    pub(super) fn check_in_force(&self, at: i64, fresh: bool) -> std::result::Result<(), OcspError> {
        if self.this_update.unix > at.saturating_add(SKEW) {
            return reject_response(format_args!(
                "thisUpdate {} is in the future: the time is {}",
                self.this_update,
                format_utc(at)
            ));
        }
        match self.next_update {
            Some(next) if next.unix < self.this_update.unix => {
                reject_response(format_args!("nextUpdate {next} is before thisUpdate {}", self.this_update))
            }
            // RFC 6960, 3.2: without an end, what is known must be sufficiently recent, whenever it was signed.
            None if fresh && at.saturating_sub(self.this_update.unix) > RECENT => {
                reject_response(format_args!("too old: thisUpdate is {}", self.this_update))
            }
            Some(next) if next.unix < at => reject_response(format_args!("expired at {next}")),
            None if !fresh => reject_response("has neither nextUpdate nor our nonce, so it may be replayed"),
            _ => Ok(()),
        }
    }
}

/// The nonce, if it is there; a critical extension that is not understood is an error.
fn read_nonce(list: &[u8]) -> Result<Option<&[u8]>> {
    let mut list = Der::open_only(list, der::SEQUENCE)?;
    let mut nonce = None;
    while !list.is_empty() {
        let (id, critical, value) = read_extension(&mut list)?;
        if id == oid::OCSP_NONCE {
            nonce = Some(Der::new(value).read_tagged(der::OCTET_STRING)?);
        } else if critical {
            return Err(Malformed(format!("critical extension {}", oid::display_name(id))));
        }
    }
    Ok(nonce)
}

fn read_generalized_time(der: &mut Der<'_>) -> Result<Time> {
    match Time::read_der(der)? {
        time if time.generalized => Ok(time),
        _ => Err(Malformed::new("a time that is not a GeneralizedTime")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ocsp_responses_outside_their_validity_are_rejected() {
        const DAY: i64 = 86_400;
        let at = 1_800_000_000;
        let time = |unix: i64| Time { unix, generalized: true };
        let is_current = |from: i64, until: Option<i64>, fresh: bool| {
            let single = SingleResponse {
                id: (&[], &[], &[], &[]),
                status: OcspStatus::Good,
                this_update: time(at + from),
                next_update: until.map(|t| time(at + t)),
            };
            single.check_in_force(at, fresh).is_ok()
        };
        assert!(
            is_current(0, None, true)
                && is_current(-6 * DAY, None, true)
                && is_current(-30 * DAY, Some(DAY), false)
        );
        assert!(!is_current(-8 * DAY, None, true), "nobody looked for a week");
        assert!(
            !is_current(0, None, false) && !is_current(-DAY, Some(-1), true) && !is_current(DAY, None, true)
        );
        assert!(!is_current(60, Some(30), true), "ends before it begins");
    }
}
