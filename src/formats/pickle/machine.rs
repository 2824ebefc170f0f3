//! The stack machine that a pickle is a program for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::super::io::check_limit;
use super::super::{FormatError, Limits};
use super::PickleValue;
use super::memory::{FreezeError, Id, Memory, Node};

/// Longest name of a callable, bytes.
const MAX_NAME: usize = 512;

/// A pickle half read.
pub(super) struct Machine<'a> {
    file: &'a Path,
    place: &'a str,
    limits: &'a Limits,
    bytes: &'a [u8],
    position: usize,
    pub(super) memory: Memory,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    copied: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(
        file: &'a Path,
        place: &'a str,
        bytes: &'a [u8],
        limits: &'a Limits,
    ) -> Machine<'a> {
        Machine {
            file,
            place,
            limits,
            bytes,
            position: 0,
            memory: Memory::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copied: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<PickleValue, FormatError> {
        let what = format!("{}: size in bytes", self.place);
        let length = self.bytes.len() as u64;
        check_limit(self.file, what, self.limits.pickle_bytes, length)?;
        for _ in 0..self.limits.pickle_opcodes {
            let opcode = self.byte()?;
            if opcode == b'.' {
                return self.finish();
            }
            self.step(opcode)?;
            self.check_size()?;
        }
        Err(self.over_limit("opcodes", self.limits.pickle_opcodes))
    }

    fn finish(mut self) -> Result<PickleValue, FormatError> {
        let root = self.pop()?;
        if self.position != self.bytes.len() {
            return Err(self.corrupt("the end after the STOP opcode", "more bytes"));
        }
        self.memory
            .freeze(root, self.limits.pickle_depth)
            .map_err(|error| match error {
                FreezeError::Depth(limit) => self.over_limit("nesting of containers", limit),
                FreezeError::Cycle => self.corrupt("containers", "one that contains itself"),
            })
    }

    fn check_size(&self) -> Result<(), FormatError> {
        let limit = self.limits.pickle_values;
        let sizes = [
            ("values", self.memory.len()),
            ("stack slots", self.stack.len()),
            ("marks", self.marks.len()),
            ("memo slots", self.memo.len()),
        ];
        match sizes.iter().find(|(_, size)| *size > limit) {
            None => Ok(()),
            Some((what, _)) => Err(self.over_limit(what, limit)),
        }
    }

    /// Accounts for parts that a call copies: a few bytes can have a large list copied again
    /// and again.
    pub(super) fn charge(&mut self, parts: usize) -> Result<(), FormatError> {
        self.copied = self.copied.saturating_add(parts);
        if self.copied > self.limits.pickle_opcodes {
            return Err(self.over_limit("parts copied by calls", self.limits.pickle_opcodes));
        }
        Ok(())
    }

    fn step(&mut self, opcode: u8) -> Result<(), FormatError> {
        match opcode {
            0x80 => self.protocol(),
            // FRAME: the length only helps readers of streams.
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | b'G' | 0x8a | 0x8b => self.number(opcode),
            b'I' | b'L' | b'F' => self.text_number(opcode),
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'S' | b'V' => self.text(opcode),
            b'B' | b'C' | 0x8e | 0x96 => self.raw_bytes(opcode),
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => {
                self.container(opcode)
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.extend(opcode),
            b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => self.remember(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' | 0x81 | 0x92 => self.call(opcode),
            b'b' => self.set_state(),
            b'i' => {
                let name = self.name_lines()?;
                Err(self.refused(&name))
            }
            b'Q' => self.persistent_id(),
            other => Err(self.corrupt(
                "an opcode of tensors and plain data (pickle protocols 0 to 5)",
                &format!("opcode {other:#04x}"),
            )),
        }
    }

    fn protocol(&mut self) -> Result<(), FormatError> {
        match self.byte()? {
            0..=5 => Ok(()),
            other => Err(self.corrupt("pickle protocol 5 or less", &other.to_string())),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<(), FormatError> {
        let value = match opcode {
            b'N' => PickleValue::None,
            0x88 => PickleValue::Bool(true),
            0x89 => PickleValue::Bool(false),
            b'K' => PickleValue::Int(i64::from(self.byte()?)),
            b'M' => PickleValue::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => PickleValue::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'G' => PickleValue::Float(f64::from_be_bytes(self.array()?)),
            long => {
                let length = self.length(if long == 0x8a { 1 } else { 4 })?;
                integer(self.take(length)?)
            }
        };
        self.push(Node::Leaf(value));
        Ok(())
    }

    fn text_number(&mut self, opcode: u8) -> Result<(), FormatError> {
        let line = self.line()?;
        let value = match (opcode, line) {
            (b'I', "00") => Some(PickleValue::Bool(false)),
            (b'I', "01") => Some(PickleValue::Bool(true)),
            (b'F', _) => line.parse().ok().map(PickleValue::Float),
            _ => {
                let digits = line.strip_suffix('L').unwrap_or(line);
                digits.parse().ok().map(PickleValue::Int)
            }
        };
        match value {
            Some(value) => self.push(Node::Leaf(value)),
            None => return Err(self.corrupt("a number", &format!("'{line}'"))),
        }
        Ok(())
    }

    fn text(&mut self, opcode: u8) -> Result<(), FormatError> {
        let text = match opcode {
            b'S' | b'V' => {
                // Escapes are left as they are: protocol 0 is read to name what it calls.
                self.line()?
            }
            _ => {
                let width = match opcode {
                    0x8c | b'U' => 1,
                    0x8d => 8,
                    _ => 4,
                };
                let length = self.length(width)?;
                let raw = self.take(length)?;
                std::str::from_utf8(raw).map_err(|_| self.corrupt("UTF-8 text", "other bytes"))?
            }
        };
        self.push(Node::Leaf(PickleValue::Str(text.into())));
        Ok(())
    }

    fn raw_bytes(&mut self, opcode: u8) -> Result<(), FormatError> {
        let length = self.length(match opcode {
            b'C' => 1,
            b'B' => 4,
            _ => 8,
        })?;
        let raw = self.take(length)?.into();
        self.push(Node::Leaf(PickleValue::Bytes(raw)));
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), FormatError> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            0x85 => Node::Tuple(self.pop_many(1)?),
            0x86 => Node::Tuple(self.pop_many(2)?),
            0x87 => Node::Tuple(self.pop_many(3)?),
            b't' => Node::Tuple(self.pop_to_mark()?),
            b']' => Node::List(Vec::new()),
            b'l' => Node::List(self.pop_to_mark()?),
            b'd' => {
                let items = self.pop_to_mark()?;
                Node::Dict(self.pairs(&items)?)
            }
            b'}' => Node::Dict(Vec::new()),
            0x91 => Node::Set(self.pop_to_mark()?),
            _ => Node::Set(Vec::new()),
        };
        self.push(node);
        Ok(())
    }

    fn extend(&mut self, opcode: u8) -> Result<(), FormatError> {
        let added = match opcode {
            b'a' => self.pop_many(1)?,
            b's' => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let target = self.top()?;
        let keyed = matches!(opcode, b's' | b'u');
        let pairs = if keyed {
            self.pairs(&added)?
        } else {
            Vec::new()
        };
        match self.memory.get_mut(target) {
            Some(Node::List(items) | Node::Set(items)) if !keyed => items.extend(added),
            Some(Node::Dict(entries)) if keyed => entries.extend(pairs),
            _ => return Err(self.corrupt("a container to add to", "another value")),
        }
        Ok(())
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, FormatError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.corrupt("a value for every key", "an odd number of values"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), FormatError> {
        let slot = match opcode {
            0x94 => self.memo.len() as u64,
            b'q' | b'h' => u64::from(self.byte()?),
            b'r' | b'j' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => {
                let line = self.line()?;
                let number = line.parse().ok();
                number.ok_or_else(|| self.corrupt("a memo number", &format!("'{line}'")))?
            }
        };
        if matches!(opcode, b'h' | b'j' | b'g') {
            let Some(id) = self.memo.get(&slot) else {
                return Err(self.corrupt("a memo slot that was set", &format!("slot {slot}")));
            };
            self.stack.push(*id);
        } else {
            let top = self.top()?;
            self.memo.insert(slot, top);
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), FormatError> {
        let name = if opcode == b'c' {
            self.name_lines()?
        } else {
            let parts = self.pop_many(2)?;
            let texts: Option<Vec<&str>> = parts
                .iter()
                .map(|id| self.memory.leaf(*id).and_then(PickleValue::as_str))
                .collect();
            match texts {
                Some(texts) => texts.join("."),
                None => return Err(self.corrupt("module and name as text", "another value")),
            }
        };
        if name.len() > MAX_NAME {
            return Err(self.over_limit("length of a callable's name in bytes", MAX_NAME));
        }
        self.push(Node::Leaf(PickleValue::Global(name.into())));
        Ok(())
    }

    fn name_lines(&mut self) -> Result<String, FormatError> {
        let module = self.line()?;
        let name = self.line()?;
        Ok(format!("{module}.{name}"))
    }

    // The stack.

    pub(super) fn push(&mut self, node: Node) {
        let id = self.memory.add(node);
        self.stack.push(id);
    }

    pub(super) fn push_id(&mut self, id: Id) {
        self.stack.push(id);
    }

    /// The lowest slot that an opcode may touch: above the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Id, FormatError> {
        if self.stack.len() > self.floor()
            && let Some(id) = self.stack.pop()
        {
            return Ok(id);
        }
        Err(self.corrupt("a value on the stack", "none"))
    }

    pub(super) fn top(&self) -> Result<Id, FormatError> {
        match self.stack.last() {
            Some(id) if self.stack.len() > self.floor() => Ok(*id),
            _ => Err(self.corrupt("a value on the stack", "none")),
        }
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, FormatError> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => Err(self.corrupt("a value on the stack", "none")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(self.corrupt("a mark on the stack", "none")),
        }
    }

    // The bytes.

    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        match rest.get(..count) {
            Some(taken) => {
                self.position += count;
                Ok(taken)
            }
            None => Err(self.corrupt(
                &format!("{count} more bytes"),
                &format!("{}: the pickle is truncated", rest.len()),
            )),
        }
    }

    fn byte(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let taken = self.take(N)?;
        match taken.first_chunk::<N>() {
            Some(array) => Ok(*array),
            None => Err(self.corrupt("more bytes", "the end")),
        }
    }

    /// A length of 1, 4 or 8 bytes.
    fn length(&mut self, width: usize) -> Result<usize, FormatError> {
        let mut raw = [0; 8];
        for (slot, byte) in raw.iter_mut().zip(self.take(width)?) {
            *slot = *byte;
        }
        usize::try_from(u64::from_le_bytes(raw))
            .map_err(|_| self.corrupt("a length of this machine's width", "a longer one"))
    }

    fn line(&mut self) -> Result<&'a str, FormatError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.corrupt("a line of text", "no end of line"));
        };
        let line = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| self.corrupt("UTF-8 text", "other bytes"))
    }

    // The errors.

    fn here(&self) -> String {
        format!("{} at byte {}", self.place, self.position)
    }

    pub(super) fn corrupt(&self, expected: &str, found: &str) -> FormatError {
        FormatError::Corrupt {
            file: self.file.to_path_buf(),
            place: self.here(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    pub(super) fn refused(&self, callable: &str) -> FormatError {
        FormatError::RefusedCall {
            file: self.file.to_path_buf(),
            place: self.here(),
            callable: callable.to_owned(),
        }
    }

    fn over_limit(&self, what: &str, limit: usize) -> FormatError {
        FormatError::Limit {
            file: self.file.to_path_buf(),
            what: format!("{}: {what}", self.here()),
            limit: limit as u64,
            found: limit as u64 + 1,
        }
    }

    pub(super) fn dimensions_limit(&self) -> usize {
        self.limits.dimensions
    }

    pub(super) fn global_name(&self, id: Id) -> Option<Arc<str>> {
        match self.memory.leaf(id) {
            Some(PickleValue::Global(name)) => Some(name.clone()),
            _ => None,
        }
    }
}

/// Two's complement, little endian, of any length; none is 0.
fn integer(raw: &[u8]) -> PickleValue {
    if raw.len() > 8 {
        return PickleValue::BigInt(raw.into());
    }
    let negative = raw.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    for (slot, byte) in wide.iter_mut().zip(raw) {
        *slot = *byte;
    }
    PickleValue::Int(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_integers() {
        let value = |raw: &[u8]| integer(raw).as_int();
        assert_eq!(value(&[]), Some(0));
        assert_eq!(value(&[0xff]), Some(-1));
        assert_eq!(value(&[0xff, 0x00]), Some(255));
        assert_eq!(value(&[0, 0, 0, 0, 0, 0, 0, 0x80]), Some(i64::MIN));
        assert_eq!(value(&[0; 9]), None);
    }
}
