//! Reading: a cursor over the bytes.

use super::{Json, Object, describe, quote};
use crate::error::{NNError, Result};
use crate::messages;

/// Levels of objects and arrays.
pub const MAX_DEPTH: usize = 64;

/// Reads one JSON value from UTF-8 `data`; `r#where` (a path) opens the sentence of an error.
///
/// Errors: json_syntax, json_duplicate_key, json_number_range, json_too_deep.
pub fn loads(data: &[u8], r#where: &str) -> Result<Json> {
    let mut reader = Reader {
        data,
        place: r#where,
        at: 0,
    };
    if let Err(error) = std::str::from_utf8(data) {
        return Err(reader.fail(error.valid_up_to(), "UTF-8"));
    }
    let value = reader.value(1)?;
    reader.skip_space();
    if reader.at < data.len() {
        return Err(reader.fail(reader.at, "the end"));
    }
    Ok(value)
}

/// [`loads`] for a file that holds an object. Errors: also json_not_object.
pub fn loads_object(data: &[u8], r#where: &str) -> Result<Object> {
    match loads(data, r#where)? {
        Json::Object(object) => Ok(object),
        other => Err(messages::json_not_object(r#where, &describe(&other))),
    }
}

/// A cursor `at` over the bytes; each method reads one thing and stands behind it.
struct Reader<'a> {
    data: &'a [u8],
    place: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.data[..offset];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = offset
            - before
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1)
            + 1;
        (line, column)
    }

    fn fail(&self, offset: usize, expected: &str) -> NNError {
        let (line, column) = self.line_column(offset);
        messages::json_syntax(self.place, line, column, expected)
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth > MAX_DEPTH => {
                let (line, column) = self.line_column(self.at);
                Err(messages::json_too_deep(self.place, line, column, MAX_DEPTH))
            }
            Some(b'{') => Ok(Json::Object(self.object(depth)?)),
            Some(b'[') => Ok(Json::Array(self.array(depth)?)),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json> {
        for (word, meaning) in [
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("null", Json::Null),
        ] {
            if self.data[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(meaning);
            }
        }
        Err(self.fail(self.at, "a value"))
    }

    fn object(&mut self, depth: usize) -> Result<Object> {
        self.at += 1;
        let mut result = Object::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(result);
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fail(start, "a key in quotes"));
            }
            let key = self.string()?;
            if result.contains_key(&key) {
                let (line, column) = self.line_column(start);
                return Err(messages::json_duplicate_key(
                    self.place,
                    &quote(&key),
                    line,
                    column,
                ));
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.fail(self.at, "':'"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            result.insert(key, value);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(result);
                }
                _ => return Err(self.fail(self.at, "',' or '}'")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Json>> {
        self.at += 1;
        let mut result = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(result);
        }
        loop {
            result.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(result);
                }
                _ => return Err(self.fail(self.at, "',' or ']'")),
            }
        }
    }

    /// From the opening quote on. The bytes are UTF-8 by the check of `loads`.
    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.fail(self.at, "the closing quote")),
                Some(0..=0x1f) => {
                    return Err(self.fail(self.at, "a control character to be escaped"));
                }
                Some(b'"') => {
                    self.at += 1;
                    return Ok(String::from_utf8_lossy(&out).into_owned());
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => return self.unicode(start),
            _ => return Err(self.fail(start, "an escape such as \\n or \\u0041")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self, start: usize) -> Result<char> {
        let unit = self.utf16_unit(start)?;
        let lone = "no lone surrogate";
        if !(0xd800..=0xdbff).contains(&unit) {
            return char::from_u32(unit).ok_or_else(|| self.fail(start, lone));
        }
        if !self.data[self.at..].starts_with(b"\\u") {
            return Err(self.fail(start, lone));
        }
        self.at += 1;
        let low = self.utf16_unit(self.at - 1)?;
        if !(0xdc00..=0xdfff).contains(&low) {
            return Err(self.fail(start, lone));
        }
        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).ok_or_else(|| self.fail(start, lone))
    }

    /// The four hex digits behind the `u` at the cursor, of the escape that began at `start`.
    fn utf16_unit(&mut self, start: usize) -> Result<u32> {
        let mut unit = 0;
        for index in 1..=4 {
            let digit = self
                .data
                .get(self.at + index)
                .and_then(|&byte| char::from(byte).to_digit(16));
            match digit {
                Some(digit) => unit = unit << 4 | digit,
                None => return Err(self.fail(start, "four hex digits behind \\u")),
            }
        }
        self.at += 5;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Json> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = String::from_utf8_lossy(&self.data[start..self.at]);
        if is_float {
            return match text.parse::<f64>() {
                Ok(real) if real.is_finite() => Ok(Json::Float(real)),
                _ => Err(self.out_of_range(start, "a finite 64-bit float")),
            };
        }
        text.parse()
            .map(Json::Int)
            .map_err(|_| self.out_of_range(start, "a 64-bit integer"))
    }

    fn digits(&mut self) -> Result<()> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.fail(self.at, "a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn out_of_range(&self, start: usize, expected: &str) -> NNError {
        let (line, column) = self.line_column(start);
        messages::json_number_range(self.place, line, column, expected)
    }
}
