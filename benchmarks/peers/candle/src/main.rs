//! The cases of benchmarks/cases.json by candle, in the protocol of every harness (see ../../../rust).

#[path = "../../../rust/allocations.rs"]
mod allocations;
#[path = "../../../rust/checks.rs"]
mod checks;
#[path = "../../../rust/expected.rs"]
mod expected;
#[path = "../../../rust/harness.rs"]
mod harness;
mod mixtral;
mod operations;
#[path = "../../../rust/protocol.rs"]
mod protocol;
mod rows;
#[path = "../../../rust/subject.rs"]
mod subject;
#[path = "../../../rust/timing.rs"]
mod timing;

use std::env;
use std::process::ExitCode;

/// What is measured where no other file is asked for.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases.json");
/// Says which versions were built.
const LOCK: &str = include_str!("../Cargo.lock");

fn main() -> ExitCode {
    harness::main(&["peer-candle"], |threads| {
        rows::Rows::new(use_threads(threads))
    })
}

/// Tells candle and the pool beneath it their threads (0: all) and returns how many.
fn use_threads(threads: usize) -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { all } else { threads };
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: no other thread has been started yet.
        unsafe { env::set_var(variable, threads.to_string()) };
    }
    threads
}
