//! The records of TensorBoard's event files: TFRecord framing around a protobuf `Event` (TensorFlow 2.20
//! `core/lib/io/record_writer.h`, `core/util/event.proto`, `core/framework/summary.proto`), of which scalars need a part.

use prost::Message;

/// The polynomial of CRC-32C (Castagnoli), reflected (RFC 3720, section 12.1).
const CASTAGNOLI: u32 = 0x82f6_3b78;
/// The number that the mask of a checksum adds (TensorFlow `core/lib/hash/crc32c.h`).
const MASK_DELTA: u32 = 0xa282_ead8;
/// Bytes before the content of a record: its length and the checksum of the length.
const HEAD: usize = 12;
/// Bytes after it: its checksum.
const TAIL: usize = 4;

/// `Event`: one point of one scalar.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScalarEvent {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<ScalarSummary>,
}

/// `Summary`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScalarSummary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<ScalarValue>,
}

/// `Summary.Value`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScalarValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
}

/// Appends an event as one record.
pub(super) fn append_record(to: &mut Vec<u8>, event: &ScalarEvent) {
    let content = event.encode_to_vec();
    let length = (content.len() as u64).to_le_bytes();
    to.extend_from_slice(&length);
    to.extend_from_slice(&masked_crc(&length).to_le_bytes());
    to.extend_from_slice(&content);
    to.extend_from_slice(&masked_crc(&content).to_le_bytes());
}

/// Reads the events of a file, up to the first that is cut or damaged.
pub(super) fn read_events(mut bytes: &[u8]) -> impl Iterator<Item = ScalarEvent> {
    std::iter::from_fn(move || {
        let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        let content = bytes.get(HEAD..HEAD.checked_add(length)?)?;
        let event = ScalarEvent::decode(content).ok()?;
        bytes = bytes.get(HEAD + length + TAIL..)?;
        Some(event)
    })
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(MASK_DELTA)
}

fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = make_table();
    let step = |crc: u32, byte: &u8| TABLE[(crc ^ u32::from(*byte)) as usize & 0xff] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

const fn make_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ CASTAGNOLI } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of RFC 3720, B.4, and of TensorFlow's mask.
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn a_cut_record_ends_a_file() {
        let event = |step| ScalarEvent { wall_time: 1.5, step, summary: None };
        let mut bytes = Vec::new();
        append_record(&mut bytes, &event(1));
        append_record(&mut bytes, &event(2));
        assert_eq!(read_events(&bytes).collect::<Vec<_>>(), [event(1), event(2)]);
        assert_eq!(read_events(&bytes[..bytes.len() - 5]).count(), 1);
        assert_eq!(read_events(&[0xff; 64]).count(), 0);
    }
}
