//! A recorded step stays true whatever is run between two launches, on any backend.

use std::cell::Cell;
use std::sync::Arc;

use nn_core::model::config::MoEConfig;
use nn_core::model::recorded_step::RecordedStep;
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::{Backend, DType};
use nn_core::train::adamw::AdamWConfig;
use nn_core::train::gpu_trainer::GpuTrainer;
use nn_core::{NNError, Result};

/// Everything, on one backend.
pub fn check(backend: &Arc<dyn Backend>) {
    another_shape_in_between_changes_no_training_step(backend);
    a_recording_that_failed_is_not_launched(backend);
    a_step_of_another_size_is_refused(backend);
}

fn trainer(
    backend: &Arc<dyn Backend>,
    batch: usize,
    seq_len: usize,
    micro_batches: usize,
) -> GpuTrainer {
    let config = MoEConfig {
        vocab_size: 50,
        hidden_size: 16,
        n_layers: 2,
        n_heads: 2,
        head_dim: 8,
        n_experts: 3,
        ffn_size: 8,
        max_positions: 32,
        ..MoEConfig::tiny()
    };
    let options = Options {
        training: true,
        ..Options::default()
    };
    let model = MoETransformer::new(config, backend.clone(), options).expect("a model");
    let optimizer = AdamWConfig::default();
    GpuTrainer::new(
        Arc::new(model),
        batch,
        seq_len,
        micro_batches,
        optimizer,
        true,
    )
    .expect("a trainer")
}

/// The positions of another batch lie in the same buffer.
fn another_shape_in_between_changes_no_training_step(backend: &Arc<dyn Backend>) {
    let ids: Vec<i32> = (0..48).collect();
    let mut targets = ids.clone();
    targets
        .chunks_exact_mut(24)
        .for_each(|row| row.rotate_left(1));
    let losses = |disturbed: bool| -> Vec<f64> {
        let mut trainer = trainer(backend, 2, 24, 1);
        (0..6)
            .map(|_| {
                let loss = trainer.step(&ids, &targets, 1e-2).expect("a step");
                if disturbed {
                    let other = [1, 2, 3, 4, 5, 6];
                    trainer.model.forward_ids(&other, 3, 2).expect("logits");
                }
                loss.cross_entropy
            })
            .collect()
    };
    assert_eq!(losses(true), losses(false));
}

fn a_recording_that_failed_is_not_launched(backend: &Arc<dyn Backend>) {
    let value = backend.buffer(DType::F32, 1).expect("a buffer");
    let fail = Cell::new(false);
    let run = || -> Result<()> {
        backend.fill(&value, 1, 1.0)?;
        if fail.get() {
            return Err(NNError::new("planted", 1, "planted".to_string()));
        }
        Ok(backend.fill(&value, 1, 2.0)?)
    };
    let mut step = RecordedStep::default();
    let mut once = || step.run(backend.as_ref(), || 0, run);
    once().expect("run one by one");
    fail.set(true);
    assert_eq!(once().expect_err("the planted error").key(), "planted");
    fail.set(false);
    once().expect("recorded and launched");
    assert_eq!(backend.scalar_f32(&value).expect("a value"), 2.0);
}

/// It would train on what an earlier step left behind.
fn a_step_of_another_size_is_refused(backend: &Arc<dyn Backend>) {
    let mut trainer = trainer(backend, 2, 4, 2);
    let whole = [0; 16];
    trainer.step(&whole, &whole, 1e-3).expect("a step");
    for (ids, targets) in [(&whole[..8], &whole[..]), (&whole[..], &whole[..8])] {
        let error = trainer.step(ids, targets, 1e-3).expect_err("an error");
        assert_eq!(
            error.to_string(),
            "8 token ids, expected batch x seq_len = 4 x 4"
        );
    }
}
