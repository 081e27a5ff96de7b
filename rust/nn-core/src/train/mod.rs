//! Training: data, loss, optimizer, schedule and the loop.

pub mod adamw;
pub mod data;
pub mod evaluate;
pub mod gpu_trainer;
pub mod loss;
pub mod metrics;
pub mod plot;
pub mod prepare;
pub mod schedule;
mod state;
pub mod trainer;
