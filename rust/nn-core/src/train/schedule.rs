//! The learning rate over a run: linear warm-up, then half a cosine. f64 with + - * / only, one order
//! of evaluation, so that every language computes the same bits.

// (-1)^k pi^(2k) / (2k)!, k = 0 .. 10: the Taylor series of cos(pi x) in x^2. The first term left out
// is below 2e-17 for x <= 1/2.
const COS_PI: [f64; 11] = [
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
];

/// cos(pi x) for 0 <= x <= 1, within 1e-15; exactly 1 at 0 and -1 at 1.
///
/// Above 1/2 it is -cos(pi (1 - x)); the series is summed by Horner's rule from the last term.
pub fn cos_pi(x: f64) -> f64 {
    if x > 0.5 {
        return -cos_pi(1.0 - x);
    }
    let y = x * x;
    let mut total = COS_PI[10];
    for coefficient in COS_PI[..10].iter().rev() {
        total = total * y + coefficient;
    }
    total
}

/// `peak` and `last` learning rate, the steps of the whole run, and the share of them that warms up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Of the run.
    pub steps: usize,
    /// The highest rate.
    pub peak: f64,
    /// The rate at the end.
    pub last: f64,
    /// Share of the steps.
    pub warmup: f64,
}

impl Schedule {
    /// W = floor(warmup steps).
    pub fn warmup_steps(&self) -> usize {
        (self.warmup * self.steps as f64) as usize
    }

    /// For step s = 0, 1, ...: peak (s+1)/W below W, then with p = (s-W)/(steps-W), at most 1, and
    /// h = (1 + cos(pi p))/2: peak h + last (1-h).
    pub fn learning_rate(&self, step: usize) -> f64 {
        let warmup_steps = self.warmup_steps();
        if step < warmup_steps {
            return self.peak * ((step + 1) as f64 / warmup_steps as f64);
        }
        if step >= self.steps {
            return self.last;
        }
        let progress = (step - warmup_steps) as f64 / (self.steps - warmup_steps) as f64;
        let half = 0.5 * (1.0 + cos_pi(progress));
        self.peak * half + self.last * (1.0 - half)
    }
}
