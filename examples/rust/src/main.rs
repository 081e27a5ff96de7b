//! A model in a program of your own: load it, look at its logits, continue a prompt.
//!
//!     cargo run --release -- MODEL_FOLDER "a prompt"

use std::path::Path;

use nn_core::model::generate::{GREEDY, generate};
use nn_core::model::transformer::Options;
use nn_core::tokenizer::Tokenizer;
use nn_core::{MoETransformer, Result};
use nn_cuda::open_backend;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "demo/model".to_string());
    let prompt = arguments.next().unwrap_or_else(|| "import ".to_string());

    let tokenizer = Tokenizer::load(&Path::new(&folder).join("tokenizer.json"))?;
    let backend = open_backend("auto", 0)?;
    let model = MoETransformer::load(Path::new(&folder), backend, None, Options::default(), None)?;

    let ids: Vec<i32> = tokenizer
        .encode(&prompt)?
        .into_iter()
        .map(|id| id as i32)
        .collect();
    let logits = model.forward_ids(&ids, 1, ids.len())?;
    println!("logits {} on {}", logits.shape(), model.backend.name());

    let made = generate(&model, &[ids], 32, GREEDY, true)?.remove(0);
    let made: Vec<u32> = made.into_iter().map(|id| id as u32).collect();
    println!("{prompt}{}", tokenizer.decode(&made));
    Ok(())
}
