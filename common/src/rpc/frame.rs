//! Frames: a 4-byte signed length in native byte order, then that many bytes of JSON.

use thiserror::Error;

/// Bytes of the length prefix.
pub const PREFIX: usize = 4;
/// The longest request that a daemon accepts by default. Existing clients stay below 8 KiB.
pub const MAX_REQUEST: usize = 64 * 1024;
/// The longest reply that a client accepts.
pub const MAX_REPLY: usize = 4 * 1024 * 1024;

/// Why a length prefix cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Zero or negative.
    #[error("frame length {0} is not positive")]
    NotPositive(i32),
    /// Longer than the receiver's limit.
    #[error("frame length {length} is beyond the limit of {limit} bytes")]
    TooLong {
        /// As announced.
        length: i32,
        /// The receiver's.
        limit: usize,
    },
    /// A sensible length in the other byte order: a peer of another architecture, or not this protocol.
    #[error("frame length {0:#010x} looks byte-swapped: the peer uses another byte order")]
    Swapped(i32),
}

/// Reads a length prefix.
///
/// # Errors
/// The length is not positive or beyond `limit`. Nothing may be allocated for it then.
pub fn length(prefix: [u8; PREFIX], limit: usize) -> Result<usize, FrameError> {
    let length = i32::from_ne_bytes(prefix);
    let fits = |n: i32| usize::try_from(n).ok().filter(|n| *n > 0 && *n <= limit);
    match fits(length) {
        Some(n) => Ok(n),
        None if fits(length.swap_bytes()).is_some() => Err(FrameError::Swapped(length)),
        None if length <= 0 => Err(FrameError::NotPositive(length)),
        None => Err(FrameError::TooLong { length, limit }),
    }
}

/// Puts the length prefix before a body.
///
/// # Errors
/// The body is empty or longer than a signed 32-bit length can say.
pub fn encode(body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let limit = i32::MAX as usize;
    let length = i32::try_from(body.len()).map_err(|_| FrameError::TooLong { length: i32::MAX, limit })?;
    if length == 0 {
        return Err(FrameError::NotPositive(0));
    }
    let mut frame = Vec::with_capacity(PREFIX + body.len());
    frame.extend_from_slice(&length.to_ne_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_little_endian_where_everybody_is() {
        if cfg!(target_endian = "little") {
            assert_eq!(encode(b"{}").unwrap(), b"\x02\0\0\0{}");
        }
        assert_eq!(length(300_i32.to_ne_bytes(), MAX_REQUEST), Ok(300));
    }

    #[test]
    fn bad_lengths_are_told_apart() {
        assert_eq!(length(0_i32.to_ne_bytes(), 100), Err(FrameError::NotPositive(0)));
        assert_eq!(length((-5_i32).to_ne_bytes(), 100), Err(FrameError::NotPositive(-5)));
        let e = length(101_i32.to_ne_bytes(), 100).unwrap_err();
        assert_eq!(e, FrameError::TooLong { length: 101, limit: 100 });
        let swapped = 90_i32.swap_bytes();
        assert_eq!(length(swapped.to_ne_bytes(), 100), Err(FrameError::Swapped(swapped)));
    }
}
