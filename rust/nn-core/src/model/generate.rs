//! Generation with a key/value cache: prompts in, one token per sequence and step out.

use std::ops::Deref;
use std::sync::Arc;

use super::kv_cache::KVCache;
use super::recorded_step::RecordedStep;
use super::transformer::MoETransformer;
use crate::error::Result;
use crate::messages;
use crate::tensor::{Backend, Buffer, DType, HostMut, HostRef};
use crate::text::repr;

/// Prompt tokens per sequence that run at once; any chunking gives the same bits.
pub const PREFILL_CHUNK: usize = 512;

/// Temperature, then top-k (0: all), then top-p (1: all). Temperature 0 takes the most likely token.
///
/// A draw belongs to (seed, sample number, position), never to a slot in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits.
    pub temperature: f64,
    /// Only the k most likely.
    pub top_k: i64,
    /// Only the likeliest that sum to p.
    pub top_p: f64,
    /// Of the draws.
    pub seed: i64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Errors: usage_bad_value.
    pub fn validate(self) -> Result<Self> {
        let bad = |option, value: String, expected| {
            Err(messages::usage_bad_value(option, &value, expected))
        };
        if !(0.0..=1e6).contains(&self.temperature) {
            return bad(
                "--temperature",
                repr(self.temperature),
                "a number of at least 0",
            );
        }
        if !(0..=i64::from(i32::MAX)).contains(&self.top_k) {
            return bad(
                "--top-k",
                self.top_k.to_string(),
                "an integer of at least 0 (0: all)",
            );
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad(
                "--top-p",
                repr(self.top_p),
                "a number above 0 and at most 1 (1: all)",
            );
        }
        Ok(self)
    }
}

/// Always the most likely token.
pub const GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
    seed: 0,
};

/// Decodes a batch of prompts. After prefill every step is the same recorded graph: logits of the
/// last tokens, sample, advance. `M` refers to the model: a reference, or an `Arc` where the generator
/// outlives its maker.
#[derive(Debug)]
pub struct Generator<M: Deref<Target = MoETransformer>> {
    model: M,
    backend: Arc<dyn Backend>,
    max_new_tokens: usize,
    eos_id: i64,
    pub(crate) cache: KVCache,
    prompts: Vec<Vec<i32>>,
    pub(crate) state: Slots,
    step: RecordedStep,
    /// Steps made.
    made: usize,
    prefilled: bool,
    ids_out: Vec<i32>,
    finished_out: Vec<i32>,
}

/// What the batch's sequences are at, on the device.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) ids: Buffer,
    finished: Buffer,
    temperature: Buffer,
    top_k: Buffer,
    top_p: Buffer,
    samples: Buffer,
    seed: Buffer,
}

impl<M: Deref<Target = MoETransformer>> Generator<M> {
    /// Sequence b of the batch is sample number first_sample + b.
    ///
    /// Errors: empty_prompt, id_out_of_range, sequence_too_long (a prompt and its new tokens exceed
    /// the context).
    pub fn new(
        model: M,
        prompts: &[Vec<i32>],
        max_new_tokens: usize,
        sampling: Sampling,
        first_sample: i64,
        stop_at_eos: bool,
    ) -> Result<Self> {
        let sampling = sampling.validate()?;
        let longest = check_prompts(&model, prompts, max_new_tokens)?;
        let (backend, b) = (model.backend.clone(), prompts.len());
        let capacity = longest + max_new_tokens;
        let cache = KVCache::new(backend.as_ref(), &model.config, model.dtype, b, capacity)?;
        let last: Vec<i32> = prompts
            .iter()
            .filter_map(|prompt| prompt.last().copied())
            .collect();
        let floats =
            |value: f64| backend.from_host(DType::F32, HostRef::from(&vec![value as f32; b]));
        let samples: Vec<i64> = (0..b as i64).map(|sample| first_sample + sample).collect();
        let state = Slots {
            ids: backend.from_host(DType::I32, HostRef::from(&last))?,
            finished: backend.from_host(DType::I32, HostRef::from(&vec![0; b]))?,
            temperature: floats(sampling.temperature)?,
            top_k: backend.from_host(DType::I32, HostRef::from(&vec![sampling.top_k as i32; b]))?,
            top_p: floats(sampling.top_p)?,
            samples: backend.from_host(DType::I64, HostRef::from(&samples))?,
            seed: backend.from_host(DType::I64, HostRef::from(&[sampling.seed]))?,
        };
        let eos_id = if stop_at_eos { model.config.eos_id } else { -1 };
        Ok(Self {
            model,
            backend,
            prompts: prompts.to_vec(),
            max_new_tokens,
            eos_id,
            cache,
            state,
            step: RecordedStep::default(),
            made: 0,
            prefilled: false,
            ids_out: vec![0; b],
            finished_out: vec![0; b],
        })
    }

    /// Fills the cache with every prompt but its last token, in chunks, shorter prompts ending
    /// earlier.
    pub fn prefill(&mut self) -> Result<()> {
        let (be, batch) = (&self.backend, self.prompts.len());
        let known: Vec<usize> = self.prompts.iter().map(|prompt| prompt.len() - 1).collect();
        let most = known.iter().copied().max().unwrap_or(0);
        let lengths = be.buffer(DType::I32, batch)?;
        self.cache.lengths = Some(lengths.clone());
        for start in (0..most).step_by(PREFILL_CHUNK) {
            let new_len = PREFILL_CHUNK.min(most - start);
            let mut ids = vec![0_i32; batch * new_len];
            let mut positions = vec![0_i32; batch * new_len];
            let mut counts = vec![0_i32; batch];
            for (b, prompt) in self.prompts.iter().enumerate() {
                let count = known[b].saturating_sub(start).min(new_len);
                counts[b] = count as i32;
                let row = b * new_len..b * new_len + count;
                ids[row.clone()].copy_from_slice(&prompt[start..start + count]);
                for (position, at) in positions[row].iter_mut().zip(start..) {
                    *position = at as i32;
                }
            }
            be.upload(&lengths, 0, HostRef::from(&counts))?;
            be.upload(
                &self.cache.positions,
                0,
                HostRef::from(&vec![start as i32; batch]),
            )?;
            let scratch = &self.model.scratch;
            let ids_buffer = scratch.get("generate.ids", ids.len(), DType::I32)?;
            let positions_buffer =
                scratch.get("generate.positions", positions.len(), DType::I32)?;
            be.upload(&ids_buffer, 0, HostRef::from(&ids))?;
            be.upload(&positions_buffer, 0, HostRef::from(&positions))?;
            self.model
                .extend(&ids_buffer, &positions_buffer, &self.cache, new_len)?;
        }
        self.cache.lengths = None;
        let known: Vec<i32> = known.into_iter().map(|count| count as i32).collect();
        be.upload(&self.cache.positions, 0, HostRef::from(&known))?;
        self.prefilled = true;
        Ok(())
    }

    /// The next token of each sequence, `None` for one that has ended (the end token itself is not
    /// reported).
    pub fn step(&mut self) -> Result<Vec<Option<i32>>> {
        let Self {
            model,
            backend,
            cache,
            state,
            eos_id,
            ..
        } = self;
        let run = || -> Result<()> {
            let (batch, v) = (cache.batch, model.config.vocab_size);
            let logits = model.forward_cached(&state.ids, &cache.positions, cache, 1)?;
            backend.sample(
                &state.ids,
                &logits,
                &state.temperature,
                &state.top_k,
                &state.top_p,
                &state.samples,
                &cache.positions,
                &state.seed,
                batch,
                v,
                v,
            )?;
            backend.decode_advance(
                &cache.positions,
                &state.finished,
                &state.ids,
                batch,
                *eos_id,
            )?;
            Ok(())
        };
        self.step
            .run(backend.as_ref(), || model.workspace_version(), run)?;
        self.backend
            .download_into(&self.state.ids, 0, HostMut::I32(&mut self.ids_out))?;
        // Without an end token none ends a sequence: `finished_out` stays zero.
        if self.eos_id >= 0 {
            self.backend.download_into(
                &self.state.finished,
                0,
                HostMut::I32(&mut self.finished_out),
            )?;
        }
        let pairs = self.ids_out.iter().zip(&self.finished_out);
        Ok(pairs
            .map(|(&id, &finished)| (finished == 0).then_some(id))
            .collect())
    }
}

/// Prefill, then steps until every sequence has ended or max_new_tokens are out.
impl<M: Deref<Target = MoETransformer>> Iterator for Generator<M> {
    type Item = Result<Vec<Option<i32>>>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.prefilled
            && let Err(error) = self.prefill()
        {
            self.made = self.max_new_tokens;
            return Some(Err(error));
        }
        if self.made >= self.max_new_tokens {
            return None;
        }
        self.made += 1;
        match self.step() {
            Ok(tokens) if tokens.iter().all(Option::is_none) => {
                self.made = self.max_new_tokens;
                None
            }
            Err(error) => {
                self.made = self.max_new_tokens;
                Some(Err(error))
            }
            tokens => Some(tokens),
        }
    }
}

/// The new ids of each prompt. Errors: those of [`Generator`].
pub fn generate(
    model: &MoETransformer,
    prompts: &[Vec<i32>],
    max_new_tokens: usize,
    sampling: Sampling,
    stop_at_eos: bool,
) -> Result<Vec<Vec<i32>>> {
    let mut out = vec![Vec::new(); prompts.len()];
    for tokens in Generator::new(model, prompts, max_new_tokens, sampling, 0, stop_at_eos)? {
        for (ids, token) in out.iter_mut().zip(tokens?) {
            ids.extend(token);
        }
    }
    Ok(out)
}

/// The longest prompt's length. Errors: empty_prompt, id_out_of_range, sequence_too_long.
pub fn check_prompts(
    model: &MoETransformer,
    prompts: &[Vec<i32>],
    max_new_tokens: usize,
) -> Result<usize> {
    if prompts.is_empty() {
        return Err(messages::empty_prompt());
    }
    let mut longest = 0;
    for prompt in prompts {
        if prompt.is_empty() {
            return Err(messages::empty_prompt());
        }
        let length = prompt.len().saturating_add(max_new_tokens);
        if length > model.config.context() {
            return Err(messages::sequence_too_long(length, model.config.context()));
        }
        model.check_ids(prompt, 1, prompt.len())?;
        longest = longest.max(prompt.len());
    }
    Ok(longest)
}
