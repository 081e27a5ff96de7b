//! Buffers of the reference backend: vectors, read and written through windows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tensor::dtype::{
    DType, QUANT_BLOCK, bf16_from_f32, f16_from_f32, f32_from_bf16, f32_from_f16,
};
use crate::tensor::{HostVec, Memory};

/// Bytes of the vectors that are alive, and their maximum.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub now: AtomicUsize,
    pub peak: AtomicUsize,
}

/// A vector that buffers and their views share.
#[derive(Debug)]
pub(super) struct Cells {
    values: Mutex<HostVec>,
    bytes: usize,
    ledger: Arc<Ledger>,
}

impl Cells {
    pub fn new(values: HostVec, bytes: usize, ledger: Arc<Ledger>) -> Arc<Self> {
        let now = ledger.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        ledger.peak.fetch_max(now, Ordering::Relaxed);
        Arc::new(Self {
            values: Mutex::new(values),
            bytes,
            ledger,
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, HostVec> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.ledger.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// `count` elements of `dtype` from element `start` of the storage on.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub cells: Arc<Cells>,
    /// In elements of the storage.
    pub start: usize,
    pub dtype: DType,
    pub count: usize,
}

impl Memory for Window {
    fn handle(&self) -> i64 {
        -1
    }
}

/// Four nested dimensions and the elements between neighbours in each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub shape: [usize; 4],
    pub strides: [usize; 4],
}

impl Grid {
    /// Rows of cols elements, ld apart.
    pub fn rows(rows: usize, cols: usize, ld: usize) -> Self {
        Self {
            shape: [1, 1, rows, cols],
            strides: [0, 0, ld, 1],
        }
    }

    /// The index of every element, innermost dimension fastest.
    fn indices(self) -> impl Iterator<Item = usize> {
        let Self {
            shape: [a, b, c, d],
            strides: [sa, sb, sc, sd],
        } = self;
        (0..a).flat_map(move |i| {
            (0..b).flat_map(move |j| {
                (0..c).flat_map(move |k| (0..d).map(move |l| i * sa + j * sb + k * sc + l * sd))
            })
        })
    }
}

impl Window {
    /// The first n values as f32, 16-bit ones widened, blocks dequantized.
    pub fn floats(&self, n: usize) -> Vec<f32> {
        self.grid(Grid::rows(1, n, n))
    }

    /// The values of a grid as f32, dense.
    pub fn grid(&self, grid: Grid) -> Vec<f32> {
        let at = grid.indices().map(|index| self.start + index);
        match (&*self.cells.lock(), self.dtype) {
            (HostVec::F32(values), _) => at.map(|at| values[at]).collect(),
            (HostVec::U16(bits), DType::F16) => at.map(|at| f32_from_f16(bits[at])).collect(),
            (HostVec::U16(bits), _) => at.map(|at| f32_from_bf16(bits[at])).collect(),
            (HostVec::U8(bytes), dtype) if dtype.is_quantized() => {
                let blocks = &bytes[self.start..];
                let at = grid.indices();
                at.map(|at| dequantized(blocks, at, dtype)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Replaces the first values, rounded to nearest even.
    pub fn put(&self, values: &[f32]) {
        self.put_grid(Grid::rows(1, values.len(), values.len()), values);
    }

    /// Replaces the values of a grid by dense ones, rounded to nearest even; what lies between stays.
    pub fn put_grid(&self, grid: Grid, new: &[f32]) {
        let pairs = grid.indices().map(|index| self.start + index).zip(new);
        match (&mut *self.cells.lock(), self.dtype) {
            (HostVec::F32(values), _) => pairs.for_each(|(at, new)| values[at] = *new),
            (HostVec::U16(bits), DType::F16) => {
                pairs.for_each(|(at, new)| bits[at] = f16_from_f32(*new))
            }
            (HostVec::U16(bits), _) => pairs.for_each(|(at, new)| bits[at] = bf16_from_f32(*new)),
            _ => {}
        }
    }

    /// The first n values of an i32 buffer.
    pub fn i32s(&self, n: usize) -> Vec<i32> {
        match &*self.cells.lock() {
            HostVec::I32(values) => values[self.start..self.start + n].to_vec(),
            _ => Vec::new(),
        }
    }

    /// Replaces the first values of an i32 buffer.
    pub fn put_i32s(&self, new: &[i32]) {
        if let HostVec::I32(values) = &mut *self.cells.lock() {
            values[self.start..self.start + new.len()].copy_from_slice(new);
        }
    }

    /// The first n values of an i64 buffer.
    pub fn i64s(&self, n: usize) -> Vec<i64> {
        match &*self.cells.lock() {
            HostVec::I64(values) => values[self.start..self.start + n].to_vec(),
            _ => Vec::new(),
        }
    }

    /// Replaces the first values of an i64 buffer.
    pub fn put_i64s(&self, new: &[i64]) {
        if let HostVec::I64(values) = &mut *self.cells.lock() {
            values[self.start..self.start + new.len()].copy_from_slice(new);
        }
    }

    /// Replaces the first bytes.
    pub fn put_bytes(&self, new: &[u8]) {
        if let HostVec::U8(values) = &mut *self.cells.lock() {
            values[self.start..self.start + new.len()].copy_from_slice(new);
        }
    }

    /// Copies a grid of any dtype, bit for bit.
    pub fn copy_grid(&self, to: Grid, source: &Self, from: Grid) {
        macro_rules! copy {
            ($kind:ident) => {{
                let taken: Vec<_> = match &*source.cells.lock() {
                    HostVec::$kind(values) => {
                        from.indices().map(|at| values[source.start + at]).collect()
                    }
                    _ => Vec::new(),
                };
                if let HostVec::$kind(values) = &mut *self.cells.lock() {
                    for (at, value) in to.indices().zip(taken) {
                        values[self.start + at] = value;
                    }
                }
            }};
        }
        match self.dtype {
            DType::F32 => copy!(F32),
            DType::BF16 | DType::F16 => copy!(U16),
            DType::I32 => copy!(I32),
            DType::I64 => copy!(I64),
            DType::U8 | DType::Q8 | DType::Q4 => copy!(U8),
        }
    }
}

/// Element `at` of blocks: d q, d the f16 scale of its block.
fn dequantized(blocks: &[u8], at: usize, dtype: DType) -> f32 {
    let size = dtype.storage_count(QUANT_BLOCK);
    let (block, i) = (&blocks[at / QUANT_BLOCK * size..], at % QUANT_BLOCK);
    let d = f32_from_f16(u16::from_le_bytes([block[0], block[1]]));
    let levels = &block[2..size];
    if dtype == DType::Q8 {
        return d * f32::from(levels[i] as i8);
    }
    let half = QUANT_BLOCK / 2;
    let nibble = if i < half {
        levels[i] & 15
    } else {
        levels[i - half] >> 4
    };
    d * (f32::from(nibble) - 8.0)
}

/// A value after a round trip through a float dtype.
pub(super) fn rounded(value: f32, dtype: DType) -> f32 {
    match dtype {
        DType::BF16 => f32_from_bf16(bf16_from_f32(value)),
        DType::F16 => f32_from_f16(f16_from_f32(value)),
        _ => value,
    }
}
