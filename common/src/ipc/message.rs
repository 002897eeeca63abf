//! Datagrams: a 40-byte header (u64 payload size, 32 bytes of NUL-terminated type name), then the payload.
//!
//! All numbers are in native byte order and C layout. A size that differs from what came, a type name without
//! its NUL and a type that only begins like a known one are errors: existing daemons (dynolog c3a231a, msMonitor b942bf5)
//! accept all three.

use thiserror::Error;

/// Bytes of the header.
pub const HEADER: usize = 40;
/// Bytes of the type name, its NUL included.
const TYPE: usize = 32;
/// The longest payload taken from a process. msMonitor's daemon (b942bf5) stops at 4096.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Maximum number of pids in a [`Poll`]: more than a process has ancestors.
pub const MAX_ANCESTRY: usize = 256;
/// The activity profiler's bit in a [`Poll`]'s config type.
pub const ACTIVITIES: i32 = 2;

/// A message from a process to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `ctxt`: registers the process.
    Register(Register),
    /// `req`: asks for a pending config.
    Poll(Poll),
    /// `npuTraceStatus`.
    TraceStatus(Status),
    /// `npuMonitorStatus`.
    MonitorStatus(Status),
    /// `data`: one metric, JSON text.
    Data(Vec<u8>),
}

/// Payload of `ctxt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Device index.
    pub device: i32,
    /// Pid of the process in its own pid namespace.
    pub pid: i32,
    /// Job id.
    pub job_id: i64,
}

/// Payload of `req`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Bits of the wanted config types: 1 events, 2 activities.
    pub config_type: i32,
    /// Job id.
    pub job_id: i64,
    /// Pids, leaf first, then its ancestors. Never empty.
    pub pids: Vec<i32>,
}

/// Payload of `npuTraceStatus` and `npuMonitorStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// State of the function.
    pub state: State,
    /// Current step; -1 until known.
    pub current_step: i32,
    /// First step of the trace.
    pub start_step: i32,
    /// The step before which it stops.
    pub stop_step: i32,
    /// Pid of the process in its own pid namespace.
    pub pid: i32,
    /// Job id.
    pub job_id: i64,
}

/// State of a profiling function in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not set up; takes no commands. On the wire -1.
    Uninitialized,
    /// Waits for a command. On the wire 0.
    Idle,
    /// Records. On the wire 1.
    Running,
    /// Will record from a later step on. On the wire 2.
    Ready,
}

impl State {
    /// Converts the number on the wire.
    fn from_wire(n: i32) -> Result<Self, DecodeError> {
        match n {
            -1 => Ok(Self::Uninitialized),
            0 => Ok(Self::Idle),
            1 => Ok(Self::Running),
            2 => Ok(Self::Ready),
            n => Err(DecodeError::BadState(n)),
        }
    }

    /// Returns the number on the wire.
    #[must_use]
    pub fn to_wire(self) -> i32 {
        match self {
            Self::Uninitialized => -1,
            Self::Idle => 0,
            Self::Running => 1,
            Self::Ready => 2,
        }
    }
}

/// A reply of the daemon to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Reply to `ctxt`: how many processes are registered on that job and device.
    Registered(i32),
    /// Reply to `req`: the text of the config; empty if none is pending.
    Config(Vec<u8>),
}

/// Why a datagram is not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("datagram of {0} bytes is shorter than its header")]
    Short(usize),
    /// The announced size is not the size that came.
    #[error("datagram announces {announced} payload bytes and carries {carried}")]
    Size {
        /// In the header.
        announced: u64,
        /// In the datagram.
        carried: usize,
    },
    /// No NUL within the 32 bytes, or bytes after it that are not text.
    #[error("type name is not a NUL-terminated text")]
    TypeName,
    /// A type that this side does not take.
    #[error("type is unknown")]
    UnknownType,
    /// The payload of a known type has the wrong size.
    #[error("payload of {0} has {1} bytes")]
    PayloadSize(&'static str, usize),
    /// A pid that is not positive, none at all, or too many.
    #[error("pids are not between 1 and {MAX_ANCESTRY} positive numbers")]
    BadPids,
    /// A state that has no name.
    #[error("state {0} is unknown")]
    BadState(i32),
}

/// Splits a datagram into its type name and its payload.
fn split_header(datagram: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (header, payload) = datagram.split_at_checked(HEADER).ok_or(DecodeError::Short(datagram.len()))?;
    let (size, name) = header.split_at(8);
    let announced =
        size.try_into().map(u64::from_ne_bytes).map_err(|_| DecodeError::Short(datagram.len()))?;
    if announced != payload.len() as u64 {
        return Err(DecodeError::Size { announced, carried: payload.len() });
    }
    let end = name.iter().position(|b| *b == 0).filter(|n| *n > 0).ok_or(DecodeError::TypeName)?;
    if !name[..end].iter().all(u8::is_ascii_graphic) {
        return Err(DecodeError::TypeName);
    }
    Ok((&name[..end], payload))
}

/// Prepends the header to a payload.
fn prepend_header(name: &str, payload: &[u8]) -> Vec<u8> {
    debug_assert!(name.len() < TYPE, "type names leave room for their NUL");
    let mut datagram = Vec::with_capacity(HEADER + payload.len());
    datagram.extend_from_slice(&(payload.len() as u64).to_ne_bytes());
    datagram.extend_from_slice(name.as_bytes());
    datagram.resize(HEADER, 0);
    datagram.extend_from_slice(payload);
    datagram
}

/// Reads fixed-size numbers off a payload.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self, whole: (&'static str, usize)) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError::PayloadSize(whole.0, whole.1))?;
        self.0 = tail;
        Ok(*head)
    }

    fn i32(&mut self, whole: (&'static str, usize)) -> Result<i32, DecodeError> {
        self.take(whole).map(i32::from_ne_bytes)
    }

    fn i64(&mut self, whole: (&'static str, usize)) -> Result<i64, DecodeError> {
        self.take(whole).map(i64::from_ne_bytes)
    }

    fn end(&self, whole: (&'static str, usize)) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::PayloadSize(whole.0, whole.1)) }
    }
}

impl Message {
    /// Reads a datagram from a process.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let (name, payload) = split_header(datagram)?;
        match name {
            b"ctxt" => Register::decode(payload).map(Self::Register),
            b"req" => Poll::decode(payload).map(Self::Poll),
            b"npuTraceStatus" => Status::decode("npuTraceStatus", payload).map(Self::TraceStatus),
            b"npuMonitorStatus" => Status::decode("npuMonitorStatus", payload).map(Self::MonitorStatus),
            b"data" if payload.len() <= MAX_PAYLOAD => Ok(Self::Data(payload.to_vec())),
            b"data" => Err(DecodeError::PayloadSize("data", payload.len())),
            _ => Err(DecodeError::UnknownType),
        }
    }

    /// Writes the datagram that a process sends.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Register(r) => prepend_header("ctxt", &r.encode()),
            Self::Poll(p) => prepend_header("req", &p.encode()),
            Self::TraceStatus(s) => prepend_header("npuTraceStatus", &s.encode()),
            Self::MonitorStatus(s) => prepend_header("npuMonitorStatus", &s.encode()),
            Self::Data(json) => prepend_header("data", json),
        }
    }
}

impl Register {
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let whole = ("ctxt", payload.len());
        let mut c = Cursor(payload);
        let register = Self { device: c.i32(whole)?, pid: c.i32(whole)?, job_id: c.i64(whole)? };
        c.end(whole)?;
        if register.pid > 0 { Ok(register) } else { Err(DecodeError::BadPids) }
    }

    fn encode(&self) -> Vec<u8> {
        [&self.device.to_ne_bytes()[..], &self.pid.to_ne_bytes(), &self.job_id.to_ne_bytes()].concat()
    }
}

impl Poll {
    /// Returns the pid of the process itself.
    #[must_use]
    pub fn leaf(&self) -> i32 {
        self.pids.first().copied().unwrap_or(0)
    }

    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let whole = ("req", payload.len());
        let mut c = Cursor(payload);
        let (config_type, n, job_id) = (c.i32(whole)?, c.i32(whole)?, c.i64(whole)?);
        let n =
            usize::try_from(n).ok().filter(|n| (1..=MAX_ANCESTRY).contains(n)).ok_or(DecodeError::BadPids)?;
        let pids: Vec<i32> = (0..n).map(|_| c.i32(whole)).collect::<Result<_, _>>()?;
        c.end(whole)?;
        // A process whose ancestors live in another namespace reports them as 0.
        if pids[0] <= 0 || pids.iter().any(|p| *p < 0) {
            return Err(DecodeError::BadPids);
        }
        Ok(Self { config_type, job_id, pids })
    }

    fn encode(&self) -> Vec<u8> {
        let n = i32::try_from(self.pids.len()).unwrap_or(i32::MAX);
        let mut payload =
            [&self.config_type.to_ne_bytes()[..], &n.to_ne_bytes(), &self.job_id.to_ne_bytes()].concat();
        payload.extend(self.pids.iter().flat_map(|p| p.to_ne_bytes()));
        payload
    }
}

impl Status {
    fn decode(name: &'static str, payload: &[u8]) -> Result<Self, DecodeError> {
        let whole = (name, payload.len());
        let mut c = Cursor(payload);
        let state = c.i32(whole)?;
        let (current_step, start_step, stop_step) = (c.i32(whole)?, c.i32(whole)?, c.i32(whole)?);
        let pid = c.i32(whole)?;
        // Padding before the 64-bit field; real senders leave garbage in it.
        let _ = c.i32(whole)?;
        let job_id = c.i64(whole)?;
        c.end(whole)?;
        if pid <= 0 {
            return Err(DecodeError::BadPids);
        }
        Ok(Self { state: State::from_wire(state)?, current_step, start_step, stop_step, pid, job_id })
    }

    fn encode(&self) -> Vec<u8> {
        let words = [self.state.to_wire(), self.current_step, self.start_step, self.stop_step, self.pid, 0];
        let mut payload: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        payload.extend(self.job_id.to_ne_bytes());
        payload
    }
}

impl Reply {
    /// Reads a datagram from the daemon.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        match split_header(datagram)? {
            (b"ctxt", payload) => {
                let n = payload.try_into().map_err(|_| DecodeError::PayloadSize("ctxt", payload.len()))?;
                Ok(Self::Registered(i32::from_ne_bytes(n)))
            }
            (b"req", payload) => Ok(Self::Config(payload.to_vec())),
            _ => Err(DecodeError::UnknownType),
        }
    }

    /// Writes the datagram that the daemon sends.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Registered(n) => prepend_header("ctxt", &n.to_ne_bytes()),
            Self::Config(text) => prepend_header("req", text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes that libkineto sends, byte for byte, on a little-endian machine.
    const KINETO_POLL: &[u8] =
        b"\x18\0\0\0\0\0\0\0req\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \x02\0\0\0\x02\0\0\0\x2a\0\0\0\0\0\0\0\x92\x10\0\0\x01\0\0\0";

    #[test]
    fn a_kineto_poll_byte_for_byte() {
        let poll = Poll { config_type: ACTIVITIES, job_id: 42, pids: vec![4242, 1] };
        assert_eq!(Message::decode(KINETO_POLL), Ok(Message::Poll(poll.clone())));
        assert_eq!(Message::Poll(poll).encode(), KINETO_POLL);
    }

    #[test]
    fn a_status_with_garbage_padding() {
        let mut datagram = prepend_header("npuTraceStatus", &[0; 32]);
        for (word, value) in [1_i32, 7, 8, 10, 4242, -559_038_737].iter().enumerate() {
            datagram[HEADER + 4 * word..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        let Ok(Message::TraceStatus(s)) = Message::decode(&datagram) else { panic!() };
        assert_eq!((s.state, s.current_step, s.start_step, s.stop_step), (State::Running, 7, 8, 10));
        assert_eq!((s.pid, s.job_id), (4242, 0));
    }

    #[test]
    fn lies_about_sizes_and_types_are_refused() {
        let mut five = prepend_header("data", b"12345");
        five[0..8].copy_from_slice(&4000_u64.to_ne_bytes());
        assert_eq!(Message::decode(&five), Err(DecodeError::Size { announced: 4000, carried: 5 }));
        let mut endless = prepend_header("req", &[]);
        endless[8..40].fill(b'r');
        assert_eq!(Message::decode(&endless), Err(DecodeError::TypeName));
        assert_eq!(Message::decode(&prepend_header("reqXYZ", &[])), Err(DecodeError::UnknownType));
        assert_eq!(Message::decode(&KINETO_POLL[..39]), Err(DecodeError::Short(39)));
        let mut many = prepend_header("req", &[0; 16]);
        many[44..48].copy_from_slice(&i32::MAX.to_ne_bytes());
        assert_eq!(Message::decode(&many), Err(DecodeError::BadPids));
        assert_eq!(
            Message::decode(&prepend_header("ctxt", &[0; 15])),
            Err(DecodeError::PayloadSize("ctxt", 15))
        );
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
            let _ = Reply::decode(&bytes);
        }

        #[test]
        fn messages_survive_the_round_trip(
            device in any::<i32>(), pid in 1..i32::MAX, job_id in any::<i64>(),
            pids in proptest::collection::vec(1..i32::MAX, 1..20), text in proptest::collection::vec(any::<u8>(), 0..99),
            words in any::<(i32, i32, i32)>(), state in -1..3_i32,
        ) {
            let status = Status {
                state: State::from_wire(state).unwrap(), current_step: words.0, start_step: words.1,
                stop_step: words.2, pid, job_id,
            };
            for m in [
                Message::Register(Register { device, pid, job_id }),
                Message::Poll(Poll { config_type: 3, job_id, pids }),
                Message::TraceStatus(status), Message::MonitorStatus(status), Message::Data(text.clone()),
            ] {
                prop_assert_eq!(Message::decode(&m.encode()), Ok(m));
            }
            for r in [Reply::Registered(device), Reply::Config(text)] {
                prop_assert_eq!(Reply::decode(&r.encode()), Ok(r));
            }
        }
    }
}
