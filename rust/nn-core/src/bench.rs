//! Runs the cases of benchmarks/cases.json on a backend and keeps every sample.

use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::json_fields::Fields;
use crate::json_strict::{Json, Object};
use crate::messages;
use crate::model::config::preset;
use crate::model::generate::{GREEDY, Generator};
use crate::model::transformer::{MoETransformer, Options};
use crate::tensor::philox::{STREAM_DATA, draw_u64, mulhi64, uniform};
use crate::tensor::{Backend, Buffer, DType, HostRef, TensorError};
use crate::train::adamw::AdamWConfig;
use crate::train::gpu_trainer::GpuTrainer;

/// Resamples of the bootstrap.
pub const BOOTSTRAP: usize = 2000;

const KINDS: [&str; 11] = [
    "adamw",
    "attention",
    "cross_entropy",
    "decode",
    "forward",
    "matmul",
    "rmsnorm",
    "silu",
    "softmax",
    "swiglu",
    "train",
];

/// `run` does the work `units` stands for, once; the units give the rate (flop, byte, element or
/// token).
struct Work {
    run: Box<dyn FnMut() -> Result<()>>,
    units: f64,
    unit: &'static str,
}

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
    let mut work = work(backend, case)?;
    for _ in 0..how.warmup {
        (work.run)()?;
    }
    backend.synchronize()?;
    let mut samples: Vec<f64> = Vec::new();
    let started = Instant::now();
    while (samples.len() as i64) < how.samples
        && (samples.len() < 3 || started.elapsed().as_secs_f64() < how.seconds)
    {
        let begin = Instant::now();
        (work.run)()?;
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
    row.insert("rate", work.units / median);
    row.insert("unit", format!("{}/s", work.unit));
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

fn size(case: &Fields, field: &str) -> Result<usize> {
    Ok(at_least(case, field, 1)? as usize)
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

/// Uniform in [-1, 1).
fn random(backend: &Arc<dyn Backend>, count: usize) -> Result<Buffer> {
    let values: Vec<f32> = (0..count)
        .map(|i| 2.0 * uniform(count as u64, STREAM_DATA, 0, i as u64) - 1.0)
        .collect();
    Ok(backend.from_host(DType::F32, HostRef::from(&values))?)
}

fn zeros(backend: &Arc<dyn Backend>, count: usize) -> Result<Buffer> {
    Ok(backend.buffer(DType::F32, count)?)
}

fn work(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let kind = case.string("kind")?;
    match kind {
        "matmul" => matmul(backend, case),
        "softmax" | "rmsnorm" | "cross_entropy" => rows(backend, case, kind),
        "silu" | "swiglu" | "adamw" => elements(backend, case, kind),
        "attention" => attention(backend, case),
        "forward" => forward(backend, case),
        "train" => train(backend, case),
        "decode" => decode(backend, case),
        _ => {
            let expected = format!("one of {}", KINDS.join(", "));
            Err(messages::config_bad_value(
                &case.place,
                "kind",
                kind,
                &expected,
            ))
        }
    }
}

/// A call on a backend as a run.
fn call(
    backend: &Arc<dyn Backend>,
    call: impl Fn(&dyn Backend) -> std::result::Result<(), TensorError> + 'static,
) -> Box<dyn FnMut() -> Result<()>> {
    let backend = backend.clone();
    Box::new(move || Ok(call(backend.as_ref())?))
}

fn matmul(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let (m, n, k) = (size(case, "m")?, size(case, "n")?, size(case, "k")?);
    let (a, b, c) = (
        random(backend, m * k)?,
        random(backend, k * n)?,
        zeros(backend, m * n)?,
    );
    let run = call(backend, move |be| {
        be.gemm(&c, &a, &b, false, false, m, n, k, n, k, n, 1.0, 0.0)
    });
    Ok(Work {
        run,
        units: 2.0 * (m * n * k) as f64,
        unit: "flop",
    })
}

fn rows(backend: &Arc<dyn Backend>, case: &Fields, kind: &str) -> Result<Work> {
    let (rows, cols) = (size(case, "rows")?, size(case, "cols")?);
    let x = random(backend, rows * cols)?;
    let y = zeros(backend, rows * cols)?;
    let count = (rows * cols) as f64;
    if kind == "softmax" {
        let run = call(backend, move |be| {
            be.softmax_forward(&y, &x, rows, cols, cols, cols)
        });
        return Ok(Work {
            run,
            units: 8.0 * count,
            unit: "byte",
        });
    }
    if kind == "rmsnorm" {
        let (w, rstd) = (random(backend, cols)?, zeros(backend, rows)?);
        let run = call(backend, move |be| {
            be.rmsnorm_forward(&y, &rstd, &x, &w, rows, cols, 1e-6)
        });
        return Ok(Work {
            run,
            units: 8.0 * count,
            unit: "byte",
        });
    }
    let ids: Vec<i32> = (0..rows as i32).collect();
    let targets = backend.from_host(DType::I32, HostRef::from(&ids))?;
    let (loss, losses, lse) = (
        zeros(backend, 1)?,
        zeros(backend, rows)?,
        zeros(backend, rows)?,
    );
    let total = backend.from_host(DType::I64, HostRef::from(&[rows as i64]))?;
    let run = call(backend, move |be| {
        be.cross_entropy_forward(&loss, &losses, &lse, &x, &targets, rows, cols, cols)?;
        be.cross_entropy_backward(&y, &x, &lse, &targets, &total, rows, cols, cols)
    });
    Ok(Work {
        run,
        units: 12.0 * count,
        unit: "byte",
    })
}

fn elements(backend: &Arc<dyn Backend>, case: &Fields, kind: &str) -> Result<Work> {
    let n = size(case, "n")?;
    let x = random(backend, n)?;
    if kind == "silu" {
        let y = zeros(backend, n)?;
        let run = call(backend, move |be| be.silu_forward(&y, &x, n));
        return Ok(Work {
            run,
            units: n as f64,
            unit: "element",
        });
    }
    if kind == "swiglu" {
        let (up, y) = (random(backend, n)?, zeros(backend, n)?);
        let run = call(backend, move |be| be.swiglu_forward(&y, &x, &up, n));
        return Ok(Work {
            run,
            units: 12.0 * n as f64,
            unit: "byte",
        });
    }
    let (m, grad, v) = (random(backend, n)?, random(backend, n)?, zeros(backend, n)?);
    let lr = backend.from_host(DType::F32, HostRef::from(&[1e-3_f32]))?;
    let scale = backend.from_host(DType::F32, HostRef::from(&[1.0_f32]))?;
    let skip = backend.buffer(DType::I32, 1)?;
    let applied = backend.from_host(DType::I64, HostRef::from(&[1_i64]))?;
    let run = call(backend, move |be| {
        be.adamw_step(
            &x, None, &m, &v, &grad, &lr, &scale, &skip, &applied, None, n, 0, 0.9, 0.95, 1e-8, 0.1,
        )
    });
    Ok(Work {
        run,
        units: 28.0 * n as f64,
        unit: "byte",
    })
}

fn attention(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let (batch, seq) = (size(case, "batch")?, size(case, "seq")?);
    let (h, g, d) = (
        size(case, "n_heads")?,
        size(case, "n_kv_heads")?,
        size(case, "head_dim")?,
    );
    let tokens = batch * seq;
    let q = random(backend, tokens * h * d)?;
    let (k, v) = (
        random(backend, tokens * g * d)?,
        random(backend, tokens * g * d)?,
    );
    let (out, lse) = (zeros(backend, tokens * h * d)?, zeros(backend, tokens * h)?);
    let scale = (d as f64).powf(-0.5);
    let run = call(backend, move |be| {
        be.attention_forward(
            &out,
            &lse,
            &q,
            &k,
            &v,
            None,
            batch,
            seq,
            h,
            g,
            d,
            h * d,
            d,
            g * d,
            d,
            scale,
        )
    });
    let units = 4.0 * (batch * h * d * seq * (seq + 1)) as f64 / 2.0;
    Ok(Work {
        run,
        units,
        unit: "flop",
    })
}

fn model(backend: &Arc<dyn Backend>, case: &Fields, training: bool) -> Result<MoETransformer> {
    let options = Options {
        training,
        ..Options::default()
    };
    MoETransformer::new(preset(case.string("config")?)?, backend.clone(), options)
}

fn forward(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let (batch, seq) = (size(case, "batch")?, size(case, "seq")?);
    let model = model(backend, case, false)?;
    let ids: Vec<i32> = (0..batch * seq)
        .map(|i| (i % model.config.vocab_size) as i32)
        .collect();
    let ids = backend.from_host(DType::I32, HostRef::from(&ids))?;
    let run = Box::new(move || model.forward(&ids, batch, seq).map(drop));
    Ok(Work {
        run,
        units: (batch * seq) as f64,
        unit: "token",
    })
}

fn train(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let (batch, seq) = (size(case, "batch")?, size(case, "seq")?);
    let model = model(backend, case, true)?;
    let ids: Vec<i32> = (0..batch * seq)
        .map(|i| (i % model.config.vocab_size) as i32)
        .collect();
    let mut targets = ids.clone();
    targets
        .chunks_mut(seq.max(1))
        .for_each(|row| row.rotate_left(1));
    let mut trainer =
        GpuTrainer::new(Arc::new(model), batch, seq, 1, AdamWConfig::default(), true)?;
    let run = Box::new(move || trainer.step(&ids, &targets, 1e-4).map(drop));
    Ok(Work {
        run,
        units: (batch * seq) as f64,
        unit: "token",
    })
}

fn decode(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let (prompt, new) = (size(case, "prompt")?, size(case, "new")?);
    let model = model(backend, case, false)?;
    let ids: Vec<i32> = (0..prompt)
        .map(|i| (7 * i % model.config.vocab_size) as i32)
        .collect();
    let prompts = vec![ids];
    let run = Box::new(move || {
        for tokens in Generator::new(&model, &prompts, new, GREEDY, 0, false)? {
            tokens?;
        }
        Ok(())
    });
    Ok(Work {
        run,
        units: new as f64,
        unit: "token",
    })
}
