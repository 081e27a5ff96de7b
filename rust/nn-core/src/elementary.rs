//! ln and exp in f64 with + - * / only, in one order of evaluation, so that every language prints the
//! same digits. The libraries of the languages agree in the last digit only mostly.

const LN_2: f64 = std::f64::consts::LN_2;
/// The upper bits of ln 2: its product with an integer below 2^20 is exact.
const LN_2_HIGH: f64 = 0.6931471803691238;
const LN_2_LOW: f64 = 1.9082149292705877e-10;

/// ln x for a positive normal number, within 4 ulp; NaN for NaN.
///
/// x = m 2^e with m in [sqrt(1/2), sqrt(2)); with s = (m - 1)/(m + 1), ln m = 2 (s + s^3/3 + s^5/5 +
/// ...). |s| < 0.172, so that the first term left out, s^25/25, is below 1e-20.
pub fn natural_log(x: f64) -> f64 {
    // m in [1/2, 1): the exponent of 1/2 in place of x's own.
    const HALF: u64 = 1022 << 52;
    let bits = x.to_bits();
    let mut e = (bits >> 52 & 0x7ff) as f64 - 1022.0;
    let mut m = f64::from_bits(bits & !(0x7ff << 52) | HALF);
    if x.is_nan() {
        return x;
    }
    if m < std::f64::consts::FRAC_1_SQRT_2 {
        (m, e) = (m * 2.0, e - 1.0);
    }
    let s = (m - 1.0) / (m + 1.0);
    let y = s * s;
    let mut total = 0.0;
    for k in (0..12).rev() {
        total = total * y + 1.0 / f64::from(2 * k + 1);
    }
    e * LN_2 + (2.0 * s) * total
}

/// e^x, within 2 ulp where that is a normal number; infinity above 709.78, 0 below -708, NaN for NaN.
///
/// x = k ln 2 + r with |r| <= ln(2)/2, and e^r = 1 + r (1 + r/2 (1 + r/3 (...))). The first term left
/// out, r^15/15!, is below 1e-18.
pub fn exponential(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.78 {
        return f64::INFINITY;
    }
    if x < -708.0 {
        return 0.0;
    }
    let k = (x / LN_2 + 0.5).floor();
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut total = 1.0;
    for n in (1..15).rev() {
        total = 1.0 + r * total / f64::from(n);
    }
    // In two halves: 2^k alone may be beyond the largest number where the result is not.
    let half = (0.5 * k).floor();
    total * power_of_two(half) * power_of_two(k - half)
}

/// 2^k, |k| < 1022.
fn power_of_two(k: f64) -> f64 {
    f64::from_bits(((k as i64 + 1023) as u64) << 52)
}
