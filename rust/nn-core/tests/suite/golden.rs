//! The model against an independent implementation: logits, every gradient, a training run, greedy
//! decoding, on any backend. The cases stand in cuda/vectors/golden.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nn_core::model::checkpoint::load_checkpoint;
use nn_core::model::generate::{GREEDY, generate};
use nn_core::model::safetensors::SafetensorsFile;
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::{Backend, DType, HostVec};
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

/// Losses of six steps. AdamW's first steps are lr g / (|g| + eps), so an element whose gradient is
/// near eps moves by a share of lr that the last bit decides: 2e-3 is the most that any rounding of
/// the weights does to a step of these runs, and far below what a wrong update does.
fn training(folder: &Path, backend: &Arc<dyn Backend>) {
    let Golden {
        name,
        file,
        model,
        ids,
        targets,
        batch,
        seq_len,
    } = Golden::open(folder, backend, true, false, 0.0);
    let optimizer = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let mut trainer =
        GpuTrainer::new(Arc::new(model), batch, seq_len, 1, optimizer, true).expect("a trainer");
    let norms = file.f32("train_grad_norms").expect("norms");
    for (step, want) in file
        .f32("train_losses")
        .expect("losses")
        .into_iter()
        .enumerate()
    {
        let loss = trainer.step(&ids, &targets, 1e-3).expect("a step");
        let bound = if step == 0 { 1e-5 } else { 2e-3 };
        close(
            loss.cross_entropy,
            want,
            bound,
            &format!("{name}: loss of step {step}"),
        );
        if let Some(norm) = norms.get(step) {
            close(
                trainer.grad_norm().expect("a norm"),
                *norm,
                bound,
                &format!("{name}: norm of step {step}"),
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
