//! The flat buffers behind a model: every weight in one, every gradient at the same place in another;
//! the blocks of a quantized model in a third.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::config::MoEConfig;
use super::parameters::{Kind, ParameterLayout, ParameterSpec, parameter_layout, parameter_specs};
use crate::error::Result;
use crate::layer::Parameter;
use crate::tensor::array::narrowed;
use crate::tensor::{Backend, Buffer, DType, HostVec, TensorError};

/// `values` `[layout.total]` in the model's dtype and, in training, `gradients` `[layout.total]` f32. In
/// a quantized model `blocks` `[layout.n_quantized]` q8 or q4 holds the tensors that are quantized.
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
    /// Every weight that is not quantized.
    pub values: Buffer,
    /// Every weight that is quantized.
    pub blocks: Option<Buffer>,
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
        // "none" is no dtype.
        let blocks = match DType::from_label(&config.quantization) {
            Some(blocks) => Some(backend.buffer(blocks, layout.n_quantized)?),
            None => None,
        };
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
            blocks,
            gradients,
        })
    }

    /// Norms 1; every other element close to normal with deviation 0.02, from (seed, tensor number,
    /// element).
    pub fn initialise(&self, seed: i64) -> Result<()> {
        for spec in &self.specs {
            let (be, size) = (&self.backend, spec.size());
            let view = be.view(self.home(spec), self.offset(&spec.name)?, size)?;
            if spec.kind == Kind::Norm {
                be.fill(&view, size, 1.0)?;
            } else if spec.quantized {
                let fresh = be.buffer(DType::F32, size)?;
                be.random_init(&fresh, size, 0, seed, spec.number)?;
                be.quantize(&view, &fresh, size)?;
            } else {
                be.random_init(&view, size, 0, seed, spec.number)?;
            }
        }
        Ok(())
    }

    /// The tensor with this checkpoint name.
    pub fn parameter(&self, name: &str) -> Result<Parameter> {
        let spec = self.spec(name)?;
        self.at(name, self.home(spec), self.offset(name)?, &spec.shape)
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
        let home = self.blocks.as_ref().unwrap_or(&self.values);
        Ok((
            self.at(&format!("{name}.w1"), home, at.w1_stack[layer], &wide)?,
            self.at(&format!("{name}.w3"), home, at.w3_stack[layer], &wide)?,
            self.at(&format!("{name}.w2"), home, at.w2_stack[layer], &narrow)?,
        ))
    }

    /// Every tensor of an open checkpoint, converted to `dtype`: widened exactly, or rounded to
    /// nearest even. Blocks stay as they are.
    pub fn load(&self, checkpoint: &Checkpoint) -> Result<()> {
        for spec in &self.specs {
            let offset = self.offset(&spec.name)?;
            let stored = checkpoint
                .dtype(&spec.name)
                .unwrap_or_default()
                .to_ascii_lowercase();
            let values = if spec.quantized || stored == self.dtype.label() {
                checkpoint.array(&spec.name)?
            } else {
                narrowed(&checkpoint.f32(&spec.name)?, self.dtype)
            };
            self.backend
                .upload(self.home(spec), offset, values.as_ref())?;
        }
        Ok(())
    }

    /// The values of a tensor, row-major, as a checkpoint stores them.
    pub fn fetch(&self, name: &str) -> Result<HostVec> {
        self.fetch_from(self.home(self.spec(name)?), name)
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

    fn home(&self, spec: &ParameterSpec) -> &Buffer {
        let blocks = self.blocks.as_ref().filter(|_| spec.quantized);
        blocks.unwrap_or(&self.values)
    }

    fn at(&self, name: &str, home: &Buffer, offset: usize, shape: &[usize]) -> Result<Parameter> {
        let count = shape.iter().product();
        let grad = match &self.gradients {
            Some(gradients) => Some(self.backend.view(gradients, offset, count)?),
            None => None,
        };
        let weight = self.backend.view(home, offset, count)?;
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
