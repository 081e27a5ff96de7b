//! Plain loops over plain slices, as the formula is read, in f32 on one thread: what the language itself
//! gives.
//!
//! A loop that would take long does its first rows only: `share` is how much of the work that is, and
//! times are divided by it.
#![expect(
    clippy::needless_range_loop,
    reason = "indices, as the formula has them"
)]

use std::cell::RefCell;
use std::rc::Rc;

use nn_core::Result;
use nn_core::json_fields::Fields;

use crate::protocol::size;

/// Inner steps that a run does at most, or else a single row.
const STEPS: usize = 50_000_000;

/// Outputs of a [`Loops`], in the order of the case's.
pub type Outputs = Rc<RefCell<Vec<Vec<f32>>>>;

/// `run` does `share` of the case's work and leaves its outputs in `outputs`.
pub struct Loops {
    pub run: Box<dyn FnMut()>,
    pub share: f64,
    pub outputs: Outputs,
}

impl Loops {
    /// `run` is given the outputs to write, which have these sizes.
    pub fn new(
        share: f64,
        sizes: &[usize],
        mut run: impl FnMut(&mut [Vec<f32>]) + 'static,
    ) -> Self {
        let outputs: Outputs = Rc::new(RefCell::new(sizes.iter().map(|n| vec![0.0; *n]).collect()));
        let written = outputs.clone();
        Self {
            run: Box::new(move || run(&mut written.borrow_mut())),
            share,
            outputs,
        }
    }
}

/// The loops of a case; `None` for a kind that is no single operation.
pub fn loops(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Option<Loops>> {
    Ok(Some(match case.string("kind")? {
        "adamw" => adamw(inputs),
        "attention" => attention(case, inputs)?,
        "cross_entropy" => cross_entropy(case, inputs)?,
        "matmul" => matmul(case, inputs)?,
        "rmsnorm" => rmsnorm(case, inputs)?,
        "silu" => silu(inputs),
        "softmax" => softmax(case, inputs)?,
        "swiglu" => swiglu(inputs),
        _ => return Ok(None),
    }))
}

fn some(rows: usize, steps_per_row: usize) -> usize {
    (STEPS / steps_per_row.max(1)).clamp(1, rows.max(1))
}

/// Exponential and logarithm are those of f64, rounded once, as in Go's loops: Go has no others.
fn exp(x: f32) -> f32 {
    f64::from(x).exp() as f32
}

fn ln(x: f32) -> f32 {
    f64::from(x).ln() as f32
}

fn matmul(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (m, n, k) = (size(case, "m")?, size(case, "n")?, size(case, "k")?);
    let rows = some(m, n * k);
    Ok(Loops::new(
        rows as f64 / m as f64,
        &[rows * n],
        move |out| {
            let (a, b, c) = (&inputs[0], &inputs[1], &mut out[0]);
            for i in 0..rows {
                for j in 0..n {
                    let mut total = 0.0;
                    for p in 0..k {
                        total += a[i * k + p] * b[p * n + j];
                    }
                    c[i * n + j] = total;
                }
            }
        },
    ))
}

fn softmax(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (all, cols) = (size(case, "rows")?, size(case, "cols")?);
    let rows = some(all, 3 * cols);
    Ok(Loops::new(
        rows as f64 / all as f64,
        &[rows * cols],
        move |out| {
            for i in 0..rows {
                let (x, y) = (&inputs[0][i * cols..], &mut out[0][i * cols..]);
                let mut largest = f32::NEG_INFINITY;
                for j in 0..cols {
                    largest = largest.max(x[j]);
                }
                let mut total = 0.0;
                for j in 0..cols {
                    y[j] = exp(x[j] - largest);
                    total += y[j];
                }
                for j in 0..cols {
                    y[j] /= total;
                }
            }
        },
    ))
}

fn silu(inputs: Vec<Vec<f32>>) -> Loops {
    let n = inputs[0].len();
    Loops::new(1.0, &[n], move |out| {
        let (x, y) = (&inputs[0], &mut out[0]);
        for i in 0..n {
            y[i] = x[i] / (1.0 + exp(-x[i]));
        }
    })
}

fn swiglu(inputs: Vec<Vec<f32>>) -> Loops {
    let n = inputs[0].len();
    Loops::new(1.0, &[n], move |out| {
        let (gate, up, y) = (&inputs[0], &inputs[1], &mut out[0]);
        for i in 0..n {
            y[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
        }
    })
}

fn rmsnorm(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (all, cols) = (size(case, "rows")?, size(case, "cols")?);
    let rows = some(all, 2 * cols);
    let share = rows as f64 / all as f64;
    Ok(Loops::new(share, &[rows * cols, rows], move |out| {
        let [y, rstd] = out else { return };
        let (x, w) = (&inputs[0], &inputs[1]);
        for i in 0..rows {
            let mut total = 0.0;
            for j in 0..cols {
                total += x[i * cols + j] * x[i * cols + j];
            }
            rstd[i] = 1.0 / (total / cols as f32 + 1e-6).sqrt();
            for j in 0..cols {
                y[i * cols + j] = x[i * cols + j] * rstd[i] * w[j];
            }
        }
    }))
}

/// The first queries of the first sequence, every head of each.
fn attention(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (batch, seq) = (size(case, "batch")?, size(case, "seq")?);
    let (h, g, d) = (
        size(case, "n_heads")?,
        size(case, "n_kv_heads")?,
        size(case, "head_dim")?,
    );
    // Query t costs 2 (t + 1) h d steps.
    let rows = ((STEPS as f64 / (h * d) as f64).sqrt() as usize).clamp(1, seq);
    let share = (rows * (rows + 1)) as f64 / (batch * seq * (seq + 1)) as f64;
    let scale = 1.0 / (d as f32).sqrt();
    let mut scores = vec![0.0; rows];
    Ok(Loops::new(share, &[rows * h * d, rows * h], move |out| {
        let (q, k, v) = (&inputs[0], &inputs[1], &inputs[2]);
        let [out, lse] = out else { return };
        for t in 0..rows {
            for head in 0..h {
                let kv = head * g / h;
                let mut largest = f32::NEG_INFINITY;
                for s in 0..=t {
                    let mut dot = 0.0;
                    for i in 0..d {
                        dot += q[(t * h + head) * d + i] * k[(s * g + kv) * d + i];
                    }
                    scores[s] = dot * scale;
                    largest = largest.max(scores[s]);
                }
                let mut total = 0.0;
                for s in 0..=t {
                    scores[s] = exp(scores[s] - largest);
                    total += scores[s];
                }
                for i in 0..d {
                    let mut mixed = 0.0;
                    for s in 0..=t {
                        mixed += scores[s] * v[(s * g + kv) * d + i];
                    }
                    out[(t * h + head) * d + i] = mixed / total;
                }
                lse[t * h + head] = largest + ln(total);
            }
        }
    }))
}

fn cross_entropy(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (all, cols) = (size(case, "rows")?, size(case, "cols")?);
    let rows = some(all, 4 * cols);
    let share = rows as f64 / all as f64;
    Ok(Loops::new(share, &[1, rows * cols], move |out| {
        let [loss, dlogits] = out else { return };
        loss[0] = 0.0;
        for i in 0..rows {
            let (x, dx) = (&inputs[0][i * cols..], &mut dlogits[i * cols..]);
            let target = i % cols;
            let mut largest = f32::NEG_INFINITY;
            for j in 0..cols {
                largest = largest.max(x[j]);
            }
            let mut total = 0.0;
            for j in 0..cols {
                dx[j] = exp(x[j] - largest);
                total += dx[j];
            }
            for j in 0..cols {
                dx[j] = dx[j] / total / all as f32;
            }
            dx[target] -= 1.0 / all as f32;
            loss[0] += largest + ln(total) - x[target];
        }
    }))
}

/// The first step: beta^t = beta.
fn adamw(mut inputs: Vec<Vec<f32>>) -> Loops {
    let n = inputs[0].len();
    let grad = inputs.pop().unwrap_or_default();
    let (lr, beta1, beta2, eps, decay) = (1e-3_f32, 0.9_f32, 0.95_f32, 1e-8_f32, 0.1_f32);
    let (bc1, bc2) = (1.0 - beta1, (1.0 - beta2).sqrt());
    let loops = Loops::new(1.0, &[n, n, n], move |out| {
        let [param, m, v] = out else { return };
        for i in 0..n {
            m[i] = beta1 * m[i] + (1.0 - beta1) * grad[i];
            v[i] = beta2 * v[i] + (1.0 - beta2) * grad[i] * grad[i];
            let step = (lr / bc1) * m[i] / (v[i].sqrt() / bc2 + eps);
            param[i] = param[i] * (1.0 - lr * decay) - step;
        }
    });
    for (output, input) in loops.outputs.borrow_mut().iter_mut().zip(inputs) {
        *output = input;
    }
    loops
}
