//! The Python module `nn_rs`: the model, the trainer and tensors with their operations, on NumPy
//! arrays. Every call that computes releases the interpreter's lock and waits for its turn on the device.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use nn_core::model::generate::{Sampling, generate};
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::{Array, Backend, DType, HostRef, Shape, TensorError};
use nn_core::train::adamw::AdamWConfig;
use nn_core::{MoEConfig, NNError};
use numpy::{
    IxDyn, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{GpuTensor, GpuTrainer, default_backend};

create_exception!(
    nn_rs,
    Error,
    PyException,
    "Something the user can put right, said in one sentence."
);

/// The sentence of an error, with its `key` and `exit_code` as attributes.
fn raised(error: NNError) -> PyErr {
    Python::attach(|py| {
        let raised = Error::new_err(error.to_string());
        let value = raised.value(py);
        match value
            .setattr("key", error.key())
            .and_then(|()| value.setattr("exit_code", error.exit_code()))
        {
            Ok(()) => raised,
            Err(failed) => failed,
        }
    })
}

/// Runs without the interpreter's lock.
fn free<T: Send>(py: Python, run: impl FnOnce() -> nn_core::Result<T> + Send) -> PyResult<T> {
    py.detach(run).map_err(raised)
}

/// A device serves one call at a time. A call of a model is many operations on memory that the model's
/// next call writes again, and operations of another thread would go into a recording that this one has
/// begun; so whole calls take turns, not operations.
#[derive(Clone, Default)]
struct Turns(Arc<Mutex<()>>);

impl Turns {
    /// [`free`], while no other call on the device runs. The turn is waited for without the interpreter's
    /// lock, which no call takes while it has the turn.
    fn free<T: Send>(
        &self,
        py: Python,
        run: impl FnOnce() -> nn_core::Result<T> + Send,
    ) -> PyResult<T> {
        free(py, || {
            let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            run()
        })
    }
}

/// A device and its turns.
#[derive(Clone)]
struct Device {
    backend: Arc<dyn Backend>,
    turns: Turns,
}

/// The turns of [`default_backend`].
static DEFAULT_TURNS: LazyLock<Turns> = LazyLock::new(Turns::default);

fn to_numpy(py: Python, array: Array) -> PyResult<Bound<PyArrayDyn<f32>>> {
    let shape = array.shape().dims().to_vec();
    PyArray1::from_vec(py, array.into_values()).reshape(IxDyn(&shape))
}

/// The values of an array, row-major, and its shape.
fn values<T: numpy::Element + Copy>(array: &PyReadonlyArrayDyn<T>) -> (Vec<T>, Vec<usize>) {
    (
        array.as_array().iter().copied().collect(),
        array.shape().to_vec(),
    )
}

/// An opened device.
#[pyclass(name = "Backend", frozen)]
struct PyBackend(Device);

#[pymethods]
impl PyBackend {
    #[getter]
    fn name(&self) -> String {
        self.0.backend.name().to_string()
    }

    #[getter]
    fn isa(&self) -> String {
        self.0.backend.isa()
    }

    #[getter]
    fn threads(&self) -> usize {
        self.0.backend.threads()
    }
}

/// Opens "cpu", "cuda", "simt", "reference", or "auto": cuda when there is one, else cpu.
#[pyfunction]
#[pyo3(signature = (device = "auto", threads = 0))]
fn open_backend(py: Python, device: &str, threads: usize) -> PyResult<PyBackend> {
    let backend = free(py, || nn_cuda::open_backend(device, threads))?;
    let turns = Turns::default();
    Ok(PyBackend(Device { backend, turns }))
}

fn device_or_default(py: Python, backend: Option<&PyBackend>) -> PyResult<Device> {
    match backend {
        Some(backend) => Ok(backend.0.clone()),
        None => Ok(Device {
            backend: free(py, default_backend)?,
            turns: DEFAULT_TURNS.clone(),
        }),
    }
}

/// A Mixture-of-Experts Transformer: token ids in, logits out.
#[pyclass(name = "MoETransformer", frozen)]
struct PyTransformer {
    model: Arc<MoETransformer>,
    turns: Turns,
}

impl PyTransformer {
    fn preset(
        py: Python,
        config: MoEConfig,
        backend: Option<&PyBackend>,
        seed: i64,
        training: bool,
    ) -> PyResult<Self> {
        let Device { backend, turns } = device_or_default(py, backend)?;
        let options = Options {
            training,
            seed: Some(seed),
            ..Options::default()
        };
        let model = turns.free(py, || MoETransformer::new(config, backend, options))?;
        let model = Arc::new(model);
        Ok(Self { model, turns })
    }
}

#[pymethods]
impl PyTransformer {
    /// The preset `tiny` with fresh weights.
    #[staticmethod]
    #[pyo3(signature = (backend = None, seed = 0, training = false))]
    fn tiny(py: Python, backend: Option<&PyBackend>, seed: i64, training: bool) -> PyResult<Self> {
        Self::preset(py, MoEConfig::tiny(), backend, seed, training)
    }

    /// The preset `small` with fresh weights.
    #[staticmethod]
    #[pyo3(signature = (backend = None, seed = 0, training = false))]
    fn small(py: Python, backend: Option<&PyBackend>, seed: i64, training: bool) -> PyResult<Self> {
        Self::preset(py, MoEConfig::small(), backend, seed, training)
    }

    /// The model of a Mixtral folder, in its stored dtype.
    #[staticmethod]
    #[pyo3(signature = (path, backend = None, training = false))]
    fn load(
        py: Python,
        path: PathBuf,
        backend: Option<&PyBackend>,
        training: bool,
    ) -> PyResult<Self> {
        let Device { backend, turns } = device_or_default(py, backend)?;
        let options = Options {
            training,
            ..Options::default()
        };
        let load = || MoETransformer::load(&path, backend, None, options, None);
        let model = Arc::new(turns.free(py, load)?);
        Ok(Self { model, turns })
    }

    /// Writes a Mixtral folder, whole or not at all.
    fn save(&self, py: Python, path: PathBuf) -> PyResult<()> {
        let save = || self.model.save(&path, None, None);
        self.turns.free(py, save)
    }

    /// The content of its config.json.
    fn config_json(&self) -> String {
        self.model.config.to_json()
    }

    /// Logits [batch, seq_len, vocab_size] for batch sequences of seq_len ids.
    fn forward_ids<'py>(
        &self,
        py: Python<'py>,
        ids: Vec<i32>,
        batch: usize,
        seq_len: usize,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let forward = || self.model.forward_ids(&ids, batch, seq_len);
        let logits = self.turns.free(py, forward)?;
        to_numpy(py, logits)
    }

    /// The new ids of each prompt.
    #[pyo3(signature = (prompts, max_new_tokens, temperature = 0.0, top_k = 0, top_p = 1.0, seed = 0, stop_at_eos = true))]
    fn generate(
        &self,
        py: Python,
        prompts: Vec<Vec<i32>>,
        max_new_tokens: usize,
        temperature: f64,
        top_k: i64,
        top_p: f64,
        seed: i64,
        stop_at_eos: bool,
    ) -> PyResult<Vec<Vec<i32>>> {
        let sampling = Sampling {
            temperature,
            top_k,
            top_p,
            seed,
        };
        self.turns.free(py, || {
            generate(&self.model, &prompts, max_new_tokens, sampling, stop_at_eos)
        })
    }
}

/// Parameters, gradients, moments and activations stay on the device; a step is one graph launch.
#[pyclass(name = "GpuTrainer", frozen)]
struct PyTrainer {
    trainer: Mutex<GpuTrainer>,
    turns: Turns,
}

impl PyTrainer {
    fn lock(&self) -> MutexGuard<'_, GpuTrainer> {
        self.trainer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyTrainer {
    /// Steps of micro_batches times batch sequences of seq_len, of a model made with training=True.
    #[new]
    #[pyo3(signature = (model, batch, seq_len, micro_batches = 1, weight_decay = 0.1, max_norm = 1.0))]
    fn new(
        py: Python,
        model: &PyTransformer,
        batch: usize,
        seq_len: usize,
        micro_batches: usize,
        weight_decay: f64,
        max_norm: f64,
    ) -> PyResult<Self> {
        let (model, turns) = (model.model.clone(), model.turns.clone());
        let optimizer = AdamWConfig {
            weight_decay,
            max_norm,
            ..AdamWConfig::default()
        };
        let trainer = turns.free(py, || {
            GpuTrainer::new(model, batch, seq_len, micro_batches, optimizer, true)
        })?;
        let trainer = Mutex::new(trainer);
        Ok(Self { trainer, turns })
    }

    /// One optimizer step on ids, targets [micro_batches, batch, seq_len] i32 (target -1: does not
    /// count). Returns the losses before the update.
    fn step<'py>(
        &self,
        py: Python<'py>,
        ids: PyReadonlyArrayDyn<'py, i32>,
        targets: PyReadonlyArrayDyn<'py, i32>,
        lr: f64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let ((ids, _), (targets, _)) = (values(&ids), values(&targets));
        let step = || self.lock().step(&ids, &targets, lr);
        let loss = self.turns.free(py, step)?;
        let out = PyDict::new(py);
        out.set_item("cross_entropy", loss.cross_entropy)?;
        out.set_item("balance", loss.balance)?;
        out.set_item("z", loss.z)?;
        out.set_item("total", loss.total)?;
        out.set_item("count", loss.count)?;
        Ok(out)
    }

    /// The norm of all gradients of the last step, before clipping.
    fn grad_norm(&self, py: Python) -> PyResult<f64> {
        self.turns.free(py, || self.lock().grad_norm())
    }
}

/// An f32 tensor that lives on a device; its operations run there.
#[pyclass(name = "GpuTensor", frozen)]
struct PyTensor {
    tensor: GpuTensor,
    turns: Turns,
}

impl PyTensor {
    fn like(&self, shape: &[usize]) -> nn_core::Result<GpuTensor> {
        GpuTensor::on_device(
            Shape::new(shape)?,
            DType::F32,
            Some(self.tensor.backend().clone()),
        )
    }

    /// Rows and columns: all dimensions but the last, and the last.
    fn rows(&self) -> (usize, usize) {
        let cols = self.tensor.shape().dims().last().copied().unwrap_or(1);
        (self.tensor.shape().size() / cols.max(1), cols)
    }

    fn same_shape(&self, other: &Self) -> nn_core::Result<()> {
        let (a, b) = (self.tensor.shape(), other.tensor.shape());
        if a == b {
            return Ok(());
        }
        Err(TensorError::Shape(format!("the shapes differ: {a} and {b}")).into())
    }

    /// What `run` makes, in turn with the device's other calls.
    fn made(
        &self,
        py: Python,
        run: impl FnOnce() -> nn_core::Result<GpuTensor> + Send,
    ) -> PyResult<Self> {
        let tensor = self.turns.free(py, run)?;
        let turns = self.turns.clone();
        Ok(Self { tensor, turns })
    }

    fn map(
        &self,
        py: Python,
        run: impl FnOnce(&GpuTensor, &GpuTensor) -> nn_core::Result<()> + Send,
    ) -> PyResult<Self> {
        self.made(py, || {
            let y = self.like(self.tensor.shape().dims())?;
            run(&y, &self.tensor)?;
            Ok(y)
        })
    }
}

#[pymethods]
impl PyTensor {
    /// The values of an f32 array in its shape.
    #[staticmethod]
    #[pyo3(signature = (array, backend = None))]
    fn from_numpy(
        py: Python,
        array: PyReadonlyArrayDyn<f32>,
        backend: Option<&PyBackend>,
    ) -> PyResult<Self> {
        let (data, shape) = values(&array);
        let Device { backend, turns } = device_or_default(py, backend)?;
        let tensor = turns.free(py, || {
            GpuTensor::from_host(
                Shape::new(&shape)?,
                DType::F32,
                HostRef::from(&data),
                Some(backend),
            )
        })?;
        Ok(Self { tensor, turns })
    }

    /// The values; waits for pending work.
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let array = self.turns.free(py, || Ok(self.tensor.to_array()?))?;
        to_numpy(py, array)
    }

    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.tensor.shape().dims().to_vec()
    }

    /// self [m, k] times other [k, n].
    fn matmul(&self, py: Python, other: &Self) -> PyResult<Self> {
        self.made(py, || {
            let (&[m, k], &[k2, n]) = (self.tensor.shape().dims(), other.tensor.shape().dims())
            else {
                let (a, b) = (self.tensor.shape(), other.tensor.shape());
                return Err(TensorError::Shape(format!(
                    "matmul of {a} and {b}, expected two matrices"
                ))
                .into());
            };
            if k != k2 {
                let (a, b) = (self.tensor.shape(), other.tensor.shape());
                let text = format!("matmul: a is {a} but b is {b} (inner dimensions differ)");
                return Err(TensorError::Shape(text).into());
            }
            let (c, be) = (self.like(&[m, n])?, self.tensor.backend());
            be.gemm(
                c.buffer(),
                self.tensor.buffer(),
                other.tensor.buffer(),
                false,
                false,
                m,
                n,
                k,
                n,
                k,
                n,
                1.0,
                0.0,
            )?;
            Ok(c)
        })
    }

    /// self + other, element by element.
    fn add(&self, py: Python, other: &Self) -> PyResult<Self> {
        self.map(py, |y, x| {
            self.same_shape(other)?;
            Ok(y.backend().add_forward(
                y.buffer(),
                x.buffer(),
                other.tensor.buffer(),
                x.shape().size(),
            )?)
        })
    }

    /// self times other, element by element.
    fn mul(&self, py: Python, other: &Self) -> PyResult<Self> {
        self.map(py, |y, x| {
            self.same_shape(other)?;
            Ok(y.backend().mul_forward(
                y.buffer(),
                x.buffer(),
                other.tensor.buffer(),
                x.shape().size(),
            )?)
        })
    }

    /// x / (1 + exp(-x))
    fn silu(&self, py: Python) -> PyResult<Self> {
        self.map(py, |y, x| {
            Ok(y.backend()
                .silu_forward(y.buffer(), x.buffer(), x.shape().size())?)
        })
    }

    /// silu(self) up
    fn swiglu(&self, py: Python, up: &Self) -> PyResult<Self> {
        self.map(py, |y, gate| {
            self.same_shape(up)?;
            let n = gate.shape().size();
            Ok(y.backend()
                .swiglu_forward(y.buffer(), gate.buffer(), up.tensor.buffer(), n)?)
        })
    }

    /// Along the last dimension.
    fn softmax(&self, py: Python) -> PyResult<Self> {
        let (rows, cols) = self.rows();
        self.map(py, |y, x| {
            Ok(y.backend()
                .softmax_forward(y.buffer(), x.buffer(), rows, cols, cols, cols)?)
        })
    }

    /// x / sqrt(mean(x^2) + eps) weight, along the last dimension.
    #[pyo3(signature = (weight, eps = 1e-6))]
    fn rmsnorm(&self, py: Python, weight: &Self, eps: f64) -> PyResult<Self> {
        let (rows, cols) = self.rows();
        self.map(py, |y, x| {
            let rstd = self.like(&[rows])?;
            let (y, w) = (y.buffer(), weight.tensor.buffer());
            Ok(x.backend()
                .rmsnorm_forward(y, rstd.buffer(), x.buffer(), w, rows, cols, eps)?)
        })
    }
}

/// A Mixture-of-Experts Transformer in Rust.
#[pymodule]
fn nn_rs(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("__version__", nn_core::VERSION)?;
    module.add("NNError", module.py().get_type::<Error>())?;
    module.add_class::<PyBackend>()?;
    module.add_class::<PyTransformer>()?;
    module.add_class::<PyTrainer>()?;
    module.add_class::<PyTensor>()?;
    module.add_function(wrap_pyfunction!(open_backend, module)?)
}
