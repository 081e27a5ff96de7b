//! Causal attention with grouped key/value heads: the readable path, and the one without the T x T
//! matrix stored.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, I32, dense};
use super::heads::{Heads, add, dot, narrow};
use super::softmax::logsumexp;
use crate::tensor::{Buffer, TensorResult};

impl ReferenceBackend {
    pub(super) fn attention_scores_forward(
        &self,
        scores: &Buffer,
        q: &Buffer,
        k: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_scores_forward");
        let sizes = [batch, seq_len, n_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(
            &mut call,
            "seq_len",
            sizes,
            (q_token_stride, q_head_stride),
            kv_strides,
        )?;
        let to = call.out("scores", scores, &s.matrix_extent(), F32)?;
        let queries = call.input("q", q, &s.q_extent(), F32)?;
        let keys = call.input("k", k, &s.kv_extent(), F32)?;
        let factor = call.real32("scale", scale, f64::NEG_INFINITY)?;
        self.submit(call, move |_| {
            let (q, k) = (queries.grid(s.q_grid()), keys.grid(s.kv_grid()));
            let mut result = vec![f32::NEG_INFINITY; s.matrix_count()];
            for (b, h, g, i) in s.queries(vec![seq_len; batch]) {
                let row = &mut result[s.row_at(b, h, i)];
                for (j, score) in row[..=i].iter_mut().enumerate() {
                    *score = factor * dot(&q[s.q_at(b, i, h)], &k[s.kv_at(b, j, g)]);
                }
            }
            to.put(&result);
        })
    }

    pub(super) fn attention_scores_backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        dscores: &Buffer,
        q: &Buffer,
        k: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_scores_backward");
        let sizes = [batch, seq_len, n_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(
            &mut call,
            "seq_len",
            sizes,
            (q_token_stride, q_head_stride),
            kv_strides,
        )?;
        let to_q = call.out("dq", dq, &s.q_extent(), F32)?;
        let to_k = call.out("dk", dk, &s.kv_extent(), F32)?;
        let grad = call.input("dscores", dscores, &s.matrix_extent(), F32)?;
        let queries = call.input("q", q, &s.q_extent(), F32)?;
        let keys = call.input("k", k, &s.kv_extent(), F32)?;
        let factor = call.real32("scale", scale, f64::NEG_INFINITY)?;
        self.submit(call, move |_| {
            let (q, k) = (queries.grid(s.q_grid()), keys.grid(s.kv_grid()));
            let grad = grad.floats(s.matrix_count());
            let (mut dq, mut dk) = (vec![0.0; s.q_count()], vec![0.0; s.kv_count()]);
            for (b, h, g, i) in s.queries(vec![seq_len; batch]) {
                for (j, ds) in grad[s.row_at(b, h, i)][..=i].iter().enumerate() {
                    add(&mut dq[s.q_at(b, i, h)], factor * ds, &k[s.kv_at(b, j, g)]);
                    add(&mut dk[s.kv_at(b, j, g)], factor * ds, &q[s.q_at(b, i, h)]);
                }
            }
            to_q.put_grid(s.q_grid(), &narrow(&dq));
            to_k.put_grid(s.kv_grid(), &narrow(&dk));
        })
    }

    pub(super) fn attention_output_forward(
        &self,
        out: &Buffer,
        probs: &Buffer,
        v: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_output_forward");
        let sizes = [batch, seq_len, n_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(&mut call, "seq_len", sizes, (0, 0), kv_strides)?;
        let to = call.out("out", out, &s.out_extent(), F32)?;
        let weights = call.input("probs", probs, &s.matrix_extent(), F32)?;
        let values = call.input("v", v, &s.kv_extent(), F32)?;
        self.submit(call, move |_| {
            let (p, v) = (weights.floats(s.matrix_count()), values.grid(s.kv_grid()));
            let mut result = vec![0.0; s.q_count()];
            for (b, h, g, i) in s.queries(vec![seq_len; batch]) {
                for (j, p) in p[s.row_at(b, h, i)][..=i].iter().enumerate() {
                    add(&mut result[s.q_at(b, i, h)], *p, &v[s.kv_at(b, j, g)]);
                }
            }
            to.put(&narrow(&result));
        })
    }

    pub(super) fn attention_output_backward(
        &self,
        dprobs: &Buffer,
        dv: &Buffer,
        dout: &Buffer,
        probs: &Buffer,
        v: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_output_backward");
        let sizes = [batch, seq_len, n_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(&mut call, "seq_len", sizes, (0, 0), kv_strides)?;
        let to_p = call.out("dprobs", dprobs, &s.matrix_extent(), F32)?;
        let to_v = call.out("dv", dv, &s.kv_extent(), F32)?;
        let grad = call.input("dout", dout, &s.out_extent(), F32)?;
        let weights = call.input("probs", probs, &s.matrix_extent(), F32)?;
        let values = call.input("v", v, &s.kv_extent(), F32)?;
        self.submit(call, move |_| {
            let (p, v) = (weights.floats(s.matrix_count()), values.grid(s.kv_grid()));
            let grad = grad.floats(s.q_count());
            let (mut dp, mut dv) = (vec![0.0; s.matrix_count()], vec![0.0; s.kv_count()]);
            for (b, h, g, i) in s.queries(vec![seq_len; batch]) {
                let (row, dout) = (s.row_at(b, h, i), &grad[s.q_at(b, i, h)]);
                for j in 0..=i {
                    dp[row.start + j] = dot(dout, &v[s.kv_at(b, j, g)]);
                    add(&mut dv[s.kv_at(b, j, g)], p[row.start + j], dout);
                }
            }
            to_p.put(&dp);
            to_v.put_grid(s.kv_grid(), &narrow(&dv));
        })
    }

    pub(super) fn attention_forward(
        &self,
        out: &Buffer,
        lse: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_forward");
        let op = call.op;
        let sizes = [batch, seq_len, n_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(
            &mut call,
            "seq_len",
            sizes,
            (q_token_stride, q_head_stride),
            kv_strides,
        )?;
        let to = call.out("out", out, &s.out_extent(), FLOATS)?;
        let to_lse = call.out("lse", lse, &dense(&[s.tokens(), n_heads]), F32)?;
        let queries = call.input("q", q, &s.q_extent(), F32)?;
        let keys = call.input("k", k, &s.kv_extent(), FLOATS)?;
        let values = call.input("v", v, &s.kv_extent(), FLOATS)?;
        let limits = call.optional("lengths", lengths, &dense(&[batch]), I32)?;
        let factor = call.real32("scale", scale, f64::NEG_INFINITY)?;
        call.same_dtype("v", &values, "k", &keys)?;
        self.submit(call, move |faults| {
            let Some(tokens) = faults.lengths(op, limits.as_ref(), batch, seq_len) else {
                return;
            };
            let (q, k, v) = (
                queries.grid(s.q_grid()),
                keys.grid(s.kv_grid()),
                values.grid(s.kv_grid()),
            );
            let (mut result, mut norms) = (vec![0.0; s.q_count()], vec![0.0; s.tokens() * n_heads]);
            for (b, h, g, i) in s.queries(tokens) {
                let query = &q[s.q_at(b, i, h)];
                let scores: Vec<f32> = (0..=i)
                    .map(|j| factor * dot(query, &k[s.kv_at(b, j, g)]))
                    .collect();
                let norm = logsumexp(&scores);
                norms[(b * seq_len + i) * n_heads + h] = norm;
                for (j, score) in scores.iter().enumerate() {
                    add(
                        &mut result[s.q_at(b, i, h)],
                        (score - norm).exp(),
                        &v[s.kv_at(b, j, g)],
                    );
                }
            }
            to.put(&narrow(&result));
            to_lse.put(&norms);
        })
    }

    pub(super) fn attention_backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        dv: &Buffer,
        dout: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        out: &Buffer,
        lse: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_backward");
        let op = call.op;
        let sizes = [batch, seq_len, n_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(
            &mut call,
            "seq_len",
            sizes,
            (q_token_stride, q_head_stride),
            kv_strides,
        )?;
        let to_q = call.out("dq", dq, &s.q_extent(), F32)?;
        let to_k = call.out("dk", dk, &s.kv_extent(), F32)?;
        let to_v = call.out("dv", dv, &s.kv_extent(), F32)?;
        let grad = call.input("dout", dout, &s.out_extent(), F32)?;
        let queries = call.input("q", q, &s.q_extent(), F32)?;
        let keys = call.input("k", k, &s.kv_extent(), FLOATS)?;
        let values = call.input("v", v, &s.kv_extent(), FLOATS)?;
        let result = call.input("out", out, &s.out_extent(), F32)?;
        let norms = call.input("lse", lse, &dense(&[s.tokens(), n_heads]), F32)?;
        let limits = call.optional("lengths", lengths, &dense(&[batch]), I32)?;
        let factor = call.real32("scale", scale, f64::NEG_INFINITY)?;
        call.same_dtype("v", &values, "k", &keys)?;
        self.submit(call, move |faults| {
            let Some(tokens) = faults.lengths(op, limits.as_ref(), batch, seq_len) else {
                return;
            };
            let (q, k, v) = (
                queries.grid(s.q_grid()),
                keys.grid(s.kv_grid()),
                values.grid(s.kv_grid()),
            );
            let (grad, out) = (grad.floats(s.q_count()), result.floats(s.q_count()));
            let norms = norms.floats(s.tokens() * n_heads);
            let (mut dq, mut dk, mut dv) = (
                vec![0.0; s.q_count()],
                vec![0.0; s.kv_count()],
                vec![0.0; s.kv_count()],
            );
            for (b, h, g, i) in s.queries(tokens) {
                let at = s.q_at(b, i, h);
                let (query, dout) = (&q[at.clone()], &grad[at.clone()]);
                let drop = dot(dout, &out[at.clone()]);
                let norm = norms[(b * seq_len + i) * n_heads + h];
                for j in 0..=i {
                    let key = s.kv_at(b, j, g);
                    let p = (factor * dot(query, &k[key.clone()]) - norm).exp();
                    let ds = p * (dot(dout, &v[key.clone()]) - drop);
                    add(&mut dq[at.clone()], factor * ds, &k[key.clone()]);
                    add(&mut dk[key.clone()], factor * ds, query);
                    add(&mut dv[key], p, dout);
                }
            }
            to_q.put_grid(s.q_grid(), &narrow(&dq));
            to_k.put_grid(s.kv_grid(), &narrow(&dk));
            to_v.put_grid(s.kv_grid(), &narrow(&dv));
        })
    }

    /// Attention of one query over keys and values `[n, head_dim]` given by their places in `k`, `v`.
    pub(super) fn attend(
        query: &[f32],
        k: &[f32],
        v: &[f32],
        places: &[usize],
        factor: f32,
    ) -> Vec<f32> {
        let d = query.len();
        let scores: Vec<f32> = places
            .iter()
            .map(|&at| factor * dot(query, &k[at..at + d]))
            .collect();
        let norm = logsumexp(&scores);
        let mut result = vec![0.0; d];
        for (score, &at) in scores.iter().zip(places) {
            add(&mut result, (score - norm).exp(), &v[at..at + d]);
        }
        narrow(&result)
    }
}
