//! The flat buffers behind a model: every weight in one, every gradient at the same place in another.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::config::MoEConfig;
use super::parameters::{Kind, ParameterLayout, ParameterSpec, parameter_layout, parameter_specs};
use crate::error::Result;
use crate::layer::Parameter;
use crate::tensor::array::narrowed;
use crate::tensor::{Backend, Buffer, DType, HostVec, TensorError};

/// `values` `[layout.total]` in the model's dtype and, in training, `gradients` `[layout.total]` f32.
///
/// One buffer makes the norm of all gradients, their zeroing and the optimizer's update one call each.
#[derive(Debug)]
pub struct Weights {
    backend: Arc<dyn Backend>,
    /// Where each tensor stands.
    pub layout: ParameterLayout,
    /// The tensors.
    pub specs: Vec<ParameterSpec>,
    index: HashMap<String, usize>,
    /// Of the values.
    pub dtype: DType,
    /// Every weight.
    pub values: Buffer,
    /// Every gradient.
    pub gradients: Option<Buffer>,
}

impl Weights {
    /// Buffers of zeros.
    pub fn new(
        backend: Arc<dyn Backend>,
        config: &MoEConfig,
        dtype: DType,
        training: bool,
    ) -> Result<Self> {
        let (layout, specs) = (parameter_layout(config), parameter_specs(config));
        let index = specs
            .iter()
            .enumerate()
            .map(|(at, spec)| (spec.name.clone(), at))
            .collect();
        let values = backend.buffer(dtype, layout.total)?;
        let gradients = if training {
            Some(backend.buffer(DType::F32, layout.total)?)
        } else {
            None
        };
        Ok(Self {
            backend,
            layout,
            specs,
            index,
            dtype,
            values,
            gradients,
        })
    }

    /// Norms 1; every other element close to normal with deviation 0.02, from (seed, tensor number,
    /// element).
    pub fn initialise(&self, seed: i64) -> Result<()> {
        for spec in &self.specs {
            let view = self
                .backend
                .view(&self.values, self.offset(&spec.name)?, spec.size())?;
            match spec.kind {
                Kind::Norm => self.backend.fill(&view, spec.size(), 1.0)?,
                Kind::Matrix => {
                    self.backend
                        .random_init(&view, spec.size(), 0, seed, spec.number)?
                }
            }
        }
        Ok(())
    }

    /// The tensor with this checkpoint name.
    pub fn parameter(&self, name: &str) -> Result<Parameter> {
        self.at(name, self.offset(name)?, &self.spec(name)?.shape)
    }

    /// The stacks (w1, w3, w2) of a layer: `[n_experts, ffn_size, hidden_size]` twice and its
    /// transpose.
    pub fn experts(
        &self,
        config: &MoEConfig,
        layer: usize,
    ) -> Result<(Parameter, Parameter, Parameter)> {
        let (at, name) = (
            &self.layout,
            format!("model.layers.{layer}.block_sparse_moe.experts"),
        );
        let wide = [config.n_experts, config.ffn_size, config.hidden_size];
        let narrow = [config.n_experts, config.hidden_size, config.ffn_size];
        Ok((
            self.at(&format!("{name}.w1"), at.w1_stack[layer], &wide)?,
            self.at(&format!("{name}.w3"), at.w3_stack[layer], &wide)?,
            self.at(&format!("{name}.w2"), at.w2_stack[layer], &narrow)?,
        ))
    }

    /// Every tensor of an open checkpoint, converted to `dtype`: widened exactly, or rounded to
    /// nearest even.
    pub fn load(&self, checkpoint: &Checkpoint) -> Result<()> {
        for spec in &self.specs {
            let offset = self.offset(&spec.name)?;
            let stored = checkpoint
                .dtype(&spec.name)
                .unwrap_or_default()
                .to_ascii_lowercase();
            let values = if stored == self.dtype.label() {
                checkpoint.array(&spec.name)?
            } else {
                narrowed(&checkpoint.f32(&spec.name)?, self.dtype)
            };
            self.backend.upload(&self.values, offset, values.as_ref())?;
        }
        Ok(())
    }

    /// The values of a tensor, row-major, as they are stored.
    pub fn fetch(&self, name: &str) -> Result<HostVec> {
        self.fetch_from(&self.values, name)
    }

    /// What stands at a tensor's place in a buffer of this layout: values, gradients, a moment.
    pub fn fetch_from(&self, flat: &Buffer, name: &str) -> Result<HostVec> {
        Ok(self
            .backend
            .download(flat, self.offset(name)?, self.spec(name)?.size())?)
    }

    /// Where a tensor begins.
    pub fn offset(&self, name: &str) -> Result<usize> {
        Ok(self
            .layout
            .offsets
            .get(name)
            .copied()
            .ok_or_else(|| unknown(name))?)
    }

    fn spec(&self, name: &str) -> Result<&ParameterSpec> {
        Ok(self
            .index
            .get(name)
            .map(|&at| &self.specs[at])
            .ok_or_else(|| unknown(name))?)
    }

    fn at(&self, name: &str, offset: usize, shape: &[usize]) -> Result<Parameter> {
        let count = shape.iter().product();
        let grad = match &self.gradients {
            Some(gradients) => Some(self.backend.view(gradients, offset, count)?),
            None => None,
        };
        let weight = self.backend.view(&self.values, offset, count)?;
        Ok(Parameter {
            name: name.to_string(),
            shape: shape.to_vec(),
            weight,
            grad,
        })
    }
}

fn unknown(name: &str) -> TensorError {
    TensorError::Shape(format!("the model has no tensor {name}"))
}
