//! The paged key/value cache: what decoding keeps of the tokens it has seen.

use super::config::MoEConfig;
use crate::error::Result;
use crate::tensor::{Backend, Buffer, DType};

/// Tokens of a page.
pub const PAGE_SIZE: usize = 64;

/// Pages `[n_pages, page_size, n_kv_heads, head_dim]` of keys and of values per layer, for `batch`
/// sequences.
///
/// Sequence b holds `positions[b]` tokens. The block table is the identity: page p of sequence b is
/// page b pages_per_sequence + p. `lengths` is set while sequences bring different numbers of new
/// tokens.
#[derive(Debug)]
pub struct KVCache {
    /// Sequences.
    pub batch: usize,
    /// Tokens of a page.
    pub page_size: usize,
    /// Pages of a sequence.
    pub pages_per_sequence: usize,
    /// Pages of all.
    pub n_pages: usize,
    /// Tokens that a sequence may hold.
    pub capacity: usize,
    /// Keys per layer.
    pub k: Vec<Buffer>,
    /// Values per layer.
    pub v: Vec<Buffer>,
    /// Pages of each sequence; `None`: the identity.
    pub block_table: Option<Buffer>,
    /// Where each sequence's new tokens begin.
    pub positions: Buffer,
    /// How many new tokens each sequence brings; `None`: all.
    pub lengths: Option<Buffer>,
}

impl KVCache {
    /// Pages for `capacity` tokens of each sequence.
    pub fn new(
        backend: &dyn Backend,
        config: &MoEConfig,
        dtype: DType,
        batch: usize,
        capacity: usize,
    ) -> Result<Self> {
        let pages_per_sequence = capacity.div_ceil(PAGE_SIZE);
        let n_pages = batch * pages_per_sequence;
        let count = n_pages * PAGE_SIZE * config.n_kv_heads * config.head_dim;
        let layers = |_| backend.buffer(dtype, count);
        Ok(Self {
            batch,
            page_size: PAGE_SIZE,
            pages_per_sequence,
            n_pages,
            capacity: pages_per_sequence * PAGE_SIZE,
            k: (0..config.n_layers)
                .map(layers)
                .collect::<std::result::Result<_, _>>()?,
            v: (0..config.n_layers)
                .map(layers)
                .collect::<std::result::Result<_, _>>()?,
            block_table: None,
            positions: backend.buffer(DType::I32, batch)?,
            lengths: None,
        })
    }
}
