//! Softmax and top-k over the columns of a matrix.

use std::cmp::Ordering;

use super::ReferenceBackend;
use super::call::{Call, F32, I32, dense};
use super::memory::Grid;
use crate::tensor::{Buffer, TensorResult};

const MOST_TOP_K: u128 = 1024;

/// exp(x - max) / sum exp(x - max) of a row, in place.
pub(super) fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for x in row.iter_mut() {
        *x = (*x - most).exp();
    }
    let total = sum(row.iter().copied()) as f32;
    for x in row.iter_mut() {
        *x /= total;
    }
}

/// y (dy - sum dy y) of a row.
pub(super) fn softmax_gradient(dy: &[f32], y: &[f32]) -> Vec<f32> {
    let total = sum(dy.iter().zip(y).map(|(dy, y)| dy * y)) as f32;
    dy.iter().zip(y).map(|(dy, y)| y * (dy - total)).collect()
}

/// log sum exp of a row.
pub(super) fn logsumexp(row: &[f32]) -> f32 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    most + (sum(row.iter().map(|x| (x - most).exp())) as f32).ln()
}

/// In f64.
pub(super) fn sum(values: impl Iterator<Item = f32>) -> f64 {
    values.map(f64::from).sum()
}

/// Indices of the k largest of a row, descending, ties to the lower index; NaN orders below every
/// number.
pub(super) fn largest(row: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| match (row[a].is_nan(), row[b].is_nan()) {
        (false, false) => row[b].partial_cmp(&row[a]).unwrap_or(Ordering::Equal),
        (a_nan, b_nan) => a_nan.cmp(&b_nan),
    });
    order.truncate(k);
    order
}

/// A row with `values[j]` in column `indices[j]`, 0 elsewhere.
fn scattered(values: &[f32], indices: &[i32], cols: usize) -> Vec<f32> {
    let mut row = vec![0.0; cols];
    for (value, &index) in values.iter().zip(indices) {
        row[index as usize] = *value;
    }
    row
}

fn top_k_call(
    op: &'static str,
    rows: usize,
    cols: usize,
    ldx: usize,
    k: usize,
) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[("rows", rows), ("cols", cols), ("ldx", ldx), ("k", k)]);
    call.nothing = rows == 0;
    call.at_least("k", k as i128, 1)?;
    call.at_most("k", k as u128, cols as u128, "cols")?;
    call.at_most("k", k as u128, MOST_TOP_K, "")?;
    call.fits_i32("cols", cols as u128)?;
    Ok(call)
}

impl ReferenceBackend {
    pub(super) fn softmax_forward(
        &self,
        y: &Buffer,
        x: &Buffer,
        rows: usize,
        cols: usize,
        ldy: usize,
        ldx: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("softmax_forward");
        call.dims(&[("rows", rows), ("cols", cols), ("ldy", ldy), ("ldx", ldx)]);
        call.nothing = rows == 0 || cols == 0;
        let extent = call.matrix(rows, cols, "ldy", ldy)?;
        let to = call.out("y", y, &extent, F32)?;
        let extent = call.matrix(rows, cols, "ldx", ldx)?;
        let values = call.aliased("x", x, &extent, F32, &["y"])?;
        self.submit(call, move |_| {
            let mut x = values.grid(Grid::rows(rows, cols, ldx));
            x.chunks_mut(cols).for_each(softmax);
            to.put_grid(Grid::rows(rows, cols, ldy), &x);
        })
    }

    pub(super) fn softmax_backward(
        &self,
        dx: &Buffer,
        dy: &Buffer,
        y: &Buffer,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("softmax_backward");
        call.dims(&[("rows", rows), ("cols", cols), ("ld", ld)]);
        call.nothing = rows == 0 || cols == 0;
        let extent = call.matrix(rows, cols, "ld", ld)?;
        let to = call.out("dx", dx, &extent, F32)?;
        let grad = call.aliased("dy", dy, &extent, F32, &["dx"])?;
        let probs = call.input("y", y, &extent, F32)?;
        self.submit(call, move |_| {
            let grid = Grid::rows(rows, cols, ld);
            let (dy, y) = (grad.grid(grid), probs.grid(grid));
            let pairs = dy.chunks(cols).zip(y.chunks(cols));
            let dx: Vec<f32> = pairs.flat_map(|(dy, y)| softmax_gradient(dy, y)).collect();
            to.put_grid(grid, &dx);
        })
    }

    pub(super) fn top_k_forward(
        &self,
        values: &Buffer,
        indices: &Buffer,
        x: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        let mut call = top_k_call("top_k_forward", rows, cols, ldx, k)?;
        let to_values = call.out("values", values, &dense(&[rows, k]), F32)?;
        let to_indices = call.out("indices", indices, &dense(&[rows, k]), I32)?;
        let extent = call.matrix(rows, cols, "ldx", ldx)?;
        let source = call.input("x", x, &extent, F32)?;
        self.submit(call, move |_| {
            let x = source.grid(Grid::rows(rows, cols, ldx));
            let (mut best, mut places) = (Vec::new(), Vec::new());
            for row in x.chunks(cols) {
                for index in largest(row, k) {
                    best.push(row[index]);
                    places.push(index as i32);
                }
            }
            to_values.put(&best);
            to_indices.put_i32s(&places);
        })
    }

    pub(super) fn top_k_backward(
        &self,
        dx: &Buffer,
        dvalues: &Buffer,
        indices: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        let mut call = top_k_call("top_k_backward", rows, cols, ldx, k)?;
        let op = call.op;
        let extent = call.matrix(rows, cols, "ldx", ldx)?;
        let to = call.out("dx", dx, &extent, F32)?;
        let grad = call.input("dvalues", dvalues, &dense(&[rows, k]), F32)?;
        let chosen = call.input("indices", indices, &dense(&[rows, k]), I32)?;
        self.submit(call, move |faults| {
            let columns = chosen.i32s(rows * k);
            if faults.good(op, "indices", &columns, cols, 0) {
                let grad = grad.floats(rows * k);
                let pairs = grad.chunks(k).zip(columns.chunks(k));
                let dx: Vec<f32> = pairs.flat_map(|(dy, at)| scattered(dy, at, cols)).collect();
                to.put_grid(Grid::rows(rows, cols, ldx), &dx);
            }
        })
    }

    pub(super) fn softmax_top_k_forward(
        &self,
        probs: &Buffer,
        values: &Buffer,
        indices: &Buffer,
        x: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        let mut call = top_k_call("softmax_top_k_forward", rows, cols, ldx, k)?;
        let to_probs = call.out("probs", probs, &dense(&[rows, cols]), F32)?;
        let to_values = call.out("values", values, &dense(&[rows, k]), F32)?;
        let to_indices = call.out("indices", indices, &dense(&[rows, k]), I32)?;
        let extent = call.matrix(rows, cols, "ldx", ldx)?;
        let source = call.input("x", x, &extent, F32)?;
        self.submit(call, move |_| {
            let mut p = source.grid(Grid::rows(rows, cols, ldx));
            let (mut best, mut places) = (Vec::new(), Vec::new());
            for row in p.chunks_mut(cols) {
                softmax(row);
                for index in largest(row, k) {
                    best.push(row[index]);
                    places.push(index as i32);
                }
            }
            to_probs.put(&p);
            to_values.put(&best);
            to_indices.put_i32s(&places);
        })
    }

    pub(super) fn softmax_top_k_backward(
        &self,
        dx: &Buffer,
        dvalues: &Buffer,
        indices: &Buffer,
        probs: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        let mut call = top_k_call("softmax_top_k_backward", rows, cols, ldx, k)?;
        let op = call.op;
        let extent = call.matrix(rows, cols, "ldx", ldx)?;
        let to = call.out("dx", dx, &extent, F32)?;
        let grad = call.input("dvalues", dvalues, &dense(&[rows, k]), F32)?;
        let chosen = call.input("indices", indices, &dense(&[rows, k]), I32)?;
        let p = call.input("probs", probs, &dense(&[rows, cols]), F32)?;
        self.submit(call, move |faults| {
            let columns = chosen.i32s(rows * k);
            if !faults.good(op, "indices", &columns, cols, 0) {
                return;
            }
            let (grad, p) = (grad.floats(rows * k), p.floats(rows * cols));
            let rows_of = grad.chunks(k).zip(columns.chunks(k)).zip(p.chunks(cols));
            let dx: Vec<f32> = rows_of
                .flat_map(|((dy, at), y)| softmax_gradient(&scattered(dy, at, cols), y))
                .collect();
            to.put_grid(Grid::rows(rows, cols, ldx), &dx);
        })
    }
}
