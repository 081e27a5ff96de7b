//! Matrix products: one, a batch, and grouped by offsets that live in a buffer.

use super::ReferenceBackend;
use super::base::Faults;
use super::call::{Call, FLOATS, I32, dense};
use super::conversion::check_blocks;
use super::memory::{Grid, Window, rounded};
use crate::tensor::{Buffer, DType, TensorResult};

const FLOATS_AND_BLOCKS: &[DType] = &[DType::F32, DType::BF16, DType::F16, DType::Q8, DType::Q4];

/// Blocks lie along k, so B may consist of them where its rows do.
pub(super) fn dtypes_of_b(trans_b: bool) -> &'static [DType] {
    if trans_b { FLOATS_AND_BLOCKS } else { FLOATS }
}

pub(super) fn check_b(call: &Call, b: &Window, along_k: &[(&str, usize)]) -> TensorResult<()> {
    if !b.dtype.is_quantized() {
        return Ok(());
    }
    along_k
        .iter()
        .try_for_each(|(name, count)| check_blocks(call, name, *count))
}

/// Orders the dtypes of operands by their significant bits; what comes out of blocks is f32.
fn width(dtype: DType) -> u32 {
    match dtype {
        DType::BF16 => 8,
        DType::F16 => 11,
        _ => 24,
    }
}

/// Operands of different dtypes are both read as the narrower one.
pub(super) fn operands(a: &Window, a_grid: Grid, b: &Window, b_grid: Grid) -> (Vec<f32>, Vec<f32>) {
    let narrow = if width(a.dtype) <= width(b.dtype) {
        a.dtype
    } else {
        b.dtype
    };
    let read = |window: &Window, grid: Grid| -> Vec<f32> {
        let values = window.grid(grid);
        if window.dtype == narrow {
            values
        } else {
            values.into_iter().map(|x| rounded(x, narrow)).collect()
        }
    };
    (read(a, a_grid), read(b, b_grid))
}

/// c `[m, n]` += alpha a `[m, k]` b `[k, n]`, k ascending for every element.
pub(super) fn multiply(c: &mut [f32], a: &[f32], b: &[f32], n: usize, alpha: f32) {
    if n == 0 {
        return;
    }
    let k = b.len() / n;
    for (row, c) in c.chunks_mut(n).enumerate() {
        for (i, b) in b.chunks(n).enumerate() {
            let factor = alpha * a[row * k + i];
            for (c, b) in c.iter_mut().zip(b) {
                *c += factor * b;
            }
        }
    }
}

/// c `[rows, n]` += a `[_, k]` b_g `[k, n]`: row r of group g is row `from[r]` of a times matrix g of b.
pub(super) fn multiply_groups(
    c: &mut [f32],
    a: &[f32],
    b: &[f32],
    n: usize,
    k: usize,
    ends: &[usize],
    from: &[usize],
) {
    for (g, pair) in ends.windows(2).enumerate() {
        let b = &b[g * k * n..(g + 1) * k * n];
        for r in pair[0]..pair[1] {
            let row = &a[from[r] * k..(from[r] + 1) * k];
            multiply(&mut c[r * n..(r + 1) * n], row, b, n, 1.0);
        }
    }
}

/// A grid of `batch` matrices `[rows, cols]`, stride elements apart, stored with ld, transposed or not.
pub(super) fn matrices(
    batch: usize,
    stride: usize,
    rows: usize,
    cols: usize,
    ld: usize,
    transposed: bool,
) -> Grid {
    let (down, across) = if transposed { (1, ld) } else { (ld, 1) };
    Grid {
        shape: [1, batch, rows, cols],
        strides: [0, stride, down, across],
    }
}

/// One product of a batch: C = alpha A B + beta C; C is not read when beta is 0.
struct Product {
    c: Window,
    a: Window,
    b: Window,
    grids: [Grid; 3],
    shape: [usize; 4],
    alpha: f32,
    beta: f32,
}

impl Product {
    fn run(&self) {
        let [batch, m, n, k] = self.shape;
        let [c_grid, a_grid, b_grid] = self.grids;
        let (a, b) = operands(&self.a, a_grid, &self.b, b_grid);
        let mut c = start(&self.c, c_grid, batch * m * n, self.beta);
        for i in 0..batch {
            let (a, b) = (
                &a[i * m * k..(i + 1) * m * k],
                &b[i * k * n..(i + 1) * k * n],
            );
            multiply(&mut c[i * m * n..(i + 1) * m * n], a, b, n, self.alpha);
        }
        self.c.put_grid(c_grid, &c);
    }
}

/// beta C, or zeros without reading C.
fn start(c: &Window, grid: Grid, count: usize, beta: f32) -> Vec<f32> {
    if beta == 0.0 {
        vec![0.0; count]
    } else {
        c.grid(grid).into_iter().map(|c| beta * c).collect()
    }
}

/// The group boundaries, or `None` when they do not ascend from 0 to at most `most`.
pub(super) fn group_ends(
    faults: &Faults,
    op: &str,
    offsets: &Window,
    groups: usize,
    most: usize,
) -> Option<Vec<usize>> {
    let values = offsets.i32s(groups + 1);
    for (g, &value) in values.iter().enumerate() {
        let (least, limit) = if g == 0 {
            (0, 0)
        } else {
            (i64::from(values[g - 1]), most as i64)
        };
        if !(least..=limit).contains(&i64::from(value)) {
            let expected = format!("expected offsets that ascend from 0 to at most {limit}");
            faults.report(format!("{op}: offsets[{g}] is {value}, {expected}"));
            return None;
        }
    }
    Some(values.into_iter().map(|value| value as usize).collect())
}

/// The rows that are gathered, each by itself without a list; `None` after a bad one.
pub(super) fn gathered(
    faults: &Faults,
    op: &str,
    name: &str,
    list: Option<&Window>,
    used: usize,
    limit: usize,
) -> Option<Vec<usize>> {
    let Some(list) = list else {
        return Some((0..used).collect());
    };
    let rows = list.i32s(used);
    let good = faults.good(op, name, &rows, limit, 0);
    good.then(|| rows.into_iter().map(|row| row as usize).collect())
}

impl ReferenceBackend {
    pub(super) fn gemm(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        trans_a: bool,
        trans_b: bool,
        m: usize,
        n: usize,
        k: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        alpha: f64,
        beta: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("gemm");
        call.dims(&[
            ("m", m),
            ("n", n),
            ("k", k),
            ("ldc", ldc),
            ("lda", lda),
            ("ldb", ldb),
        ]);
        call.flag("trans_a", trans_a);
        call.flag("trans_b", trans_b);
        call.nothing = m == 0 || n == 0;
        let swap = |swapped: bool, rows: usize, cols: usize| {
            if swapped { (cols, rows) } else { (rows, cols) }
        };
        let (a_shape, b_shape) = (swap(trans_a, m, k), swap(trans_b, k, n));
        let c_extent = call.matrix(m, n, "ldc", ldc)?;
        let a_extent = call.matrix(a_shape.0, a_shape.1, "lda", lda)?;
        let b_extent = call.matrix(b_shape.0, b_shape.1, "ldb", ldb)?;
        let c = call.out("c", c, &c_extent, FLOATS)?;
        let a = call.input("a", a, &a_extent, FLOATS)?;
        let b = call.input("b", b, &b_extent, dtypes_of_b(trans_b))?;
        check_b(&call, &b, &[("k", k), ("ldb", ldb)])?;
        let product = Product {
            c,
            a,
            b,
            grids: [
                Grid::rows(m, n, ldc),
                matrices(1, 0, m, k, lda, trans_a),
                matrices(1, 0, k, n, ldb, trans_b),
            ],
            shape: [1, m, n, k],
            alpha: call.real32("alpha", alpha, f64::NEG_INFINITY)?,
            beta: call.real32("beta", beta, f64::NEG_INFINITY)?,
        };
        self.submit(call, move |_| product.run())
    }

    pub(super) fn gemm_batched(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        trans_a: bool,
        trans_b: bool,
        batch: usize,
        m: usize,
        n: usize,
        k: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_c: usize,
        stride_a: usize,
        stride_b: usize,
        alpha: f64,
        beta: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("gemm_batched");
        call.dims(&[
            ("batch", batch),
            ("m", m),
            ("n", n),
            ("k", k),
            ("ldc", ldc),
            ("lda", lda),
            ("ldb", ldb),
        ]);
        call.dims(&[
            ("stride_c", stride_c),
            ("stride_a", stride_a),
            ("stride_b", stride_b),
        ]);
        call.flag("trans_a", trans_a);
        call.flag("trans_b", trans_b);
        call.nothing = batch == 0 || m == 0 || n == 0;
        let swap = |swapped: bool, rows: usize, cols: usize| {
            if swapped { (cols, rows) } else { (rows, cols) }
        };
        let (a_shape, b_shape) = (swap(trans_a, m, k), swap(trans_b, k, n));
        let c_extent = call.repeated((batch, stride_c), m, n, "ldc", ldc)?;
        let a_extent = call.repeated((batch, stride_a), a_shape.0, a_shape.1, "lda", lda)?;
        let b_extent = call.repeated((batch, stride_b), b_shape.0, b_shape.1, "ldb", ldb)?;
        let c = call.out("c", c, &c_extent, FLOATS)?;
        let a = call.input("a", a, &a_extent, FLOATS)?;
        let b = call.input("b", b, &b_extent, dtypes_of_b(trans_b))?;
        check_b(&call, &b, &[("k", k), ("ldb", ldb), ("stride_b", stride_b)])?;
        let product = Product {
            c,
            a,
            b,
            grids: [
                matrices(batch, stride_c, m, n, ldc, false),
                matrices(batch, stride_a, m, k, lda, trans_a),
                matrices(batch, stride_b, k, n, ldb, trans_b),
            ],
            shape: [batch, m, n, k],
            alpha: call.real32("alpha", alpha, f64::NEG_INFINITY)?,
            beta: call.real32("beta", beta, f64::NEG_INFINITY)?,
        };
        self.submit(call, move |_| product.run())
    }

    pub(super) fn gemm_grouped_rows(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        offsets: &Buffer,
        a_rows: Option<&Buffer>,
        trans_b: bool,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        a_row_count: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_b: usize,
        beta: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("gemm_grouped_rows");
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
        call.flag("trans_b", trans_b);
        call.nothing = groups == 0 || m == 0 || n == 0;
        call.fits_i32("groups", groups as u128)?;
        call.fits_i32("m", m as u128)?;
        let extent = call.matrix(m, n, "ldc", ldc)?;
        let to = call.out("c", c, &extent, FLOATS)?;
        let left_rows = if a_rows.is_some() { a_row_count } else { m };
        let extent = call.matrix(left_rows, k, "lda", lda)?;
        let left = call.input("a", a, &extent, FLOATS)?;
        let (rows, cols) = if trans_b { (n, k) } else { (k, n) };
        let extent = call.repeated((groups, stride_b), rows, cols, "ldb", ldb)?;
        let right = call.input("b", b, &extent, dtypes_of_b(trans_b))?;
        let along_k = [("k", k), ("ldb", ldb), ("stride_b", stride_b)];
        check_b(&call, &right, &along_k)?;
        let bounds = call.input("offsets", offsets, &dense(&[groups + 1]), I32)?;
        let gather = call.optional("a_rows", a_rows, &dense(&[m]), I32)?;
        let keep = call.real32("beta", beta, f64::NEG_INFINITY)?;
        self.submit(call, move |faults| {
            let Some(ends) = group_ends(faults, op, &bounds, groups, m) else {
                return;
            };
            let used = ends[groups];
            let Some(from) = gathered(faults, op, "a_rows", gather.as_ref(), used, a_row_count)
            else {
                return;
            };
            let b_grid = matrices(groups, stride_b, k, n, ldb, trans_b);
            let (a, b) = operands(&left, Grid::rows(left_rows, k, lda), &right, b_grid);
            let grid = Grid::rows(used, n, ldc);
            let mut c = start(&to, grid, used * n, keep);
            multiply_groups(&mut c, &a, &b, n, k, &ends, &from);
            to.put_grid(grid, &c);
        })
    }

    pub(super) fn gemm_grouped_inner(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        offsets: &Buffer,
        b_rows: Option<&Buffer>,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        b_row_count: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_c: usize,
        beta: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("gemm_grouped_inner");
        let op = call.op;
        call.dims(&[
            ("groups", groups),
            ("m", m),
            ("n", n),
            ("k", k),
            ("b_row_count", b_row_count),
        ]);
        call.dims(&[
            ("ldc", ldc),
            ("lda", lda),
            ("ldb", ldb),
            ("stride_c", stride_c),
        ]);
        call.nothing = groups == 0 || m == 0 || n == 0;
        call.fits_i32("groups", groups as u128)?;
        call.fits_i32("k", k as u128)?;
        let extent = call.repeated((groups, stride_c), m, n, "ldc", ldc)?;
        let to = call.out("c", c, &extent, FLOATS)?;
        let extent = call.matrix(k, m, "lda", lda)?;
        let left = call.input("a", a, &extent, FLOATS)?;
        let right_rows = if b_rows.is_some() { b_row_count } else { k };
        let extent = call.matrix(right_rows, n, "ldb", ldb)?;
        let right = call.input("b", b, &extent, FLOATS)?;
        let bounds = call.input("offsets", offsets, &dense(&[groups + 1]), I32)?;
        let gather = call.optional("b_rows", b_rows, &dense(&[k]), I32)?;
        let keep = call.real32("beta", beta, f64::NEG_INFINITY)?;
        self.submit(call, move |faults| {
            let Some(ends) = group_ends(faults, op, &bounds, groups, k) else {
                return;
            };
            let used = ends[groups];
            let Some(from) = gathered(faults, op, "b_rows", gather.as_ref(), used, b_row_count)
            else {
                return;
            };
            let (a, b) = operands(
                &left,
                Grid::rows(k, m, lda),
                &right,
                Grid::rows(right_rows, n, ldb),
            );
            let grid = matrices(groups, stride_c, m, n, ldc, false);
            let mut c = start(&to, grid, groups * m * n, keep);
            for (g, pair) in ends.windows(2).enumerate() {
                let c = &mut c[g * m * n..(g + 1) * m * n];
                for r in pair[0]..pair[1] {
                    let row = &b[from[r] * n..(from[r] + 1) * n];
                    for (i, c) in c.chunks_mut(n).enumerate() {
                        multiply(c, &[a[r * m + i]], row, n, 1.0);
                    }
                }
            }
            to.put_grid(grid, &c);
        })
    }
}
