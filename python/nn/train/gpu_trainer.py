"""A whole training step as one recorded graph: nothing but ids goes in and nothing but the loss comes out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nn import messages
from nn.model.recorded_step import RecordedStep
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType
from nn.train.adamw import AdamW, AdamWConfig
from nn.train.loss import CrossEntropy, LossValues


class GpuTrainer:
    """Parameters, gradients, moments and activations stay on the device; a step is one graph launch.

    See RecordedStep. On cpu the library replays the recorded calls, on a GPU it launches one CUDA graph.
    """

    def __init__(
        self,
        model: MoETransformer,
        batch: int,
        seq_len: int,
        micro_batches: int = 1,
        optimizer: AdamWConfig = AdamWConfig(),
        capture: bool = True,
    ) -> None:
        """Steps of micro_batches times batch sequences of seq_len. Errors: not_training, no_ids, sequence_too_long."""
        if not model.training:
            raise messages.not_training()
        if min(batch, seq_len, micro_batches) < 1:
            raise messages.no_ids()
        if seq_len > model.config.context:
            raise messages.sequence_too_long(found=seq_len, limit=model.config.context)
        self.model = model
        self.batch, self.seq_len, self.micro_batches = batch, seq_len, micro_batches
        backend = model.backend
        self.backend = backend
        self.optimizer = AdamW(backend, model.weights, optimizer)
        self.loss = CrossEntropy(backend, model.config.vocab_size)
        self.capture = capture
        self._step = RecordedStep(backend, model, self._run)
        self._read_balance, self._read_z = backend.reader(model.balance_loss), backend.reader(model.z_loss)
        rows = batch * seq_len
        self.ids = backend.buffer(DType.I32, micro_batches * rows)
        self.targets = backend.buffer(DType.I32, micro_batches * rows)
        self._ids = [backend.view(self.ids, a * rows, rows) for a in range(micro_batches)]
        self._targets = [backend.view(self.targets, a * rows, rows) for a in range(micro_batches)]

    def step(self, ids: NDArray[np.int32], targets: NDArray[np.int32], lr: float) -> LossValues:
        """One optimizer step on ids, targets [micro_batches, batch, seq_len] i32 (target -1: does not count).

        Returns the losses before the update. Errors: ids_wrong_count, and those of the device, for example an id out
        of range.
        """
        self.load(ids, targets)
        self.backend.upload(self.optimizer.lr, np.asarray([lr], dtype=np.float32))
        if self.capture:
            self._step.run()
        else:
            self._run()
        return self.losses()

    def load(self, ids: NDArray[np.int32], targets: NDArray[np.int32]) -> None:
        """Brings a step's ids and targets to the device. Errors: ids_wrong_count."""
        for array in (ids, targets):
            if np.size(array) != self.ids.count:
                raise messages.ids_wrong_count(
                    found=np.size(array), batch=self.micro_batches * self.batch, seq_len=self.seq_len
                )
        self.backend.upload(self.ids, ids)
        self.backend.upload(self.targets, targets)

    def losses(self) -> LossValues:
        """The means of the last step."""
        config = self.model.config
        cross_entropy, count = self.loss.mean()
        share = float(config.n_layers * self.micro_batches)
        balance = float(self._read_balance()[0]) / share
        z = float(self._read_z()[0]) / share
        total = cross_entropy + config.aux_coef * balance + config.z_coef * z
        return LossValues(cross_entropy, balance, z, total, count)

    def grad_norm(self) -> float:
        """The norm of all gradients of the last step, before clipping."""
        return float(self.backend.download(self.optimizer.norm)[0])

    def skipped(self) -> bool:
        """Whether the last step changed nothing because its gradient was not finite."""
        return bool(self.backend.download(self.optimizer.nonfinite)[0])

    def forward_backward(self) -> None:
        """Loss sums and gradients of the ids and targets that are on the device."""
        rows = self.batch * self.seq_len
        self.optimizer.zero_grad()
        self.loss.reset()
        self.backend.fill(self.model.balance_loss, 1, 0.0)
        self.backend.fill(self.model.z_loss, 1, 0.0)
        self.loss.add_count(self.targets, self.micro_batches * rows)
        for ids, targets in zip(self._ids, self._targets, strict=True):
            logits = self.model.forward(ids, self.batch, self.seq_len)
            self.loss.forward(logits, targets, rows)
            dlogits = self.loss.backward(logits, targets, rows)
            self.model.backward(dlogits, self.batch, self.seq_len, self.micro_batches)

    def close(self) -> None:
        """Releases what the trainer made; the model stays."""
        self._step.close()
        self.optimizer.close()
        self.loss.close()
        self.ids.close()
        self.targets.close()

    def _run(self) -> None:
        self.forward_backward()
        self.optimizer.step()
