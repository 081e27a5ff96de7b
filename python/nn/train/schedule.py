"""The learning rate over a run: linear warm-up, then half a cosine. f64 with + - * / only, one order of evaluation,
so that every language computes the same bits."""

from __future__ import annotations

from dataclasses import dataclass

# (-1)^k pi^(2k) / (2k)!, k = 0 .. 10: the Taylor series of cos(pi x) in x^2. The first term left out is below
# 2e-17 for x <= 1/2.
_COS_PI = (
    1.0,
    -4.934802200544679,
    4.0587121264167685,
    -1.3352627688545895,
    0.2353306303588932,
    -0.02580689139001406,
    0.0019295743094039231,
    -0.0001046381049248457,
    4.303069587032947e-06,
    -1.3878952462213771e-07,
    3.604730797462501e-09,
)


def cos_pi(x: float) -> float:
    """cos(pi x) for 0 <= x <= 1, within 1e-15; exactly 1 at 0 and -1 at 1.

    Above 1/2 it is -cos(pi (1 - x)); the series is summed by Horner's rule from the last term.
    """
    if x > 0.5:
        return -cos_pi(1.0 - x)
    y = x * x
    total = _COS_PI[10]
    for k in range(9, -1, -1):
        total = total * y + _COS_PI[k]
    return total


@dataclass(frozen=True)
class Schedule:
    """`peak` and `final` learning rate, the steps of the whole run, and the share of them that warms up."""

    steps: int
    peak: float = 1e-3
    final: float = 1e-4
    warmup: float = 0.05

    @property
    def warmup_steps(self) -> int:
        """W = floor(warmup steps)."""
        return int(self.warmup * float(self.steps))

    def learning_rate(self, step: int) -> float:
        """For step s = 0, 1, ...: peak (s+1)/W below W, then with p = (s-W)/(steps-W), at most 1, and
        h = (1 + cos(pi p))/2: peak h + final (1-h)."""
        warmup_steps = self.warmup_steps
        if step < warmup_steps:
            return self.peak * (float(step + 1) / float(warmup_steps))
        if step >= self.steps:
            return self.final
        progress = float(step - warmup_steps) / float(self.steps - warmup_steps)
        half = 0.5 * (1.0 + cos_pi(progress))
        return self.peak * half + self.final * (1.0 - half)
