//! Elementwise ops: `y[i]` from the i-th elements of the inputs.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, UNQUANTIZED, dense};
use super::memory::Window;
use crate::tensor::{Buffer, DType, TensorResult};

/// x / (1 + exp(-x))
pub(super) fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// silu'(x) = s (1 + x (1 - s)), s = 1 / (1 + exp(-x)).
pub(super) fn silu_slope(x: f32) -> f32 {
    let s = 1.0 / (1.0 + (-x).exp());
    s * (1.0 + x * (1.0 - s))
}

fn start(op: &'static str, n: usize) -> Call {
    let mut call = Call::new(op);
    call.dims(&[("n", n)]);
    call.nothing = n == 0;
    call
}

fn map2(a: &Window, b: &Window, n: usize, f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    a.floats(n)
        .into_iter()
        .zip(b.floats(n))
        .map(|(a, b)| f(a, b))
        .collect()
}

impl ReferenceBackend {
    pub(super) fn add_forward(
        &self,
        y: &Buffer,
        a: &Buffer,
        b: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        self.binary("add_forward", y, a, b, n, |a, b| a + b)
    }

    pub(super) fn mul_forward(
        &self,
        y: &Buffer,
        a: &Buffer,
        b: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        self.binary("mul_forward", y, a, b, n, |a, b| a * b)
    }

    fn binary(
        &self,
        op: &'static str,
        y: &Buffer,
        a: &Buffer,
        b: &Buffer,
        n: usize,
        f: fn(f32, f32) -> f32,
    ) -> TensorResult<()> {
        let mut call = start(op, n);
        let to = call.out("y", y, &dense(&[n]), F32)?;
        let left = call.aliased("a", a, &dense(&[n]), F32, &["y"])?;
        let right = call.aliased("b", b, &dense(&[n]), F32, &["y"])?;
        self.submit(call, move |_| to.put(&map2(&left, &right, n, f)))
    }

    pub(super) fn mul_backward(
        &self,
        da: &Buffer,
        db: &Buffer,
        dy: &Buffer,
        a: &Buffer,
        b: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        let mut call = start("mul_backward", n);
        let (to_a, to_b) = (
            call.out("da", da, &dense(&[n]), F32)?,
            call.out("db", db, &dense(&[n]), F32)?,
        );
        let grad = call.input("dy", dy, &dense(&[n]), F32)?;
        let (left, right) = (
            call.input("a", a, &dense(&[n]), F32)?,
            call.input("b", b, &dense(&[n]), F32)?,
        );
        self.submit(call, move |_| {
            to_a.put(&map2(&grad, &right, n, |g, b| g * b));
            to_b.put(&map2(&grad, &left, n, |g, a| g * a));
        })
    }

    pub(super) fn scale_forward(
        &self,
        y: &Buffer,
        x: &Buffer,
        n: usize,
        alpha: f64,
    ) -> TensorResult<()> {
        let mut call = start("scale_forward", n);
        let to = call.out("y", y, &dense(&[n]), F32)?;
        let values = call.aliased("x", x, &dense(&[n]), F32, &["y"])?;
        let factor = call.real32("alpha", alpha, f64::NEG_INFINITY)?;
        self.submit(call, move |_| {
            to.put(
                &values
                    .floats(n)
                    .into_iter()
                    .map(|x| factor * x)
                    .collect::<Vec<_>>(),
            );
        })
    }

    pub(super) fn silu_forward(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        let mut call = start("silu_forward", n);
        let to = call.out("y", y, &dense(&[n]), F32)?;
        let values = call.aliased("x", x, &dense(&[n]), F32, &["y"])?;
        self.submit(call, move |_| {
            to.put(&values.floats(n).into_iter().map(silu).collect::<Vec<_>>())
        })
    }

    pub(super) fn silu_backward(
        &self,
        dx: &Buffer,
        dy: &Buffer,
        x: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        let mut call = start("silu_backward", n);
        let to = call.out("dx", dx, &dense(&[n]), F32)?;
        let grad = call.aliased("dy", dy, &dense(&[n]), F32, &["dx"])?;
        let values = call.input("x", x, &dense(&[n]), F32)?;
        self.submit(call, move |_| {
            to.put(&map2(&grad, &values, n, |g, x| g * silu_slope(x)))
        })
    }

    pub(super) fn swiglu_forward(
        &self,
        y: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        let mut call = start("swiglu_forward", n);
        let to = call.out("y", y, &dense(&[n]), FLOATS)?;
        let gates = call.aliased("gate", gate, &dense(&[n]), F32, &["y"])?;
        let ups = call.aliased("up", up, &dense(&[n]), F32, &["y"])?;
        self.submit(call, move |_| {
            to.put(&map2(&gates, &ups, n, |g, u| silu(g) * u))
        })
    }

    pub(super) fn swiglu_backward(
        &self,
        dgate: &Buffer,
        dup: &Buffer,
        dy: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        let mut call = start("swiglu_backward", n);
        let to_gate = call.out("dgate", dgate, &dense(&[n]), F32)?;
        let to_up = call.out("dup", dup, &dense(&[n]), F32)?;
        let grad = call.input("dy", dy, &dense(&[n]), F32)?;
        let gates = call.aliased("gate", gate, &dense(&[n]), F32, &["dgate"])?;
        let ups = call.aliased("up", up, &dense(&[n]), F32, &["dup"])?;
        self.submit(call, move |_| {
            let (g, u, d) = (gates.floats(n), ups.floats(n), grad.floats(n));
            let dgate: Vec<f32> = (0..n).map(|i| d[i] * u[i] * silu_slope(g[i])).collect();
            let dup: Vec<f32> = (0..n).map(|i| d[i] * silu(g[i])).collect();
            to_gate.put(&dgate);
            to_up.put(&dup);
        })
    }

    pub(super) fn fill(&self, y: &Buffer, n: usize, value: f64) -> TensorResult<()> {
        let mut call = start("fill", n);
        let to = call.out("y", y, &dense(&[n]), UNQUANTIZED)?;
        call.fill_value("value", value, to.dtype)?;
        self.submit(call, move |_| match to.dtype {
            DType::I32 => to.put_i32s(&vec![value as i32; n]),
            DType::I64 => to.put_i64s(&vec![value as i64; n]),
            DType::U8 => to.put_bytes(&vec![value as u8; n]),
            _ => to.put(&vec![value as f32; n]),
        })
    }
}
