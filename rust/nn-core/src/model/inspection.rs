//! What the routers did with a text: experts per token and layer, entropy, load.

use super::router::Routing;
use super::transformer::MoETransformer;
use crate::error::Result;
use crate::tensor::{DType, HostRef};

/// One layer over T tokens. experts, weights `[T, top_k]`, best first; entropy `[T]` = -sum_i p_i ln
/// p_i in nats, at most ln n_experts; load `[n_experts]`: the share of the T top_k routed rows that
/// each expert got.
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
        let entropy = probs.chunks(e).map(entropy).collect();
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
            entropy,
            load,
        });
        Ok(())
    };
    let buffer = backend.from_host(DType::I32, HostRef::I32(ids))?;
    model.forward_observed(&buffer, 1, tokens, Some(&mut observe))?;
    backend.synchronize()?;
    Ok(layers)
}

fn entropy(probs: &[f32]) -> f64 {
    let terms: Vec<f64> = probs
        .iter()
        .map(|&p| f64::from(p) * f64::from(p).max(1e-300).ln())
        .collect();
    -pairwise(&terms)
}

/// The sum as NumPy takes it, so that the same digits are printed: eight interleaved sums, combined as
/// a tree, over at most 128 terms at a time.
fn pairwise(terms: &[f64]) -> f64 {
    if terms.len() < 8 {
        return terms.iter().sum();
    }
    if terms.len() > 128 {
        let half = terms.len() / 2;
        let (left, right) = terms.split_at(half - half % 8);
        return pairwise(left) + pairwise(right);
    }
    let (eights, rest) = terms.as_chunks::<8>();
    let mut r = [0.0; 8];
    for eight in eights {
        r.iter_mut().zip(eight).for_each(|(sum, term)| *sum += term);
    }
    let tree = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(tree, |sum, term| sum + term)
}
