//! The cases of benchmarks/cases.json in Rust, timed by Criterion.
//!
//! What is run, and where the rows go, stands in the BENCH_ variables (see [`protocol`]). What does not know
//! the rows is included by path in the programs of ../peers too.

mod allocations;
mod checks;
mod expected;
mod harness;
mod library;
mod naive;
mod protocol;
mod rows;
mod subject;
mod timing;

use std::process::ExitCode;

/// What is measured where no other file is asked for.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cases.json");
/// Says which versions were built.
const LOCK: &str = include_str!("../../Cargo.lock");

fn main() -> ExitCode {
    harness::main(&rows::ROWS, |threads| {
        rows::Rows::new(threads, library::use_threads(threads))
    })
}
