//! Rows of a table by id, and the scatter-add that is its gradient.

use super::ReferenceBackend;
use super::call::{Call, F32, FLOATS, I32, dense};
use crate::tensor::{Buffer, TensorResult};

fn start(op: &'static str, tokens: usize, vocab: usize, hidden: usize) -> Call {
    let mut call = Call::new(op);
    call.dims(&[("tokens", tokens), ("vocab", vocab), ("hidden", hidden)]);
    call.nothing = tokens == 0 || hidden == 0;
    call
}

impl ReferenceBackend {
    pub(super) fn embedding_forward(
        &self,
        y: &Buffer,
        ids: &Buffer,
        w: &Buffer,
        tokens: usize,
        vocab: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        let mut call = start("embedding_forward", tokens, vocab, hidden);
        let op = call.op;
        let to = call.out("y", y, &dense(&[tokens, hidden]), F32)?;
        let ids = call.input("ids", ids, &dense(&[tokens]), I32)?;
        let table = call.input("w", w, &dense(&[vocab, hidden]), FLOATS)?;
        self.submit(call, move |faults| {
            let ids = ids.i32s(tokens);
            if faults.good(op, "ids", &ids, vocab, 0) {
                let table = table.floats(vocab * hidden);
                let rows = ids
                    .iter()
                    .flat_map(|&id| &table[id as usize * hidden..][..hidden]);
                to.put(&rows.copied().collect::<Vec<_>>());
            }
        })
    }

    pub(super) fn embedding_backward(
        &self,
        dw: &Buffer,
        dy: &Buffer,
        ids: &Buffer,
        tokens: usize,
        vocab: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        let mut call = start("embedding_backward", tokens, vocab, hidden);
        let op = call.op;
        let to = call.out("dw", dw, &dense(&[vocab, hidden]), F32)?;
        let grad = call.input("dy", dy, &dense(&[tokens, hidden]), F32)?;
        let ids = call.input("ids", ids, &dense(&[tokens]), I32)?;
        self.submit(call, move |faults| {
            let ids = ids.i32s(tokens);
            if faults.good(op, "ids", &ids, vocab, 0) {
                let (mut dw, dy) = (to.floats(vocab * hidden), grad.floats(tokens * hidden));
                for (&id, row) in ids.iter().zip(dy.chunks(hidden)) {
                    let sums = &mut dw[id as usize * hidden..][..hidden];
                    sums.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
                }
                to.put(&dw);
            }
        })
    }
}
