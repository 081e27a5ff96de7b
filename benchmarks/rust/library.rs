//! ndarray (with matrixmultiply) as a careful user writes it: whole arrays, outputs and temporaries
//! allocated once and written in place.

use std::env;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Zip, s};
use nn_core::Result;
use nn_core::json_fields::Fields;

use crate::naive::Loops;
use crate::protocol::size;

/// Tells matrixmultiply its threads (0: all) and returns how many; before it is used.
pub fn use_threads(threads: usize) -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { all } else { threads };
    // SAFETY: the harness has started no other thread yet.
    unsafe { env::set_var("MATMUL_NUM_THREADS", threads.to_string()) };
    threads
}

/// Whether matrixmultiply, the only part with threads, does the bulk of a kind.
pub fn is_threaded(kind: &str) -> bool {
    matches!(kind, "matmul" | "attention")
}

/// A case with ndarray; `None` for a kind that is no single operation.
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

/// The sizes are those that the values were made with.
fn grid(values: &[f32], rows: usize, cols: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, cols), values).expect("the case's sizes")
}

fn grid_mut(values: &mut [f32], rows: usize, cols: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, cols), values).expect("the case's sizes")
}

fn matmul(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (m, n, k) = (size(case, "m")?, size(case, "n")?, size(case, "k")?);
    Ok(Loops::new(1.0, &[m * n], move |out| {
        let (a, b) = (grid(&inputs[0], m, k), grid(&inputs[1], k, n));
        general_mat_mul(1.0, &a, &b, 0.0, &mut grid_mut(&mut out[0], m, n));
    }))
}

/// Its largest; then each becomes exp(x - largest), of which the sum is returned.
fn exponentials(row: &mut ArrayViewMut1<f32>) -> (f32, f32) {
    let largest = row.fold(f32::NEG_INFINITY, |largest, x| largest.max(*x));
    row.mapv_inplace(|x| (x - largest).exp());
    (largest, row.sum())
}

fn softmax(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (rows, cols) = (size(case, "rows")?, size(case, "cols")?);
    Ok(Loops::new(1.0, &[rows * cols], move |out| {
        let mut y = grid_mut(&mut out[0], rows, cols);
        y.assign(&grid(&inputs[0], rows, cols));
        for mut row in y.rows_mut() {
            let (_, total) = exponentials(&mut row);
            row /= total;
        }
    }))
}

fn silu(inputs: Vec<Vec<f32>>) -> Loops {
    Loops::new(1.0, &[inputs[0].len()], move |out| {
        Zip::from(ArrayViewMut1::from(&mut out[0]))
            .and(ArrayView1::from(&inputs[0]))
            .for_each(|y, x| *y = x / (1.0 + (-x).exp()));
    })
}

fn swiglu(inputs: Vec<Vec<f32>>) -> Loops {
    Loops::new(1.0, &[inputs[0].len()], move |out| {
        Zip::from(ArrayViewMut1::from(&mut out[0]))
            .and(ArrayView1::from(&inputs[0]))
            .and(ArrayView1::from(&inputs[1]))
            .for_each(|y, gate, up| *y = gate / (1.0 + (-gate).exp()) * up);
    })
}

fn rmsnorm(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (rows, cols) = (size(case, "rows")?, size(case, "cols")?);
    Ok(Loops::new(1.0, &[rows * cols, rows], move |out| {
        let [y, rstd] = out else { return };
        let (x, w) = (grid(&inputs[0], rows, cols), ArrayView1::from(&inputs[1]));
        let mut y = grid_mut(y, rows, cols);
        for ((x, y), rstd) in x.rows().into_iter().zip(y.rows_mut()).zip(rstd) {
            *rstd = 1.0 / (x.dot(&x) / cols as f32 + 1e-6).sqrt();
            let factor = *rstd;
            Zip::from(y)
                .and(x)
                .and(w)
                .for_each(|y, x, w| *y = x * factor * w);
        }
    }))
}

fn attention(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (batch, seq) = (size(case, "batch")?, size(case, "seq")?);
    let (h, g, d) = (
        size(case, "n_heads")?,
        size(case, "n_kv_heads")?,
        size(case, "head_dim")?,
    );
    let (tokens, scale) = (batch * seq, 1.0 / (d as f32).sqrt());
    let mut scores = Array2::<f32>::zeros((seq, seq));
    Ok(Loops::new(1.0, &[tokens * h * d, tokens * h], move |out| {
        let [out, lse] = out else { return };
        let (q, k) = (
            grid(&inputs[0], tokens, h * d),
            grid(&inputs[1], tokens, g * d),
        );
        let v = grid(&inputs[2], tokens, g * d);
        let (mut out, mut lse) = (grid_mut(out, tokens, h * d), grid_mut(lse, tokens, h));
        for b in 0..batch {
            let rows = b * seq..(b + 1) * seq;
            for head in 0..h {
                let (at, kv) = (head * d..(head + 1) * d, head * g / h * d);
                let (query, kv) = (q.slice(s![rows.clone(), at.clone()]), kv..kv + d);
                let key = k.slice(s![rows.clone(), kv.clone()]);
                let value = v.slice(s![rows.clone(), kv]);
                general_mat_mul(scale, &query, &key.t(), 0.0, &mut scores);
                for (t, mut row) in scores.rows_mut().into_iter().enumerate() {
                    row.slice_mut(s![t + 1..]).fill(0.0);
                    let mut seen = row.slice_mut(s![..=t]);
                    let (largest, total) = exponentials(&mut seen);
                    seen /= total;
                    lse[[b * seq + t, head]] = largest + total.ln();
                }
                let mut mixed = out.slice_mut(s![rows.clone(), at]);
                general_mat_mul(1.0, &scores, &value, 0.0, &mut mixed);
            }
        }
    }))
}

fn cross_entropy(case: &Fields, inputs: Vec<Vec<f32>>) -> Result<Loops> {
    let (rows, cols) = (size(case, "rows")?, size(case, "cols")?);
    Ok(Loops::new(1.0, &[1, rows * cols], move |out| {
        let [loss, dlogits] = out else { return };
        let logits = grid(&inputs[0], rows, cols);
        let mut dlogits = grid_mut(dlogits, rows, cols);
        dlogits.assign(&logits);
        loss[0] = 0.0;
        for (i, mut row) in dlogits.rows_mut().into_iter().enumerate() {
            let (largest, total) = exponentials(&mut row);
            row /= total * rows as f32;
            row[i % cols] -= 1.0 / rows as f32;
            loss[0] += largest + total.ln() - logits[[i, i % cols]];
        }
    }))
}

/// The first step: beta^t = beta.
fn adamw(mut inputs: Vec<Vec<f32>>) -> Loops {
    let n = inputs[0].len();
    let grad = inputs.pop().unwrap_or_default();
    let (lr, beta1, beta2, eps, decay) = (1e-3_f32, 0.9_f32, 0.95_f32, 1e-8_f32, 0.1_f32);
    let (rate, bc2, keep) = (lr / (1.0 - beta1), (1.0 - beta2).sqrt(), 1.0 - lr * decay);
    let loops = Loops::new(1.0, &[n, n, n], move |out| {
        let [param, m, v] = out else { return };
        Zip::from(ArrayViewMut1::from(param))
            .and(ArrayViewMut1::from(m))
            .and(ArrayViewMut1::from(v))
            .and(ArrayView1::from(&grad))
            .for_each(|param, m, v, grad| {
                *m = beta1 * *m + (1.0 - beta1) * grad;
                *v = beta2 * *v + (1.0 - beta2) * grad * grad;
                *param = *param * keep - rate * *m / (v.sqrt() / bc2 + eps);
            });
    });
    for (output, input) in loops.outputs.borrow_mut().iter_mut().zip(inputs) {
        *output = input;
    }
    loops
}
