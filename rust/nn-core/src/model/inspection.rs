//! What the routers did with a text: experts per token and layer, entropy, load.

use super::router::Routing;
use super::transformer::MoETransformer;
use crate::elementary::natural_log;
use crate::error::Result;
use crate::tensor::{DType, HostRef};

/// One layer over T tokens. experts, weights `[T, top_k]`, best first; entropy `[T]` in nats, at most
/// ln n_experts; load `[n_experts]`: the share of the T top_k routed rows that each expert got.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRouting {
    /// Experts of a token.
    pub top_k: usize,
    /// Which.
    pub experts: Vec<i32>,
    /// With what weight.
    pub weights: Vec<f32>,
    /// Of the router's probabilities.
    pub entropy: Vec<f64>,
    /// Per expert.
    pub load: Vec<f64>,
}

impl LayerRouting {
    /// The experts of a token.
    pub fn experts_of(&self, token: usize) -> &[i32] {
        &self.experts[token * self.top_k..(token + 1) * self.top_k]
    }

    /// The weights of a token.
    pub fn weights_of(&self, token: usize) -> &[f32] {
        &self.weights[token * self.top_k..(token + 1) * self.top_k]
    }

    /// Over the tokens.
    pub fn mean_entropy(&self) -> f64 {
        self.entropy.iter().sum::<f64>() / self.entropy.len() as f64
    }
}

/// -sum_i p_i ln p_i in nats, summed in the order of i in f64; a probability of 0 adds nothing.
pub fn entropy(probs: impl IntoIterator<Item = f64>) -> f64 {
    let mut total = 0.0;
    for p in probs {
        if p != 0.0 {
            total -= p * natural_log(p);
        }
    }
    total
}

/// The routing of every layer for one sequence. Errors: those of [`MoETransformer::forward_ids`].
pub fn inspect_routing(model: &MoETransformer, ids: &[i32]) -> Result<Vec<LayerRouting>> {
    model.check_ids(ids, 1, ids.len())?;
    let (tokens, e, k) = (ids.len(), model.config.n_experts, model.config.top_k);
    let backend = &model.backend;
    let mut layers = Vec::new();
    let mut observe = |_layer: usize, routing: &Routing| -> Result<()> {
        let probs = backend
            .download(&routing.probs, 0, tokens * e)?
            .into_f32(DType::F32);
        let experts = backend
            .download(&routing.experts, 0, tokens * k)?
            .into_i32();
        let weights = backend
            .download(&routing.weights, 0, tokens * k)?
            .into_f32(DType::F32);
        let entropies = probs
            .chunks(e)
            .map(|row| entropy(row.iter().map(|&p| f64::from(p))));
        let mut load = vec![0.0; e];
        for &expert in &experts {
            load[expert as usize] += 1.0;
        }
        for share in &mut load {
            *share /= (tokens * k) as f64;
        }
        layers.push(LayerRouting {
            top_k: k,
            experts,
            weights,
            entropy: entropies.collect(),
            load,
        });
        Ok(())
    };
    let buffer = backend.from_host(DType::I32, HostRef::I32(ids))?;
    model.forward_observed(&buffer, 1, tokens, Some(&mut observe))?;
    backend.synchronize()?;
    Ok(layers)
}
