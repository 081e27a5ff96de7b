//! What a case does, once: its buffers, its call, and what the call computed.
//!
//! Inputs are the same numbers in every language: input number t of a case (0, 1, ... in the order of
//! the operation's arguments) is 2 u - 1 with u[i] = Philox uniform (seed t, stream data, sub 0, index
//! i), exact in f32.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::at_least;
use crate::error::{NNError, Result};
use crate::json_fields::Fields;
use crate::messages;
use crate::model::config::{MoEConfig, preset};
use crate::model::generate::{GREEDY, Generator, generate};
use crate::model::transformer::{MoETransformer, Options};
use crate::tensor::philox::STREAM_DATA;
use crate::tensor::{Backend, Buffer, DType, HostRef, HostVec, TensorResult};
use crate::train::adamw::AdamWConfig;
use crate::train::gpu_trainer::GpuTrainer;

/// `run` does the work `units` stands for, once; the units give the rate (flop, byte, element, token or
/// call). Dropped, it releases its memory.
pub struct Work {
    run: Box<dyn FnMut() -> Result<()>>,
    output: Box<dyn Fn() -> Result<Vec<HostVec>>>,
    /// Of one run.
    pub units: f64,
    /// What is counted.
    pub unit: &'static str,
}

impl Work {
    /// Does the work; it may still go on when this returns. Errors: those of the device.
    pub fn run(&mut self) -> Result<()> {
        (self.run)()
    }

    /// What one run on fresh work computed, as the bytes of its arrays one behind the other,
    /// little-endian: equal on equal devices in every language. Errors: those of the device.
    pub fn output(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for array in (self.output)()? {
            array.each_chunk(|chunk| {
                bytes.extend_from_slice(chunk);
                Ok::<(), NNError>(())
            })?;
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.units, self.unit)
    }
}

type Kind = fn(&Builder) -> Result<Work>;

const KINDS: [(&str, Kind); 14] = [
    ("adamw", adamw),
    ("attention", attention),
    ("call", call),
    ("cross_entropy", cross_entropy),
    ("decode", decode),
    ("forward", forward),
    ("matmul", matmul),
    ("moe_layer", moe_layer),
    ("prefill", prefill),
    ("rmsnorm", rmsnorm),
    ("silu", silu),
    ("softmax", softmax),
    ("swiglu", swiglu),
    ("train", train),
];

/// The work of a case on a backend.
///
/// Errors: config_bad_value for an unknown kind or a size below 1, unknown_preset, those of the model
/// and the device.
pub fn work(backend: &Arc<dyn Backend>, case: &Fields) -> Result<Work> {
    let name = case.string("kind")?;
    let builder = Builder {
        backend,
        case,
        inputs: Cell::new(0),
    };
    match KINDS.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => kind(&builder),
        None => {
            let expected = format!("one of {}", KINDS.map(|(known, _)| known).join(", "));
            Err(messages::config_bad_value(
                &case.place,
                "kind",
                name,
                &expected,
            ))
        }
    }
}

/// Reads a case's sizes and makes its buffers.
struct Builder<'a> {
    backend: &'a Arc<dyn Backend>,
    case: &'a Fields<'a>,
    /// Made so far.
    inputs: Cell<i64>,
}

impl Builder<'_> {
    fn sizes<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N]> {
        let mut sizes = [0; N];
        for (size, name) in sizes.iter_mut().zip(names) {
            *size = usize::try_from(at_least(self.case, name, 1)?).unwrap_or(usize::MAX);
        }
        Ok(sizes)
    }

    /// The case's next input.
    fn input(&self, count: usize) -> Result<Buffer> {
        let (number, be) = (self.inputs.get(), self.backend);
        self.inputs.set(number + 1);
        let buffer = self.empty(count)?;
        be.random_uniform(&buffer, count, 0, number, STREAM_DATA as i32, 0)?;
        let mut values = be.download(&buffer, 0, count)?.into_f32(DType::F32);
        for value in &mut values {
            *value = 2.0 * *value - 1.0;
        }
        be.upload(&buffer, 0, HostRef::from(&values))?;
        Ok(buffer)
    }

    /// Zeros.
    fn empty(&self, count: usize) -> Result<Buffer> {
        Ok(self.backend.buffer(DType::F32, count)?)
    }

    fn ids(&self, values: &[i32]) -> Result<Buffer> {
        Ok(self.backend.from_host(DType::I32, HostRef::I32(values))?)
    }

    fn config(&self) -> Result<MoEConfig> {
        preset(self.case.string("config")?)
    }

    fn model(&self, training: bool) -> Result<Arc<MoETransformer>> {
        let options = Options {
            training,
            ..Options::default()
        };
        let model = MoETransformer::new(self.config()?, self.backend.clone(), options)?;
        Ok(Arc::new(model))
    }

    /// Work that is one call on the backend, and whose output is what stands in `outputs`.
    fn work(
        &self,
        units: f64,
        unit: &'static str,
        outputs: &[&Buffer],
        call: impl Fn(&dyn Backend) -> TensorResult<()> + 'static,
    ) -> Work {
        let backend = self.backend.clone();
        let run = move || Ok(call(backend.as_ref())?);
        self.work_on(units, unit, outputs, run)
    }

    fn work_on(
        &self,
        units: f64,
        unit: &'static str,
        outputs: &[&Buffer],
        run: impl FnMut() -> Result<()> + 'static,
    ) -> Work {
        let backend = self.backend.clone();
        let outputs: Vec<Buffer> = outputs.iter().map(|buffer| (*buffer).clone()).collect();
        Work {
            run: Box::new(run),
            output: Box::new(move || {
                let read = |buffer: &Buffer| Ok(backend.download(buffer, 0, buffer.count())?);
                outputs.iter().map(read).collect()
            }),
            units,
            unit,
        }
    }
}

fn matmul(b: &Builder) -> Result<Work> {
    let [m, n, k] = b.sizes(["m", "n", "k"])?;
    let (x, y, out) = (
        b.input(product(&[m, k]))?,
        b.input(product(&[k, n]))?,
        b.empty(product(&[m, n]))?,
    );
    let units = 2.0 * m as f64 * n as f64 * k as f64;
    Ok(b.work(units, "flop", &[&out.clone()], move |be| {
        be.gemm(&out, &x, &y, false, false, m, n, k, n, k, n, 1.0, 0.0)
    }))
}

fn softmax(b: &Builder) -> Result<Work> {
    let [rows, cols] = b.sizes(["rows", "cols"])?;
    let (x, y) = (
        b.input(product(&[rows, cols]))?,
        b.empty(product(&[rows, cols]))?,
    );
    let units = 8.0 * rows as f64 * cols as f64;
    Ok(b.work(units, "byte", &[&y.clone()], move |be| {
        be.softmax_forward(&y, &x, rows, cols, cols, cols)
    }))
}

fn silu(b: &Builder) -> Result<Work> {
    let [n] = b.sizes(["n"])?;
    let (x, y) = (b.input(n)?, b.empty(n)?);
    Ok(b.work(n as f64, "element", &[&y.clone()], move |be| {
        be.silu_forward(&y, &x, n)
    }))
}

/// One element: what remains is the call through the binding, its checks and its dispatch.
fn call(b: &Builder) -> Result<Work> {
    let (x, y) = (b.input(1)?, b.empty(1)?);
    Ok(b.work(1.0, "call", &[&y.clone()], move |be| {
        be.silu_forward(&y, &x, 1)
    }))
}

fn swiglu(b: &Builder) -> Result<Work> {
    let [n] = b.sizes(["n"])?;
    let (gate, up, y) = (b.input(n)?, b.input(n)?, b.empty(n)?);
    Ok(b.work(12.0 * n as f64, "byte", &[&y.clone()], move |be| {
        be.swiglu_forward(&y, &gate, &up, n)
    }))
}

fn rmsnorm(b: &Builder) -> Result<Work> {
    let [rows, cols] = b.sizes(["rows", "cols"])?;
    let (x, w) = (b.input(product(&[rows, cols]))?, b.input(cols)?);
    let (y, rstd) = (b.empty(product(&[rows, cols]))?, b.empty(rows)?);
    let units = 8.0 * rows as f64 * cols as f64;
    Ok(
        b.work(units, "byte", &[&y.clone(), &rstd.clone()], move |be| {
            be.rmsnorm_forward(&y, &rstd, &x, &w, rows, cols, 1e-6)
        }),
    )
}

fn attention(b: &Builder) -> Result<Work> {
    let [batch, seq, h, g, d] = b.sizes(["batch", "seq", "n_heads", "n_kv_heads", "head_dim"])?;
    let tokens = product(&[batch, seq]);
    let q = b.input(product(&[tokens, h, d]))?;
    let (k, v) = (
        b.input(product(&[tokens, g, d]))?,
        b.input(product(&[tokens, g, d]))?,
    );
    let (out, lse) = (
        b.empty(product(&[tokens, h, d]))?,
        b.empty(product(&[tokens, h]))?,
    );
    let scale = 1.0 / (d as f64).sqrt();
    let units = 2.0 * (product(&[batch, h, d, seq]) as f64) * (seq as f64 + 1.0);
    Ok(
        b.work(units, "flop", &[&out.clone(), &lse.clone()], move |be| {
            let (qw, kw) = (h * d, g * d);
            be.attention_forward(
                &out, &lse, &q, &k, &v, None, batch, seq, h, g, d, qw, d, kw, d, scale,
            )
        }),
    )
}

fn cross_entropy(b: &Builder) -> Result<Work> {
    let [rows, cols] = b.sizes(["rows", "cols"])?;
    let (logits, dlogits) = (
        b.input(product(&[rows, cols]))?,
        b.empty(product(&[rows, cols]))?,
    );
    let targets: Vec<i32> = (0..rows).map(|row| (row % cols) as i32).collect();
    let targets = b.ids(&targets)?;
    let (loss, losses, lse) = (b.empty(1)?, b.empty(rows)?, b.empty(rows)?);
    let count = b
        .backend
        .from_host(DType::I64, HostRef::from(&[rows as i64]))?;
    let units = 12.0 * rows as f64 * cols as f64;
    Ok(b.work(
        units,
        "byte",
        &[&loss.clone(), &dlogits.clone()],
        move |be| {
            be.cross_entropy_forward(&loss, &losses, &lse, &logits, &targets, rows, cols, cols)?;
            be.cross_entropy_backward(&dlogits, &logits, &lse, &targets, &count, rows, cols, cols)
        },
    ))
}

fn adamw(b: &Builder) -> Result<Work> {
    let [n] = b.sizes(["n"])?;
    let (param, m, grad, v) = (b.input(n)?, b.input(n)?, b.input(n)?, b.empty(n)?);
    let be = b.backend;
    let lr = be.from_host(DType::F32, HostRef::from(&[1e-3_f32]))?;
    let scale = be.from_host(DType::F32, HostRef::from(&[1.0_f32]))?;
    let skip = be.buffer(DType::I32, 1)?;
    let applied = be.from_host(DType::I64, HostRef::from(&[1_i64]))?;
    let outputs = [param.clone(), m.clone(), v.clone()];
    Ok(
        b.work(28.0 * n as f64, "byte", &outputs.each_ref(), move |be| {
            be.adamw_step(
                &param, None, &m, &v, &grad, &lr, &scale, &skip, &applied, None, n, 0, 0.9, 0.95,
                1e-8, 0.1,
            )
        }),
    )
}

/// The first block's router and experts, with the weights of a fresh model.
fn moe_layer(b: &Builder) -> Result<Work> {
    let [tokens] = b.sizes(["tokens"])?;
    let (c, model) = (b.config()?, b.model(false)?);
    let size = product(&[tokens, c.hidden_size]);
    let (x, residual, y) = (b.input(size)?, b.input(size)?, b.empty(size)?);
    let flop = 2.0 * size as f64 * (c.n_experts + 3 * c.top_k * c.ffn_size) as f64;
    Ok(b.work_on(flop, "flop", &[&y.clone()], move || {
        model.blocks[0].moe.forward(&y, &x, &residual, tokens)
    }))
}

fn forward(b: &Builder) -> Result<Work> {
    let [batch, seq] = b.sizes(["batch", "seq"])?;
    let (model, tokens) = (b.model(false)?, tokens_of(batch, seq)?);
    let ids = b.ids(&ids_of(tokens, 1, 0, model.config.vocab_size))?;
    let backend = b.backend.clone();
    let last: Rc<RefCell<Option<Buffer>>> = Rc::default();
    let logits = last.clone();
    Ok(Work {
        run: Box::new(move || {
            *last.borrow_mut() = Some(model.forward(&ids, batch, seq)?);
            Ok(())
        }),
        output: Box::new(move || {
            let read = |buffer: &Buffer| Ok(backend.download(buffer, 0, buffer.count())?);
            logits.borrow().iter().map(read).collect()
        }),
        units: tokens as f64,
        unit: "token",
    })
}

fn train(b: &Builder) -> Result<Work> {
    let [batch, seq] = b.sizes(["batch", "seq"])?;
    let (model, tokens) = (b.model(true)?, tokens_of(batch, seq)?);
    let ids = ids_of(tokens, 1, 0, model.config.vocab_size);
    let mut targets = ids.clone();
    targets
        .chunks_exact_mut(seq)
        .for_each(|row| row.rotate_left(1));
    let optimizer = AdamWConfig::default();
    let mut trainer = GpuTrainer::new(model.clone(), batch, seq, 1, optimizer, true)?;
    Ok(b.work_on(
        tokens as f64,
        "token",
        &[&model.weights.values],
        move || trainer.step(&ids, &targets, 1e-4).map(drop),
    ))
}

/// `new` steps from `skip` tokens behind the prompt: the prompt and the first steps, which record what the
/// others launch, are no part of the work. Every run goes back to the same position and makes the same
/// tokens.
fn decode(b: &Builder) -> Result<Work> {
    let [batch, prompt, skip, new] = b.sizes(["batch", "prompt", "skip", "new"])?;
    tokens_of(batch, prompt)?;
    let model = b.model(false)?;
    let prompts = prompts(batch, prompt, model.config.vocab_size);
    let steps = skip.saturating_add(new);
    let mut generator = Generator::new(model, &prompts, steps, GREEDY, 0, false)?;
    generator.prefill()?;
    for _ in 0..skip {
        generator.step()?;
    }
    let be = b.backend.clone();
    let ids = be.download(&generator.state.ids, 0, batch)?;
    let positions = be.download(&generator.cache.positions, 0, batch)?;
    let last: Rc<RefCell<Vec<Vec<Option<i32>>>>> = Rc::default();
    let made = last.clone();
    Ok(Work {
        run: Box::new(move || {
            be.upload(&generator.state.ids, 0, ids.as_ref())?;
            be.upload(&generator.cache.positions, 0, positions.as_ref())?;
            let mut made = made.borrow_mut();
            made.clear();
            for _ in 0..new {
                made.push(generator.step()?);
            }
            Ok(())
        }),
        output: Box::new(move || {
            let steps = last.borrow();
            let sequence = |b: usize| steps.iter().filter_map(move |tokens| tokens[b]);
            Ok(vec![HostVec::I32((0..batch).flat_map(sequence).collect())])
        }),
        units: batch as f64 * new as f64,
        unit: "token",
    })
}

/// A prompt up to its first new token, counted in tokens of the prompt.
fn prefill(b: &Builder) -> Result<Work> {
    let [batch, prompt] = b.sizes(["batch", "prompt"])?;
    tokens_of(batch, prompt)?;
    let model = b.model(false)?;
    let prompts = prompts(batch, prompt, model.config.vocab_size);
    let last: Rc<RefCell<Vec<Vec<i32>>>> = Rc::default();
    let made = last.clone();
    Ok(Work {
        run: Box::new(move || {
            *last.borrow_mut() = generate(&model, &prompts, 1, GREEDY, false)?;
            Ok(())
        }),
        output: Box::new(move || Ok(vec![HostVec::I32(made.borrow().concat())])),
        units: batch as f64 * prompt as f64,
        unit: "token",
    })
}

/// Every sequence has a prompt of its own, so that a step of a batch meets as many experts as different
/// texts do.
fn prompts(batch: usize, prompt: usize, vocab_size: usize) -> Vec<Vec<i32>> {
    (0..batch)
        .map(|sequence| ids_of(prompt, 7, 131 * sequence, vocab_size))
        .collect()
}

/// Elements of these sizes, or more than any device has.
fn product(sizes: &[usize]) -> usize {
    let most = i64::MAX as usize;
    let product = sizes
        .iter()
        .try_fold(1, |product: usize, size| product.checked_mul(*size));
    product.map_or(most, |product| product.min(most))
}

/// Ids of a batch. Errors: out_of_memory for more than a model can be given.
fn tokens_of(batch: usize, seq: usize) -> Result<usize> {
    match product(&[batch, seq]) {
        tokens if i32::try_from(tokens).is_ok() => Ok(tokens),
        _ => Err(messages::out_of_memory()),
    }
}

/// (factor i + first) mod vocab_size
fn ids_of(count: usize, factor: usize, first: usize, vocab_size: usize) -> Vec<i32> {
    (0..count)
        .map(|i| ((factor * i + first) % vocab_size) as i32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::ids_of;

    /// Equal prompts would send a whole batch to the same experts.
    #[test]
    fn every_sequence_has_a_prompt_of_its_own() {
        let prompt = |sequence: usize| ids_of(3, 7, 131 * sequence, 300);
        assert_eq!(prompt(0), [0, 7, 14]);
        assert_eq!(prompt(1), [131, 138, 145]);
        assert_eq!(prompt(3), [93, 100, 107]);
    }
}
