//! The golden models on the reference backend.

#[allow(dead_code)]
mod suite;

use std::sync::Arc;

use nn_core::tensor::Backend;
use nn_core::tensor::reference::ReferenceBackend;

#[test]
fn reference() {
    let backend: Arc<dyn Backend> = Arc::new(ReferenceBackend::new());
    suite::golden::check(&backend);
}
