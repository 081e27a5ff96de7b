"""Random values by counter (Philox4x32-10): the same for every device, language and order of drawing."""

from __future__ import annotations

from nn.tensor.buffer import Buffer
from nn.tensor.philox import init_normal, uniform
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, Call, dense
from nn.tensor.reference.memory import store


def _counter_word(call: Call, name: str, value: int) -> None:
    call.at_least(name, value, 0)
    call.at_most(name, value, (1 << 32) - 1)


class Random(Base):
    def random_init(self, y: Buffer, n: int, start: int, seed: int, tensor: int) -> None:
        call = Call("random_init")
        call.dims(n=n, start=start)
        call.nothing = n == 0
        call.numbered("start", start, n)
        to = call.out("y", y, dense(n), FLOATS)
        _counter_word(call, "tensor", tensor)
        self.submit(call, lambda: store(to, init_normal(seed, tensor, start, n)))

    def random_uniform(self, y: Buffer, n: int, start: int, seed: int, stream: int, sub: int) -> None:
        call = Call("random_uniform")
        call.dims(n=n, start=start)
        call.nothing = n == 0
        call.numbered("start", start, n)
        to = call.out("y", y, dense(n))
        _counter_word(call, "stream", stream)
        _counter_word(call, "sub", sub)
        self.submit(call, lambda: store(to, uniform(seed, stream, sub, start, n)))
