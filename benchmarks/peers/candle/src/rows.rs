//! A case by candle as something to time, checked.

use std::error::Error;

use nn_core::json_fields::Fields;

use crate::expected::Expected;
use crate::harness::Implementation;
use crate::subject::{Run, Subject, version};
use crate::{checks, mixtral, operations};

/// Makes subjects.
pub struct Rows {
    threads: usize,
}

impl Rows {
    /// With the threads that candle was told.
    pub fn new(threads: usize) -> Self {
        Self { threads }
    }

    fn operation(case: &Fields, expected: &Expected) -> Result<Run, Box<dyn Error>> {
        let inputs = checks::inputs(case)?;
        let mut call = operations::call(case, &inputs)?;
        let outputs: Vec<Vec<f32>> = call()?
            .iter()
            .map(operations::values)
            .collect::<Result<_, _>>()?;
        // What only a backward pass needs candle keeps to itself: the first outputs are compared.
        checks::compare(case, &inputs, &outputs, 1.0, &expected.output)?;
        Ok(Box::new(move || call().map(drop)))
    }

    fn model(case: &Fields, expected: &Expected) -> Result<Run, Box<dyn Error>> {
        let mut call = mixtral::call(case)?;
        let ids: Vec<u8> = call()?.iter().flat_map(|id| id.to_le_bytes()).collect();
        checks::compare_devices(case, &ids, &expected.output, &[])?;
        Ok(Box::new(move || call().map(drop)))
    }
}

impl Implementation for Rows {
    fn applies(&self, case: &Fields, _: &str) -> nn_core::Result<bool> {
        Ok(operations::KINDS.contains(&case.string("kind")?) || mixtral::applies(case)?)
    }

    fn subject(&mut self, case: &Fields, _: &str) -> Result<Subject, Box<dyn Error>> {
        let expected = Expected::of(case, self.threads)?;
        let (run, package) = if mixtral::applies(case)? {
            (Self::model(case, &expected)?, "candle-transformers")
        } else {
            (Self::operation(case, &expected)?, "candle-nn")
        };
        Ok(Subject {
            run,
            share: 1.0,
            units: expected.units,
            unit: expected.unit,
            implementation: format!("{package} {} (new outputs in every run)", version(package)),
            threads: self.threads,
            isa: String::new(),
            checksum: None,
            checked: true,
        })
    }
}
