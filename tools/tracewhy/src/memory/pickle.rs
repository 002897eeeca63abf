//! Python's pickles of plain data: numbers, texts, lists, tuples and dicts, of protocols 2 to 5.
//!
//! A pickle is a program for a machine with a stack (CPython `Lib/pickletools.py`). What would import a name, call
//! something or make an object is rejected here, so that nothing of a file is ever run; sizes are checked against the file,
//! and values are counted.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};

/// The number of a value.
pub(crate) type Ref = u32;

/// A value; those within it are named by number, since one may be in several places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Where it is in the file.
    Text(usize, usize),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
}

/// A dict is looked through so far for a key: those that are looked into have few, and one of a hostile file may be in many
/// places.
const MOST_MEMBERS: usize = 64;

/// Bytes of a text that are looked at (PATH_MAX of Linux).
const MOST_TEXT: usize = 4096;

/// A pickle that was read.
pub(crate) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Ref,
}

impl Pickle<'_> {
    /// The whole.
    pub(crate) fn root(&self) -> Ref {
        self.root
    }

    fn get(&self, value: Ref) -> &Value {
        self.values.get(value as usize).unwrap_or(&Value::Nothing)
    }

    /// The elements of a list or tuple; none of anything else.
    pub(crate) fn items(&self, value: Ref) -> &[Ref] {
        match self.get(value) {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a dict; of several, the last.
    pub(crate) fn member(&self, value: Ref, key: &str) -> Option<Ref> {
        match self.get(value) {
            Value::Dict(pairs) => pairs
                .iter()
                .rev()
                .take(MOST_MEMBERS)
                .find(|(k, _)| self.raw_text(*k) == Some(key.as_bytes()))
                .map(|(_, v)| *v),
            _ => None,
        }
    }

    fn raw_text(&self, value: Ref) -> Option<&[u8]> {
        match *self.get(value) {
            Value::Text(start, end) => self.bytes.get(start..end),
            _ => None,
        }
    }

    /// A text, or its beginning: no file and no function has a longer name than that.
    pub(crate) fn text(&self, value: Ref) -> Option<String> {
        let bytes = self.raw_text(value)?;
        Some(String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_TEXT)]).into_owned())
    }

    /// The bytes of a member that is a text, or its beginning; none of anything else.
    pub(crate) fn member_bytes(&self, value: Ref, key: &str) -> &[u8] {
        let bytes = self.member(value, key).and_then(|text| self.raw_text(text)).unwrap_or_default();
        &bytes[..bytes.len().min(MOST_TEXT)]
    }

    /// The text of a member.
    pub(crate) fn member_text(&self, value: Ref, key: &str) -> Option<String> {
        self.text(self.member(value, key)?)
    }

    /// The integer of a member.
    pub(crate) fn member_int(&self, value: Ref, key: &str) -> Option<i64> {
        match *self.get(self.member(value, key)?) {
            Value::Int(n) => Some(n),
            Value::Bool(b) => Some(b.into()),
            Value::Float(x) if x.abs() < 9e15 => Some(x as i64),
            _ => None,
        }
    }
}

/// Recognizes a pickle by its first bytes.
pub(crate) fn looks_like_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, ..])
}

/// Returns the name in CPython of an operation that is rejected.
fn name_of_code(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        b'c' => "GLOBAL",
        0x93 => "STACK_GLOBAL",
        b'R' => "REDUCE",
        b'b' => "BUILD",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        b'P' | b'Q' => "PERSID",
        0x82..=0x84 => "EXT",
        _ => return None,
    })
}

/// The machine.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    most: usize,
    stack: Vec<Ref>,
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

/// Reads a pickle with at most `most` values.
///
/// # Errors
/// It is damaged, has too many values, or something that is no plain data.
pub(crate) fn read_pickle(bytes: &[u8], most: usize) -> anyhow::Result<Pickle<'_>> {
    let mut machine = Machine {
        bytes,
        at: 0,
        values: Vec::new(),
        most,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let place = machine.at;
        let opcode = machine.byte()?;
        match machine.step(opcode) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => return Err(e).with_context(|| format!("byte {place} of the pickle")),
        }
    }
    let root = machine.pop()?;
    Ok(Pickle { bytes, values: machine.values, root })
}

impl Machine<'_> {
    fn take(&mut self, n: usize) -> anyhow::Result<&[u8]> {
        let end =
            self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).context("the file ends early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> anyhow::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self, n: usize) -> anyhow::Result<u64> {
        let bytes = self.take(n)?;
        Ok(bytes.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b)))
    }

    fn push(&mut self, value: Value) -> anyhow::Result<bool> {
        ensure!(self.values.len() < self.most, "it has more values than --max-memory allows");
        self.stack.push(u32::try_from(self.values.len())?);
        self.values.push(value);
        Ok(true)
    }

    fn pop(&mut self) -> anyhow::Result<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "it takes more from its stack than is there");
        self.stack.pop().context("its stack is empty")
    }

    fn pop_mark(&mut self) -> anyhow::Result<Vec<Ref>> {
        let floor = self.marks.pop().context("it has no mark")?;
        Ok(self.stack.split_off(floor.min(self.stack.len())))
    }

    fn top(&mut self) -> anyhow::Result<&mut Value> {
        let top = *self.stack.last().context("its stack is empty")?;
        self.values.get_mut(top as usize).context("its stack is empty")
    }

    /// Texts and bytes stay where they are.
    fn push_text(&mut self, width: usize) -> anyhow::Result<bool> {
        let length = usize::try_from(self.number(width)?)?;
        let start = self.at;
        self.take(length)?;
        self.push(Value::Text(start, start + length))
    }

    /// A little-endian integer of two's complement; addresses may need the 64th bit.
    fn push_long(&mut self, length: usize) -> anyhow::Result<bool> {
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|b| *b & 0x80 != 0);
        let (low, high) = bytes.split_at(bytes.len().min(8));
        ensure!(high.iter().all(|b| *b == 0), "an integer has more than 64 bits");
        let fill = if negative && high.is_empty() { u64::MAX } else { 0 };
        let number = low.iter().rev().fold(fill, |sum, b| sum << 8 | u64::from(*b));
        let number = if low.is_empty() { 0 } else { number as i64 };
        self.push(Value::Int(number))
    }

    fn append(&mut self, new: Vec<Ref>) -> anyhow::Result<bool> {
        match self.top()? {
            Value::List(items) => items.extend(new),
            _ => bail!("it appends to a value that is not a list"),
        }
        Ok(true)
    }

    fn set_items(&mut self, new: &[Ref]) -> anyhow::Result<bool> {
        ensure!(new.len() % 2 == 0, "a dict has a key without a value");
        match self.top()? {
            Value::Dict(pairs) => pairs.extend(new.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => bail!("it sets items of a value that is not a dict"),
        }
        Ok(true)
    }

    fn push_tuple(&mut self, n: usize) -> anyhow::Result<bool> {
        let mut items = (0..n).map(|_| self.pop()).collect::<anyhow::Result<Vec<_>>>()?;
        items.reverse();
        self.push(Value::List(items))
    }

    fn remember(&mut self, number: u32) -> anyhow::Result<bool> {
        let top = *self.stack.last().context("its stack is empty")?;
        ensure!(self.memo.len() < self.most, "it has more values than --max-memory allows");
        self.memo.insert(number, top);
        Ok(true)
    }

    fn recall(&mut self, number: u32) -> anyhow::Result<bool> {
        let value = *self.memo.get(&number).context("it names a value that it has not made")?;
        ensure!(self.stack.len() < self.most, "it has more values than --max-memory allows");
        self.stack.push(value);
        Ok(true)
    }

    /// Does what an opcode says; `false` at the end.
    fn step(&mut self, opcode: u8) -> anyhow::Result<bool> {
        match opcode {
            b'.' => Ok(false),
            0x80 => {
                let protocol = self.byte()?;
                ensure!((2..=5).contains(&protocol), "its protocol is {protocol}, not 2 to 5");
                Ok(true)
            }
            0x95 => self.take(8).map(|_| true),
            b'N' => self.push(Value::Nothing),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.number(1).and_then(|n| self.push(Value::Int(n as i64))),
            b'M' => self.number(2).and_then(|n| self.push(Value::Int(n as i64))),
            b'J' => self.number(4).and_then(|n| self.push(Value::Int(i64::from(n as u32 as i32)))),
            0x8a => self.number(1).and_then(|n| self.push_long(n as usize)),
            0x8b => self.number(4).and_then(|n| self.push_long(usize::try_from(n)?)),
            b'G' => {
                let bytes = self.take(8)?.try_into().unwrap_or_default();
                self.push(Value::Float(f64::from_be_bytes(bytes)))
            }
            0x8c | b'U' | b'C' => self.push_text(1),
            b'X' | b'T' | b'B' => self.push_text(4),
            0x8d | 0x8e => self.push_text(8),
            _ => self.step_container(opcode),
        }
    }

    fn step_container(&mut self, opcode: u8) -> anyhow::Result<bool> {
        match opcode {
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' => self.push(Value::List(Vec::new())),
            b'(' => {
                ensure!(self.marks.len() < self.most, "it has more values than --max-memory allows");
                self.marks.push(self.stack.len());
                Ok(true)
            }
            b'a' => self.pop().and_then(|item| self.append(vec![item])),
            b'e' => self.pop_mark().and_then(|items| self.append(items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => self.pop_mark().and_then(|items| self.set_items(&items)),
            b't' | b'l' => self.pop_mark().and_then(|items| self.push(Value::List(items))),
            0x85..=0x87 => self.push_tuple(usize::from(opcode - 0x84)),
            b'0' => self.pop().map(|_| true),
            b'1' => self.pop_mark().map(|_| true),
            0x94 => self.remember(u32::try_from(self.memo.len())?),
            b'q' => self.number(1).and_then(|n| self.remember(n as u32)),
            b'r' => self.number(4).and_then(|n| self.remember(n as u32)),
            b'h' => self.number(1).and_then(|n| self.recall(n as u32)),
            b'j' => self.number(4).and_then(|n| self.recall(n as u32)),
            _ => match name_of_code(opcode) {
                Some(name) => bail!("it would run code ({name}), which is not done"),
                None => bail!("opcode {opcode:#04x} is not one of plain data"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(bytes: &[u8]) -> String {
        match read_pickle(bytes, 1000) {
            Ok(_) => panic!("{bytes:?} is accepted"),
            Err(e) => format!("{e:#}"),
        }
    }

    #[test]
    fn what_would_run_code_is_rejected() {
        // `os.system("id")`, of protocols 2 and 4.
        assert!(reject(b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R.").contains("(GLOBAL)"));
        assert!(reject(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.").contains("(STACK_GLOBAL)"));
        assert!(reject(b"\x80\x02]R.").contains("(REDUCE)"));
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [
            &b"\x80\x02"[..],
            b"\x80\x02X\xff\xff\xff\xffa.",
            b"\x80\x02.",
            b"\x80\x02e.",
            b"\x80\x02h\0.",
            b"\x80\x09N.",
        ] {
            reject(bytes);
        }
        assert!(read_pickle(b"\x80\x02K\x01K\x02K\x03.", 2).is_err());
        // The beginning of every pickle is none.
        let whole = b"\x80\x04}\x94(\x8c\x01a\x94K\x01\x8c\x01b]\x94(K\x02N\x88eu.";
        let pickle = read_pickle(whole, 1000).unwrap();
        assert_eq!(pickle.member_int(pickle.root(), "a"), Some(1));
        assert_eq!(pickle.member(pickle.root(), "b").map(|list| pickle.items(list).len()), Some(3));
        for n in 0..whole.len() {
            reject(&whole[..n]);
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = b"\x80\x04}\x94(\x8c\x01a\x94K\x01\x8c\x01b]\x94(K\x02N\x88eX\x01\0\0\0c\x8a\x02\x01\x02h\x01(K\x01tu.";
        assert!(read_pickle(whole, 1000).is_ok());
        let mut seed = 1_u64;
        let mut next = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % n
        };
        let mut accepted = 0;
        for _ in 0..50_000 {
            let mut bytes = whole.to_vec();
            for _ in 0..=next(3) {
                let at = 2 + next(bytes.len() - 2);
                bytes[at] = if next(2) == 0 { whole[next(whole.len())] } else { next(256) as u8 };
            }
            if let Ok(pickle) = read_pickle(&bytes, 64) {
                pickle.member_int(pickle.root(), "a");
                accepted += 1;
            }
        }
        assert!(accepted > 100, "{accepted}");
    }

    #[test]
    fn integers_are_exact() {
        let of = |bytes: &[u8]| {
            let pickle = read_pickle(bytes, 10).unwrap();
            pickle.values[0].clone()
        };
        assert_eq!(of(b"\x80\x02J\xff\xff\xff\xff."), Value::Int(-1));
        assert_eq!(of(b"\x80\x02\x8a\x02\x00\xff."), Value::Int(-256));
        // 2^63 + 1, an address.
        assert_eq!(of(b"\x80\x02\x8a\x09\x01\0\0\0\0\0\0\x80\0."), Value::Int(i64::MIN + 1));
        assert_eq!(of(b"\x80\x02\x8a\x00."), Value::Int(0));
    }
}
