//! Choosing the next token: argmax, sampling, and moving sequences on.

use super::ReferenceBackend;
use super::base::Faults;
use super::call::{Call, F32, I32, I64, dense};
use super::memory::Grid;
use super::softmax::largest;
use crate::tensor::philox::{STREAM_SAMPLING, uniform};
use crate::tensor::{Buffer, TensorResult};

/// A token of softmax(row / temperature) restricted to the top_k largest, then to top_p, by a draw in
/// [0, 1).
///
/// `p[c] = exp((row[c] - max) / temperature)`, 0 for NaN. The kept tokens are a prefix of the order
/// (logit descending, index ascending). The token is the first kept one, by ascending index, at which
/// the running sum of p exceeds draw times the whole sum; sums in f64.
fn sampled(row: &[f32], temperature: f32, top_k: usize, top_p: f32, draw: f32) -> usize {
    let order = largest(row, row.len());
    let most = row[order[0]];
    if temperature == 0.0 || most.is_nan() || most == f32::NEG_INFINITY {
        return order[0];
    }
    let weight = |c: usize| -> f64 {
        if row[c] == most {
            return 1.0;
        }
        let p = ((row[c] - most) / temperature).exp();
        if p.is_nan() { 0.0 } else { f64::from(p) }
    };
    let mut kept = if top_k == 0 {
        order
    } else {
        order[..top_k.min(row.len())].to_vec()
    };
    let ascending = |kept: &[usize]| {
        let mut sorted = kept.to_vec();
        sorted.sort_unstable();
        sorted
    };
    if top_p < 1.0 {
        let enough = f64::from(top_p) * ascending(&kept).into_iter().map(weight).sum::<f64>();
        let mut running = 0.0;
        let reaches = |&c: &usize| {
            running += weight(c);
            running >= enough
        };
        let needed = kept
            .iter()
            .position(reaches)
            .map_or(kept.len(), |at| at + 1);
        kept.truncate(needed);
    }
    let kept = ascending(&kept);
    let target = f64::from(draw) * kept.iter().map(|&c| weight(c)).sum::<f64>();
    let mut running = 0.0;
    let exceeds = |&&c: &&usize| {
        running += weight(c);
        running > target
    };
    kept.iter()
        .find(exceeds)
        .or(kept.last())
        .copied()
        .unwrap_or(0)
}

fn start(op: &'static str, rows: usize, cols: usize, ld: usize) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[("rows", rows), ("cols", cols), ("ld", ld)]);
    call.nothing = rows == 0;
    call.at_least("cols", cols as i128, 1)?;
    call.fits_i32("cols", cols as u128)?;
    call.at_least("ld", ld as i128, cols as i128)?;
    Ok(call)
}

/// temperature finite and not negative, top_k not negative, top_p in [0, 1]; reported rounded towards
/// 0.
fn good_parameters(
    faults: &Faults,
    op: &str,
    t: &[f32],
    k: &[i32],
    p: &[f32],
    cols: usize,
) -> bool {
    for r in 0..t.len() {
        for (value, fits, most) in [
            (
                f64::from(t[r]),
                t[r] >= 0.0 && t[r] < f32::INFINITY,
                i64::MAX - 1,
            ),
            (f64::from(k[r]), k[r] >= 0, cols as i64),
            (f64::from(p[r]), (0.0..=1.0).contains(&p[r]), 1),
        ] {
            if !fits {
                let shown = if value > -9e18 && value < 9e18 {
                    value as i64
                } else {
                    -1
                };
                faults.report(format!("{op}: value[{r}] is {shown}, expected 0 to {most}"));
                return false;
            }
        }
    }
    true
}

impl ReferenceBackend {
    pub(super) fn argmax(
        &self,
        ids: &Buffer,
        logits: &Buffer,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> TensorResult<()> {
        let mut call = start("argmax", rows, cols, ld)?;
        let to = call.out("ids", ids, &dense(&[rows]), I32)?;
        let extent = call.matrix(rows, cols, "ld", ld)?;
        let scores = call.input("logits", logits, &extent, F32)?;
        self.submit(call, move |_| {
            let x = scores.grid(Grid::rows(rows, cols, ld));
            to.put_i32s(
                &x.chunks(cols)
                    .map(|row| largest(row, 1)[0] as i32)
                    .collect::<Vec<_>>(),
            );
        })
    }

    pub(super) fn sample(
        &self,
        ids: &Buffer,
        logits: &Buffer,
        temperature: &Buffer,
        top_k: &Buffer,
        top_p: &Buffer,
        samples: &Buffer,
        positions: &Buffer,
        seed: &Buffer,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> TensorResult<()> {
        let mut call = start("sample", rows, cols, ld)?;
        let op = call.op;
        let to = call.out("ids", ids, &dense(&[rows]), I32)?;
        let extent = call.matrix(rows, cols, "ld", ld)?;
        let scores = call.input("logits", logits, &extent, F32)?;
        let heat = call.input("temperature", temperature, &dense(&[rows]), F32)?;
        let most = call.input("top_k", top_k, &dense(&[rows]), I32)?;
        let share = call.input("top_p", top_p, &dense(&[rows]), F32)?;
        let numbers = call.input("samples", samples, &dense(&[rows]), I64)?;
        let places = call.input("positions", positions, &dense(&[rows]), I32)?;
        let key = call.input("seed", seed, &dense(&[1]), I64)?;
        self.submit(call, move |faults| {
            let (t, k, p) = (heat.floats(rows), most.i32s(rows), share.floats(rows));
            if !good_parameters(faults, op, &t, &k, &p, cols) {
                return;
            }
            let x = scores.grid(Grid::rows(rows, cols, ld));
            let (at, index, seed) = (places.i32s(rows), numbers.i64s(rows), key.i64s(1)[0] as u64);
            let chosen = x.chunks(cols).enumerate().map(|(r, row)| {
                let draw = uniform(seed, STREAM_SAMPLING, at[r] as u32, index[r] as u64);
                sampled(row, t[r], k[r] as usize, p[r], draw) as i32
            });
            to.put_i32s(&chosen.collect::<Vec<_>>());
        })
    }

    pub(super) fn decode_advance(
        &self,
        positions: &Buffer,
        finished: &Buffer,
        ids: &Buffer,
        batch: usize,
        eos_id: i64,
    ) -> TensorResult<()> {
        let mut call = Call::new("decode_advance");
        call.dims(&[("batch", batch)]);
        call.nothing = batch == 0;
        call.at_least("eos_id", i128::from(eos_id), -1)?;
        let at = call.out("positions", positions, &dense(&[batch]), I32)?;
        let done = call.out("finished", finished, &dense(&[batch]), I32)?;
        let tokens = call.input("ids", ids, &dense(&[batch]), I32)?;
        self.submit(call, move |_| {
            let (mut at_now, mut ended) = (at.i32s(batch), done.i32s(batch));
            for (b, id) in tokens.i32s(batch).into_iter().enumerate() {
                if ended[b] == 0 {
                    at_now[b] = at_now[b].wrapping_add(1);
                }
                if eos_id >= 0 && i64::from(id) == eos_id {
                    ended[b] = 1;
                }
            }
            at.put_i32s(&at_now);
            done.put_i32s(&ended);
        })
    }
}
