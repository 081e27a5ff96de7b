//! Nothing is timed before its output is known to be right.

use nn_core::Result;
use nn_core::json_fields::Fields;
use nn_core::tensor::philox::{STREAM_DATA, uniform};

use crate::protocol::size;

/// Half the distance between 1 and the next f32: the largest relative error of one rounding.
const EPS: f64 = 1.0 / 16_777_216.0;

/// The case's inputs on the host: 2 u - 1, u the uniform numbers of (seed t, stream data).
pub fn inputs(case: &Fields) -> Result<Vec<Vec<f32>>> {
    let sizes = input_sizes(case)?;
    Ok(sizes
        .into_iter()
        .enumerate()
        .map(|(t, count)| {
            (0..count as u64)
                .map(|i| 2.0 * uniform(t as u64, STREAM_DATA, 0, i) - 1.0)
                .collect()
        })
        .collect())
}

fn input_sizes(case: &Fields) -> Result<Vec<usize>> {
    let size = |name| size(case, name);
    Ok(match case.string("kind")? {
        "matmul" => vec![size("m")? * size("k")?, size("k")? * size("n")?],
        "softmax" | "cross_entropy" => vec![size("rows")? * size("cols")?],
        "rmsnorm" => vec![size("rows")? * size("cols")?, size("cols")?],
        "silu" => vec![size("n")?],
        "swiglu" => vec![size("n")?; 2],
        "adamw" => vec![size("n")?; 3],
        "attention" => {
            let (tokens, d) = (size("batch")? * size("seq")?, size("head_dim")?);
            let kv = tokens * size("n_kv_heads")? * d;
            vec![tokens * size("n_heads")? * d, kv, kv]
        }
        _ => Vec::new(),
    })
}

/// Elements of each of the case's outputs.
fn output_sizes(case: &Fields) -> Result<Vec<usize>> {
    let size = |name| size(case, name);
    Ok(match case.string("kind")? {
        "matmul" => vec![size("m")? * size("n")?],
        "softmax" => vec![size("rows")? * size("cols")?],
        "cross_entropy" => vec![1, size("rows")? * size("cols")?],
        "rmsnorm" => vec![size("rows")? * size("cols")?, size("rows")?],
        "call" => vec![1],
        "silu" | "swiglu" => vec![size("n")?],
        "adamw" => vec![size("n")?; 3],
        "attention" => {
            let heads = size("batch")? * size("seq")? * size("n_heads")?;
            vec![heads * size("head_dim")?, heads]
        }
        _ => Vec::new(),
    })
}

/// After one run of a `share` of the work: |got - want| <= 2 4 sqrt(K) EPS s for every element, K the terms of its longest sum (at
/// least 16, for the elementary function on the way) and s the sum of the terms' sizes; twice, because
/// each side rounds. Returns how many elements of `want` there was no output for: a framework keeps to
/// itself what only a backward pass needs.
///
/// Errors: a sentence about the first element that is off, or an output of another length.
pub fn compare(
    case: &Fields,
    given: &[Vec<f32>],
    outputs: &[Vec<f32>],
    share: f64,
    want: &[u8],
) -> std::result::Result<usize, String> {
    let text = |error: nn_core::NNError| error.to_string();
    let sums = Sums::new(case, given).map_err(text)?;
    let mut wanted = values(want).into_iter();
    let sizes = output_sizes(case).map_err(text)?;
    if outputs.is_empty() || outputs.len() > sizes.len() {
        let (count, most) = (outputs.len(), sizes.len());
        return Err(format!("{}: {count} outputs, expected {most}", case.place));
    }
    for ((number, got), size) in outputs.iter().enumerate().zip(sizes) {
        let whole: Vec<f32> = wanted.by_ref().take(size).collect();
        if whole.len() != size {
            let count = whole.len();
            return Err(format!(
                "{}: {count} elements to compare output {number} with, expected {size}",
                case.place
            ));
        }
        if sums.kind == "cross_entropy" && number == 0 && share < 1.0 {
            // A sum over rows of which only the first were computed.
            continue;
        }
        if got.len() > size || (share >= 1.0 && got.len() < size) {
            return Err(format!(
                "{}: output {number} has {} elements, expected {size}",
                case.place,
                got.len()
            ));
        }
        for (i, (got, want)) in got.iter().zip(&whole).enumerate() {
            let (got, want) = (f64::from(*got), f64::from(*want));
            let (terms, sizes) = sums.of(number, i, want);
            let bound = 2.0 * 4.0 * (terms.max(16) as f64).sqrt() * EPS * sizes;
            let near = (got - want).abs() <= bound;
            if !near {
                return Err(format!(
                    "{}: output {number}, element {i} is {got}, expected {want} within {bound:e}",
                    case.place
                ));
            }
        }
    }
    Ok(wanted.count())
}

/// Two devices after one run on fresh work: an operation within the bound of [`compare`], a model within
/// its own. `start` is what a training step began with.
///
/// Errors: a sentence about what is off.
pub fn compare_devices(
    case: &Fields,
    got: &[u8],
    want: &[u8],
    start: &[u8],
) -> std::result::Result<(), String> {
    let text = |error: nn_core::NNError| error.to_string();
    if got.len() != want.len() {
        return Err(format!(
            "{}: {} bytes, expected {}",
            case.place,
            got.len(),
            want.len()
        ));
    }
    let sizes = output_sizes(case).map_err(text)?;
    if sizes.is_empty() {
        let kind = case.string("kind").map_err(text)?;
        return compare_models(kind, got, want, start)
            .map_err(|what| format!("{}: {what}", case.place));
    }
    let mut all = values(got).into_iter();
    let outputs: Vec<Vec<f32>> = sizes
        .iter()
        .map(|size| all.by_ref().take(*size).collect())
        .collect();
    compare(case, &inputs(case).map_err(text)?, &outputs, 1.0, want).map(|_| ())
}

/// Two devices after one run of a model's work: ids are equal; activations and logits agree to 2e-5 (the
/// bound of the golden models); weights after a training step by [`compare_steps`].
fn compare_models(
    kind: &str,
    got: &[u8],
    want: &[u8],
    start: &[u8],
) -> std::result::Result<(), String> {
    match kind {
        "decode" | "prefill" if got == want => Ok(()),
        "decode" | "prefill" => Err("other ids than those of the cpu device".to_string()),
        "train" => compare_steps(&values(got), &values(want), &values(start), 1e-4),
        _ => within(2e-5, &values(got), &values(want)),
    }
}

/// The first step of AdamW moves a weight by lr g / (|g| + eps), by lr along its gradient g: a relative error
/// d of g changes the step by at most lr d / 4. Weights agree to lr 2^-10 and the rounding of the weight
/// itself wherever g is known to 2^-8. Where g is not far above its rounding error the step may go either
/// way. That is rare: 99 % of the weights that moved have to agree, and they are at least a quarter of all
/// (the others are experts and embeddings that no token met). No weight differs by more than two whole
/// steps with their decay.
fn compare_steps(
    got: &[f32],
    want: &[f32],
    start: &[f32],
    lr: f64,
) -> std::result::Result<(), String> {
    if start.len() != want.len() {
        let (from, to) = (start.len(), want.len());
        return Err(format!("a step from {from} weights, expected {to}"));
    }
    let (mut moved, mut near, mut moved_near) = (0.0_f64, 0.0_f64, 0.0_f64);
    for ((got, want), start) in got.iter().zip(want).zip(start) {
        let (got, want, start) = (f64::from(*got), f64::from(*want), f64::from(*start));
        let agrees = (got - want).abs() <= lr / 1024.0 + 4.0 * EPS * want.abs();
        near += f64::from(agrees);
        if (want - start).abs() > lr / 2.0 {
            moved += 1.0;
            moved_near += f64::from(agrees);
        }
    }
    let all = want.len() as f64;
    if moved < 0.25 * all {
        let share = 100.0 * moved / all;
        return Err(format!(
            "{share:.1}% of the weights moved, expected at least 25%"
        ));
    }
    let share = (near / all).min(moved_near / moved);
    if share < 0.99 {
        let share = 100.0 * share;
        return Err(format!(
            "{share:.2}% of the weights made the same step, expected at least 99%"
        ));
    }
    within(2.2 * lr, got, want)
}

fn within(bound: f64, got: &[f32], want: &[f32]) -> std::result::Result<(), String> {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let near = (f64::from(*got) - f64::from(*want)).abs() <= bound;
        if !near {
            return Err(format!(
                "element {i} is {got}, expected {want} within {bound:e}"
            ));
        }
    }
    Ok(())
}

fn values(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.as_chunks::<4>().0;
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// The terms of an output element's longest sum, and the sum of their sizes.
struct Sums {
    kind: String,
    rows: usize,
    cols: usize,
    seq: usize,
    head_dim: usize,
    /// Of the rows of a and the columns of b, for the product of two matrices.
    norms: [Vec<f64>; 2],
}

impl Sums {
    fn new(case: &Fields, given: &[Vec<f32>]) -> Result<Self> {
        let kind = case.string("kind")?.to_string();
        let size =
            |name: &str| -> Result<usize> { case.get(name).map_or(Ok(0), |_| size(case, name)) };
        let square = |x: f32| f64::from(x) * f64::from(x);
        let (mut norms, mut cols) = ([Vec::new(), Vec::new()], size("cols")?);
        if kind == "matmul" {
            let (n, k) = (size("n")?, size("k")?);
            cols = k;
            norms[0] = given[0]
                .chunks_exact(k)
                .map(|row| row.iter().map(|x| square(*x)).sum::<f64>().sqrt())
                .collect();
            let mut columns = vec![0.0; n];
            for row in given[1].chunks_exact(n) {
                for (total, x) in columns.iter_mut().zip(row) {
                    *total += square(*x);
                }
            }
            norms[1] = columns.into_iter().map(f64::sqrt).collect();
        }
        Ok(Self {
            kind,
            rows: size("rows")?,
            cols,
            seq: size("seq")?,
            head_dim: size("head_dim")?,
            norms,
        })
    }

    fn of(&self, number: usize, i: usize, want: f64) -> (usize, f64) {
        match self.kind.as_str() {
            // sum |a| |b| is at most the product of the norms (Cauchy and Schwarz).
            "matmul" => {
                let n = self.norms[1].len();
                (self.cols, self.norms[0][i / n] * self.norms[1][i % n])
            }
            // Values are at most 1 and probabilities sum to 1; a score is at most sqrt(d).
            "attention" => (
                self.seq + self.head_dim,
                1.0 + (self.head_dim as f64).sqrt(),
            ),
            // A gradient is p/rows - 1/rows at the target: both are of the size of what is subtracted.
            "cross_entropy" if number == 1 => (self.cols, want.abs() + 1.0 / self.rows as f64),
            "cross_entropy" => (self.cols + self.rows, want.abs()),
            "softmax" | "rmsnorm" => (self.cols, want.abs()),
            // Terms of the update of param, m and v: weights and gradients are at most 1.
            "adamw" => (16, want.abs() + [1.0, 1.0, 0.05][number.min(2)]),
            _ => (16, want.abs()),
        }
    }
}
