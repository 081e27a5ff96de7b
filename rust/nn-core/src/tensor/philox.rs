//! Random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
//! as 1, 2, 3" (SC 2011, section 3.3), a function of a counter: any number of any sequence without
//! computing those before it.
//!
//! Key: the 64-bit seed, low word first. Counter: (index low, index high, stream, sub). One block is
//! four 32-bit words. Integers only, so every device and language draws the same.

/// Fresh weights.
pub const STREAM_INIT: u32 = 0;
/// The order of the training data.
pub const STREAM_DATA: u32 = 1;
/// Sampled tokens.
pub const STREAM_SAMPLING: u32 = 2;
/// Stochastic rounding.
pub const STREAM_ROUNDING: u32 = 3;

// Multipliers and key increments of the paper, section 3.3.
const M0: u64 = 0xD251_1F53;
const M1: u64 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;

// The sum of eight independent 16-bit halves has mean 8 * 65535 / 2 and deviation
// sqrt(8 (2^32 - 1) / 12).
const INIT_MEAN: i64 = 262140;
const INIT_SCALE: f64 = 0.02 / 53509.92;

/// The four words of the block (index, stream, sub).
///
/// Ten rounds; a round maps (x0, x1, x2, x3), keys (k0, k1) to (hi(M1 x2) ^ x1 ^ k0, lo(M1 x2),
/// hi(M0 x0) ^ x3 ^ k1, lo(M0 x0)), then k0 += W0, k1 += W1.
pub fn philox(seed: u64, index: u64, stream: u32, sub: u32) -> [u32; 4] {
    let (mut key0, mut key1) = (seed as u32, (seed >> 32) as u32);
    let mut x = [index as u32, (index >> 32) as u32, stream, sub];
    for _ in 0..ROUNDS {
        let (product0, product1) = (u64::from(x[0]) * M0, u64::from(x[2]) * M1);
        x = [
            (product1 >> 32) as u32 ^ x[1] ^ key0,
            product1 as u32,
            (product0 >> 32) as u32 ^ x[3] ^ key1,
            product0 as u32,
        ];
        key0 = key0.wrapping_add(W0);
        key1 = key1.wrapping_add(W1);
    }
    x
}

/// Words 0 (low) and 1 (high) of the block (index, stream, sub) as one integer, uniform in [0, 2^64).
pub fn draw_u64(seed: u64, stream: u32, index: u64, sub: u32) -> u64 {
    let words = philox(seed, index, stream, sub);
    u64::from(words[0]) | u64::from(words[1]) << 32
}

/// The upper 24 bits of word 0 of the block (index, stream, sub), times 2^-24: in [0, 1).
pub fn uniform(seed: u64, stream: u32, sub: u32, index: u64) -> f32 {
    (philox(seed, index, stream, sub)[0] >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A fresh weight: element `index` of tensor `tensor_number`, close to normal, deviation 0.02.
///
/// (sum of the eight 16-bit halves of the block (index, init, tensor_number) - 262140) s with
/// s = 0.02/53509.92, one f64 division and one f64 product, rounded once to f32.
pub fn init_normal(seed: u64, tensor_number: u32, index: u64) -> f32 {
    let words = philox(seed, index, STREAM_INIT, tensor_number);
    let total: u32 = words
        .iter()
        .map(|word| (word & 0xffff) + (word >> 16))
        .sum();
    ((i64::from(total) - INIT_MEAN) as f64 * INIT_SCALE) as f32
}

/// The upper 64 bits of the 128-bit product: floor(a b / 2^64).
pub fn mulhi64(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}
