//! Words of the command line: how each is read, and the order in which faults are found.
//!
//! As in nn-py the line is first taken apart (unknown options, options without their value), then the
//! options that are there are read one by one, then those that are missing are asked for, and last come
//! words that nobody asked for. clap does all of it from left to right, so it runs twice: [`Line::of`],
//! then in earnest.

use std::ffi::{OsStr, OsString};

use clap::builder::{TypedValueParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Error};

/// What stands for words that nobody asked for.
const EXTRA: &str = "extra words";

/// Reads the value of an option.
#[derive(Clone)]
pub struct Word<T> {
    read: fn(&str) -> Option<T>,
    expected: &'static str,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Word<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, word: &OsStr) -> Result<T, Error> {
        word.to_str().and_then(self.read).ok_or_else(|| {
            let mut error = Error::new(ErrorKind::ValueValidation).with_cmd(command);
            let option = arg.map(ToString::to_string).unwrap_or_default();
            for (kind, text) in [
                (ContextKind::InvalidArg, option),
                (ContextKind::InvalidValue, shown(word)),
                (ContextKind::Custom, self.expected.to_string()),
            ] {
                error.insert(kind, ContextValue::String(text));
            }
            error
        })
    }
}

/// ASCII digits that make a 64-bit integer.
pub fn integer() -> Word<i64> {
    Word {
        // 20 characters hold every 64-bit integer.
        read: |word| (word.len() <= 20).then(|| word.parse().ok()).flatten(),
        expected: "an integer",
    }
}

/// A decimal number; neither nan nor inf is one.
pub fn number() -> Word<f64> {
    Word {
        read: |word| {
            let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
            word.bytes().all(plain).then(|| word.parse().ok()).flatten()
        },
        expected: "a number",
    }
}

/// UTF-8, which the bytes of a command line need not be.
pub fn text() -> Word<String> {
    Word {
        read: |word| Some(word.to_string()),
        expected: "UTF-8 text",
    }
}

/// A file or folder, which an empty word cannot name.
pub fn path() -> Word<String> {
    Word {
        read: |word| (!word.is_empty()).then(|| word.to_string()),
        expected: "a path",
    }
}

/// A word in a sentence: a byte that is not UTF-8 becomes a question mark.
pub fn shown(word: &OsStr) -> String {
    let mut text = String::new();
    for chunk in word.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// A command line that was taken apart.
pub struct Line {
    /// The options of its subcommand in the order in which they are to be read: that of their first
    /// mention, of an option that came twice only what counts.
    pub words: Vec<OsString>,
    /// Words that nobody asked for.
    pub extra: Vec<String>,
}

impl Line {
    /// Errors: those of the line's form; no value is looked at and no option missed.
    pub fn of(command: &Command, arguments: &[OsString]) -> Result<Self, Error> {
        let words = || ValueParser::os_string();
        let lenient = command.clone().mut_subcommands(|subcommand| {
            let lenient = subcommand.mut_args(|arg| {
                if arg.get_action().takes_values() {
                    arg.required(false).value_parser(words())
                } else {
                    arg
                }
            });
            lenient.arg(
                Arg::new(EXTRA)
                    .action(ArgAction::Append)
                    .value_parser(words()),
            )
        });
        let matches = lenient.try_get_matches_from(arguments)?;
        match matches.subcommand() {
            Some((name, given)) => Ok(Self::ordered(command, arguments, name, given)),
            None => Ok(Self {
                words: arguments.to_vec(),
                extra: Vec::new(),
            }),
        }
    }

    fn ordered(command: &Command, arguments: &[OsString], name: &str, given: &ArgMatches) -> Self {
        let mut options = Vec::new();
        for arg in command
            .find_subcommand(name)
            .into_iter()
            .flat_map(Command::get_arguments)
        {
            let (id, long) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default());
            if given.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let first = given.indices_of(id).and_then(|mut at| at.next());
            let words: Vec<OsString> = if arg.get_action().takes_values() {
                let values = given.get_raw(id).into_iter().flatten();
                let word = |value: &OsStr| {
                    let mut word = OsString::from(format!("--{long}="));
                    word.push(value);
                    word
                };
                values.map(word).collect()
            } else {
                vec![OsString::from(format!("--{long}"))]
            };
            options.push((first, words));
        }
        options.sort_by_key(|(first, _)| *first);
        let mut line: Vec<OsString> = arguments.first().cloned().into_iter().collect();
        line.push(name.into());
        line.extend(options.into_iter().flat_map(|(_, words)| words));
        let extra = given.get_raw(EXTRA).into_iter().flatten().map(shown);
        Self {
            words: line,
            extra: extra.collect(),
        }
    }
}
