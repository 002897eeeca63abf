//! Definitions of earlier packets of a sequence: names by number, defaults, a thread.

use super::messages::{Interned, InternedData, PacketDefaults, ThreadDescriptor};
use crate::model::FastMap;

/// The most that names may take in memory, in bytes.
const MOST_BYTES: usize = 512 * 1024 * 1024;
const MOST_SEQUENCES: usize = 1 << 20;

type Texts = FastMap<u64, Vec<u8>>;

/// The state of a sequence.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// None of its definitions were lost.
    pub(super) valid: bool,
    pub(super) defaults: PacketDefaults,
    pub(super) categories: Texts,
    pub(super) names: Texts,
    pub(super) annotation_names: Texts,
    pub(super) texts: Texts,
    /// Lanes and stages of a GPU, with their category.
    pub(super) specifications: FastMap<u64, (Vec<u8>, i32)>,
    pub(super) kernels: Texts,
    /// Process and thread of events without a track.
    pub(super) thread: Option<(i64, i64)>,
    /// The time that differences of old events add up from, in nanoseconds.
    pub(super) reference: i64,
}

impl Sequence {
    /// Forgets its definitions.
    pub(super) fn clear(&mut self) {
        *self = Self { valid: true, ..Self::default() };
    }

    pub(super) fn set_thread(&mut self, thread: &ThreadDescriptor) {
        self.thread = Some((i64::from(thread.pid.unwrap_or(0)), thread.tid.unwrap_or(0)));
        self.reference = thread.reference_us.unwrap_or(0).wrapping_mul(1000);
    }
}

/// All sequences.
#[derive(Debug, Default)]
pub(super) struct SequenceTable {
    sequences: FastMap<u32, Sequence>,
    empty: Sequence,
    bytes: usize,
}

impl SequenceTable {
    pub(super) fn has(&self, id: Option<u32>) -> bool {
        self.sequences.contains_key(&id.unwrap_or(0))
    }

    pub(super) fn get(&self, id: Option<u32>) -> &Sequence {
        self.sequences.get(&id.unwrap_or(0)).unwrap_or(&self.empty)
    }

    pub(super) fn get_mut(&mut self, id: Option<u32>) -> Result<&mut Sequence, &'static str> {
        let id = id.unwrap_or(0);
        if self.sequences.len() >= MOST_SEQUENCES && !self.sequences.contains_key(&id) {
            return Err("the trace has more than a million sequences of packets");
        }
        Ok(self.sequences.entry(id).or_default())
    }

    /// Takes names of a sequence; a number that comes again has a new name.
    pub(super) fn intern(&mut self, id: Option<u32>, data: &InternedData) -> Result<(), &'static str> {
        let mut bytes = 0;
        let sequence = self.get_mut(id)?;
        let mut add = |texts: &mut Texts, entries: &[Interned], demangled: bool| {
            for entry in entries {
                let text =
                    entry.demangled.as_ref().filter(|t| demangled && !t.is_empty()).or(entry.text.as_ref());
                let text = text.cloned().unwrap_or_default();
                bytes += text.len() + 64;
                texts.insert(entry.id.unwrap_or(0), text);
            }
        };
        add(&mut sequence.categories, &data.categories, false);
        add(&mut sequence.names, &data.names, false);
        add(&mut sequence.annotation_names, &data.annotation_names, false);
        add(&mut sequence.texts, &data.texts, false);
        add(&mut sequence.kernels, &data.kernels, true);
        for entry in &data.specifications {
            let name = entry.name.clone().unwrap_or_default();
            bytes += name.len() + 64;
            sequence.specifications.insert(entry.id.unwrap_or(0), (name, entry.category.unwrap_or(0)));
        }
        self.bytes += bytes;
        if self.bytes > MOST_BYTES { Err("the names of the trace need more than 512 MiB") } else { Ok(()) }
    }
}

/// The name with a number, empty if there is none.
pub(super) fn text_of(texts: &Texts, id: Option<u64>) -> &[u8] {
    id.and_then(|id| texts.get(&id)).map_or(b"", Vec::as_slice)
}
