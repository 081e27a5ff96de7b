//! The model against an independent implementation: logits, every gradient, a training run, greedy
//! decoding, on any backend. The cases stand in cuda/vectors/golden.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nn_core::model::checkpoint::load_checkpoint;
use nn_core::model::generate::{GREEDY, generate};
use nn_core::model::safetensors::SafetensorsFile;
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::philox::init_normal;
use nn_core::tensor::{Backend, DType, HostRef, HostVec};
use nn_core::train::adamw::AdamWConfig;
use nn_core::train::gpu_trainer::GpuTrainer;

use super::vectors;

/// The golden folders.
fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(vectors().join("golden")).expect("cuda/vectors/golden");
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 3);
    folders
}

/// A golden folder, its model in f32 on a backend, and its batch.
struct Golden {
    name: String,
    file: SafetensorsFile,
    model: MoETransformer,
    ids: Vec<i32>,
    targets: Vec<i32>,
    batch: usize,
    seq_len: usize,
}

impl Golden {
    fn open(
        folder: &Path,
        backend: &Arc<dyn Backend>,
        training: bool,
        recompute: bool,
        aux: f64,
    ) -> Self {
        let file =
            SafetensorsFile::open(&folder.join("golden.safetensors"), "checkout").expect("a file");
        let options = Options {
            training,
            recompute,
            ..Options::default()
        };
        let mut model =
            MoETransformer::load(folder, backend.clone(), Some(DType::F32), options, None)
                .expect("a model");
        model.config.aux_coef = aux;
        model.config.z_coef = 0.0;
        let ids = |name| file.array(name).expect("ids").into_i32();
        let shape = &file.tensors().get("input_ids").expect("ids").shape;
        let (batch, seq_len) = (shape[0], shape[1]);
        let (ids, targets) = (ids("input_ids"), ids("target_ids"));
        let name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        Self {
            name,
            model,
            ids,
            targets,
            batch,
            seq_len,
            file,
        }
    }

    fn wanted(&self, name: &str) -> Vec<f32> {
        self.file.f32(name).expect("a tensor")
    }

    /// Gradients of one step: (trainer, file, name).
    fn backward(self) -> (GpuTrainer, SafetensorsFile, String) {
        let Self {
            name,
            file,
            model,
            ids,
            targets,
            batch,
            seq_len,
        } = self;
        let trainer = GpuTrainer::new(
            Arc::new(model),
            batch,
            seq_len,
            1,
            AdamWConfig::default(),
            true,
        );
        let trainer = trainer.expect("a trainer");
        trainer.load(&ids, &targets).expect("loaded");
        trainer.forward_backward().expect("gradients");
        (trainer, file, name)
    }
}

fn check_gradient(trainer: &GpuTrainer, tensor: &str, want: &[f32], name: &str) {
    let weights = &trainer.model.weights;
    let gradients = weights.gradients.as_ref().expect("gradients");
    let HostVec::F32(got) = weights.fetch_from(gradients, tensor).expect("a gradient") else {
        panic!("gradients are f32")
    };
    let square = |x: f64| x * x;
    let difference: f64 = got
        .iter()
        .zip(want)
        .map(|(g, w)| square(f64::from(*g) - f64::from(*w)))
        .sum();
    let size: f64 = want.iter().map(|w| square(f64::from(*w))).sum();
    let error = (difference / size).sqrt();
    assert!(
        error <= 1e-4,
        "{name}: gradient of {tensor} is off by {error}"
    );
}

fn close(got: f64, want: f32, bound: f64, what: &str) {
    let want = f64::from(want);
    assert!(
        (got - want).abs() <= bound * want.abs(),
        "{what} is {got}, expected {want}"
    );
}

/// Everything, on one backend.
pub fn check(backend: &Arc<dyn Backend>) {
    for folder in folders() {
        logits_and_greedy(&folder, backend);
        for recompute in [false, true] {
            gradients(&folder, backend, recompute);
        }
        auxiliary(&folder, backend);
        training(&folder, backend);
        saved_again(&folder, backend);
    }
}

fn logits_and_greedy(folder: &Path, backend: &Arc<dyn Backend>) {
    let case = Golden::open(folder, backend, false, false, 0.0);
    let want = case.wanted("logits");
    let got = case
        .model
        .forward_ids(&case.ids, case.batch, case.seq_len)
        .expect("logits");
    let most = want.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (at, (got, want)) in got.values().iter().zip(&want).enumerate() {
        assert!(
            (got - want).abs() <= 2e-5 * most,
            "{}: logits[{at}] is {got}, expected {want}",
            case.name
        );
    }
    let want = case.file.array("greedy_ids").expect("ids").into_i32();
    let prompt = want[..8].to_vec();
    let made = generate(&case.model, &[prompt], want.len() - 8, GREEDY, false).expect("ids");
    assert_eq!(made, [want[8..].to_vec()], "{}", case.name);
}

fn gradients(folder: &Path, backend: &Arc<dyn Backend>, recompute: bool) {
    let case = Golden::open(folder, backend, true, recompute, 0.0);
    let (trainer, file, name) = case.backward();
    let losses = trainer.losses().expect("losses");
    let wanted = |tensor: &str| file.f32(tensor).expect("a tensor");
    close(
        losses.cross_entropy,
        wanted("loss_ce")[0],
        1e-5,
        "the cross entropy",
    );
    close(
        losses.balance,
        wanted("loss_aux")[0],
        1e-5,
        "the balance loss",
    );
    for spec in &trainer.model.weights.specs {
        check_gradient(
            &trainer,
            &spec.name,
            &wanted(&format!("grad.{}", spec.name)),
            &name,
        );
    }
}

fn auxiliary(folder: &Path, backend: &Arc<dyn Backend>) {
    let case = Golden::open(folder, backend, true, false, 0.01);
    let (trainer, file, name) = case.backward();
    let mut seen = 0;
    for (key, _) in file.tensors().iter() {
        if let Some(tensor) = key.strip_prefix("grad_with_aux.") {
            check_gradient(&trainer, tensor, &file.f32(key).expect("a tensor"), &name);
            seen += 1;
        }
    }
    assert_eq!(seen, trainer.model.config.n_layers + 1);
}

/// Losses before each of six steps, and gradient norms; with a `perturbation` the weights are moved by
/// about one rounding first.
fn training_run(
    folder: &Path,
    backend: &Arc<dyn Backend>,
    perturbation: Option<u64>,
) -> [Vec<f64>; 2] {
    let case = Golden::open(folder, backend, true, false, 0.0);
    if let Some(seed) = perturbation {
        let values = &case.model.weights.values;
        let total = case.model.weights.layout.total;
        let mut weights = backend
            .download(values, 0, total)
            .expect("weights")
            .into_f32(DType::F32);
        for (weight, index) in weights.iter_mut().zip(0..) {
            // Of deviation 1: fresh weights have 0.02.
            let noise = f64::from(init_normal(seed, 0, index)) / 0.02;
            *weight = (f64::from(*weight) * (1.0 + f64::from(f32::EPSILON) * noise)) as f32;
        }
        backend
            .upload(values, 0, HostRef::from(&weights))
            .expect("moved");
    }
    let optimizer = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let (batch, seq_len) = (case.batch, case.seq_len);
    let mut trainer = GpuTrainer::new(Arc::new(case.model), batch, seq_len, 1, optimizer, true)
        .expect("a trainer");
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let loss = trainer
            .step(&case.ids, &case.targets, 1e-3)
            .expect("a step");
        losses.push(loss.cross_entropy);
        norms.push(trainer.grad_norm().expect("a norm"));
    }
    [losses, norms]
}

/// Losses and norms within 1e-5, or within what one rounding of the weights does to them.
///
/// AdamW's first steps are lr g / (|g| + eps), so an element whose gradient is near eps moves by a share
/// of lr that the last bit decides; a float64 run of the same steps is off from the golden one by as
/// much.
fn training(folder: &Path, backend: &Arc<dyn Backend>) {
    let file =
        SafetensorsFile::open(&folder.join("golden.safetensors"), "checkout").expect("a file");
    let run = training_run(folder, backend, None);
    let moved = [0, 1, 2, 3].map(|seed| training_run(folder, backend, Some(seed)));
    for (what, key) in ["train_losses", "train_grad_norms"].into_iter().enumerate() {
        for (step, truth) in file.f32(key).expect("the truth").into_iter().enumerate() {
            let (truth, got) = (f64::from(truth), run[what][step]);
            let farthest = moved
                .iter()
                .map(|run| (run[what][step] - got).abs())
                .fold(0.0, f64::max);
            let bound = (1e-5 * truth).max(2.0 * farthest);
            let place = format!("{}: {key}[{step}]", folder.display());
            assert!(
                bound <= 2e-3 * truth,
                "{place} is too sensitive to mean anything"
            );
            assert!(
                (got - truth).abs() <= bound,
                "{place} is {got}, expected {truth} within {bound}"
            );
        }
    }
}

fn saved_again(folder: &Path, backend: &Arc<dyn Backend>) {
    let model = MoETransformer::load(folder, backend.clone(), None, Options::default(), None)
        .expect("a model");
    let out = tempfile::tempdir().expect("a folder");
    let saved = out.path().join("saved");
    model.save(&saved, None, None).expect("saved");
    let (first, second) = (
        load_checkpoint(folder).expect("theirs"),
        load_checkpoint(&saved).expect("ours"),
    );
    assert_eq!(first.config, second.config);
    for spec in &model.weights.specs {
        assert_eq!(first.dtype(&spec.name), second.dtype(&spec.name));
        assert_eq!(
            first.array(&spec.name).expect("a tensor"),
            second.array(&spec.name).expect("a tensor")
        );
    }
}
