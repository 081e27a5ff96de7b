//! Operations as candle's own crates offer them. Tensors are never written again: every run makes its
//! outputs anew. AdamW is left out, since candle's starts from moments of its own.

use std::error::Error;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::{loss, ops};
use nn_core::json_fields::Fields;

use crate::protocol::size;

/// Kinds that are written here.
pub const KINDS: [&str; 7] = [
    "attention",
    "cross_entropy",
    "matmul",
    "rmsnorm",
    "silu",
    "softmax",
    "swiglu",
];

/// One run: the outputs, in the order of the case's.
pub type Call = Box<dyn FnMut() -> Result<Vec<Tensor>, Box<dyn Error>>>;

/// A case's operation on its inputs.
pub fn call(case: &Fields, inputs: &[Vec<f32>]) -> Result<Call, Box<dyn Error>> {
    let size = |name| size(case, name);
    let tensor = |t: usize, shape: &[usize]| Tensor::from_slice(&inputs[t], shape, &Device::Cpu);
    Ok(match case.string("kind")? {
        "matmul" => {
            let (m, n, k) = (size("m")?, size("n")?, size("k")?);
            let (a, b) = (tensor(0, &[m, k])?, tensor(1, &[k, n])?);
            Box::new(move || Ok(vec![a.matmul(&b)?]))
        }
        "softmax" => {
            let x = tensor(0, &[size("rows")?, size("cols")?])?;
            Box::new(move || Ok(vec![ops::softmax_last_dim(&x)?]))
        }
        "silu" => {
            let x = tensor(0, &[size("n")?])?;
            Box::new(move || Ok(vec![x.silu()?]))
        }
        "swiglu" => {
            let n = size("n")?;
            let (gate, up) = (tensor(0, &[n])?, tensor(1, &[n])?);
            Box::new(move || Ok(vec![(gate.silu()? * &up)?]))
        }
        "rmsnorm" => {
            let (rows, cols) = (size("rows")?, size("cols")?);
            let (x, w) = (tensor(0, &[rows, cols])?, tensor(1, &[cols])?);
            Box::new(move || Ok(vec![ops::rms_norm(&x, &w, 1e-6)?]))
        }
        "attention" => {
            let (batch, seq, d) = (size("batch")?, size("seq")?, size("head_dim")?);
            let (h, g) = (size("n_heads")?, size("n_kv_heads")?);
            let q = tensor(0, &[batch, seq, h, d])?;
            let (k, v) = (
                tensor(1, &[batch, seq, g, d])?,
                tensor(2, &[batch, seq, g, d])?,
            );
            let scale = 1.0 / (d as f32).sqrt();
            Box::new(move || {
                let out = flash_attn::<f32>(&q, &k, &v, scale, AttnMask::causal(), None, None)?;
                Ok(vec![out.transpose(1, 2)?])
            })
        }
        "cross_entropy" => {
            let (rows, cols) = (size("rows")?, size("cols")?);
            let logits = Var::from_tensor(&tensor(0, &[rows, cols])?)?;
            let targets: Vec<u32> = (0..rows).map(|i| (i % cols) as u32).collect();
            let targets = Tensor::new(targets, &Device::Cpu)?;
            Box::new(move || {
                let loss = loss::cross_entropy(&logits, &targets)?;
                let mut gradients = loss.backward()?;
                let gradient = gradients
                    .remove(&logits)
                    .ok_or("no gradient of the logits")?;
                Ok(vec![(loss * rows as f64)?, gradient])
            })
        }
        kind => return Err(format!("candle has no {kind} here").into()),
    })
}

/// An output on the host, in the order of its elements.
pub fn values(tensor: &Tensor) -> Result<Vec<f32>, Box<dyn Error>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
