//! Samples of a subject, taken by Criterion.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use nn_core::files;
use nn_core::json_fields::Fields;
use nn_core::json_strict::{Json, loads_object};

use crate::protocol::Protocol;
use crate::subject::Subject;

/// Seconds of an iteration, for each sample, and how many iterations the sample took.
pub struct Times {
    pub seconds: Vec<f64>,
    pub iterations: Vec<f64>,
    pub by_criterion: bool,
}

/// Takes Criterion's samples, or where so many would take too long the few that every language takes.
pub fn time(
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
        return Err(error);
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
