"""Mixture of experts: choosing, sorting by expert and back, and the two auxiliary losses."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import I32, Call, dense
from nn.tensor.reference.memory import ReferenceBuffer, load, store, window
from nn.tensor.reference.softmax import logsumexp, softmax, softmax_gradient
from nn.tensor.reference.softmax import top_k as largest


def _routing(op: str, tokens: int, n_experts: int, top_k: int) -> Call:
    call = Call(op)
    call.dims(tokens=tokens, n_experts=n_experts, top_k=top_k)
    call.at_least("top_k", top_k, 1)
    call.at_most("top_k", top_k, n_experts, "n_experts")
    call.fits_i32("n_experts", n_experts)
    call.fits_i32("tokens x top_k", tokens * top_k)
    call.nothing = tokens == 0
    return call


def _rows(op: str, tokens: int, top_k: int, hidden: int) -> Call:
    call = Call(op)
    call.dims(tokens=tokens, top_k=top_k, hidden=hidden)
    call.at_least("top_k", top_k, 1)
    call.fits_i32("tokens x top_k", tokens * top_k)
    call.nothing = 0 in (tokens, hidden)
    return call


def _logits(op: str, tokens: int, n_experts: int) -> Call:
    call = Call(op)
    call.dims(tokens=tokens, n_experts=n_experts)
    call.at_least("n_experts", n_experts, 1)
    call.nothing = tokens == 0
    return call


class MoE(Base):
    def moe_route_forward(
        self, probs: Buffer, experts: Buffer, weights: Buffer, logits: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        call = _routing("moe_route_forward", tokens, n_experts, top_k)
        to_probs = call.out("probs", probs, dense(tokens, n_experts))
        to_experts = call.out("experts", experts, dense(tokens, top_k), I32)
        to_weights = call.out("weights", weights, dense(tokens, top_k))
        scores = call.into("logits", logits, dense(tokens, n_experts))

        def run() -> None:
            p = softmax(load(scores, (tokens, n_experts)))
            chosen = largest(p, top_k)
            kept = np.take_along_axis(p, chosen, axis=1)
            store(to_probs, p)
            window(to_experts, (tokens, top_k))[...] = chosen
            store(to_weights, kept / kept.sum(axis=1, keepdims=True))

        self.submit(call, run)

    def moe_route_backward(
        self,
        dlogits: Buffer,
        dweights: Buffer,
        dprobs: Buffer | None,
        dlogits_z: Buffer | None,
        probs: Buffer,
        experts: Buffer,
        weights: Buffer,
        tokens: int,
        n_experts: int,
        top_k: int,
    ) -> None:
        call = _routing("moe_route_backward", tokens, n_experts, top_k)
        to = call.out("dlogits", dlogits, dense(tokens, n_experts))
        grad = call.into("dweights", dweights, dense(tokens, top_k))
        grad_probs = call.into_or_none("dprobs", dprobs, dense(tokens, n_experts))
        grad_z = call.into_or_none("dlogits_z", dlogits_z, dense(tokens, n_experts), alias=("dlogits",))
        p_buffer = call.into("probs", probs, dense(tokens, n_experts))
        chosen = call.into("experts", experts, dense(tokens, top_k), I32)
        kept = call.into("weights", weights, dense(tokens, top_k))

        def run() -> None:
            index = window(chosen, (tokens, top_k))
            if not self.good(call.op, "experts", index, n_experts):
                return
            p, dw, w = load(p_buffer, (tokens, n_experts)), load(grad, (tokens, top_k)), load(kept, (tokens, top_k))
            total = np.take_along_axis(p, index, axis=1).sum(axis=1, keepdims=True)
            g = np.zeros((tokens, n_experts), np.float32)
            np.put_along_axis(g, index, (dw - (dw * w).sum(axis=1, keepdims=True)) / total, axis=1)
            if grad_probs is not None:
                g += load(grad_probs, (tokens, n_experts))
            result = softmax_gradient(g, p)
            if grad_z is not None:
                result = result + load(grad_z, (tokens, n_experts))
            store(to, result)

        self.submit(call, run)

    def moe_dispatch_forward(
        self,
        offsets: Buffer,
        row_token: Buffer,
        token_row: Buffer,
        experts: Buffer,
        tokens: int,
        n_experts: int,
        top_k: int,
    ) -> None:
        call = _routing("moe_dispatch_forward", tokens, n_experts, top_k)
        call.nothing = False  # without rows the offsets are still written
        rows = tokens * top_k
        to_offsets = call.out("offsets", offsets, dense(n_experts + 1), I32)
        to_token = call.out("row_token", row_token, dense(tokens, top_k), I32)
        to_row = call.out("token_row", token_row, dense(tokens, top_k), I32)
        chosen = call.into("experts", experts, dense(tokens, top_k), I32)

        def run() -> None:
            expert = window(chosen, (rows,))
            if not self.good(call.op, "experts", expert, n_experts):
                return
            order = np.argsort(expert, kind="stable")  # by expert, then token, then choice
            window(to_offsets, (n_experts + 1,))[...] = np.searchsorted(expert[order], np.arange(n_experts + 1))
            window(to_token, (rows,))[...] = order // max(top_k, 1)
            window(to_row, (rows,))[order] = np.arange(rows)

        self.submit(call, run)

    def moe_dispatch_backward(
        self, dx: Buffer, drows: Buffer, token_row: Buffer, tokens: int, top_k: int, hidden: int
    ) -> None:
        call = _rows("moe_dispatch_backward", tokens, top_k, hidden)
        to = call.out("dx", dx, dense(tokens, hidden))
        grad = call.into("drows", drows, dense(tokens, top_k, hidden))
        places = call.into("token_row", token_row, dense(tokens, top_k), I32)

        def run() -> None:
            index = self._token_rows(call.op, places, tokens, top_k)
            if index is not None:
                store(to, load(grad, (tokens * top_k, hidden))[index].sum(axis=1))

        self.submit(call, run)

    def moe_combine_forward(
        self,
        y: Buffer,
        residual: Buffer | None,
        rows: Buffer,
        weights: Buffer,
        token_row: Buffer,
        tokens: int,
        top_k: int,
        hidden: int,
    ) -> None:
        call = _rows("moe_combine_forward", tokens, top_k, hidden)
        to = call.out("y", y, dense(tokens, hidden))
        stream = call.into_or_none("residual", residual, dense(tokens, hidden), alias=("y",))
        values = call.into("rows", rows, dense(tokens, top_k, hidden))
        kept = call.into("weights", weights, dense(tokens, top_k))
        places = call.into("token_row", token_row, dense(tokens, top_k), I32)

        def run() -> None:
            index = self._token_rows(call.op, places, tokens, top_k)
            if index is None:
                return
            total = np.zeros((tokens, hidden), np.float32)
            for j in range(top_k):
                total += load(kept, (tokens, top_k))[:, j, None] * load(values, (tokens * top_k, hidden))[index[:, j]]
            store(to, total if stream is None else total + load(stream, (tokens, hidden)))

        self.submit(call, run)

    def moe_combine_backward(
        self,
        drows: Buffer,
        dweights: Buffer,
        dy: Buffer,
        rows: Buffer,
        weights: Buffer,
        token_row: Buffer,
        tokens: int,
        top_k: int,
        hidden: int,
    ) -> None:
        call = _rows("moe_combine_backward", tokens, top_k, hidden)
        to_rows = call.out("drows", drows, dense(tokens, top_k, hidden))
        to_weights = call.out("dweights", dweights, dense(tokens, top_k))
        grad = call.into("dy", dy, dense(tokens, hidden))
        values = call.into("rows", rows, dense(tokens, top_k, hidden), alias=("drows",))
        kept = call.into("weights", weights, dense(tokens, top_k))
        places = call.into("token_row", token_row, dense(tokens, top_k), I32)

        def run() -> None:
            index = self._token_rows(call.op, places, tokens, top_k)
            if index is None:
                return
            dys, w = load(grad, (tokens, 1, hidden)), load(kept, (tokens, top_k, 1))
            new_weights = (dys * load(values, (tokens * top_k, hidden))[index]).sum(axis=2)
            new_rows = load(to_rows, (tokens * top_k, hidden)).copy()
            new_rows[index] = w * dys
            store(to_rows, new_rows)
            store(to_weights, new_weights)

        self.submit(call, run)

    def moe_balance_loss_forward(
        self,
        loss: Buffer,
        fractions: Buffer,
        probs: Buffer,
        experts: Buffer,
        tokens: int,
        n_experts: int,
        top_k: int,
    ) -> None:
        call = _routing("moe_balance_loss_forward", tokens, n_experts, top_k)
        to, to_fractions = call.out("loss", loss, dense(1)), call.out("fractions", fractions, dense(n_experts))
        p = call.into("probs", probs, dense(tokens, n_experts))
        chosen = call.into("experts", experts, dense(tokens, top_k), I32)

        def run() -> None:
            index = window(chosen, (tokens * top_k,))
            if not self.good(call.op, "experts", index, n_experts):
                return
            share = (np.bincount(index, minlength=n_experts) / tokens).astype(np.float32)
            store(to_fractions, share)
            mean = load(p, (tokens, n_experts)).mean(axis=0)
            store(to, load(to, (1,)) + np.float32(n_experts / top_k) * (share * mean).sum())

        self.submit(call, run)

    def moe_balance_loss_backward(
        self, dprobs: Buffer, fractions: Buffer, tokens: int, n_experts: int, top_k: int, coef: float
    ) -> None:
        call = _routing("moe_balance_loss_backward", tokens, n_experts, top_k)
        to = call.out("dprobs", dprobs, dense(tokens, n_experts))
        share = call.into("fractions", fractions, dense(n_experts))
        call.real("coef", coef)

        def run() -> None:
            row = np.float32(coef * n_experts / (top_k * tokens)) * load(share, (n_experts,))
            store(to, np.broadcast_to(row, (tokens, n_experts)))

        self.submit(call, run)

    def moe_z_loss_forward(self, loss: Buffer, logits: Buffer, tokens: int, n_experts: int) -> None:
        call = _logits("moe_z_loss_forward", tokens, n_experts)
        to = call.out("loss", loss, dense(1))
        scores = call.into("logits", logits, dense(tokens, n_experts))

        def run() -> None:
            lse = logsumexp(load(scores, (tokens, n_experts)))
            store(to, load(to, (1,)) + (lse * lse).mean())

        self.submit(call, run)

    def moe_z_loss_backward(self, dlogits: Buffer, logits: Buffer, tokens: int, n_experts: int, coef: float) -> None:
        call = _logits("moe_z_loss_backward", tokens, n_experts)
        to = call.out("dlogits", dlogits, dense(tokens, n_experts))
        scores = call.into("logits", logits, dense(tokens, n_experts))
        call.real("coef", coef)

        def run() -> None:
            x = load(scores, (tokens, n_experts))
            store(to, np.float32(2 * coef / tokens) * logsumexp(x)[:, None] * softmax(x))

        self.submit(call, run)

    def _token_rows(self, op: str, places: ReferenceBuffer, tokens: int, top_k: int) -> Array | None:
        """token_row, or None when an entry is no routed row."""
        index = window(places, (tokens, top_k))
        return index if self.good(op, "token_row", index, tokens * top_k) else None
