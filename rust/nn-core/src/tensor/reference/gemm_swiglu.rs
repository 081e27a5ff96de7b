//! The experts' grouped products with SwiGLU in their epilogue, and the gradient.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, I32, dense};
use super::elementwise::{silu, silu_slope};
use super::gemm::{
    check_b, dtypes_of_b, gathered, group_ends, matrices, multiply_groups, operands,
};
use super::memory::{Grid, Window};
use crate::tensor::{Buffer, TensorResult};

impl ReferenceBackend {
    pub(super) fn gemm_grouped_swiglu_forward(
        &self,
        y: &Buffer,
        gate: Option<&Buffer>,
        up: Option<&Buffer>,
        a: &Buffer,
        w_gate: &Buffer,
        w_up: &Buffer,
        offsets: &Buffer,
        a_rows: Option<&Buffer>,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        a_row_count: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_b: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("gemm_grouped_swiglu_forward");
        let op = call.op;
        call.dims(&[
            ("groups", groups),
            ("m", m),
            ("n", n),
            ("k", k),
            ("a_row_count", a_row_count),
        ]);
        call.dims(&[
            ("ldc", ldc),
            ("lda", lda),
            ("ldb", ldb),
            ("stride_b", stride_b),
        ]);
        call.nothing = groups == 0 || m == 0 || n == 0;
        call.fits_i32("groups", groups as u128)?;
        call.fits_i32("m", m as u128)?;
        let result = call.matrix(m, n, "ldc", ldc)?;
        let to = call.out("y", y, &result, FLOATS)?;
        // One of them alone serves nobody.
        let kept = if gate.is_some() || up.is_some() {
            Some((
                call.out_given("gate", gate, &result, F32)?,
                call.out_given("up", up, &result, F32)?,
            ))
        } else {
            None
        };
        let left_rows = if a_rows.is_some() { a_row_count } else { m };
        let extent = call.matrix(left_rows, k, "lda", lda)?;
        let left = call.input("a", a, &extent, FLOATS)?;
        let extent = call.repeated((groups, stride_b), n, k, "ldb", ldb)?;
        let right_gate = call.input("w_gate", w_gate, &extent, dtypes_of_b(true))?;
        let right_up = call.input("w_up", w_up, &extent, dtypes_of_b(true))?;
        call.same_dtype("w_up", &right_up, "w_gate", &right_gate)?;
        let along_k = [("k", k), ("ldb", ldb), ("stride_b", stride_b)];
        check_b(&call, &right_gate, &along_k)?;
        let bounds = call.input("offsets", offsets, &dense(&[groups + 1]), I32)?;
        let gather = call.optional("a_rows", a_rows, &dense(&[m]), I32)?;
        self.submit(call, move |faults| {
            let Some(ends) = group_ends(faults, op, &bounds, groups, m) else {
                return;
            };
            let used = ends[groups];
            let Some(from) = gathered(faults, op, "a_rows", gather.as_ref(), used, a_row_count)
            else {
                return;
            };
            let product = |right: &Window| {
                let b_grid = matrices(groups, stride_b, k, n, ldb, true);
                let (a, b) = operands(&left, Grid::rows(left_rows, k, lda), right, b_grid);
                let mut sums = vec![0.0; used * n];
                multiply_groups(&mut sums, &a, &b, n, k, &ends, &from);
                sums
            };
            let (gates, ups) = (product(&right_gate), product(&right_up));
            let values: Vec<f32> = gates.iter().zip(&ups).map(|(g, u)| silu(*g) * u).collect();
            let grid = Grid::rows(used, n, ldc);
            to.put_grid(grid, &values);
            if let Some((to_gate, to_up)) = &kept {
                to_gate.put_grid(grid, &gates);
                to_up.put_grid(grid, &ups);
            }
        })
    }

    pub(super) fn gemm_grouped_swiglu_backward(
        &self,
        dgate: &Buffer,
        dup: &Buffer,
        a: &Buffer,
        w_down: &Buffer,
        offsets: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_b: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("gemm_grouped_swiglu_backward");
        let op = call.op;
        call.dims(&[("groups", groups), ("m", m), ("n", n), ("k", k)]);
        call.dims(&[
            ("ldc", ldc),
            ("lda", lda),
            ("ldb", ldb),
            ("stride_b", stride_b),
        ]);
        call.nothing = groups == 0 || m == 0 || n == 0;
        call.fits_i32("groups", groups as u128)?;
        call.fits_i32("m", m as u128)?;
        let result = call.matrix(m, n, "ldc", ldc)?;
        let to_gate = call.out("dgate", dgate, &result, F32)?;
        let to_up = call.out("dup", dup, &result, F32)?;
        let extent = call.matrix(m, k, "lda", lda)?;
        let left = call.input("a", a, &extent, FLOATS)?;
        let extent = call.repeated((groups, stride_b), k, n, "ldb", ldb)?;
        let right = call.input("w_down", w_down, &extent, FLOATS)?;
        let bounds = call.input("offsets", offsets, &dense(&[groups + 1]), I32)?;
        let gates = call.aliased("gate", gate, &result, F32, &["dgate"])?;
        let ups = call.aliased("up", up, &result, F32, &["dup"])?;
        self.submit(call, move |faults| {
            let Some(ends) = group_ends(faults, op, &bounds, groups, m) else {
                return;
            };
            let used = ends[groups];
            let b_grid = matrices(groups, stride_b, k, n, ldb, false);
            let (a, b) = operands(&left, Grid::rows(m, k, lda), &right, b_grid);
            let mut d = vec![0.0; used * n];
            let from: Vec<usize> = (0..used).collect();
            multiply_groups(&mut d, &a, &b, n, k, &ends, &from);
            let grid = Grid::rows(used, n, ldc);
            let (g, u) = (gates.grid(grid), ups.grid(grid));
            let dgate: Vec<f32> = (0..used * n)
                .map(|i| d[i] * u[i] * silu_slope(g[i]))
                .collect();
            let dup: Vec<f32> = (0..used * n).map(|i| d[i] * silu(g[i])).collect();
            to_gate.put_grid(grid, &dgate);
            to_up.put_grid(grid, &dup);
        })
    }
}
