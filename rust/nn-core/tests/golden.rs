//! The golden models, quantized models and recorded steps on the reference backend.

#[allow(dead_code)]
mod suite;

use std::sync::Arc;

use nn_core::tensor::Backend;
use nn_core::tensor::reference::ReferenceBackend;

fn reference() -> Arc<dyn Backend> {
    Arc::new(ReferenceBackend::new())
}

#[test]
fn golden_models() {
    suite::golden::check(&reference());
}

#[test]
fn quantized_models() {
    suite::quantized::check(&reference());
}

#[test]
fn recorded_steps() {
    suite::recorded::check(&reference());
}
