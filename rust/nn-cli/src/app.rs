//! Runs a subcommand and turns what went wrong into one sentence and an exit code: 2 usage, 1 failure,
//! 130 Ctrl-C.

use std::ffi::OsString;

use clap::builder::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use nn_core::{NNError, VERSION, messages};

use crate::arguments::Line;
use crate::commands::{
    bench, evaluate, generate, info, init, inspect, logits, prepare, quantize, train,
};
use crate::common::{Failure, end_on_ctrl_c, print};

const PROGRAM: &str = "nn-rs";

/// A Mixture-of-Experts Transformer to train, sample and inspect.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, styles = Styles::plain(), disable_help_subcommand = true)]
#[command(disable_version_flag = true, args_override_self = true)]
struct App {
    /// Show the version and exit.
    #[arg(long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Options),
    Eval(evaluate::Options),
    Generate(generate::Options),
    Info(info::Options),
    Init(init::Options),
    Inspect(inspect::Options),
    Logits(logits::Options),
    Prepare(prepare::Options),
    Quantize(quantize::Options),
    Train(train::Options),
}

/// Runs the command line and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    // A first word "--" ends the options of the program, which has come to none.
    if arguments.get(1).is_some_and(|word| word == "--") {
        arguments.remove(1);
    }
    if let Some(asked) = of_program(&arguments) {
        arguments.truncate(1);
        arguments.push(asked);
    }
    let command = App::command();
    let parsed = Line::of(&command, &arguments).and_then(|line| {
        let matches = command.try_get_matches_from(line.words)?;
        Ok((matches, line.extra))
    });
    let outcome = match parsed {
        Ok((_, extra)) if !extra.is_empty() => {
            let (words, command) = (extra.join(" "), command_of(&arguments));
            Err(messages::usage_extra_argument(&words, &command).into())
        }
        Ok((matches, _)) => end_on_ctrl_c().and_then(|()| execute(&matches)),
        Err(error) => refused(&error, &arguments),
    };
    match outcome {
        Ok(()) => 0,
        Err(Failure::Error(error)) => {
            eprint_line(&format!("error: {error}"));
            u8::try_from(error.exit_code()).unwrap_or(1)
        }
        Err(Failure::Help(text)) => match print(&text) {
            Ok(()) => 2,
            Err(_) => 1,
        },
        Err(Failure::Interrupted) => 130,
        // Whoever read our output has gone; there is nobody left to tell.
        Err(Failure::NoReader) => 1,
    }
}

/// What counts of a line that begins with options of the program: of --version and --help the first,
/// whatever command follows, unless an option among them is none of the program's. clap would obey a
/// --help before it looks further, and read on behind --version.
fn of_program(arguments: &[OsString]) -> Option<OsString> {
    let options = || {
        let is_option = |word: &str| word.len() > 1 && word.starts_with('-') && word != "--";
        let words = arguments.iter().skip(1);
        words.take_while(move |word| is_option(&word.to_string_lossy()))
    };
    let known = |word: &&OsString| *word == "--version" || *word == "--help" || *word == "-h";
    let unknown = options().find(|word| !known(word));
    unknown.or(options().next()).cloned()
}

/// A line on stderr; when even that is closed there is nobody left to tell.
fn eprint_line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn execute(matches: &ArgMatches) -> Result<(), Failure> {
    let app = App::from_arg_matches(matches).map_err(|error| Failure::Help(error.to_string()))?;
    if app.version {
        return print(&format!("{PROGRAM}, version {VERSION}\n"));
    }
    match app.command {
        None => Err(Failure::Help(App::command().render_help().to_string())),
        Some(Command::Bench(options)) => bench::run(options),
        Some(Command::Eval(options)) => evaluate::run(options),
        Some(Command::Generate(options)) => generate::run(options),
        Some(Command::Info(options)) => info::run(options),
        Some(Command::Init(options)) => init::run(options),
        Some(Command::Inspect(options)) => inspect::run(options),
        Some(Command::Logits(options)) => logits::run(options),
        Some(Command::Prepare(options)) => prepare::run(options),
        Some(Command::Quantize(options)) => quantize::run(options),
        Some(Command::Train(options)) => match matches.subcommand() {
            Some((_, given)) => train::run(options, given),
            None => Ok(()),
        },
    }
}

fn refused(error: &clap::Error, arguments: &[OsString]) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp => print(&help(error, &command_of(arguments))),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::Help(error.render().to_string()))
        }
        _ => Err(Failure::Error(usage_sentence(error, arguments))),
    }
}

/// Of the subcommand, with what it requires; else of the program.
fn help(error: &clap::Error, command: &str) -> String {
    match App::command().try_get_matches_from([PROGRAM, command, "--help"]) {
        Err(asked) if asked.kind() == ErrorKind::DisplayHelp => asked.render().to_string(),
        _ => error.render().to_string(),
    }
}

/// The subcommand that was called, else the program.
fn command_of(arguments: &[OsString]) -> String {
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    first
        .filter(|name| known().contains(&(*name).to_string()))
        .unwrap_or(PROGRAM)
        .to_string()
}

fn known() -> Vec<String> {
    App::command()
        .get_subcommands()
        .map(|command| command.get_name().to_string())
        .collect()
}

/// clap's complaint in our words.
fn usage_sentence(error: &clap::Error, arguments: &[OsString]) -> NNError {
    let command = &command_of(arguments);
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let word = text(ContextKind::InvalidArg);
    // "--data <DATA>" names its value too.
    let option = word.split([' ', '=']).next().unwrap_or_default();
    let value = text(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::MissingRequiredArgument => messages::usage_missing_option(command, option),
        ErrorKind::InvalidSubcommand => messages::usage_unknown_command(
            &text(ContextKind::InvalidSubcommand),
            &known().join(", "),
        ),
        ErrorKind::UnknownArgument if word.starts_with('-') => {
            messages::usage_unknown_option(word.split('=').next().unwrap_or_default(), command)
        }
        ErrorKind::UnknownArgument => messages::usage_unknown_command(&word, &known().join(", ")),
        ErrorKind::ValueValidation => {
            messages::usage_bad_value(option, &value, &text(ContextKind::Custom))
        }
        ErrorKind::TooManyValues => messages::usage_flag_value(option),
        _ => messages::usage_missing_value(option, "one"),
    }
}
