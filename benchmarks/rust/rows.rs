//! A (case, row) as something to time, checked; and what was measured as a row of the schema.

use std::error::Error;
use std::sync::Arc;

use nn_core::bench::work;
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, Object};
use nn_core::tensor::Backend;
use nn_core::{RUSTC_VERSION, Result};
use nn_cuda::{Context, open_backend, why_not};

use crate::{Times, allocations, checks, library, naive};

const SCALAR_KINDS: [&str; 6] = [
    "matmul",
    "softmax",
    "silu",
    "swiglu",
    "rmsnorm",
    "attention",
];
const PLAIN_KINDS: [&str; 8] = [
    "adamw",
    "attention",
    "cross_entropy",
    "matmul",
    "rmsnorm",
    "silu",
    "softmax",
    "swiglu",
];
const MODEL_KINDS: [&str; 5] = ["moe_layer", "forward", "train", "prefill", "decode"];

/// Whether a case has a row here: loops and ndarray do operations; the reference does models, small
/// enough to wait for; the scalar build does operations; a device must be there.
pub fn applies(case: &Fields, row: &str) -> Result<bool> {
    let kind = case.string("kind")?;
    Ok(match row {
        "naive" | "library" => PLAIN_KINDS.contains(&kind),
        "reference" => MODEL_KINDS.contains(&kind) && case.string("config")? == "tiny",
        "cpu-scalar" => SCALAR_KINDS.contains(&kind) && why_not("cpu").is_none(),
        device => why_not(device).is_none(),
    })
}

/// What is timed: `run` does `share` of the case's work.
pub struct Subject {
    pub run: Box<dyn FnMut() -> Result<()>>,
    share: f64,
    units: f64,
    unit: &'static str,
    implementation: String,
    threads: usize,
    isa: String,
    checksum: Option<String>,
    checked: bool,
}

/// Output of a case on the library's device, with which others are compared.
struct Expected {
    case: String,
    output: Vec<u8>,
    units: f64,
    unit: &'static str,
}

/// Makes subjects.
pub struct Rows {
    threads: usize,
    library_threads: usize,
    expected: Option<Expected>,
}

impl Rows {
    /// `threads` as asked for, and how many that is for matrixmultiply.
    pub fn new(threads: usize, library_threads: usize) -> Self {
        Self {
            threads,
            library_threads,
            expected: None,
        }
    }

    /// Errors: a sentence when its output is wrong, and those of the device.
    pub fn subject(
        &mut self,
        case: &Fields,
        row: &str,
    ) -> std::result::Result<Subject, Box<dyn Error>> {
        if row == "naive" || row == "library" {
            return self.plain(case, row);
        }
        let backend: Arc<dyn Backend> = match row {
            "cpu-scalar" => Arc::new(Context::open("cpu", 0, self.threads, Some("scalar"))?),
            device => open_backend(device, self.threads)?,
        };
        let mut fresh = work(&backend, case)?;
        let start = if case.string("kind")? == "train" {
            fresh.output()?
        } else {
            Vec::new()
        };
        fresh.run()?;
        backend.synchronize()?;
        let output = fresh.output()?;
        drop(fresh);
        // The cpu's own output is what others are compared with; its checksum is compared across languages.
        let checked = row != "cpu";
        if checked {
            let expected = self.expected(case)?;
            checks::compare_devices(case, &output, &expected.output, &start)?;
        }
        let checksum = checks::checksum(&output);
        let mut timed = work(&backend, case)?;
        let (units, unit) = (timed.units, timed.unit);
        let (threads, isa) = (backend.threads(), backend.isa());
        let implementation = format!("nn on {}", backend.name());
        // A device whose work is done when the call returns needs no second call to wait for it.
        let run: Box<dyn FnMut() -> Result<()>> = if row == "cuda" {
            Box::new(move || {
                timed.run()?;
                Ok(backend.synchronize()?)
            })
        } else {
            Box::new(move || timed.run())
        };
        Ok(Subject {
            run,
            share: 1.0,
            units,
            unit,
            implementation,
            threads,
            isa,
            checksum: Some(checksum),
            checked,
        })
    }

    fn plain(&mut self, case: &Fields, row: &str) -> std::result::Result<Subject, Box<dyn Error>> {
        let given = checks::inputs(case)?;
        let make = if row == "naive" {
            naive::loops
        } else {
            library::loops
        };
        let kind = case.string("kind")?;
        let Some(mut loops) = make(case, given.clone())? else {
            return Err(format!("{row} has no {kind}").into());
        };
        (loops.run)();
        let expected = self.expected(case)?;
        checks::compare(case, &given, &loops, &expected.output)?;
        let (units, unit) = (expected.units, expected.unit);
        let (implementation, threads) = if row == "naive" {
            ("Rust loops".to_string(), 1)
        } else {
            let threads = if library::is_threaded(kind) {
                self.library_threads
            } else {
                1
            };
            let (array, product) = (version("ndarray"), version("matrixmultiply"));
            (
                format!("ndarray {array}, matrixmultiply {product}"),
                threads,
            )
        };
        let (share, mut run) = (loops.share, loops.run);
        Ok(Subject {
            run: Box::new(move || {
                run();
                Ok(())
            }),
            share,
            units,
            unit,
            implementation,
            threads,
            isa: String::new(),
            checksum: None,
            checked: true,
        })
    }

    /// Of the case on cpu, or on the reference where the library is not built.
    fn expected(&mut self, case: &Fields) -> Result<&Expected> {
        let name = case.string("name")?;
        let known = self
            .expected
            .take()
            .filter(|expected| expected.case == name);
        let expected = match known {
            Some(expected) => expected,
            None => {
                let device = if why_not("cpu").is_none() {
                    "cpu"
                } else {
                    "reference"
                };
                let backend = open_backend(device, self.threads)?;
                let mut once = work(&backend, case)?;
                once.run()?;
                backend.synchronize()?;
                Expected {
                    case: name.to_string(),
                    output: once.output()?,
                    units: once.units,
                    unit: once.unit,
                }
            }
        };
        Ok(self.expected.insert(expected))
    }
}

/// The row of the schema; samples in seconds of the whole case, whatever share of it was run.
pub fn measured(case: &str, row: &str, mut subject: Subject, times: Times) -> Result<Object> {
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
    fields.insert("gc_seconds", 0.0);
    fields.insert("peak_rss_bytes", Json::Null);
    Ok(fields)
}

/// Of a package, as Cargo.lock has it.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let found = lock
        .split_once(&entry)
        .and_then(|(_, rest)| rest.split('"').next());
    found.unwrap_or("")
}
