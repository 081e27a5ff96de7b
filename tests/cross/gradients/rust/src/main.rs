//! Writes the gradient of every parameter of a checkpoint for one batch that follows from its shape alone.
//!
//! cross-gradients MODEL OUT.safetensors BATCH SEQ_LEN MICRO_BATCHES; see gradients.py.

use std::path::Path;
use std::sync::Arc;

use nn_core::MoETransformer;
use nn_core::model::safetensors::{TensorEntry, save_file};
use nn_core::model::transformer::Options;
use nn_core::train::adamw::AdamWConfig;
use nn_core::train::gpu_trainer::GpuTrainer;
use nn_cuda::open_backend;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, batch, seq_len, micro_batches] = arguments.as_slice() else {
        return Err("usage: cross-gradients MODEL OUT BATCH SEQ_LEN MICRO_BATCHES".into());
    };
    let (batch, seq_len) = (batch.parse::<usize>()?, seq_len.parse::<usize>()?);
    let micro_batches: usize = micro_batches.parse()?;
    let options = Options {
        training: true,
        ..Options::default()
    };
    let backend = open_backend("cpu", 1)?;
    let model = Arc::new(MoETransformer::load(
        Path::new(folder),
        backend,
        None,
        options,
        None,
    )?);
    let trainer = GpuTrainer::new(
        model.clone(),
        batch,
        seq_len,
        micro_batches,
        AdamWConfig::default(),
        true,
    )?;
    let vocab = model.config.vocab_size as i64;
    let count = (micro_batches * batch * seq_len) as i64;
    let ids: Vec<i32> = (0..count)
        .map(|i| ((i * i + 7 * i) % vocab) as i32)
        .collect();
    let targets: Vec<i32> = (0..count)
        .map(|i| {
            if i % 5 == 4 {
                -1
            } else {
                ((3 * i + 1) % vocab) as i32
            }
        })
        .collect();
    trainer.load(&ids, &targets)?;
    trainer.forward_backward()?;
    let weights = &model.weights;
    let gradients = weights.gradients.as_ref().ok_or("no gradients")?;
    let entries: Vec<TensorEntry> = weights
        .specs
        .iter()
        .map(|spec| TensorEntry::new(&spec.name, "F32", &spec.shape))
        .collect();
    save_file(
        Path::new(out),
        &entries,
        &mut |name| weights.fetch_from(gradients, name),
        &[("format", "pt")],
    )?;
    Ok(())
}
