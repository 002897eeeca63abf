//! What a responder says, taken apart: who says it, of which certificates, and for how long.

use common::pki::der::{self, Der, Malformed, Result, Time, context, explicit};
use common::pki::extension::read_one;
use common::pki::name::Name;
use common::pki::{Cert, oid, utc};

use super::{Refused, Status, refuse, sha1};

/// Seconds that a responder's clock may be ahead of ours.
const SKEW: i64 = 300;

/// Seconds that what a responder knows may be old, where it does not say until when it is good.
const RECENT: i64 = 7 * 86_400;

/// ResponseData.
pub(super) struct Data<'a> {
    pub(super) responder: Responder<'a>,
    pub(super) singles: Vec<Single<'a>>,
    pub(super) nonce: Option<&'a [u8]>,
}

pub(super) enum Responder<'a> {
    Name(Name),
    /// The SHA-1 hash of its key.
    Key(&'a [u8]),
}

impl Responder<'_> {
    pub(super) fn is(&self, cert: &Cert) -> bool {
        match self {
            Self::Name(name) => *name == cert.subject,
            Self::Key(hash) => *hash == sha1(&cert.key.bits),
        }
    }
}

/// SingleResponse.
pub(super) struct Single<'a> {
    /// CertID: hash algorithm, hashes of the issuer's name and key, serial number.
    pub(super) id: (&'a [u8], &'a [u8], &'a [u8], &'a [u8]),
    pub(super) status: Status,
    pub(super) this_update: Time,
    pub(super) next_update: Option<Time>,
}

impl<'a> Data<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self> {
        let mut data = Der::new(data);
        if data.optional(explicit(0))?.is_some_and(|version| version != [der::INTEGER, 1, 0]) {
            return Err(Malformed::new("an unknown version"));
        }
        let responder = data.read()?;
        let responder = match responder.tag {
            t if t == explicit(1) => {
                let mut inner = Der::new(responder.value);
                let name = Name::read(&mut inner)?;
                inner.done()?;
                Responder::Name(name)
            }
            t if t == explicit(2) => {
                let mut inner = Der::new(responder.value);
                let hash = inner.expect(der::OCTET_STRING)?;
                inner.done()?;
                Responder::Key(hash)
            }
            _ => return Err(Malformed::new("no responder")),
        };
        generalized(&mut data).map_err(|e| e.within("producedAt"))?;
        let mut list = data.sequence()?;
        let mut singles = Vec::new();
        while !list.is_empty() {
            singles.push(Single::read(&mut list.sequence()?).map_err(|e| e.within("a single response"))?);
        }
        let nonce = data.optional(explicit(1))?.map(extensions).transpose()?.flatten();
        data.done()?;
        Ok(Self { responder, singles, nonce })
    }
}

impl<'a> Single<'a> {
    pub(super) fn read(single: &mut Der<'a>) -> Result<Self> {
        let mut id = single.sequence()?;
        // Parameters of the algorithm are absent or NULL, as the responder likes.
        let algorithm = id.sequence()?.oid()?;
        let (name, key) = (id.expect(der::OCTET_STRING)?, id.expect(der::OCTET_STRING)?);
        let serial = id.integer()?;
        id.done()?;
        let status = single.read()?;
        let status = match status.tag {
            t if t == context(0) => Status::Good,
            t if t == explicit(1) => {
                let mut revoked = Der::new(status.value);
                let at = generalized(&mut revoked)?;
                let reason = revoked.optional(explicit(0))?;
                revoked.done()?;
                let reason = reason.map(|r| Der::new(r).expect(der::ENUMERATED)).transpose()?;
                Status::Revoked { at, reason: reason.and_then(|r| r.first().copied()) }
            }
            t if t == context(2) => Status::Unknown,
            _ => return Err(Malformed::new("an unknown state")),
        };
        let this_update = generalized(single)?;
        let next_update = single.optional(explicit(0))?.map(|t| generalized(&mut Der::new(t))).transpose()?;
        single.optional(explicit(1))?.map(extensions).transpose()?;
        single.done()?;
        Ok(Self { id: (algorithm, name, key, serial), status, this_update, next_update })
    }

    /// Without a nonce and without an end, an answer could be any old one, kept by who does not want us to know.
    pub(super) fn in_force(&self, at: i64, fresh: bool) -> std::result::Result<(), Refused> {
        if self.this_update.unix > at.saturating_add(SKEW) {
            return refuse(format_args!(
                "made for the time from {}, and it is {}",
                self.this_update,
                utc(at)
            ));
        }
        match self.next_update {
            Some(next) if next.unix < self.this_update.unix => {
                refuse(format_args!("good until {next}, before it was made at {}", self.this_update))
            }
            // RFC 6960, 3.2: without an end, what is known must be sufficiently recent, whenever it was signed.
            None if fresh && at.saturating_sub(self.this_update.unix) > RECENT => {
                refuse(format_args!("says what was known at {}", self.this_update))
            }
            Some(next) if next.unix < at => refuse(format_args!("out of date since {next}")),
            None if !fresh => refuse("says neither until when it is good nor that it was made for us"),
            _ => Ok(()),
        }
    }
}

/// The nonce, if it is there; a critical extension that is not understood is an error.
fn extensions(list: &[u8]) -> Result<Option<&[u8]>> {
    let mut list = Der::only(list, der::SEQUENCE)?;
    let mut nonce = None;
    while !list.is_empty() {
        let (id, critical, value) = read_one(&mut list)?;
        if id == oid::OCSP_NONCE {
            nonce = Some(Der::new(value).expect(der::OCTET_STRING)?);
        } else if critical {
            return Err(Malformed(format!("critical extension {}", oid::name(id))));
        }
    }
    Ok(nonce)
}

fn generalized(der: &mut Der<'_>) -> Result<Time> {
    match Time::read(der)? {
        time if time.generalized => Ok(time),
        _ => Err(Malformed::new("a time that is not a GeneralizedTime")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_its_time() {
        const DAY: i64 = 86_400;
        let at = 1_800_000_000;
        let time = |unix: i64| Time { unix, generalized: true };
        let judge = |from: i64, until: Option<i64>, fresh: bool| {
            let single = Single {
                id: (&[], &[], &[], &[]),
                status: Status::Good,
                this_update: time(at + from),
                next_update: until.map(|t| time(at + t)),
            };
            single.in_force(at, fresh).is_ok()
        };
        assert!(judge(0, None, true) && judge(-6 * DAY, None, true) && judge(-30 * DAY, Some(DAY), false));
        assert!(!judge(-8 * DAY, None, true), "nobody looked for a week");
        assert!(!judge(0, None, false) && !judge(-DAY, Some(-1), true) && !judge(DAY, None, true));
        assert!(!judge(60, Some(30), true), "ends before it begins");
    }
}
