//! Recorded steps on simt, the CUDA kernels executed on the host: the losses and tokens of the cpu
//! device, as Python's `test_simt_steps.py` has it.

use std::sync::Arc;

use nn_core::model::config::MoEConfig;
use nn_core::model::generate::{GREEDY, Sampling, generate};
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::DType;
use nn_core::train::adamw::AdamWConfig;
use nn_core::train::gpu_trainer::GpuTrainer;
use nn_cuda::{open_backend, why_not};

const BATCH: usize = 2;
const SEQ: usize = 16;
const STEPS: usize = 4;

fn available() -> bool {
    match why_not("cpu").or_else(|| why_not("simt")) {
        Some(reason) => {
            let required = std::env::var("CUNN_REQUIRE").unwrap_or_default();
            assert!(required != "simt", "{reason}");
            eprintln!("skipped: {reason}");
            false
        }
        None => true,
    }
}

fn tiny(device: &str, dtype: DType, training: bool) -> MoETransformer {
    let options = Options {
        dtype,
        training,
        seed: Some(3),
        ..Options::default()
    };
    let backend = open_backend(device, 2).expect("a device");
    MoETransformer::new(MoEConfig::tiny(), backend, options).expect("a model")
}

/// Losses and gradient norms of some steps; the first runs, the second is recorded, the rest are
/// launches.
fn train(device: &str, dtype: DType) -> Vec<[f64; 4]> {
    let model = Arc::new(tiny(device, dtype, true));
    let vocab_size = model.config.vocab_size;
    let mut trainer =
        GpuTrainer::new(model, BATCH, SEQ, 1, AdamWConfig::default(), true).expect("a trainer");
    (0..STEPS)
        .map(|step| {
            let ids: Vec<i32> = (0..BATCH * SEQ)
                .map(|i| ((i * i * 37 + 11 * step + 5) % vocab_size) as i32)
                .collect();
            let mut targets = ids.clone();
            targets
                .chunks_exact_mut(SEQ)
                .for_each(|row| row.rotate_left(1));
            let loss = trainer.step(&ids, &targets, 1e-3).expect("a step");
            let norm = trainer.grad_norm().expect("a norm");
            [loss.cross_entropy, loss.balance, loss.z, norm]
        })
        .collect()
}

#[test]
fn simt_trains_tiny_to_the_bits_of_cpu_in_f32() {
    if available() {
        assert_eq!(train("simt", DType::F32), train("cpu", DType::F32));
    }
}

/// Products of 16-bit operands have their device's order, so the losses differ by rounding.
///
/// A rounding to bf16 moves a value by at most u = 2^-8 of itself, u/sqrt(3) in the root mean square.
/// Both operands of a product are rounded in each of the 2 n_layers + 3 stages from embedding to
/// logits, so a logit moves by sqrt(2 (2 n_layers + 3)) of that; logits of a fresh model have the root
/// mean square 0.02 sqrt(hidden_size). A token's loss moves with its target's logit, the mean over N
/// tokens by 1/sqrt(N) of that. c = 4.
#[test]
fn simt_trains_tiny_to_the_losses_of_cpu_in_bf16() {
    if !available() {
        return;
    }
    let config = MoEConfig::tiny();
    let roundings = 2.0 * (2.0 * config.n_layers as f64 + 3.0);
    let logit = 0.02 * (config.hidden_size as f64).sqrt();
    let bound = 4.0 * (roundings / (BATCH * SEQ) as f64).sqrt() * logit / 256.0 / 3_f64.sqrt();
    let (simt, cpu) = (train("simt", DType::BF16), train("cpu", DType::BF16));
    for (step, (a, b)) in simt.iter().zip(&cpu).enumerate() {
        let off = (a[0] - b[0]).abs();
        assert!(
            off <= bound,
            "step {step}: losses {} and {} differ by {off:.3e}, allowed {bound:.3e}",
            a[0],
            b[0]
        );
    }
}

/// The decode step is one recorded graph from the second token on.
#[test]
fn simt_decodes_the_tokens_of_cpu() {
    if !available() {
        return;
    }
    let prompts = [vec![1, 5, 9, 4, 7], vec![1, 8], vec![1, 3, 2, 2]];
    let drawn = Sampling {
        temperature: 0.8,
        top_k: 50,
        top_p: 0.9,
        seed: 11,
    };
    for sampling in [GREEDY, drawn] {
        let tokens = |device| {
            let model = tiny(device, DType::F32, false);
            generate(&model, &prompts, 6, sampling, false).expect("tokens")
        };
        let simt = tokens("simt");
        assert!(simt.iter().all(|row| row.len() == 6), "{simt:?}");
        assert_eq!(simt, tokens("cpu"));
    }
}
