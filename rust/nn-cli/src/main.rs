//! nn-rs: the command line. Every subcommand, flag, default, exit code and sentence is that of nn-py
//! and nn-go.
#![forbid(unsafe_code)]

mod app;
mod arguments;
mod commands;
mod common;
mod progress;

use std::io::Write;
use std::panic;
use std::process::ExitCode;

use nn_core::messages;

fn main() -> ExitCode {
    // A fault of ours is one sentence too; RUST_BACKTRACE=1 shows where it came from.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        panic::set_hook(Box::new(|_| ()));
    }
    let status = panic::catch_unwind(|| app::run(std::env::args_os())).unwrap_or_else(|what| {
        let text = what.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or(what.downcast_ref::<&str>().copied())
            .unwrap_or("panic");
        // With stderr closed there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", messages::internal(text));
        1
    });
    ExitCode::from(status)
}
