//! Small values built whole: metadata, and arguments for those who want to see them.

use serde_json::{Map, Number, Value};

use super::buffer::InputBuffer;
use super::error::{ReadError, ReadFault};
use super::json::{DEPTH_LIMIT, JsonScalar, JsonScanner};

impl JsonScanner<'_> {
    /// The value that is next. Missing numbers (`NaN`, `inf`) become null.
    pub(super) fn read_value(&mut self) -> Result<Value, ReadError> {
        self.read_nested(0)
    }

    fn read_nested(&mut self, depth: u32) -> Result<Value, ReadError> {
        let first = self.expect_byte("a value")?;
        if depth == DEPTH_LIMIT && matches!(first, b'{' | b'[') {
            return Err(self.buffer.error_here(ReadFault::TooDeep(DEPTH_LIMIT as usize)));
        }
        match first {
            b'{' => {
                let mut map = Map::new();
                let mut more = self.open_bracket(b'}')?;
                while more {
                    let key = self.scan_key()?;
                    let key = self.text_of(key).decode().into_owned();
                    map.insert(key, self.read_nested(depth + 1)?);
                    more = self.next_element(b'}')?;
                }
                Ok(Value::Object(map))
            }
            b'[' => {
                let mut items = Vec::new();
                let mut more = self.open_bracket(b']')?;
                while more {
                    items.push(self.read_nested(depth + 1)?);
                    more = self.next_element(b']')?;
                }
                Ok(Value::Array(items))
            }
            _ => Ok(match self.scan_scalar()? {
                JsonScalar::String(s) => Value::String(self.text_of(s).decode().into_owned()),
                JsonScalar::Number(n) => parse_json_number(self.text_of(n).raw),
                JsonScalar::True => Value::Bool(true),
                JsonScalar::False => Value::Bool(false),
                JsonScalar::Null | JsonScalar::NotANumber | JsonScalar::Nested(_) => Value::Null,
            }),
        }
    }
}

/// A number as exactly as JSON values hold it: integers of 64 bits, else a float, else null.
fn parse_json_number(text: &[u8]) -> Value {
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
pub fn parse_arguments(text: &[u8]) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    // The scanner has seen this text; what it let through and serde_json does not take, it reads itself.
    serde_json::from_slice(text).ok().or_else(|| {
        let mut buffer = InputBuffer::new(Box::new(text));
        buffer.mark();
        JsonScanner::new(buffer).read_value().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_what_can_be_kept() {
        let v = parse_arguments(
            br#"{"bw": inf, "n": 18446744073709551615, "x": N/A, "s": "\u00e9", "a": [1.5, -2]}"#,
        )
        .unwrap();
        assert_eq!(
            v,
            serde_json::json!({"bw": null, "n": 18446744073709551615u64, "x": null, "s": "é", "a": [1.5, -2]})
        );
        assert_eq!(parse_arguments(b""), None);
    }
}
