//! nn-rs bench: time the cases of a cases.json here.

use std::path::Path;

use clap::Args;
use nn_core::bench::{measure, protocol};
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, Object, describe, dumps, loads_object};
use nn_core::{RUSTC_VERSION, VERSION, files, messages};

use super::info::machine;
use crate::arguments::path;
use crate::common::{AsJson, Device, Outcome, Quiet, print, readable};
use crate::progress::ProgressBar;

/// Time the kernels and the model: medians with a bootstrap 95% interval.
#[derive(Debug, Args)]
pub struct Options {
    /// the description of what is measured: benchmarks/cases.json
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    cases: String,
    /// the JSON file to write, every sample in it
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    out: String,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    json: AsJson,
    #[command(flatten)]
    quiet: Quiet,
}

pub fn run(options: Options) -> Outcome {
    let place = &options.cases;
    let described = loads_object(&files::read_bytes(Path::new(place), "checkout")?, place)?;
    let fields = Fields::new(&described, place.clone());
    let how = protocol(&fields)?;
    let wrong = |field: &str, found: &Json, expected: &str| {
        messages::field_wrong_type(place, field, &describe(found), expected)
    };
    let listed = match described.get("cases") {
        Some(Json::Array(listed)) => listed,
        other => return Err(wrong("cases", other.unwrap_or(&Json::Null), "an array").into()),
    };
    let backend = options.device.open()?;
    let mut bar = ProgressBar::new("bench", listed.len() as u64, options.quiet.quiet);
    let mut rows = Vec::new();
    for (number, entry) in listed.iter().enumerate() {
        let Json::Object(case) = entry else {
            return Err(wrong(&format!("cases[{number}]"), entry, "an object").into());
        };
        let case = Fields::new(case, format!("{place}: cases[{number}]"));
        let row = measure(&backend, &case, how)?;
        bar.update(number as u64 + 1, case.string("name")?);
        rows.push(row);
    }
    drop(bar);
    let mut result = Object::new();
    result.insert("version", 1);
    result.insert("language", "rust");
    result.insert("runtime", format!("Rust {}", RUSTC_VERSION));
    result.insert("release", VERSION);
    result.insert("machine", machine());
    result.insert("device", backend.name());
    result.insert("isa", backend.isa());
    result.insert("threads", backend.threads());
    result.insert(
        "cases",
        rows.iter().cloned().map(Json::Object).collect::<Vec<_>>(),
    );
    let text = dumps(&Json::Object(result));
    files::write_file(Path::new(&options.out), &mut files::bytes(text.as_bytes()))?;
    if options.json.json {
        return print(&text);
    }
    print(&rows.iter().map(line).collect::<String>())
}

fn line(row: &Object) -> String {
    let text = |field| row.get(field).map(readable).unwrap_or_default();
    let milliseconds = |field| match row.get(field) {
        Some(Json::Float(value)) => format!("{:10.4}", value * 1e3),
        _ => "?".to_string(),
    };
    let (median, low, high) = (
        milliseconds("median"),
        milliseconds("low"),
        milliseconds("high"),
    );
    format!(
        "{:28} {median} ms  [{low}, {high}]  {} {}\n",
        text("name"),
        text("rate"),
        text("unit")
    )
}
