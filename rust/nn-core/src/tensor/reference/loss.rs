//! Cross entropy of logits against target ids; a target of -1 does not count.

use super::ReferenceBackend;
use super::base::Faults;
use super::call::{Call, F32, I32, I64, dense};
use super::memory::{Grid, Window};
use super::softmax::{logsumexp, sum};
use crate::tensor::{Buffer, TensorResult};

fn start(op: &'static str, rows: usize, vocab: usize, ld: Option<usize>) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[("rows", rows), ("vocab", vocab)]);
    if let Some(ld) = ld {
        call.dims(&[("ld", ld)]);
    }
    call.nothing = rows == 0;
    call.at_least("vocab", vocab as i128, 1)?;
    Ok(call)
}

fn checked(
    faults: &Faults,
    op: &str,
    targets: &Window,
    rows: usize,
    vocab: usize,
) -> Option<Vec<i32>> {
    let ids = targets.i32s(rows);
    faults.good(op, "targets", &ids, vocab, -1).then_some(ids)
}

impl ReferenceBackend {
    pub(super) fn cross_entropy_count(
        &self,
        count: &Buffer,
        targets: &Buffer,
        rows: usize,
        vocab: usize,
    ) -> TensorResult<()> {
        let mut call = start("cross_entropy_count", rows, vocab, None)?;
        let op = call.op;
        let to = call.out("count", count, &dense(&[1]), I64)?;
        let wanted = call.input("targets", targets, &dense(&[rows]), I32)?;
        self.submit(call, move |faults| {
            if let Some(ids) = checked(faults, op, &wanted, rows, vocab) {
                let counting = ids.iter().filter(|&&id| id >= 0).count() as i64;
                to.put_i64s(&[to.i64s(1)[0].wrapping_add(counting)]);
            }
        })
    }

    pub(super) fn cross_entropy_forward(
        &self,
        loss: &Buffer,
        losses: &Buffer,
        lse: &Buffer,
        logits: &Buffer,
        targets: &Buffer,
        rows: usize,
        vocab: usize,
        ld: usize,
    ) -> TensorResult<()> {
        let mut call = start("cross_entropy_forward", rows, vocab, Some(ld))?;
        let op = call.op;
        let to = call.out("loss", loss, &dense(&[1]), F32)?;
        let to_rows = call.out("losses", losses, &dense(&[rows]), F32)?;
        let to_lse = call.out("lse", lse, &dense(&[rows]), F32)?;
        let extent = call.matrix(rows, vocab, "ld", ld)?;
        let scores = call.input("logits", logits, &extent, F32)?;
        let wanted = call.input("targets", targets, &dense(&[rows]), I32)?;
        self.submit(call, move |faults| {
            let Some(ids) = checked(faults, op, &wanted, rows, vocab) else {
                return;
            };
            let x = scores.grid(Grid::rows(rows, vocab, ld));
            let norms: Vec<f32> = x.chunks(vocab).map(logsumexp).collect();
            let each: Vec<f32> = (0..rows)
                .map(|r| usize::try_from(ids[r]).map_or(0.0, |id| norms[r] - x[r * vocab + id]))
                .collect();
            to_lse.put(&norms);
            to_rows.put(&each);
            to.put(&[to.floats(1)[0] + sum(each.into_iter()) as f32]);
        })
    }

    pub(super) fn cross_entropy_backward(
        &self,
        dlogits: &Buffer,
        logits: &Buffer,
        lse: &Buffer,
        targets: &Buffer,
        count: &Buffer,
        rows: usize,
        vocab: usize,
        ld: usize,
    ) -> TensorResult<()> {
        let mut call = start("cross_entropy_backward", rows, vocab, Some(ld))?;
        let op = call.op;
        let extent = call.matrix(rows, vocab, "ld", ld)?;
        let to = call.out("dlogits", dlogits, &extent, F32)?;
        let scores = call.aliased("logits", logits, &extent, F32, &["dlogits"])?;
        let norms = call.input("lse", lse, &dense(&[rows]), F32)?;
        let wanted = call.input("targets", targets, &dense(&[rows]), I32)?;
        let total = call.input("count", count, &dense(&[1]), I64)?;
        self.submit(call, move |faults| {
            let Some(ids) = checked(faults, op, &wanted, rows, vocab) else {
                return;
            };
            let grid = Grid::rows(rows, vocab, ld);
            let (mut x, norms, n) = (scores.grid(grid), norms.floats(rows), total.i64s(1)[0]);
            for (r, row) in x.chunks_mut(vocab).enumerate() {
                match usize::try_from(ids[r]) {
                    Ok(id) if n != 0 => {
                        row.iter_mut().for_each(|x| *x = (*x - norms[r]).exp());
                        row[id] -= 1.0;
                        row.iter_mut().for_each(|x| *x /= n.max(1) as f32);
                    }
                    _ => row.fill(0.0),
                }
            }
            to.put_grid(grid, &x);
        })
    }
}
