//! Values on the host.

use super::dtype::{DType, bf16_from_f32, f16_from_f32, f32_from_bf16, f32_from_f16};
use super::shape::Shape;
use super::status::{TensorError, TensorResult};

/// Elements of a storage type: what stands in a buffer, on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum HostVec {
    /// f32
    F32(Vec<f32>),
    /// The bits of bf16 or f16.
    U16(Vec<u16>),
    /// i32
    I32(Vec<i32>),
    /// i64
    I64(Vec<i64>),
    /// u8, and the blocks of q8 and q4.
    U8(Vec<u8>),
}

/// [`HostVec`], borrowed to be read.
#[derive(Clone, Copy, Debug)]
pub enum HostRef<'a> {
    /// f32
    F32(&'a [f32]),
    /// The bits of bf16 or f16.
    U16(&'a [u16]),
    /// i32
    I32(&'a [i32]),
    /// i64
    I64(&'a [i64]),
    /// u8, and the blocks of q8 and q4.
    U8(&'a [u8]),
}

/// [`HostVec`], borrowed to be written.
#[derive(Debug)]
pub enum HostMut<'a> {
    /// f32
    F32(&'a mut [f32]),
    /// The bits of bf16 or f16.
    U16(&'a mut [u16]),
    /// i32
    I32(&'a mut [i32]),
    /// i64
    I64(&'a mut [i64]),
    /// u8, and the blocks of q8 and q4.
    U8(&'a mut [u8]),
}

macro_rules! for_each_kind {
    ($value:expr, $items:ident => $body:expr) => {
        match $value {
            Self::F32($items) => $body,
            Self::U16($items) => $body,
            Self::I32($items) => $body,
            Self::I64($items) => $body,
            Self::U8($items) => $body,
        }
    };
}

macro_rules! conversions {
    ($($kind:ty => $variant:ident),*) => {$(
        impl From<Vec<$kind>> for HostVec {
            fn from(values: Vec<$kind>) -> Self {
                Self::$variant(values)
            }
        }
        impl<'a> From<&'a [$kind]> for HostRef<'a> {
            fn from(values: &'a [$kind]) -> Self {
                Self::$variant(values)
            }
        }
        impl<'a, const N: usize> From<&'a [$kind; N]> for HostRef<'a> {
            fn from(values: &'a [$kind; N]) -> Self {
                Self::$variant(values)
            }
        }
        impl<'a> From<&'a Vec<$kind>> for HostRef<'a> {
            fn from(values: &'a Vec<$kind>) -> Self {
                Self::$variant(values)
            }
        }
        impl<'a> From<&'a mut [$kind]> for HostMut<'a> {
            fn from(values: &'a mut [$kind]) -> Self {
                Self::$variant(values)
            }
        }
        impl<'a, const N: usize> From<&'a mut [$kind; N]> for HostMut<'a> {
            fn from(values: &'a mut [$kind; N]) -> Self {
                Self::$variant(values)
            }
        }
    )*};
}

conversions!(f32 => F32, u16 => U16, i32 => I32, i64 => I64, u8 => U8);

fn stored_as(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::BF16 | DType::F16 => "u16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::U8 | DType::Q8 | DType::Q4 => "u8",
    }
}

impl HostVec {
    /// `count` elements of `dtype`, all zero.
    pub fn zeros(dtype: DType, count: usize) -> Self {
        let n = dtype.storage_count(count);
        match dtype {
            DType::F32 => Self::F32(vec![0.0; n]),
            DType::BF16 | DType::F16 => Self::U16(vec![0; n]),
            DType::I32 => Self::I32(vec![0; n]),
            DType::I64 => Self::I64(vec![0; n]),
            DType::U8 | DType::Q8 | DType::Q4 => Self::U8(vec![0; n]),
        }
    }

    /// From the little-endian bytes of `dtype`'s storage.
    pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Self {
        fn words<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
            bytes
                .as_chunks::<N>()
                .0
                .iter()
                .map(|chunk| read(*chunk))
                .collect()
        }
        match dtype {
            DType::F32 => Self::F32(words(bytes, f32::from_le_bytes)),
            DType::BF16 | DType::F16 => Self::U16(words(bytes, u16::from_le_bytes)),
            DType::I32 => Self::I32(words(bytes, i32::from_le_bytes)),
            DType::I64 => Self::I64(words(bytes, i64::from_le_bytes)),
            DType::U8 | DType::Q8 | DType::Q4 => Self::U8(bytes.to_vec()),
        }
    }

    /// The little-endian bytes, piece by piece.
    pub fn each_chunk<E>(&self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        const ELEMENTS: usize = 1 << 16;
        let mut bytes = Vec::with_capacity(8 * ELEMENTS);
        for_each_kind!(self, values => {
            for part in values.chunks(ELEMENTS) {
                bytes.clear();
                for value in part {
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
                sink(&bytes)?;
            }
        });
        Ok(())
    }

    /// Elements of the storage type.
    pub fn len(&self) -> usize {
        for_each_kind!(self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Borrowed to be read.
    pub fn as_ref(&self) -> HostRef<'_> {
        for_each_kind!(self, values => HostRef::from(values))
    }

    /// Borrowed to be written.
    pub fn as_mut(&mut self) -> HostMut<'_> {
        for_each_kind!(self, values => HostMut::from(values.as_mut_slice()))
    }

    /// The values of a float `dtype` as f32; empty for any other storage.
    pub fn into_f32(self, dtype: DType) -> Vec<f32> {
        match (self, dtype) {
            (Self::F32(values), _) => values,
            (Self::U16(bits), DType::F16) => bits.into_iter().map(f32_from_f16).collect(),
            (Self::U16(bits), _) => bits.into_iter().map(f32_from_bf16).collect(),
            _ => Vec::new(),
        }
    }

    /// The i32 values; empty for any other storage.
    pub fn into_i32(self) -> Vec<i32> {
        if let Self::I32(values) = self {
            values
        } else {
            Vec::new()
        }
    }
}

impl HostRef<'_> {
    /// Elements of the storage type.
    pub fn len(&self) -> usize {
        for_each_kind!(self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether these are elements of the storage of `dtype`. Errors: invalid argument.
    pub fn check(&self, dtype: DType) -> TensorResult<()> {
        let found = match self {
            Self::F32(_) => "f32",
            Self::U16(_) => "u16",
            Self::I32(_) => "i32",
            Self::I64(_) => "i64",
            Self::U8(_) => "u8",
        };
        let expected = stored_as(dtype);
        if found == expected {
            return Ok(());
        }
        Err(TensorError::invalid(format!(
            "{dtype} is held by {expected} on the host, not by {found}"
        )))
    }
}

impl HostMut<'_> {
    /// The same elements, to be read.
    pub fn as_ref(&self) -> HostRef<'_> {
        for_each_kind!(self, values => HostRef::from(&**values))
    }

    /// Elements of the storage type.
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// Whether these are elements of the storage of `dtype`. Errors: invalid argument.
    pub fn check(&self, dtype: DType) -> TensorResult<()> {
        self.as_ref().check(dtype)
    }
}

/// f32 values in the storage of a float dtype, rounded to nearest even.
pub fn narrowed(values: &[f32], dtype: DType) -> HostVec {
    let rounded = |round: fn(f32) -> u16| HostVec::U16(values.iter().map(|&x| round(x)).collect());
    match dtype {
        DType::BF16 => rounded(bf16_from_f32),
        DType::F16 => rounded(f16_from_f32),
        _ => HostVec::F32(values.to_vec()),
    }
}

/// f32 values with a shape, on the host: what a model returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Shape,
    values: Vec<f32>,
}

impl Array {
    /// Values in row-major order. Errors: [`TensorError::Shape`] when their number is another.
    pub fn new(shape: Shape, values: Vec<f32>) -> TensorResult<Self> {
        if shape.size() != values.len() {
            let (found, size) = (values.len(), shape.size());
            return Err(TensorError::Shape(format!(
                "shape {shape} has {size} elements, the array {found}"
            )));
        }
        Ok(Self { shape, values })
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, row-major.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}
