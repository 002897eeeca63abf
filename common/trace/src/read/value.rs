//! Small values built whole: metadata, and arguments for those who want to see them.

use serde_json::{Map, Number, Value};

use super::buffer::Buffer;
use super::error::{Fault, ReadError};
use super::json::{DEPTH_LIMIT, Scalar, Scanner};

impl Scanner<'_> {
    /// The value that is next. Missing numbers (`NaN`, `inf`) become null.
    pub(super) fn value(&mut self) -> Result<Value, ReadError> {
        self.nested(0)
    }

    fn nested(&mut self, depth: u32) -> Result<Value, ReadError> {
        let first = self.token("a value")?;
        if depth == DEPTH_LIMIT && matches!(first, b'{' | b'[') {
            return Err(self.buffer.error(Fault::TooDeep(DEPTH_LIMIT as usize)));
        }
        match first {
            b'{' => {
                let mut map = Map::new();
                let mut more = self.open(b'}')?;
                while more {
                    let key = self.key()?;
                    let key = self.text(key).decode().into_owned();
                    map.insert(key, self.nested(depth + 1)?);
                    more = self.next(b'}')?;
                }
                Ok(Value::Object(map))
            }
            b'[' => {
                let mut items = Vec::new();
                let mut more = self.open(b']')?;
                while more {
                    items.push(self.nested(depth + 1)?);
                    more = self.next(b']')?;
                }
                Ok(Value::Array(items))
            }
            _ => Ok(match self.scalar()? {
                Scalar::String(s) => Value::String(self.text(s).decode().into_owned()),
                Scalar::Number(n) => number(self.text(n).raw),
                Scalar::True => Value::Bool(true),
                Scalar::False => Value::Bool(false),
                Scalar::Null | Scalar::NotANumber | Scalar::Nested(_) => Value::Null,
            }),
        }
    }
}

/// A number as exactly as JSON values hold it: integers of 64 bits, else a float, else null.
fn number(text: &[u8]) -> Value {
    let text = std::str::from_utf8(text).unwrap_or("");
    if let Ok(n) = text.parse::<i64>() {
        return n.into();
    }
    if let Ok(n) = text.parse::<u64>() {
        return n.into();
    }
    text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// An event's arguments as a value; `None` if there are none.
pub(crate) fn arguments(text: &[u8]) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    // The scanner has seen this text; what it let through and serde_json does not take, it reads itself.
    serde_json::from_slice(text).ok().or_else(|| {
        let mut buffer = Buffer::new(Box::new(text));
        buffer.mark();
        Scanner::new(buffer).value().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_what_can_be_kept() {
        let v =
            arguments(br#"{"bw": inf, "n": 18446744073709551615, "x": N/A, "s": "\u00e9", "a": [1.5, -2]}"#)
                .unwrap();
        assert_eq!(
            v,
            serde_json::json!({"bw": null, "n": 18446744073709551615u64, "x": null, "s": "é", "a": [1.5, -2]})
        );
        assert_eq!(arguments(b""), None);
    }
}
