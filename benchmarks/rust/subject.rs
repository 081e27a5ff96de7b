//! What is timed, and what was measured as a row of the schema.

use std::error::Error;

use nn_core::RUSTC_VERSION;
use nn_core::json_strict::{Json, Object};

use crate::allocations;
use crate::timing::Times;

/// One run of what is timed.
pub type Run = Box<dyn FnMut() -> Result<(), Box<dyn Error>>>;

/// What is timed: `run` does `share` of the case's work.
pub struct Subject {
    pub run: Run,
    pub share: f64,
    pub units: f64,
    pub unit: &'static str,
    pub implementation: String,
    pub threads: usize,
    pub isa: String,
    pub checksum: Option<String>,
    pub checked: bool,
}

/// The row of the schema; samples in seconds of the whole case, whatever share of it was run.
///
/// Errors: those of a last run, whose allocations are counted.
pub fn measured(
    case: &str,
    row: &str,
    mut subject: Subject,
    times: Times,
) -> Result<Object, Box<dyn Error>> {
    let (blocks, bytes) = allocations::so_far();
    (subject.run)()?;
    let (blocks_after, bytes_after) = allocations::so_far();
    let numbers = |values: Vec<f64>| values.into_iter().map(Json::from).collect::<Vec<_>>();
    let share = subject.share;
    let samples = times.seconds.into_iter().map(|time| time / share).collect();
    let iterations: Vec<Json> = times
        .iterations
        .iter()
        .map(|count| Json::from(*count as i64))
        .collect();
    let mut fields = Object::new();
    fields.insert("case", case);
    fields.insert("language", "rust");
    fields.insert("row", row);
    fields.insert(
        "implementation",
        format!("{}, Rust {RUSTC_VERSION}", subject.implementation),
    );
    // Criterion takes no fewer than ten samples: fewer are taken without it.
    let harness = if times.by_criterion {
        format!("Criterion {}", version("criterion"))
    } else {
        "Instant".to_string()
    };
    fields.insert("harness", harness);
    fields.insert("threads", subject.threads);
    fields.insert("isa", subject.isa);
    fields.insert("samples", numbers(samples));
    fields.insert("iterations", iterations);
    fields.insert("fraction", share);
    fields.insert("units", subject.units);
    fields.insert("unit", subject.unit);
    fields.insert("checksum", subject.checksum);
    fields.insert("checked", subject.checked);
    fields.insert("allocations", (blocks_after - blocks) as f64 / share);
    fields.insert("allocated_bytes", (bytes_after - bytes) as f64 / share);
    fields.insert("gc_seconds", Json::Null); // there is no collector
    fields.insert("peak_rss_bytes", Json::Null);
    Ok(fields)
}

/// Of a package, as the program's Cargo.lock has it.
pub fn version(package: &str) -> &'static str {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let found = crate::LOCK
        .split_once(&entry)
        .and_then(|(_, rest)| rest.split('"').next());
    found.unwrap_or("")
}
