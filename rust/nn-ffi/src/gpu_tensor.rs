//! A tensor that lives on a device of the library.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use nn_core::Result;
use nn_core::tensor::{Backend, DType, HostRef, Shape, Tensor};
use nn_cuda::open_backend;

/// A [`Tensor`] on device "auto" (cuda when there is one, else cpu), or on the backend given.
///
/// One backend serves every tensor made without one. Errors: those of [`open_backend`].
///
/// ```
/// # if nn_cuda::why_not("cpu").is_some() { return Ok(()); }
/// use nn_core::tensor::{DType, Shape};
/// use nn_rs::GpuTensor;
///
/// let x = GpuTensor::from_host(Shape::new(&[2, 2])?, DType::F32, &[1.0_f32, 2.0, 3.0, 4.0], None)?;
/// assert_eq!(x.view(1, 2)?.to_array()?.values(), [3.0, 4.0]);
/// # Ok::<(), nn_core::NNError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GpuTensor(Tensor);

impl GpuTensor {
    /// The values in a shape, as `dtype`, whose storage they are.
    pub fn from_host<'a>(
        shape: Shape,
        dtype: DType,
        values: impl Into<HostRef<'a>>,
        backend: Option<Arc<dyn Backend>>,
    ) -> Result<Self> {
        let backend = backend.map_or_else(default_backend, Ok)?;
        Ok(Self(Tensor::from_host(backend, shape, dtype, values)?))
    }

    /// Zeros.
    pub fn on_device(
        shape: Shape,
        dtype: DType,
        backend: Option<Arc<dyn Backend>>,
    ) -> Result<Self> {
        let backend = backend.map_or_else(default_backend, Ok)?;
        Ok(Self(Tensor::zeros(backend, shape, dtype)?))
    }
}

impl Deref for GpuTensor {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}

/// The backend of every [`GpuTensor`] made without one.
pub fn default_backend() -> Result<Arc<dyn Backend>> {
    static OPENED: Mutex<Option<Arc<dyn Backend>>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(backend) = &*opened {
        return Ok(backend.clone());
    }
    let backend = open_backend("auto", 0)?;
    *opened = Some(backend.clone());
    Ok(backend)
}
