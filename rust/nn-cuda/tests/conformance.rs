//! Every case of cuda/vectors on the devices of the library that are here, cpu once for each
//! instruction set: called directly, and as a recorded graph; then the golden models, recorded
//! steps and quantized models.

#[path = "../../nn-core/tests/suite/mod.rs"]
#[allow(dead_code)]
mod suite;

use nn_core::tensor::Backend;
use nn_cuda::{Context, why_not};
use suite::{cases, run};

/// Whether the device is here; where CUNN_REQUIRE is 1 the library must be, where it is simt that too.
fn available(device: &str) -> bool {
    let Some(reason) = why_not(device) else {
        return true;
    };
    let required = std::env::var("CUNN_REQUIRE").unwrap_or_default();
    assert!(!(required == "1" && device == "cpu"), "{reason}");
    assert!(!(required == "simt" && device != "cuda"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

fn check(backend: &dyn Backend) {
    for recorded in [false, true] {
        let lines: Vec<String> = cases()
            .iter()
            .flat_map(|case| run(backend, case, recorded))
            .collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }
}

#[test]
fn cpu() {
    if !available("cpu") {
        return;
    }
    for isa in ["scalar", "avx2", "avx512"] {
        match Context::open("cpu", 0, 2, Some(isa)) {
            Ok(context) => check(&context),
            Err(error) => assert_eq!(error.key(), "unsupported", "{error}"),
        }
    }
}

#[test]
fn cuda() {
    if available("cuda") {
        check(&Context::open("cuda", 0, 0, None).expect("a device"));
    }
}

#[test]
fn simt() {
    if available("simt") {
        check(&Context::open("simt", 0, 0, None).expect("a device"));
    }
}

fn models(device: &str) {
    if available(device) {
        let backend = nn_cuda::open_backend(device, 2).expect("a device");
        suite::golden::check(&backend);
        suite::recorded::check(&backend);
        suite::quantized::check(&backend);
    }
}

#[test]
fn models_on_cpu() {
    models("cpu");
}

#[test]
fn models_on_cuda() {
    models("cuda");
}

#[test]
fn models_on_simt() {
    models("simt");
}
