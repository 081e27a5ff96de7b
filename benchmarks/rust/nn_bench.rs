//! The cases of benchmarks/cases.json in Rust, timed by Criterion.
//!
//! What is run, and where the rows go, stands in the BENCH_ variables (see [`protocol`]): each (case, row)
//! is checked, timed, and written in the form that the harness of every language writes.

mod allocations;
mod checks;
mod library;
mod naive;
mod protocol;
mod rows;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use nn_core::files;
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, Object, dumps, loads_object};

use protocol::{Asked, Protocol};
use rows::{Rows, Subject, applies, measured};

fn main() -> ExitCode {
    let asked = match Protocol::of_environment() {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &Asked) -> Result<(), Box<dyn Error>> {
    let threads = library::use_threads(asked.protocol.threads);
    let criterions = tempfile::tempdir()?;
    let mut rows = Rows::new(asked.protocol.threads, threads);
    let mut kept = Vec::new();
    for case in &asked.cases {
        for row in &asked.rows {
            if !applies(&case.fields(), row)? {
                continue;
            }
            let mut subject = rows.subject(&case.fields(), row)?;
            let place = (case.name.as_str(), row.as_str());
            let times = time(place, &mut subject, &asked.protocol, criterions.path())?;
            kept.push(Json::Object(measured(&case.name, row, subject, times)?));
        }
    }
    let mut result = Object::new();
    result.insert("version", 1);
    result.insert("rows", kept);
    let text = dumps(&Json::Object(result));
    match &asked.out {
        Some(out) => files::write_file(Path::new(out), &mut files::bytes(text.as_bytes()))?,
        None => print!("{text}"),
    }
    Ok(())
}

/// Seconds of an iteration, for each sample, and how many iterations the sample took.
struct Times {
    seconds: Vec<f64>,
    iterations: Vec<f64>,
    by_criterion: bool,
}

/// Takes Criterion's samples, or where so many would take too long the few that every language takes.
fn time(
    place: (&str, &str),
    subject: &mut Subject,
    protocol: &Protocol,
    folder: &Path,
) -> Result<Times, Box<dyn Error>> {
    let (started, mut runs) = (Instant::now(), 0.0);
    while runs == 0.0 || started.elapsed().as_secs_f64() < protocol.warmup {
        (subject.run)()?;
        runs += 1.0;
    }
    let each = started.elapsed().as_secs_f64() / runs;
    if each * protocol.samples as f64 <= 1.5 * protocol.seconds {
        return criterion(place, subject, protocol, folder);
    }
    let mut seconds = Vec::new();
    for _ in 0..protocol.long_samples {
        let begin = Instant::now();
        (subject.run)()?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    Ok(Times {
        iterations: vec![1.0; seconds.len()],
        seconds,
        by_criterion: false,
    })
}

/// Lets Criterion warm up and sample, and reads its samples back.
fn criterion(
    (case, row): (&str, &str),
    subject: &mut Subject,
    protocol: &Protocol,
    folder: &Path,
) -> Result<Times, Box<dyn Error>> {
    let mut criterion = Criterion::default()
        .without_plots()
        .output_directory(folder)
        .sample_size(protocol.samples)
        .measurement_time(Duration::from_secs_f64(protocol.seconds.max(1e-3)))
        .warm_up_time(Duration::from_secs_f64(protocol.warmup.max(1e-3)));
    let mut failure = None;
    let mut group = criterion.benchmark_group(case);
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(row, |bencher| {
        bencher.iter(|| {
            if let Err(error) = (subject.run)() {
                failure = Some(error);
            }
        });
    });
    group.finish();
    if let Some(error) = failure {
        return Err(error.into());
    }
    let sample = folder.join(case).join(row).join("new").join("sample.json");
    let place = files::text(&sample);
    let object = loads_object(&std::fs::read(&sample)?, &place)?;
    let numbers = |field: &str| -> Result<Vec<f64>, Box<dyn Error>> {
        let Some(Json::Array(items)) = object.get(field) else {
            return Err(Fields::new(&object, place.clone())
                .wrong(field, "an array")
                .into());
        };
        let number = |item: &Json| match item {
            Json::Float(value) => *value,
            Json::Int(value) => *value as f64,
            _ => f64::NAN,
        };
        Ok(items.iter().map(number).collect())
    };
    let (iterations, nanoseconds) = (numbers("iters")?, numbers("times")?);
    let seconds = nanoseconds
        .iter()
        .zip(&iterations)
        .map(|(time, count)| time / count * 1e-9)
        .collect();
    Ok(Times {
        seconds,
        iterations,
        by_criterion: true,
    })
}
