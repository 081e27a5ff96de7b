//! Typed reading of an object's fields; a missing field or a wrong type is one sentence.

use crate::error::{NNError, Result};
use crate::json_strict::{Json, Object, describe};
use crate::messages;

/// The fields of `values`; `place` (a path) opens the sentence of an error.
///
/// A method without a default gives field_missing; every method gives field_wrong_type. Null counts
/// as missing where there is a default.
pub struct Fields<'a> {
    /// The object.
    pub values: &'a Object,
    /// Where it was found.
    pub place: String,
}

impl<'a> Fields<'a> {
    /// The fields of an object.
    pub fn new(values: &'a Object, place: impl Into<String>) -> Self {
        Self {
            values,
            place: place.into(),
        }
    }

    /// A field that is there and not null.
    pub fn get(&self, field: &str) -> Option<&'a Json> {
        self.values.get(field).filter(|value| **value != Json::Null)
    }

    /// The error of a field of another type.
    pub fn wrong(&self, field: &str, expected: &str) -> NNError {
        let found = describe(self.values.get(field).unwrap_or(&Json::Null));
        messages::field_wrong_type(&self.place, field, &found, expected)
    }

    fn present(&self, field: &str, expected: &str) -> Result<&'a Json> {
        self.values
            .get(field)
            .ok_or_else(|| messages::field_missing(&self.place, field, expected))
    }

    /// An integer.
    pub fn integer(&self, field: &str) -> Result<i64> {
        match self.present(field, "an integer")? {
            Json::Int(value) => Ok(*value),
            _ => Err(self.wrong(field, "an integer")),
        }
    }

    /// An integer, or `default`.
    pub fn integer_or(&self, field: &str, default: i64) -> Result<i64> {
        if self.get(field).is_none() {
            Ok(default)
        } else {
            self.integer(field)
        }
    }

    /// An integer counts as a number: some writers put `10000` for 10000.0.
    pub fn number(&self, field: &str) -> Result<f64> {
        match self.present(field, "a number")? {
            Json::Int(value) => Ok(*value as f64),
            Json::Float(value) => Ok(*value),
            _ => Err(self.wrong(field, "a number")),
        }
    }

    /// A number, or `default`.
    pub fn number_or(&self, field: &str, default: f64) -> Result<f64> {
        if self.get(field).is_none() {
            Ok(default)
        } else {
            self.number(field)
        }
    }

    /// True or false.
    pub fn boolean(&self, field: &str) -> Result<bool> {
        match self.present(field, "true or false")? {
            Json::Bool(value) => Ok(*value),
            _ => Err(self.wrong(field, "true or false")),
        }
    }

    /// A string.
    pub fn string(&self, field: &str) -> Result<&'a str> {
        match self.present(field, "a string")? {
            Json::String(value) => Ok(value),
            _ => Err(self.wrong(field, "a string")),
        }
    }

    /// A string, or `default`.
    pub fn string_or(&self, field: &str, default: &'a str) -> Result<&'a str> {
        if self.get(field).is_none() {
            Ok(default)
        } else {
            self.string(field)
        }
    }

    /// An object.
    pub fn object(&self, field: &str) -> Result<&'a Object> {
        match self.present(field, "an object")? {
            Json::Object(value) => Ok(value),
            _ => Err(self.wrong(field, "an object")),
        }
    }

    /// An object, or `None` when it is missing or null.
    pub fn object_or_none(&self, field: &str) -> Result<Option<&'a Object>> {
        if self.get(field).is_none() {
            Ok(None)
        } else {
            self.object(field).map(Some)
        }
    }
}
