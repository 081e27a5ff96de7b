//! The model: its configuration, layers in their order, and its files.

pub mod attention;
pub mod block;
pub mod checkpoint;
pub mod config;
mod config_hf;
pub mod generate;
pub mod inspection;
pub mod kv_cache;
pub mod moe;
pub mod parameters;
pub mod quantize;
pub mod recorded_step;
pub mod rope;
pub mod router;
pub mod safetensors;
pub mod transformer;
pub mod weights;
