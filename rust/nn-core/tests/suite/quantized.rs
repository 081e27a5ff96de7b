//! A quantized folder computes what its dequantized weights compute, on any backend.

use std::path::Path;
use std::sync::Arc;

use nn_core::model::checkpoint::{Checkpoint, load_checkpoint, stored_form};
use nn_core::model::config::MoEConfig;
use nn_core::model::generate::{GREEDY, generate};
use nn_core::model::quantize::{quantize_checkpoint, stored_bytes};
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::{Array, Backend, DType, HostRef};

/// Everything, on one backend.
pub fn check(backend: &Arc<dyn Backend>) {
    for kind in ["q8", "q4"] {
        let home = tempfile::tempdir().expect("a folder");
        let (float, packed) = (home.path().join("float"), home.path().join("packed"));
        model(backend).save(&float, None, None).expect("saved");
        let checkpoint = load_checkpoint(&float).expect("the floats");
        let mut told = Vec::new();
        let config = quantize_checkpoint(&checkpoint, &packed, kind, backend.as_ref(), &mut |n| {
            told.push(n);
        });
        let config = config.expect("quantized");
        assert_eq!(config.quantization, kind);
        let stored = load_checkpoint(&packed).expect("the blocks");
        assert_eq!(stored.config, config);
        let model = load(&packed, backend);
        assert_eq!(told, (1..=model.weights.specs.len()).collect::<Vec<_>>());
        forms(&stored, &model, &packed);
        assert_eq!(
            logits(&model),
            logits(&dequantized(&stored, backend)),
            "{kind}"
        );
        same_text(&model, &dequantized(&stored, backend));
        saved_again(&model, &packed, home.path());
        fresh_weights_are_quantized_alike(&config, &model, backend);
        floats_only(&packed, &stored, backend);
        a_block_without_a_scale_is_a_sentence(kind, backend);
    }
}

fn config() -> MoEConfig {
    MoEConfig {
        vocab_size: 70,
        hidden_size: 32,
        n_layers: 2,
        n_heads: 2,
        head_dim: 16,
        n_experts: 3,
        ffn_size: 96,
        max_positions: 64,
        ..MoEConfig::tiny()
    }
}

fn model(backend: &Arc<dyn Backend>) -> MoETransformer {
    MoETransformer::new(config(), backend.clone(), Options::default()).expect("a model")
}

fn load(folder: &Path, backend: &Arc<dyn Backend>) -> MoETransformer {
    MoETransformer::load(folder, backend.clone(), None, Options::default(), None).expect("a model")
}

fn logits(model: &MoETransformer) -> Array {
    let ids: Vec<i32> = (0..24).map(|i| 7 * i % 70).collect();
    model.forward_ids(&ids, 2, 12).expect("logits")
}

fn same_text(blocks: &MoETransformer, floats: &MoETransformer) {
    let prompts = [vec![1, 5, 9], vec![4]];
    let made = |model| generate(model, &prompts, 8, GREEDY, false).expect("ids");
    assert_eq!(made(blocks), made(floats));
}

/// What a quantized tensor is on the disk: U8, a row of blocks; every other stays.
fn forms(stored: &Checkpoint, model: &MoETransformer, folder: &Path) {
    let (mut quantized, mut bytes) = (0, 0);
    for spec in &model.weights.specs {
        let (dtype, shape) = stored_form(spec, &stored.config);
        assert_eq!(stored.dtype(&spec.name), Some(dtype), "{}", spec.name);
        let per_row = match stored.config.quantization.as_str() {
            "q8" => 34,
            _ => 18,
        };
        if spec.quantized {
            assert_eq!(shape, [spec.shape[0], spec.shape[1] / 32 * per_row]);
            quantized += 1;
        }
        let size: usize = shape.iter().product();
        bytes += (size * if dtype == "U8" { 1 } else { 4 }) as u64;
    }
    // Four projections and three matrices of three experts in each of two layers, and the head.
    assert_eq!(quantized, 2 * (4 + 9) + 1);
    assert_eq!(bytes, stored_bytes(&stored.config));
    let file = std::fs::metadata(folder.join("model.safetensors")).expect("the file");
    assert!(file.len() > bytes && file.len() < bytes + 8192);
}

/// The float model of the values that the blocks stand for.
fn dequantized(stored: &Checkpoint, backend: &Arc<dyn Backend>) -> MoETransformer {
    let model = model(backend);
    let kind = DType::from_label(&stored.config.quantization).expect("a dtype");
    for spec in &model.weights.specs {
        let array = stored.array(&spec.name).expect("a tensor");
        let offset = model.weights.offset(&spec.name).expect("its place");
        let floats = if stored.dtype(&spec.name) == Some("U8") {
            let blocks = backend.from_host(kind, array.as_ref()).expect("blocks");
            let values = backend.buffer(DType::F32, spec.size()).expect("floats");
            let widened = backend.dequantize(&values, &blocks, spec.size());
            widened.expect("dequantized");
            backend.download(&values, 0, spec.size()).expect("floats")
        } else {
            array
        };
        let upload = backend.upload(&model.weights.values, offset, floats.as_ref());
        upload.expect("uploaded");
    }
    model
}

fn saved_again(model: &MoETransformer, packed: &Path, home: &Path) {
    let again = home.join("again");
    model.save(&again, None, None).expect("saved");
    for name in ["config.json", "model.safetensors"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).expect(name);
        assert_eq!(read(packed), read(&again), "{name}");
    }
}

/// The same seed, quantized when it is made and when it is saved.
fn fresh_weights_are_quantized_alike(
    config: &MoEConfig,
    stored: &MoETransformer,
    backend: &Arc<dyn Backend>,
) {
    let fresh = MoETransformer::new(config.clone(), backend.clone(), Options::default());
    let fresh = fresh.expect("a model");
    for spec in &fresh.weights.specs {
        let fetch = |model: &MoETransformer| model.weights.fetch(&spec.name).expect("a tensor");
        assert_eq!(fetch(&fresh), fetch(stored), "{}", spec.name);
    }
}

fn a_block_without_a_scale_is_a_sentence(kind: &str, backend: &Arc<dyn Backend>) {
    let dtype = DType::from_label(kind).expect("a dtype");
    let most = if kind == "q8" { 8_319_008 } else { 524_032 };
    for wrong in [f32::NAN, f32::INFINITY, -1.01 * most as f32] {
        let mut values = vec![most as f32; 96];
        values[70] = wrong;
        let x = backend.from_host(DType::F32, HostRef::from(&values));
        let y = backend.buffer(dtype, 96).expect("blocks");
        let made = backend.quantize(&y, &x.expect("floats"), 96);
        let error = made.and_then(|()| backend.synchronize());
        let expected = format!(
            "quantize: x[64] begins a block without a finite f16 scale, expected magnitudes of at most {most}"
        );
        assert_eq!(error.expect_err("an error").to_string(), expected);
    }
}

fn floats_only(packed: &Path, stored: &Checkpoint, backend: &Arc<dyn Backend>) {
    let training = Options {
        training: true,
        ..Options::default()
    };
    let kind = &stored.config.quantization;
    let refused = format!("the weights are quantized ({kind}), expected f32, bf16 or f16");
    let again = packed.with_file_name("twice");
    let made = MoETransformer::new(stored.config.clone(), backend.clone(), training);
    let loaded = MoETransformer::load(packed, backend.clone(), None, training, None);
    let twice = quantize_checkpoint(stored, &again, "q8", backend.as_ref(), &mut |_| ());
    for (outcome, place) in [
        (made.err(), "config".to_string()),
        (loaded.err(), packed.display().to_string()),
        (twice.err(), packed.display().to_string()),
    ] {
        let error = outcome.expect("an error");
        assert_eq!(error.key(), "quantized_weights");
        assert_eq!(error.to_string(), format!("{place}: {refused}"));
    }
    assert!(!again.exists());
}
