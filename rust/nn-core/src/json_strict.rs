//! Strict JSON (RFC 8259) in a few lines, so that three languages give one verdict and one sentence.
//!
//! Stricter than most readers: a key may stand once in an object, NaN and Infinity do not exist,
//! integers and floats are kept apart (`1` and `1.0`), an integer must fit in 64 bits with sign and a
//! float must be finite, a lone surrogate is an error, and nesting ends at [`MAX_DEPTH`]. A position
//! is a line and a column, both from 1, the column counted in bytes.

mod reader;

use std::collections::HashMap;

use crate::text::repr;

pub use reader::{MAX_DEPTH, loads, loads_object};

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
