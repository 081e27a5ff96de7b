//! Element types, numbered as in cunn.h, and how the host holds them.
//!
//! Rust has no bfloat16 and no float16: both are `u16` bits. q8 and q4 hold blocks of 32 elements and
//! are bytes (the layout stands in cunn.h).

use std::fmt;

/// Elements that share one scale in q8 and q4.
pub const QUANT_BLOCK: usize = 32;

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum DType {
    /// 32-bit float.
    F32 = 0,
    /// The upper half of a 32-bit float.
    BF16 = 1,
    /// 16-bit float of IEEE 754.
    F16 = 2,
    /// 32-bit integer.
    I32 = 3,
    /// 64-bit integer.
    I64 = 4,
    /// Byte.
    U8 = 5,
    /// 8-bit blocks with a scale.
    Q8 = 6,
    /// 4-bit blocks with a scale.
    Q4 = 7,
}

impl DType {
    /// Every dtype, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::F32,
        Self::BF16,
        Self::F16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::Q8,
        Self::Q4,
    ];

    /// The number in cunn.h.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The name in sentences and on the command line: "f32".
    pub fn label(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::BF16 => "bf16",
            Self::F16 => "f16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// The dtype of a label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.label() == label)
    }

    /// f32, bf16 or f16.
    pub fn is_float(self) -> bool {
        self <= Self::F16
    }

    /// q8 or q4.
    pub fn is_quantized(self) -> bool {
        self >= Self::Q8
    }

    /// Bytes of an element of the storage type.
    pub fn storage_size(self) -> usize {
        match self {
            Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::BF16 | Self::F16 => 2,
            Self::U8 | Self::Q8 | Self::Q4 => 1,
        }
    }

    fn block_bytes(self) -> usize {
        if self == Self::Q8 { 34 } else { 18 }
    }

    /// Elements of the storage type for `count` elements of this one (a multiple of 32 for q8, q4).
    pub fn storage_count(self, count: usize) -> usize {
        if self.is_quantized() {
            count / QUANT_BLOCK * self.block_bytes()
        } else {
            count
        }
    }

    /// Elements of this dtype in `storage_count` elements of the storage type; a broken block counts
    /// as none.
    pub fn count_of(self, storage_count: usize) -> usize {
        if self.is_quantized() {
            storage_count / self.block_bytes() * QUANT_BLOCK
        } else {
            storage_count
        }
    }

    /// Bytes of `count` elements.
    pub fn bytes(self, count: usize) -> usize {
        self.storage_count(count)
            .saturating_mul(self.storage_size())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Rounds to bf16, nearest even; a NaN stays a (quiet) NaN.
pub fn bf16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The exact value of a bf16.
pub fn f32_from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to f16, nearest even; beyond its range infinity; a NaN stays a (quiet) NaN.
pub fn f16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | ((magnitude >> 13) & 0x3ff) as u16;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal: a multiple of 2^-24, found by an exact scaling and one rounding of the sum.
        let scaled = f32::from_bits(magnitude) * 16_777_216.0;
        return sign | scaled.round_ties_even() as u16;
    }
    let rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

/// The exact value of an f16.
pub fn f32_from_f16(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, mantissa) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    let magnitude = match exponent {
        0 => (mantissa as f32 * (1.0 / 16_777_216.0)).to_bits(),
        0x1f => 0x7f80_0000 | mantissa << 13,
        _ => (exponent + 112) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = f32_from_f16(bits);
            if value.is_nan() {
                assert!(f32_from_f16(f16_from_f32(value)).is_nan());
            } else {
                assert_eq!(f16_from_f32(value), bits);
            }
        }
    }

    #[test]
    fn f16_rounds_to_nearest_even() {
        // Between neighbours of every finite f16: below, at and above the middle.
        for bits in 0..0x7bff_u16 {
            let (low, high) = (
                f64::from(f32_from_f16(bits)),
                f64::from(f32_from_f16(bits + 1)),
            );
            let middle = ((low + high) / 2.0) as f32;
            assert_eq!(f16_from_f32(middle), bits + (bits & 1));
            assert_eq!(f16_from_f32(middle.next_down()), bits);
            assert_eq!(f16_from_f32(middle.next_up()), bits + 1);
        }
        assert_eq!(f16_from_f32(65519.99), 0x7bff);
        assert_eq!(f16_from_f32(65520.0), 0x7c00);
        assert_eq!(f16_from_f32(-1e9), 0xfc00);
    }

    #[test]
    fn labels_name_their_dtype() {
        for (number, dtype) in (0..).zip(DType::ALL) {
            assert_eq!(dtype.number(), number);
            assert_eq!(DType::from_label(dtype.label()), Some(dtype));
        }
        assert_eq!(DType::Q4.bytes(64), 36);
        assert_eq!(DType::Q8.count_of(69), 64);
    }
}
