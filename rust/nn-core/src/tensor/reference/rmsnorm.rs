//! RMSNorm (Zhang and Sennrich 2019), plain and with the residual added first.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, dense};
use super::memory::Window;
use super::softmax::sum;
use crate::tensor::{Buffer, TensorResult};

/// 1 / sqrt(mean x^2 + eps) of a row.
fn rms(row: &[f32], eps: f32) -> f32 {
    let mean = (sum(row.iter().map(|x| x * x)) / row.len() as f64) as f32;
    1.0 / (mean + eps).sqrt()
}

fn start(op: &'static str, rows: usize, cols: usize) -> Call {
    let mut call = Call::new(op);
    call.dims(&[("rows", rows), ("cols", cols)]);
    call.nothing = rows == 0 || cols == 0;
    call
}

/// rstd of every row of x, and x rstd w.
fn normed(x: &[f32], w: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let rstd: Vec<f32> = x.chunks(w.len()).map(|row| rms(row, eps)).collect();
    let rows = x.chunks(w.len()).zip(&rstd);
    let y = rows
        .flat_map(|(row, r)| row.iter().zip(w).map(move |(x, w)| x * r * w))
        .collect();
    (rstd, y)
}

/// Where the gradients go and what they come from.
struct Backward {
    dx: Window,
    dw: Window,
    dy: Window,
    dh: Option<Window>,
    x: Window,
    w: Window,
    rstd: Window,
    rows: usize,
    cols: usize,
}

impl Backward {
    /// With g = dy w, xh = x rstd: dx = rstd (g - xh mean(g xh)), dw += sum over rows of dy xh.
    fn run(&self) {
        let (rows, cols) = (self.rows, self.cols);
        let n = rows * cols;
        let (dy, x, w, rstd) = (
            self.dy.floats(n),
            self.x.floats(n),
            self.w.floats(cols),
            self.rstd.floats(rows),
        );
        let dh = self
            .dh
            .as_ref()
            .map_or_else(|| vec![0.0; n], |dh| dh.floats(n));
        let mut dx = vec![0.0; n];
        let mut dw = vec![0.0_f64; cols];
        for r in 0..rows {
            let row = r * cols..(r + 1) * cols;
            let (dy, x) = (&dy[row.clone()], &x[row.clone()]);
            let g: Vec<f32> = dy.iter().zip(&w).map(|(dy, w)| dy * w).collect();
            let xh: Vec<f32> = x.iter().map(|x| x * rstd[r]).collect();
            let mean = (sum(g.iter().zip(&xh).map(|(g, xh)| g * xh)) / cols as f64) as f32;
            for c in 0..cols {
                dx[r * cols + c] = dh[r * cols + c] + rstd[r] * (g[c] - xh[c] * mean);
                dw[c] += f64::from(dy[c] * xh[c]);
            }
        }
        self.dx.put(&dx);
        let old = self.dw.floats(cols);
        self.dw.put(
            &old.iter()
                .zip(dw)
                .map(|(old, new)| old + new as f32)
                .collect::<Vec<_>>(),
        );
    }
}

impl ReferenceBackend {
    pub(super) fn rmsnorm_forward(
        &self,
        y: &Buffer,
        rstd: &Buffer,
        x: &Buffer,
        w: &Buffer,
        rows: usize,
        cols: usize,
        eps: f64,
    ) -> TensorResult<()> {
        let mut call = start("rmsnorm_forward", rows, cols);
        let to = call.out("y", y, &dense(&[rows, cols]), FLOATS)?;
        let to_rstd = call.out("rstd", rstd, &dense(&[rows]), F32)?;
        let values = call.input("x", x, &dense(&[rows, cols]), F32)?;
        let weight = call.input("w", w, &dense(&[cols]), FLOATS)?;
        let floor = call.real32("eps", eps, 0.0)?;
        self.submit(call, move |_| {
            let (rstd, y) = normed(&values.floats(rows * cols), &weight.floats(cols), floor);
            to_rstd.put(&rstd);
            to.put(&y);
        })
    }

    pub(super) fn rmsnorm_backward(
        &self,
        dx: &Buffer,
        dw: &Buffer,
        dy: &Buffer,
        x: &Buffer,
        w: &Buffer,
        rstd: &Buffer,
        rows: usize,
        cols: usize,
    ) -> TensorResult<()> {
        let mut call = start("rmsnorm_backward", rows, cols);
        let full = dense(&[rows, cols]);
        let work = Backward {
            dx: call.out("dx", dx, &full, F32)?,
            dw: call.out("dw", dw, &dense(&[cols]), F32)?,
            dy: call.aliased("dy", dy, &full, F32, &["dx"])?,
            dh: None,
            x: call.input("x", x, &full, F32)?,
            w: call.input("w", w, &dense(&[cols]), FLOATS)?,
            rstd: call.input("rstd", rstd, &dense(&[rows]), F32)?,
            rows,
            cols,
        };
        self.submit(call, move |_| work.run())
    }

    pub(super) fn rmsnorm_residual_forward(
        &self,
        y: &Buffer,
        h: &Buffer,
        rstd: &Buffer,
        x: &Buffer,
        residual: &Buffer,
        w: &Buffer,
        rows: usize,
        cols: usize,
        eps: f64,
    ) -> TensorResult<()> {
        let mut call = start("rmsnorm_residual_forward", rows, cols);
        let full = dense(&[rows, cols]);
        let to = call.out("y", y, &full, FLOATS)?;
        let to_h = call.out("h", h, &full, F32)?;
        let to_rstd = call.out("rstd", rstd, &dense(&[rows]), F32)?;
        let values = call.aliased("x", x, &full, F32, &["h"])?;
        let stream = call.aliased("residual", residual, &full, F32, &["h"])?;
        let weight = call.input("w", w, &dense(&[cols]), FLOATS)?;
        let floor = call.real32("eps", eps, 0.0)?;
        self.submit(call, move |_| {
            let (x, stream) = (values.floats(rows * cols), stream.floats(rows * cols));
            let h: Vec<f32> = x.iter().zip(stream).map(|(x, s)| x + s).collect();
            let (rstd, y) = normed(&h, &weight.floats(cols), floor);
            to_h.put(&h);
            to_rstd.put(&rstd);
            to.put(&y);
        })
    }

    pub(super) fn rmsnorm_residual_backward(
        &self,
        dx: &Buffer,
        dw: &Buffer,
        dy: &Buffer,
        dh: &Buffer,
        h: &Buffer,
        w: &Buffer,
        rstd: &Buffer,
        rows: usize,
        cols: usize,
    ) -> TensorResult<()> {
        let mut call = start("rmsnorm_residual_backward", rows, cols);
        let full = dense(&[rows, cols]);
        let work = Backward {
            dx: call.out("dx", dx, &full, F32)?,
            dw: call.out("dw", dw, &dense(&[cols]), F32)?,
            dy: call.aliased("dy", dy, &full, F32, &["dx"])?,
            dh: Some(call.aliased("dh", dh, &full, F32, &["dx"])?),
            x: call.input("h", h, &full, F32)?,
            w: call.input("w", w, &dense(&[cols]), FLOATS)?,
            rstd: call.input("rstd", rstd, &dense(&[rows]), F32)?,
            rows,
            cols,
        };
        self.submit(call, move |_| work.run())
    }
}
