//! Strict JSON (RFC 8259) in a few lines, so that three languages give one verdict and one sentence.
//!
//! Stricter than most readers: a key may stand once in an object, NaN and Infinity do not exist,
//! integers and floats are kept apart (`1` and `1.0`), an integer must fit in 64 bits with sign and a
//! float must be finite, a lone surrogate is an error, and nesting ends at [`MAX_DEPTH`]. A position
//! is a line and a column, both from 1, the column counted in bytes.

use std::collections::HashMap;

use crate::error::{NNError, Result};
use crate::messages;
use crate::text::repr;

/// Levels of objects and arrays.
pub const MAX_DEPTH: usize = 64;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without point and exponent.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// An object: its keys in the order of the file, each once.
#[derive(Clone, Debug, Default)]
pub struct Object {
    entries: Vec<(String, Json)>,
    index: HashMap<String, usize>,
}

impl Object {
    /// An object without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key; a new one stands behind the others.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Json>) {
        let (key, value) = (key.into(), value.into());
        if let Some(&at) = self.index.get(&key) {
            self.entries[at].1 = value;
            return;
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) {
        if self.index.contains_key(key) {
            let entries = std::mem::take(&mut self.entries);
            *self = entries
                .into_iter()
                .filter(|(name, _)| name != key)
                .collect();
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K: Into<String>, V: Into<Json>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Self {
        let mut object = Self::new();
        for (key, value) in items {
            object.insert(key, value);
        }
        object
    }
}

macro_rules! into_json {
    ($($kind:ty => $form:expr),* $(,)?) => {$(
        impl From<$kind> for Json {
            fn from(value: $kind) -> Self {
                $form(value)
            }
        }
    )*};
}

into_json! {
    bool => Json::Bool,
    i64 => Json::Int,
    f64 => Json::Float,
    String => Json::String,
    Object => Json::Object,
    Vec<Json> => Json::Array,
    i32 => |value| Json::Int(i64::from(value)),
    u32 => |value| Json::Int(i64::from(value)),
    usize => |value: usize| Json::Int(i64::try_from(value).unwrap_or(i64::MAX)),
    u64 => |value: u64| Json::Int(i64::try_from(value).unwrap_or(i64::MAX)),
    &str => |value: &str| Json::String(value.to_string()),
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Json::Null, Into::into)
    }
}

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

/// How a sentence calls a value: `null`, `true`, a number or a string as written, `an array`, `an
/// object`.
pub fn describe(value: &Json) -> String {
    match value {
        Json::Object(_) => "an object".to_string(),
        Json::Array(_) => "an array".to_string(),
        other => dumps_compact(other),
    }
}

/// The form of every JSON file: keys as inserted, two spaces of indent, floats as
/// [`format_float`], no escapes beyond what JSON demands, and a final newline.
pub fn dumps(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out, Some(0));
    out.push('\n');
    out
}

/// On one line without spaces: the safetensors header, a line of metrics.jsonl.
pub fn dumps_compact(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out, None);
    out
}

/// Appends `value`; `depth` counts the levels of indent, `None` writes compactly.
fn write(value: &Json, out: &mut String, depth: Option<usize>) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Int(number) => out.push_str(&number.to_string()),
        Json::Float(number) => out.push_str(&format_float(*number)),
        Json::String(text) => quote_into(text, out),
        Json::Object(object) => {
            let items = object.iter().map(|(key, item)| (Some(key), item));
            write_items(items, ('{', '}'), out, depth);
        }
        Json::Array(items) => {
            write_items(
                items.iter().map(|item| (None, item)),
                ('[', ']'),
                out,
                depth,
            );
        }
    }
}

fn write_items<'a>(
    items: impl Iterator<Item = (Option<&'a str>, &'a Json)>,
    (opening, closing): (char, char),
    out: &mut String,
    depth: Option<usize>,
) {
    out.push(opening);
    let inner = depth.map(|depth| depth + 1);
    let mut empty = true;
    for (key, item) in items {
        if !empty {
            out.push(',');
        }
        empty = false;
        if let Some(inner) = inner {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", inner));
        }
        if let Some(key) = key {
            quote_into(key, out);
            out.push_str(if inner.is_some() { ": " } else { ":" });
        }
        write(item, out, inner);
    }
    if let (Some(depth), false) = (depth, empty) {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
    out.push(closing);
}

/// `text` as a JSON string: escapes `"`, `\` and control characters below 0x20, nothing else.
pub fn quote(text: &str) -> String {
    let mut out = String::new();
    quote_into(text, &mut out);
    out
}

fn quote_into(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The shortest decimal that reads back as `value`; see [`repr`]. JSON has no NaN and no infinity:
/// those are written as null.
pub fn format_float(value: f64) -> String {
    if value.is_finite() {
        repr(value)
    } else {
        "null".to_string()
    }
}
