//! AdamW (Loshchilov and Hutter 2019), gradient clipping, and the sums they need.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, I32, I64, dense};
use super::memory::Window;
use crate::tensor::philox::{STREAM_ROUNDING, philox};
use crate::tensor::{Buffer, DType, TensorResult};
use crate::text::general;

const MOMENTS: &[DType] = &[DType::F32, DType::BF16];
const F16_NORMAL: f32 = 1.0 / 16384.0;
const F16_UNIT: f32 = 1.0 / 16_777_216.0;

/// base^exponent by binary powering: only products, so every device and language gets the same bits.
fn power(base: f64, mut exponent: i64) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}

/// An f32 that dtype holds, one of the value's two neighbours there, the nearer the likelier.
///
/// The upper bits of the word, as many as the narrower significand lacks (bf16 16, f16 13), are added
/// below the last kept bit, and what is below it is dropped. A value below f16's normal range is cut to
/// a multiple of 2^-24 and moved up one where the rest exceeds the word's uniform number. NaN and
/// infinity stay.
fn stochastically_rounded(value: f32, dtype: DType, word: u32) -> f32 {
    if !value.is_finite() {
        return value;
    }
    if dtype == DType::F16 && value.abs() < F16_NORMAL {
        let uniform = (word >> 8) as f32 * F16_UNIT;
        let scaled = value.abs() / F16_UNIT;
        let up = if scaled - scaled.floor() > uniform {
            1.0
        } else {
            0.0
        };
        return ((scaled.floor() + up) * F16_UNIT).copysign(value);
    }
    let lacking = if dtype == DType::BF16 { 16 } else { 13 };
    f32::from_bits(value.to_bits().wrapping_add(word >> (32 - lacking)) >> lacking << lacking)
}

/// Stores f32 as it is, anything narrower rounded stochastically by word `which` of Philox(seed;
/// start + i, rounding, t).
fn keep(to: &Window, values: &[f32], seed: i64, start: usize, t: i64, which: usize) {
    if to.dtype == DType::F32 {
        return to.put(values);
    }
    let rounded = values.iter().enumerate().map(|(i, &value)| {
        let block = philox(seed as u64, (start + i) as u64, STREAM_ROUNDING, t as u32);
        stochastically_rounded(value, to.dtype, block[which])
    });
    to.put(&rounded.collect::<Vec<_>>());
}

impl ReferenceBackend {
    pub(super) fn sum_of_squares(&self, sum: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        let mut call = Call::new("sum_of_squares");
        call.dims(&[("n", n)]);
        let to = call.out("sum", sum, &dense(&[1]), F32)?;
        let values = call.input("x", x, &dense(&[n]), FLOATS)?;
        self.submit(call, move |_| {
            let total: f64 = values
                .floats(n)
                .into_iter()
                .map(|x| f64::from(x) * f64::from(x))
                .sum();
            to.put(&[total as f32]);
        })
    }

    pub(super) fn clip_scale(
        &self,
        scale: &Buffer,
        norm: &Buffer,
        nonfinite: &Buffer,
        applied: &Buffer,
        sum: &Buffer,
        max_norm: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("clip_scale");
        let to_scale = call.out("scale", scale, &dense(&[1]), F32)?;
        let to_norm = call.out("norm", norm, &dense(&[1]), F32)?;
        let to_flag = call.out("nonfinite", nonfinite, &dense(&[1]), I32)?;
        let to_applied = call.out("applied", applied, &dense(&[1]), I64)?;
        let total = call.input("sum", sum, &dense(&[1]), F32)?;
        call.real("max_norm", max_norm, 0.0)?;
        self.submit(call, move |_| {
            let length = total.floats(1)[0].sqrt();
            let finite = length.is_finite();
            let clip = max_norm != 0.0 && finite;
            let factor = if clip {
                (max_norm / (f64::from(length) + 1e-6)).min(1.0)
            } else {
                1.0
            };
            to_norm.put(&[length]);
            to_scale.put(&[factor as f32]);
            to_flag.put_i32s(&[i32::from(!finite)]);
            to_applied.put_i64s(&[to_applied.i64s(1)[0] + i64::from(finite)]);
        })
    }

    pub(super) fn adamw_step(
        &self,
        param: &Buffer,
        master: Option<&Buffer>,
        m: &Buffer,
        v: &Buffer,
        grad: &Buffer,
        lr: &Buffer,
        scale: &Buffer,
        nonfinite: &Buffer,
        applied: &Buffer,
        seed: Option<&Buffer>,
        n: usize,
        start: usize,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("adamw_step");
        call.dims(&[("n", n), ("start", start)]);
        call.nothing = n == 0;
        call.numbered("start", start, n)?;
        let all = dense(&[n]);
        let to = call.out("param", param, &all, FLOATS)?;
        let to_master = master
            .map(|master| call.out("master", master, &all, F32))
            .transpose()?;
        let (to_m, to_v) = (
            call.out("m", m, &all, MOMENTS)?,
            call.out("v", v, &all, MOMENTS)?,
        );
        let gradient = call.input("grad", grad, &all, MOMENTS)?;
        let rate = call.input("lr", lr, &dense(&[1]), F32)?;
        let factor = call.input("scale", scale, &dense(&[1]), F32)?;
        let skip = call.input("nonfinite", nonfinite, &dense(&[1]), I32)?;
        let steps = call.input("applied", applied, &dense(&[1]), I64)?;
        let key = call.optional("seed", seed, &dense(&[1]), I64)?;
        call.same_dtype("v", &to_v, "m", &to_m)?;
        let rounds = to_m.dtype != DType::F32 || (to_master.is_none() && to.dtype != DType::F32);
        call.require(key.is_some() || !rounds, || {
            "seed is 0, expected a buffer (16-bit values are rounded stochastically)".to_string()
        })?;
        for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
            call.real(name, beta, 0.0)?;
        }
        for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
            call.require(beta < 1.0, || {
                format!("{name} is {}, expected less than 1", general(beta, 6))
            })?;
        }
        call.real("eps", eps, 0.0)?;
        call.real("weight_decay", weight_decay, 0.0)?;
        self.submit(call, move |_| {
            if skip.i32s(1)[0] != 0 {
                return;
            }
            let (t, seed) = (
                steps.i64s(1)[0],
                key.as_ref().map_or(0, |key| key.i64s(1)[0]),
            );
            let (step, factor) = (f64::from(rate.floats(1)[0]), factor.floats(1)[0]);
            let (b1, b2) = (beta1 as f32, beta2 as f32);
            let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
            let decay = (1.0 - step * weight_decay) as f32;
            let size = (step / (1.0 - power(beta1, t))) as f32;
            let root = (1.0 - power(beta2, t)).sqrt() as f32;
            let (mut m, mut v, g) = (to_m.floats(n), to_v.floats(n), gradient.floats(n));
            let mut p = to_master.as_ref().unwrap_or(&to).floats(n);
            for i in 0..n {
                let g = factor * g[i];
                m[i] = b1 * m[i] + rest1 * g;
                v[i] = b2 * v[i] + rest2 * (g * g);
                p[i] = p[i] * decay - size * m[i] / (v[i].sqrt() / root + eps as f32);
            }
            match &to_master {
                Some(master) => {
                    master.put(&p);
                    to.put(&p);
                }
                None => keep(&to, &p, seed, start, t, 0),
            }
            keep(&to_m, &m, seed, start, t, 1);
            keep(&to_v, &v, seed, start, t, 2);
        })
    }
}
