//! Values of scanned text by their place in it, each in one machine word.

use crate::model::RawText;

/// A string's text between its quotes, or a number's text, by offsets into the scanned slice. One word, because
/// every event has dozens of them: 28 bits for each offset, which is enough for blocks
/// ([`super::window::TEXT_LIMIT`]), and one that says whether there is an escape inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TextSpan(u64);

const OFFSET_BITS: u32 = 28;
const OFFSET: u64 = (1 << OFFSET_BITS) - 1;
const ESCAPED: u64 = 1 << (2 * OFFSET_BITS);

impl TextSpan {
    #[inline(always)]
    pub(super) fn new(start: usize, end: usize, escaped: bool) -> Self {
        debug_assert!(start <= end && end as u64 <= OFFSET, "blocks are shorter");
        let escaped = if escaped { ESCAPED } else { 0 };
        Self(start as u64 & OFFSET | (end as u64 & OFFSET) << OFFSET_BITS | escaped)
    }

    /// Whether there is an escape inside.
    #[inline(always)]
    pub(super) fn is_escaped(self) -> bool {
        self.0 & ESCAPED != 0
    }

    /// Where it begins and ends.
    #[inline(always)]
    pub(super) fn bounds(self) -> (usize, usize) {
        ((self.0 & OFFSET) as usize, (self.0 >> OFFSET_BITS & OFFSET) as usize)
    }

    /// The text of the span in the slice that was scanned.
    #[inline(always)]
    pub(super) fn text_in(self, text: &[u8]) -> RawText<'_> {
        let (start, end) = self.bounds();
        RawText { raw: text.get(start..end).unwrap_or_default(), escaped: self.is_escaped() }
    }
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonScalar {
    /// Missing.
    Missing,
    String(TextSpan),
    Number(TextSpan),
    True,
    False,
    Null,
    /// `NaN`, `inf`, `N/A` and the like, or what is no value at all.
    NotANumber,
    /// An object or array, skipped.
    Nested(TextSpan),
}

/// A [`JsonScalar`] in one word: its span, and what it is in the topmost bits. An enum of a byte and a word would be
/// written in two pieces and read in one, for which the processor waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JsonValue(u64);

const KIND_SHIFT: u32 = 60;

impl JsonValue {
    pub(super) const MISSING: Self = Self(0);
    pub(super) const TRUE: Self = Self(3 << KIND_SHIFT);
    pub(super) const FALSE: Self = Self(4 << KIND_SHIFT);
    pub(super) const NULL: Self = Self(5 << KIND_SHIFT);
    pub(super) const NOT_A_NUMBER: Self = Self(6 << KIND_SHIFT);

    #[inline(always)]
    pub(super) fn string(span: TextSpan) -> Self {
        Self(span.0 | 1 << KIND_SHIFT)
    }

    #[inline(always)]
    pub(super) fn number(span: TextSpan) -> Self {
        Self(span.0 | 2 << KIND_SHIFT)
    }

    #[inline(always)]
    pub(super) fn nested(span: TextSpan) -> Self {
        Self(span.0 | 7 << KIND_SHIFT)
    }

    /// The same value in another place: what it stands behind was at `from`, and is at `to`.
    #[inline(always)]
    pub(super) fn moved(self, from: usize, to: usize) -> Self {
        match self.0 >> KIND_SHIFT {
            1 | 2 | 7 => {
                let both = |at: usize| (at as u64) << OFFSET_BITS | at as u64;
                Self(self.0.wrapping_sub(both(from)).wrapping_add(both(to)))
            }
            _ => self,
        }
    }

    /// Returns its kind and place.
    #[inline(always)]
    pub(super) fn get(self) -> JsonScalar {
        let span = TextSpan(self.0 & ((1 << KIND_SHIFT) - 1));
        match self.0 >> KIND_SHIFT {
            0 => JsonScalar::Missing,
            1 => JsonScalar::String(span),
            2 => JsonScalar::Number(span),
            3 => JsonScalar::True,
            4 => JsonScalar::False,
            5 => JsonScalar::Null,
            7 => JsonScalar::Nested(span),
            _ => JsonScalar::NotANumber,
        }
    }

    /// The span of a string or number; an empty one for anything else.
    #[inline(always)]
    pub(super) fn span(self) -> TextSpan {
        match self.0 >> KIND_SHIFT {
            1 | 2 => TextSpan(self.0 & ((1 << KIND_SHIFT) - 1)),
            _ => TextSpan::default(),
        }
    }
}
