//! Random values by counter (Philox4x32-10): the same for every device, language and order of drawing.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, dense};
use crate::tensor::philox::{init_normal, uniform};
use crate::tensor::{Buffer, TensorResult};

fn start_call(op: &'static str, n: usize, start: usize) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[("n", n), ("start", start)]);
    call.nothing = n == 0;
    call.numbered("start", start, n)?;
    Ok(call)
}

fn counter_word(call: &Call, name: &str, value: i128) -> TensorResult<u32> {
    call.at_least(name, value, 0)?;
    call.at_most(name, value as u128, u128::from(u32::MAX), "")?;
    Ok(value as u32)
}

impl ReferenceBackend {
    pub(super) fn random_init(
        &self,
        y: &Buffer,
        n: usize,
        start: usize,
        seed: i64,
        tensor: usize,
    ) -> TensorResult<()> {
        let mut call = start_call("random_init", n, start)?;
        let to = call.out("y", y, &dense(&[n]), FLOATS)?;
        let tensor = counter_word(&call, "tensor", tensor as i128)?;
        self.submit(call, move |_| {
            let values = (0..n).map(|i| init_normal(seed as u64, tensor, (start + i) as u64));
            to.put(&values.collect::<Vec<_>>());
        })
    }

    pub(super) fn random_uniform(
        &self,
        y: &Buffer,
        n: usize,
        start: usize,
        seed: i64,
        stream: i32,
        sub: usize,
    ) -> TensorResult<()> {
        let mut call = start_call("random_uniform", n, start)?;
        let to = call.out("y", y, &dense(&[n]), F32)?;
        let stream = counter_word(&call, "stream", i128::from(stream))?;
        let sub = counter_word(&call, "sub", sub as i128)?;
        self.submit(call, move |_| {
            let values = (0..n).map(|i| uniform(seed as u64, stream, sub, (start + i) as u64));
            to.put(&values.collect::<Vec<_>>());
        })
    }
}
