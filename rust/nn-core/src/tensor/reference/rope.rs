//! Rotary position embedding (Su et al. 2021), half-split form: pairs are (i, i + head_dim/2).

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, I32, dense, strided};
use super::memory::{Grid, Window};
use crate::tensor::{Buffer, TensorResult};
use crate::text::general;

/// The names of the outputs and inputs of one direction, and the sign of its angle.
struct Direction {
    op: &'static str,
    names: [&'static str; 4],
    alias: [&'static [&'static str]; 2],
    sign: f32,
}

const FORWARD: Direction = Direction {
    op: "rope_forward",
    names: ["q_out", "k_out", "q", "k"],
    alias: [&["q_out"], &["k_out"]],
    sign: 1.0,
};

const BACKWARD: Direction = Direction {
    op: "rope_backward",
    names: ["dq", "dk", "dq_out", "dk_out"],
    alias: [&["dq"], &["dk"]],
    sign: -1.0,
};

/// Tokens, query heads, key/value heads, head_dim, positions of the tables; token and head stride of q
/// and of k.
struct Dims {
    tokens: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    table_positions: usize,
    q: (usize, usize),
    k: (usize, usize),
}

/// x `[tokens, heads, d]` rotated by the tables' rows `at`: first half x1 c - x2 s, second half
/// x2 c + x1 s.
fn rotated(
    x: &[f32],
    heads: usize,
    d: usize,
    cos: &[f32],
    sin: &[f32],
    at: &[i32],
    sign: f32,
) -> Vec<f32> {
    let half = d / 2;
    let mut out = vec![0.0; x.len()];
    for (row, (x, out)) in x.chunks(d).zip(out.chunks_mut(d)).enumerate() {
        let table = at[row / heads] as usize * half;
        for i in 0..half {
            let (c, s) = (cos[table + i], sign * sin[table + i]);
            out[i] = x[i] * c - x[i + half] * s;
            out[i + half] = x[i + half] * c + x[i] * s;
        }
    }
    out
}

fn even(call: &Call, head_dim: usize) -> TensorResult<()> {
    call.require(head_dim.is_multiple_of(2), || {
        format!("head_dim is {head_dim}, expected an even number")
    })
}

impl ReferenceBackend {
    pub(super) fn rope_frequencies(
        &self,
        cos: &Buffer,
        sin: &Buffer,
        positions: usize,
        head_dim: usize,
        theta: f64,
        ntk_alpha: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("rope_frequencies");
        call.dims(&[("positions", positions), ("head_dim", head_dim)]);
        even(&call, head_dim)?;
        call.nothing = positions == 0 || head_dim == 0;
        let half = head_dim / 2;
        let to_cos = call.out("cos", cos, &dense(&[positions, half]), F32)?;
        let to_sin = call.out("sin", sin, &dense(&[positions, half]), F32)?;
        for (name, value) in [("theta", theta), ("ntk_alpha", ntk_alpha)] {
            call.real(name, value, f64::NEG_INFINITY)?;
            call.require(value > 0.0, || {
                format!(
                    "{name} is {}, expected a positive number",
                    general(value, 6)
                )
            })?;
        }
        call.require(ntk_alpha == 1.0 || head_dim != 2, || {
            "head_dim is 2, expected more for ntk_alpha other than 1".to_string()
        })?;
        self.submit(call, move |_| {
            let d = head_dim as f64;
            let base = if ntk_alpha == 1.0 {
                theta
            } else {
                theta * ntk_alpha.powf(d / (d - 2.0))
            };
            let frequencies: Vec<f64> = (0..half).map(|i| base.powf(-2.0 * i as f64 / d)).collect();
            let angles =
                || (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
            to_cos.put(&angles().map(|angle| angle.cos() as f32).collect::<Vec<_>>());
            to_sin.put(&angles().map(|angle| angle.sin() as f32).collect::<Vec<_>>());
        })
    }

    pub(super) fn rope_forward(
        &self,
        q_out: &Buffer,
        k_out: &Buffer,
        q: &Buffer,
        k: &Buffer,
        cos: &Buffer,
        sin: &Buffer,
        positions: &Buffer,
        tokens: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        table_positions: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        k_token_stride: usize,
        k_head_stride: usize,
    ) -> TensorResult<()> {
        let (q_strides, k_strides) = (
            (q_token_stride, q_head_stride),
            (k_token_stride, k_head_stride),
        );
        let dims = Dims {
            tokens,
            n_heads,
            n_kv_heads,
            head_dim,
            table_positions,
            q: q_strides,
            k: k_strides,
        };
        self.rope(&FORWARD, [q_out, k_out, q, k], [cos, sin, positions], dims)
    }

    pub(super) fn rope_backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        dq_out: &Buffer,
        dk_out: &Buffer,
        cos: &Buffer,
        sin: &Buffer,
        positions: &Buffer,
        tokens: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        table_positions: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        k_token_stride: usize,
        k_head_stride: usize,
    ) -> TensorResult<()> {
        let (q_strides, k_strides) = (
            (q_token_stride, q_head_stride),
            (k_token_stride, k_head_stride),
        );
        let dims = Dims {
            tokens,
            n_heads,
            n_kv_heads,
            head_dim,
            table_positions,
            q: q_strides,
            k: k_strides,
        };
        self.rope(
            &BACKWARD,
            [dq, dk, dq_out, dk_out],
            [cos, sin, positions],
            dims,
        )
    }

    fn rope(
        &self,
        way: &'static Direction,
        buffers: [&Buffer; 4],
        tables: [&Buffer; 3],
        dims: Dims,
    ) -> TensorResult<()> {
        let Dims {
            tokens,
            n_heads,
            n_kv_heads,
            head_dim,
            table_positions,
            q,
            k,
        } = dims;
        let mut call = Call::new(way.op);
        call.dims(&[
            ("tokens", tokens),
            ("n_heads", n_heads),
            ("n_kv_heads", n_kv_heads),
        ]);
        call.dims(&[("head_dim", head_dim), ("table_positions", table_positions)]);
        call.dims(&[("q_token_stride", q.0), ("q_head_stride", q.1)]);
        call.dims(&[("k_token_stride", k.0), ("k_head_stride", k.1)]);
        even(&call, head_dim)?;
        call.nothing = tokens == 0 || head_dim == 0 || (n_heads == 0 && n_kv_heads == 0);
        let half = head_dim / 2;
        let q_extent = strided(head_dim, (tokens, q.0), (n_heads, q.1));
        let k_extent = strided(head_dim, (tokens, k.0), (n_kv_heads, k.1));
        let outputs = if way.sign > 0.0 { FLOATS } else { F32 };
        let to_q = call.out(way.names[0], buffers[0], &q_extent, outputs)?;
        let to_k = call.out(way.names[1], buffers[1], &k_extent, outputs)?;
        let from_q = call.aliased(way.names[2], buffers[2], &q_extent, F32, way.alias[0])?;
        let from_k = call.aliased(way.names[3], buffers[3], &k_extent, F32, way.alias[1])?;
        let cos = call.input("cos", tables[0], &dense(&[table_positions, half]), F32)?;
        let sin = call.input("sin", tables[1], &dense(&[table_positions, half]), F32)?;
        let at = call.input("positions", tables[2], &dense(&[tokens]), I32)?;
        self.submit(call, move |faults| {
            let at = at.i32s(tokens);
            if !faults.good(way.op, "positions", &at, table_positions, 0) {
                return;
            }
            let (cos, sin) = (
                cos.floats(table_positions * half),
                sin.floats(table_positions * half),
            );
            let turn = |to: &Window, from: &Window, heads: usize, strides: (usize, usize)| {
                let grid = Grid {
                    shape: [1, tokens, heads, head_dim],
                    strides: [0, strides.0, strides.1, 1],
                };
                to.put_grid(
                    grid,
                    &rotated(&from.grid(grid), heads, head_dim, &cos, &sin, &at, way.sign),
                );
            };
            turn(&to_q, &from_q, n_heads, q);
            turn(&to_k, &from_k, n_kv_heads, k);
        })
    }
}
