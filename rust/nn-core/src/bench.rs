//! Turns the cases of benchmarks/cases.json into work on a backend, and times it: every sample is
//! kept.

mod cases;

use std::sync::Arc;
use std::time::Instant;

pub use cases::{Work, work};

use crate::error::Result;
use crate::json_fields::Fields;
use crate::json_strict::{Json, Object};
use crate::messages;
use crate::tensor::Backend;
use crate::tensor::philox::{STREAM_DATA, draw_u64, mulhi64};

/// Resamples of the bootstrap.
pub const BOOTSTRAP: usize = 2000;

/// How a case is timed: runs before timing, timed samples, and the seconds after which no further one
/// is begun.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    warmup: i64,
    samples: i64,
    seconds: f64,
}

/// Errors: field_missing, field_wrong_type, config_bad_value.
pub fn protocol(cases: &Fields) -> Result<Protocol> {
    let version = cases.integer("version")?;
    if version != 1 {
        return Err(messages::config_bad_value(
            &cases.place,
            "version",
            &version.to_string(),
            "1",
        ));
    }
    Ok(Protocol {
        warmup: at_least(cases, "warmup", 0)?,
        samples: at_least(cases, "samples", 1)?,
        seconds: cases.number("seconds")?,
    })
}

/// One case's row: name, samples in seconds, their median with a bootstrap 95% interval, and the rate.
///
/// Errors: config_bad_value for an unknown kind or a size below 1, unknown_preset, those of the model
/// and the device.
pub fn measure(backend: &Arc<dyn Backend>, case: &Fields, how: Protocol) -> Result<Object> {
    let mut timed = work(backend, case)?;
    for _ in 0..how.warmup {
        timed.run()?;
    }
    backend.synchronize()?;
    let mut samples: Vec<f64> = Vec::new();
    let started = Instant::now();
    while (samples.len() as i64) < how.samples
        && (samples.len() < 3 || started.elapsed().as_secs_f64() < how.seconds)
    {
        let begin = Instant::now();
        timed.run()?;
        backend.synchronize()?;
        samples.push(begin.elapsed().as_secs_f64());
    }
    let (low, high) = interval(&samples);
    let median = quantile(&mut samples.clone(), 0.5);
    let mut row = Object::new();
    row.insert("name", case.string("name")?);
    row.insert(
        "samples",
        samples.into_iter().map(Json::from).collect::<Vec<_>>(),
    );
    row.insert("median", median);
    row.insert("low", low);
    row.insert("high", high);
    row.insert("rate", timed.units / median);
    row.insert("unit", format!("{}/s", timed.unit));
    Ok(row)
}

/// Bootstrap 95% interval of the median (Efron 1979), with a fixed seed.
pub fn interval(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as u64;
    let mut medians: Vec<f64> = (0..BOOTSTRAP as u64)
        .map(|round| {
            let draw = |i| samples[mulhi64(draw_u64(0, STREAM_DATA, round * n + i, 0), n) as usize];
            quantile(&mut (0..n).map(draw).collect::<Vec<_>>(), 0.5)
        })
        .collect();
    (quantile(&mut medians, 0.025), quantile(&mut medians, 0.975))
}

/// The value below which a share of the values lies, interpolated; 0 of none.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    let at = share * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    values[low] + part * (values[(low + 1).min(last)] - values[low])
}

/// Errors: field_missing, field_wrong_type, config_bad_value.
fn at_least(case: &Fields, field: &str, least: i64) -> Result<i64> {
    let value = case.integer(field)?;
    if value >= least {
        return Ok(value);
    }
    let expected = format!("at least {least}");
    Err(messages::config_bad_value(
        &case.place,
        field,
        &value.to_string(),
        &expected,
    ))
}
