//! Loss on text that was not trained on, and what it means in bits per byte.

use super::data::Tokens;
use super::loss::CrossEntropy;
use crate::elementary::exponential;
use crate::error::Result;
use crate::model::transformer::MoETransformer;
use crate::tensor::{DType, HostRef};

/// loss: mean cross entropy in nats per token; perplexity = exp(loss); bits_per_byte = sum of losses /
/// (ln 2 bytes).
///
/// Bytes are those of the text that the counted tokens came from: all of the split's, or, for a part
/// of it, in proportion to its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Nats per token.
    pub loss: f64,
    /// exp(loss)
    pub perplexity: f64,
    /// Bits per byte of text.
    pub bits_per_byte: f64,
    /// Tokens that were predicted.
    pub tokens: i64,
}

/// The mean loss over windows of `seq_len` that cover the split once, or over `max_windows` spread
/// evenly over it: of W windows those numbered floor(i W / max_windows). `progress` is told the windows
/// done and those in all.
///
/// Errors: data_too_short.
pub fn evaluate(
    model: &MoETransformer,
    tokens: &Tokens,
    batch: usize,
    seq_len: usize,
    max_windows: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation> {
    tokens.require(1)?;
    let backend = &model.backend;
    let loss = CrossEntropy::new(backend.clone(), model.config.vocab_size)?;
    let rows = batch.saturating_mul(seq_len);
    let ids_buffer = backend.buffer(DType::I32, rows)?;
    let targets_buffer = backend.buffer(DType::I32, rows)?;
    let windows = tokens.n_windows(seq_len);
    let chosen = windows.min(max_windows.unwrap_or(usize::MAX));
    let (mut total, mut count) = (0.0, 0);
    for first in (0..chosen).step_by(batch) {
        let end = chosen.min(first.saturating_add(batch));
        let numbers = (first..end).map(|i| i * windows / chosen);
        let (ids, targets) = tokens.windows(numbers, batch, seq_len)?;
        backend.upload(&ids_buffer, 0, HostRef::from(&ids))?;
        backend.upload(&targets_buffer, 0, HostRef::from(&targets))?;
        loss.reset()?;
        loss.add_count(&targets_buffer, rows)?;
        let logits = model.forward(&ids_buffer, batch, seq_len)?;
        loss.forward(&logits, &targets_buffer, rows)?;
        total += f64::from(backend.scalar_f32(&loss.sum)?);
        count += backend.scalar_i64(&loss.count)?;
        progress(end, chosen);
    }
    let mean = total / count as f64;
    let n_bytes = tokens.bytes as f64 * (count as f64 / (tokens.len - 1) as f64);
    let bits = if n_bytes > 0.0 {
        total / std::f64::consts::LN_2 / n_bytes
    } else {
        f64::INFINITY
    };
    Ok(Evaluation {
        loss: mean,
        perplexity: exponential(mean),
        bits_per_byte: bits,
        tokens: count,
    })
}
