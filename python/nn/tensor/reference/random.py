"""Random values by counter (Philox4x32-10): the same for every device, language and order of drawing."""

from __future__ import annotations

from nn.tensor.buffer import Buffer
from nn.tensor.philox import init_normal, uniform
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, Call, dense
from nn.tensor.reference.memory import store

_WORD = (1 << 32) - 1


class Random(Base):
    def random_init(self, y: Buffer, n: int, start: int, seed: int, tensor: int) -> None:
        call = Call("random_init")
        call.dims(n=n)
        call.at_least("start", start, 0)
        call.at_least("tensor", tensor, 0)
        call.at_most("tensor", tensor, _WORD)
        call.nothing = n == 0
        to = call.out("y", y, dense(n), FLOATS)
        self.submit(call, lambda: store(to, init_normal(seed, tensor, start, n)))

    def random_uniform(self, y: Buffer, n: int, start: int, seed: int, stream: int, sub: int) -> None:
        call = Call("random_uniform")
        call.dims(n=n)
        call.at_least("start", start, 0)
        call.require(0 <= stream <= 3, f"stream is {stream}, expected 0 to 3")
        call.at_least("sub", sub, 0)
        call.at_most("sub", sub, _WORD)
        call.nothing = n == 0
        to = call.out("y", y, dense(n))
        self.submit(call, lambda: store(to, uniform(seed, stream, sub, start, n)))
