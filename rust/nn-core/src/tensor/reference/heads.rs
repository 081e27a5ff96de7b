//! Query heads in groups over key/value heads: the dims, strides and places that attention shares.

use super::call::{Call, Extent, dense, strided};
use super::memory::Grid;
use crate::tensor::TensorResult;

/// The dims and strides of one call: batch sequences of seq_len tokens, query heads in groups over kv
/// heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub batch: usize,
    pub seq_len: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub q_strides: (usize, usize),
    pub kv_strides: (usize, usize),
}

impl Heads {
    /// Checked; sizes are batch, seq_len, n_heads, n_kv_heads, head_dim.
    pub fn of(
        call: &mut Call,
        seq_name: &'static str,
        [batch, seq_len, n_heads, n_kv_heads, head_dim]: [usize; 5],
        q_strides: (usize, usize),
        kv_strides: (usize, usize),
    ) -> TensorResult<Self> {
        let heads = Self {
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            q_strides,
            kv_strides,
        };
        heads.check(call, seq_name)?;
        Ok(heads)
    }

    fn check(&self, call: &mut Call, seq_name: &'static str) -> TensorResult<()> {
        call.dims(&[
            ("batch", self.batch),
            (seq_name, self.seq_len),
            ("n_heads", self.n_heads),
        ]);
        call.dims(&[("n_kv_heads", self.n_kv_heads), ("head_dim", self.head_dim)]);
        call.dims(&[
            ("q_token_stride", self.q_strides.0),
            ("q_head_stride", self.q_strides.1),
        ]);
        call.dims(&[
            ("kv_token_stride", self.kv_strides.0),
            ("kv_head_stride", self.kv_strides.1),
        ]);
        call.nothing = [self.batch, self.seq_len, self.n_heads, self.head_dim].contains(&0);
        if self.n_heads > 0 {
            call.at_least("n_kv_heads", self.n_kv_heads as i128, 1)?;
        }
        let (heads, kv) = (self.n_heads, self.n_kv_heads);
        call.require(kv == 0 || heads.is_multiple_of(kv), || {
            format!("n_heads is {heads}, expected a multiple of n_kv_heads = {kv}")
        })?;
        call.fits_i32(seq_name, self.seq_len as u128)
    }

    pub fn tokens(&self) -> usize {
        self.batch.saturating_mul(self.seq_len)
    }

    pub fn q_extent(&self) -> Extent {
        strided(
            self.head_dim,
            (self.tokens(), self.q_strides.0),
            (self.n_heads, self.q_strides.1),
        )
    }

    pub fn kv_extent(&self) -> Extent {
        strided(
            self.head_dim,
            (self.tokens(), self.kv_strides.0),
            (self.n_kv_heads, self.kv_strides.1),
        )
    }

    pub fn out_extent(&self) -> Extent {
        dense(&[self.tokens(), self.n_heads, self.head_dim])
    }

    pub fn matrix_extent(&self) -> Extent {
        dense(&[self.batch, self.n_heads, self.seq_len, self.seq_len])
    }

    pub fn q_grid(&self) -> Grid {
        let Self {
            head_dim,
            n_heads,
            q_strides,
            ..
        } = *self;
        Grid {
            shape: [1, self.tokens(), n_heads, head_dim],
            strides: [0, q_strides.0, q_strides.1, 1],
        }
    }

    pub fn kv_grid(&self) -> Grid {
        let Self {
            head_dim,
            n_kv_heads,
            kv_strides,
            ..
        } = *self;
        Grid {
            shape: [1, self.tokens(), n_kv_heads, head_dim],
            strides: [0, kv_strides.0, kv_strides.1, 1],
        }
    }

    /// Elements of q and out.
    pub fn q_count(&self) -> usize {
        self.tokens() * self.n_heads * self.head_dim
    }

    /// Elements of k and v.
    pub fn kv_count(&self) -> usize {
        self.tokens() * self.n_kv_heads * self.head_dim
    }

    pub fn matrix_count(&self) -> usize {
        self.batch * self.n_heads * self.seq_len * self.seq_len
    }

    /// The kv head that a query head reads.
    pub fn group(&self, head: usize) -> usize {
        head / (self.n_heads / self.n_kv_heads)
    }

    /// Head h of token t of sequence b in q or out, dense.
    pub fn q_at(&self, b: usize, t: usize, h: usize) -> std::ops::Range<usize> {
        let start = ((b * self.seq_len + t) * self.n_heads + h) * self.head_dim;
        start..start + self.head_dim
    }

    /// Head g of token t of sequence b in k or v, dense.
    pub fn kv_at(&self, b: usize, t: usize, g: usize) -> std::ops::Range<usize> {
        let start = ((b * self.seq_len + t) * self.n_kv_heads + g) * self.head_dim;
        start..start + self.head_dim
    }

    /// Row i of the matrix of head h of sequence b.
    pub fn row_at(&self, b: usize, h: usize, i: usize) -> std::ops::Range<usize> {
        let start = ((b * self.n_heads + h) * self.seq_len + i) * self.seq_len;
        start..start + self.seq_len
    }

    /// Every (sequence, query head, kv head, query) of the first `tokens[b]` queries.
    pub fn queries(self, tokens: Vec<usize>) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        tokens.into_iter().enumerate().flat_map(move |(b, n)| {
            (0..self.n_heads).flat_map(move |h| (0..n).map(move |i| (b, h, self.group(h), i)))
        })
    }
}

/// a . b, terms in f64.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum::<f64>() as f32
}

/// to += factor from, in f64.
pub(super) fn add(to: &mut [f64], factor: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += f64::from(factor) * f64::from(*from);
    }
}

pub(super) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
