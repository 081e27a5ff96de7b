//! nn-rs: the command line. Every subcommand, flag, default, exit code and sentence is that of nn-py
//! and nn-go.
#![forbid(unsafe_code)]

mod app;
mod commands;
mod common;
mod progress;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(app::run(std::env::args_os()))
}
