//! What a case gives on the library's device, with which other outputs are compared.

use nn_core::Result;
use nn_core::bench::work;
use nn_core::json_fields::Fields;
use nn_cuda::{open_backend, why_not};

/// A case's output and its units.
pub struct Expected {
    pub output: Vec<u8>,
    pub units: f64,
    pub unit: &'static str,
}

impl Expected {
    /// Of the case on cpu, or on the reference where the library is not built.
    pub fn of(case: &Fields, threads: usize) -> Result<Self> {
        let device = if why_not("cpu").is_none() {
            "cpu"
        } else {
            "reference"
        };
        let backend = open_backend(device, threads)?;
        let mut once = work(&backend, case)?;
        once.run()?;
        backend.synchronize()?;
        Ok(Self {
            output: once.output()?,
            units: once.units,
            unit: once.unit,
        })
    }
}
