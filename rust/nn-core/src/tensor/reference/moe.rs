//! Mixture of experts: choosing, sorting by expert and back, and the two auxiliary losses.

use super::ReferenceBackend;
use super::call::{Call, F32, I32, dense};
use super::heads::dot;
use super::softmax::{largest, logsumexp, softmax, softmax_gradient, sum};
use crate::tensor::{Buffer, TensorResult};

fn routing(op: &'static str, tokens: usize, n_experts: usize, top_k: usize) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[
        ("tokens", tokens),
        ("n_experts", n_experts),
        ("top_k", top_k),
    ]);
    call.at_least("top_k", top_k as i128, 1)?;
    call.at_most("top_k", top_k as u128, n_experts as u128, "n_experts")?;
    call.fits_i32("n_experts", n_experts as u128)?;
    call.fits_i32("tokens x top_k", tokens as u128 * top_k as u128)?;
    call.nothing = tokens == 0;
    Ok(call)
}

fn rows_call(op: &'static str, tokens: usize, top_k: usize, hidden: usize) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[("tokens", tokens), ("top_k", top_k), ("hidden", hidden)]);
    call.at_least("top_k", top_k as i128, 1)?;
    call.fits_i32("tokens x top_k", tokens as u128 * top_k as u128)?;
    call.nothing = tokens == 0 || hidden == 0;
    Ok(call)
}

fn logits_call(op: &'static str, tokens: usize, n_experts: usize) -> TensorResult<Call> {
    let mut call = Call::new(op);
    call.dims(&[("tokens", tokens), ("n_experts", n_experts)]);
    call.at_least("n_experts", n_experts as i128, 1)?;
    call.nothing = tokens == 0;
    Ok(call)
}

impl ReferenceBackend {
    pub(super) fn moe_route_forward(
        &self,
        probs: &Buffer,
        experts: &Buffer,
        weights: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        let mut call = routing("moe_route_forward", tokens, n_experts, top_k)?;
        let to_probs = call.out("probs", probs, &dense(&[tokens, n_experts]), F32)?;
        let to_experts = call.out("experts", experts, &dense(&[tokens, top_k]), I32)?;
        let to_weights = call.out("weights", weights, &dense(&[tokens, top_k]), F32)?;
        let scores = call.input("logits", logits, &dense(&[tokens, n_experts]), F32)?;
        self.submit(call, move |_| {
            let mut p = scores.floats(tokens * n_experts);
            let (mut experts, mut weights) = (Vec::new(), Vec::new());
            for row in p.chunks_mut(n_experts) {
                softmax(row);
                let chosen = largest(row, top_k);
                let total = sum(chosen.iter().map(|&expert| row[expert])) as f32;
                weights.extend(chosen.iter().map(|&expert| row[expert] / total));
                experts.extend(chosen.into_iter().map(|expert| expert as i32));
            }
            to_probs.put(&p);
            to_experts.put_i32s(&experts);
            to_weights.put(&weights);
        })
    }

    pub(super) fn moe_route_backward(
        &self,
        dlogits: &Buffer,
        dweights: &Buffer,
        dprobs: Option<&Buffer>,
        dlogits_z: Option<&Buffer>,
        probs: &Buffer,
        experts: &Buffer,
        weights: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        let mut call = routing("moe_route_backward", tokens, n_experts, top_k)?;
        let op = call.op;
        let (wide, narrow) = (dense(&[tokens, n_experts]), dense(&[tokens, top_k]));
        let to = call.out("dlogits", dlogits, &wide, F32)?;
        let grad = call.input("dweights", dweights, &narrow, F32)?;
        let grad_probs = call.optional("dprobs", dprobs, &wide, F32)?;
        let grad_z = dlogits_z
            .map(|z| call.aliased("dlogits_z", z, &wide, F32, &["dlogits"]))
            .transpose()?;
        let p = call.input("probs", probs, &wide, F32)?;
        let chosen = call.input("experts", experts, &narrow, I32)?;
        let kept = call.input("weights", weights, &narrow, F32)?;
        self.submit(call, move |faults| {
            let (n, rows) = (tokens * n_experts, tokens * top_k);
            let experts = chosen.i32s(rows);
            if !faults.good(op, "experts", &experts, n_experts, 0) {
                return;
            }
            let (p, dw, w) = (p.floats(n), grad.floats(rows), kept.floats(rows));
            let dprobs = grad_probs.as_ref().map(|dprobs| dprobs.floats(n));
            let dz = grad_z.as_ref().map(|dz| dz.floats(n));
            let mut result = Vec::with_capacity(n);
            for t in 0..tokens {
                let (row, choice) = (
                    t * n_experts..(t + 1) * n_experts,
                    t * top_k..(t + 1) * top_k,
                );
                let (p, dw, w) = (&p[row.clone()], &dw[choice.clone()], &w[choice.clone()]);
                let total = sum(experts[choice.clone()].iter().map(|&e| p[e as usize])) as f32;
                let mean = dot(dw, w);
                let mut g = dprobs
                    .as_ref()
                    .map_or_else(|| vec![0.0; n_experts], |all| all[row.clone()].to_vec());
                for (dw, &expert) in dw.iter().zip(&experts[choice]) {
                    g[expert as usize] += (dw - mean) / total;
                }
                let z = dz.as_ref().map(|dz| &dz[row]);
                let gradient = softmax_gradient(&g, p).into_iter().enumerate();
                result.extend(gradient.map(|(i, dx)| z.map_or(dx, |z| dx + z[i])));
            }
            to.put(&result);
        })
    }

    pub(super) fn moe_dispatch_forward(
        &self,
        offsets: &Buffer,
        row_token: &Buffer,
        token_row: &Buffer,
        experts: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        let mut call = routing("moe_dispatch_forward", tokens, n_experts, top_k)?;
        let op = call.op;
        call.nothing = false; // without rows the offsets are still written
        let rows = tokens * top_k;
        let to_offsets = call.out("offsets", offsets, &dense(&[n_experts + 1]), I32)?;
        let to_token = call.out("row_token", row_token, &dense(&[tokens, top_k]), I32)?;
        let to_row = call.out("token_row", token_row, &dense(&[tokens, top_k]), I32)?;
        let chosen = call.input("experts", experts, &dense(&[tokens, top_k]), I32)?;
        self.submit(call, move |faults| {
            let experts = chosen.i32s(rows);
            if !faults.good(op, "experts", &experts, n_experts, 0) {
                return;
            }
            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by_key(|&at| experts[at]); // stable: by expert, then token, then choice
            let mut offsets = vec![0; n_experts + 1];
            for &expert in &experts {
                offsets[expert as usize + 1] += 1;
            }
            for e in 0..n_experts {
                offsets[e + 1] += offsets[e];
            }
            let mut token_row = vec![0; rows];
            for (row, &at) in order.iter().enumerate() {
                token_row[at] = row as i32;
            }
            to_offsets.put_i32s(&offsets);
            to_token.put_i32s(
                &order
                    .iter()
                    .map(|at| (at / top_k) as i32)
                    .collect::<Vec<_>>(),
            );
            to_row.put_i32s(&token_row);
        })
    }

    pub(super) fn moe_dispatch_backward(
        &self,
        dx: &Buffer,
        drows: &Buffer,
        token_row: &Buffer,
        tokens: usize,
        top_k: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        let mut call = rows_call("moe_dispatch_backward", tokens, top_k, hidden)?;
        let op = call.op;
        let to = call.out("dx", dx, &dense(&[tokens, hidden]), F32)?;
        let grad = call.input("drows", drows, &dense(&[tokens, top_k, hidden]), F32)?;
        let places = call.input("token_row", token_row, &dense(&[tokens, top_k]), I32)?;
        self.submit(call, move |faults| {
            let rows = tokens * top_k;
            let at = places.i32s(rows);
            if !faults.good(op, "token_row", &at, rows, 0) {
                return;
            }
            let grad = grad.floats(rows * hidden);
            let mut dx = vec![0.0; tokens * hidden];
            for (choice, &row) in at.iter().enumerate() {
                let token = &mut dx[choice / top_k * hidden..][..hidden];
                let row = &grad[row as usize * hidden..][..hidden];
                token.iter_mut().zip(row).for_each(|(dx, dr)| *dx += dr);
            }
            to.put(&dx);
        })
    }

    pub(super) fn moe_combine_forward(
        &self,
        y: &Buffer,
        residual: Option<&Buffer>,
        rows: &Buffer,
        weights: &Buffer,
        token_row: &Buffer,
        tokens: usize,
        top_k: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        let mut call = rows_call("moe_combine_forward", tokens, top_k, hidden)?;
        let op = call.op;
        let full = dense(&[tokens, hidden]);
        let to = call.out("y", y, &full, F32)?;
        let stream = residual
            .map(|x| call.aliased("residual", x, &full, F32, &["y"]))
            .transpose()?;
        let values = call.input("rows", rows, &dense(&[tokens, top_k, hidden]), F32)?;
        let kept = call.input("weights", weights, &dense(&[tokens, top_k]), F32)?;
        let places = call.input("token_row", token_row, &dense(&[tokens, top_k]), I32)?;
        self.submit(call, move |faults| {
            let rows = tokens * top_k;
            let at = places.i32s(rows);
            if !faults.good(op, "token_row", &at, rows, 0) {
                return;
            }
            let (values, weights) = (values.floats(rows * hidden), kept.floats(rows));
            let mut y = vec![0.0_f32; tokens * hidden];
            for (choice, &row) in at.iter().enumerate() {
                let token = &mut y[choice / top_k * hidden..][..hidden];
                let row = &values[row as usize * hidden..][..hidden];
                token
                    .iter_mut()
                    .zip(row)
                    .for_each(|(y, x)| *y += weights[choice] * x);
            }
            if let Some(stream) = &stream {
                y.iter_mut()
                    .zip(stream.floats(tokens * hidden))
                    .for_each(|(y, x)| *y += x);
            }
            to.put(&y);
        })
    }

    pub(super) fn moe_combine_backward(
        &self,
        drows: &Buffer,
        dweights: &Buffer,
        dy: &Buffer,
        rows: &Buffer,
        weights: &Buffer,
        token_row: &Buffer,
        tokens: usize,
        top_k: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        let mut call = rows_call("moe_combine_backward", tokens, top_k, hidden)?;
        let op = call.op;
        let full = dense(&[tokens, top_k, hidden]);
        let to_rows = call.out("drows", drows, &full, F32)?;
        let to_weights = call.out("dweights", dweights, &dense(&[tokens, top_k]), F32)?;
        let grad = call.input("dy", dy, &dense(&[tokens, hidden]), F32)?;
        let values = call.aliased("rows", rows, &full, F32, &["drows"])?;
        let kept = call.input("weights", weights, &dense(&[tokens, top_k]), F32)?;
        let places = call.input("token_row", token_row, &dense(&[tokens, top_k]), I32)?;
        self.submit(call, move |faults| {
            let rows = tokens * top_k;
            let at = places.i32s(rows);
            if !faults.good(op, "token_row", &at, rows, 0) {
                return;
            }
            let (dy, values, weights) = (
                grad.floats(tokens * hidden),
                values.floats(rows * hidden),
                kept.floats(rows),
            );
            let mut new_rows = to_rows.floats(rows * hidden);
            let mut new_weights = vec![0.0; rows];
            for (choice, &row) in at.iter().enumerate() {
                let dy = &dy[choice / top_k * hidden..][..hidden];
                let row = row as usize * hidden..(row as usize + 1) * hidden;
                new_weights[choice] = dot(dy, &values[row.clone()]);
                new_rows[row]
                    .iter_mut()
                    .zip(dy)
                    .for_each(|(dr, dy)| *dr = weights[choice] * dy);
            }
            to_rows.put(&new_rows);
            to_weights.put(&new_weights);
        })
    }

    pub(super) fn moe_balance_loss_forward(
        &self,
        loss: &Buffer,
        fractions: &Buffer,
        probs: &Buffer,
        experts: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        let mut call = routing("moe_balance_loss_forward", tokens, n_experts, top_k)?;
        let op = call.op;
        let to = call.out("loss", loss, &dense(&[1]), F32)?;
        let to_fractions = call.out("fractions", fractions, &dense(&[n_experts]), F32)?;
        let p = call.input("probs", probs, &dense(&[tokens, n_experts]), F32)?;
        let chosen = call.input("experts", experts, &dense(&[tokens, top_k]), I32)?;
        self.submit(call, move |faults| {
            let experts = chosen.i32s(tokens * top_k);
            if !faults.good(op, "experts", &experts, n_experts, 0) {
                return;
            }
            let mut counts = vec![0.0_f64; n_experts];
            experts
                .iter()
                .for_each(|&expert| counts[expert as usize] += 1.0);
            let share: Vec<f32> = counts
                .into_iter()
                .map(|count| (count / tokens as f64) as f32)
                .collect();
            let p = p.floats(tokens * n_experts);
            let mean = |e: usize| sum(p.iter().skip(e).step_by(n_experts).copied()) / tokens as f64;
            let total = sum(share.iter().enumerate().map(|(e, f)| f * mean(e) as f32)) as f32;
            to_fractions.put(&share);
            to.put(&[to.floats(1)[0] + (n_experts as f64 / top_k as f64) as f32 * total]);
        })
    }

    pub(super) fn moe_balance_loss_backward(
        &self,
        dprobs: &Buffer,
        fractions: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
        coef: f64,
    ) -> TensorResult<()> {
        let mut call = routing("moe_balance_loss_backward", tokens, n_experts, top_k)?;
        let to = call.out("dprobs", dprobs, &dense(&[tokens, n_experts]), F32)?;
        let share = call.input("fractions", fractions, &dense(&[n_experts]), F32)?;
        call.real("coef", coef, f64::NEG_INFINITY)?;
        self.submit(call, move |_| {
            let factor = (coef * n_experts as f64 / (top_k as f64 * tokens as f64)) as f32;
            let row: Vec<f32> = share
                .floats(n_experts)
                .into_iter()
                .map(|f| factor * f)
                .collect();
            to.put(&row.repeat(tokens));
        })
    }

    pub(super) fn moe_z_loss_forward(
        &self,
        loss: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
    ) -> TensorResult<()> {
        let mut call = logits_call("moe_z_loss_forward", tokens, n_experts)?;
        let to = call.out("loss", loss, &dense(&[1]), F32)?;
        let scores = call.input("logits", logits, &dense(&[tokens, n_experts]), F32)?;
        self.submit(call, move |_| {
            let x = scores.floats(tokens * n_experts);
            let squares = x
                .chunks(n_experts)
                .map(|row| logsumexp(row) * logsumexp(row));
            to.put(&[to.floats(1)[0] + (sum(squares) / tokens as f64) as f32]);
        })
    }

    pub(super) fn moe_z_loss_backward(
        &self,
        dlogits: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
        coef: f64,
    ) -> TensorResult<()> {
        let mut call = logits_call("moe_z_loss_backward", tokens, n_experts)?;
        let to = call.out("dlogits", dlogits, &dense(&[tokens, n_experts]), F32)?;
        let scores = call.input("logits", logits, &dense(&[tokens, n_experts]), F32)?;
        call.real("coef", coef, f64::NEG_INFINITY)?;
        self.submit(call, move |_| {
            let mut x = scores.floats(tokens * n_experts);
            for row in x.chunks_mut(n_experts) {
                let factor = (2.0 * coef / tokens as f64) as f32 * logsumexp(row);
                softmax(row);
                row.iter_mut().for_each(|p| *p *= factor);
            }
            to.put(&x);
        })
    }
}
