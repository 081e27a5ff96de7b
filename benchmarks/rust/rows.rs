//! A (case, row) as something to time, checked.

use std::error::Error;
use std::sync::Arc;

use nn_core::Result;
use nn_core::bench::work;
use nn_core::json_fields::Fields;
use nn_core::tensor::Backend;
use nn_cuda::{Context, open_backend, why_not};
use sha2::{Digest, Sha256};

use crate::expected::Expected;
use crate::harness::Implementation;
use crate::subject::{Run, Subject, version};
use crate::{checks, library, naive};

/// Every row that a case may have here.
pub const ROWS: [&str; 6] = ["naive", "library", "reference", "cpu", "cpu-scalar", "cuda"];

const SCALAR_KINDS: [&str; 6] = [
    "matmul",
    "softmax",
    "silu",
    "swiglu",
    "rmsnorm",
    "attention",
];
const PLAIN_KINDS: [&str; 8] = [
    "adamw",
    "attention",
    "cross_entropy",
    "matmul",
    "rmsnorm",
    "silu",
    "softmax",
    "swiglu",
];
const MODEL_KINDS: [&str; 5] = ["moe_layer", "forward", "train", "prefill", "decode"];

/// Makes subjects.
pub struct Rows {
    threads: usize,
    library_threads: usize,
    expected: Option<(String, Expected)>,
}

impl Implementation for Rows {
    /// Loops and ndarray do operations; the reference does models, small enough to wait for; the scalar build
    /// does operations; a device must be there.
    fn applies(&self, case: &Fields, row: &str) -> Result<bool> {
        let kind = case.string("kind")?;
        Ok(match row {
            "naive" | "library" => PLAIN_KINDS.contains(&kind),
            "reference" => MODEL_KINDS.contains(&kind) && case.string("config")? == "tiny",
            "cpu-scalar" => SCALAR_KINDS.contains(&kind) && why_not("cpu").is_none(),
            device => why_not(device).is_none(),
        })
    }

    fn subject(
        &mut self,
        case: &Fields,
        row: &str,
    ) -> std::result::Result<Subject, Box<dyn Error>> {
        if row == "naive" || row == "library" {
            return self.plain(case, row);
        }
        let backend: Arc<dyn Backend> = match row {
            "cpu-scalar" => Arc::new(Context::open("cpu", 0, self.threads, Some("scalar"))?),
            device => open_backend(device, self.threads)?,
        };
        let mut fresh = work(&backend, case)?;
        let start = if case.string("kind")? == "train" {
            fresh.output()?
        } else {
            Vec::new()
        };
        fresh.run()?;
        backend.synchronize()?;
        let output = fresh.output()?;
        drop(fresh);
        // The cpu's own output is what others are compared with; its checksum is compared across languages.
        let checked = row != "cpu";
        if checked {
            let expected = self.expected(case)?;
            checks::compare_devices(case, &output, &expected.output, &start)?;
        }
        let checksum = checksum(&output);
        let mut timed = work(&backend, case)?;
        let (units, unit) = (timed.units, timed.unit);
        let (threads, isa) = (backend.threads(), backend.isa());
        let implementation = format!("nn on {}", backend.name());
        // A device whose work is done when the call returns needs no second call to wait for it.
        let run: Run = if row == "cuda" {
            Box::new(move || {
                timed.run()?;
                Ok(backend.synchronize()?)
            })
        } else {
            Box::new(move || Ok(timed.run()?))
        };
        Ok(Subject {
            run,
            share: 1.0,
            units,
            unit,
            implementation,
            threads,
            isa,
            checksum: Some(checksum),
            checked,
        })
    }
}

impl Rows {
    /// `threads` as asked for, and how many that is for matrixmultiply.
    pub fn new(threads: usize, library_threads: usize) -> Self {
        Self {
            threads,
            library_threads,
            expected: None,
        }
    }

    fn plain(&mut self, case: &Fields, row: &str) -> std::result::Result<Subject, Box<dyn Error>> {
        let given = checks::inputs(case)?;
        let make = if row == "naive" {
            naive::loops
        } else {
            library::loops
        };
        let kind = case.string("kind")?;
        let Some(mut loops) = make(case, given.clone())? else {
            return Err(format!("{row} has no {kind}").into());
        };
        (loops.run)();
        let expected = self.expected(case)?;
        let missing = checks::compare(
            case,
            &given,
            &loops.outputs.borrow(),
            loops.share,
            &expected.output,
        )?;
        if missing > 0 {
            return Err(
                format!("{row}: no output for {missing} elements of {}", case.place).into(),
            );
        }
        let (units, unit) = (expected.units, expected.unit);
        let (implementation, threads) = if row == "naive" {
            ("Rust loops".to_string(), 1)
        } else {
            let threads = if library::is_threaded(kind) {
                self.library_threads
            } else {
                1
            };
            let (array, product) = (version("ndarray"), version("matrixmultiply"));
            (
                format!("ndarray {array}, matrixmultiply {product}"),
                threads,
            )
        };
        let (share, mut run) = (loops.share, loops.run);
        Ok(Subject {
            run: Box::new(move || {
                run();
                Ok(())
            }),
            share,
            units,
            unit,
            implementation,
            threads,
            isa: String::new(),
            checksum: None,
            checked: true,
        })
    }

    /// Kept for one case.
    fn expected(&mut self, case: &Fields) -> Result<&Expected> {
        let name = case.string("name")?;
        let known = self.expected.take().filter(|(of, _)| of == name);
        let found = match known {
            Some(found) => found,
            None => (name.to_string(), Expected::of(case, self.threads)?),
        };
        Ok(&self.expected.insert(found).1)
    }
}

/// What languages compare: the first 16 hex digits of SHA-256.
fn checksum(output: &[u8]) -> String {
    let digest = Sha256::digest(output);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
