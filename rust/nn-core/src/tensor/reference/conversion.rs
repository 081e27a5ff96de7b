//! Copies, casts, transposes and block quantization.

use super::ReferenceBackend;
use super::call::{Call, FLOATS, QUANTIZED, UNQUANTIZED, dense};
use super::memory::Grid;
use crate::tensor::dtype::{QUANT_BLOCK, f16_from_f32, f32_from_f16};
use crate::tensor::{Buffer, DType, TensorResult};

const FLOATS_AND_INTEGERS: &[DType] =
    &[DType::F32, DType::BF16, DType::F16, DType::I32, DType::I64];
const INTEGERS: &[DType] = &[DType::I32, DType::I64];

/// A block of 32 values as bytes: the f16 scale, then 32 (q8) or 16 (q4) bytes.
fn quantized(x: &[f32], dtype: DType) -> Vec<u8> {
    let most = |best: f32, x: &f32| if x.abs() > best.abs() { *x } else { best };
    let largest = x.iter().fold(0.0, most);
    let d = if dtype == DType::Q8 {
        largest.abs() / 127.0
    } else {
        largest / -8.0
    };
    let bits = f16_from_f32(d);
    let scale = f32_from_f16(bits);
    let steps = |x: f32| {
        if scale == 0.0 {
            0.0
        } else {
            (x / scale).round_ties_even()
        }
    };
    let mut out = bits.to_le_bytes().to_vec();
    if dtype == DType::Q8 {
        out.extend(x.iter().map(|x| steps(*x).clamp(-128.0, 127.0) as i8 as u8));
    } else {
        let nibble = |x: f32| (steps(x).clamp(-8.0, 7.0) + 8.0) as u8;
        out.extend((0..16).map(|i| nibble(x[i]) | nibble(x[i + 16]) << 4));
    }
    out
}

/// A count along which blocks lie.
pub(super) fn check_blocks(call: &Call, name: &str, count: usize) -> TensorResult<()> {
    call.require(count.is_multiple_of(QUANT_BLOCK), || {
        format!("{name} is {count}, expected a multiple of {QUANT_BLOCK} (a block of q8 or q4)")
    })
}

fn start(op: &'static str, n: usize) -> Call {
    let mut call = Call::new(op);
    call.dims(&[("n", n)]);
    call.nothing = n == 0;
    call
}

impl ReferenceBackend {
    pub(super) fn copy(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        let mut call = start("copy", n);
        let to = call.out("y", y, &dense(&[n]), &DType::ALL)?;
        let source = call.input("x", x, &dense(&[n]), &DType::ALL)?;
        call.same_dtype("x", &source, "y", &to)?;
        if to.dtype.is_quantized() {
            check_blocks(&call, "n", n)?;
        }
        let size = to.dtype.storage_count(n);
        self.submit(call, move |_| {
            to.copy_grid(
                Grid::rows(1, size, size),
                &source,
                Grid::rows(1, size, size),
            );
        })
    }

    pub(super) fn cast(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        let mut call = start("cast", n);
        let op = call.op;
        let to = call.out("y", y, &dense(&[n]), FLOATS_AND_INTEGERS)?;
        let kinds = if to.dtype.is_float() {
            FLOATS
        } else {
            INTEGERS
        };
        let source = call.input("x", x, &dense(&[n]), kinds)?;
        self.submit(call, move |faults| match (to.dtype, source.dtype) {
            (DType::I32, DType::I32) => to.put_i32s(&source.i32s(n)),
            (DType::I64, DType::I64) => to.put_i64s(&source.i64s(n)),
            (DType::I64, _) => {
                to.put_i64s(
                    &source
                        .i32s(n)
                        .into_iter()
                        .map(i64::from)
                        .collect::<Vec<_>>(),
                );
            }
            (DType::I32, _) => {
                let values = source.i64s(n);
                let narrow: Result<Vec<i32>, usize> = values
                    .iter()
                    .enumerate()
                    .map(|(at, &value)| i32::try_from(value).map_err(|_| at))
                    .collect();
                match narrow {
                    Ok(narrow) => to.put_i32s(&narrow),
                    Err(at) => {
                        faults.report(format!(
                            "{op}: x[{at}] is {}, which i32 does not hold",
                            values[at]
                        ));
                    }
                }
            }
            _ => to.put(&source.floats(n)),
        })
    }

    pub(super) fn pack(
        &self,
        y: &Buffer,
        x: &Buffer,
        transpose: bool,
        rows: usize,
        cols: usize,
        ldy: usize,
        ldx: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("pack");
        call.dims(&[("rows", rows), ("cols", cols), ("ldy", ldy), ("ldx", ldx)]);
        call.nothing = rows == 0 || cols == 0;
        call.flag("transpose", transpose);
        let extent = call.matrix(rows, cols, "ldy", ldy)?;
        let to = call.out("y", y, &extent, UNQUANTIZED)?;
        let (x_rows, x_cols) = if transpose {
            (cols, rows)
        } else {
            (rows, cols)
        };
        let extent = call.matrix(x_rows, x_cols, "ldx", ldx)?;
        let source = call.input("x", x, &extent, UNQUANTIZED)?;
        call.same_dtype("x", &source, "y", &to)?;
        let (down, across) = if transpose { (1, ldx) } else { (ldx, 1) };
        let from = Grid {
            shape: [1, 1, rows, cols],
            strides: [0, 0, down, across],
        };
        self.submit(call, move |_| {
            to.copy_grid(Grid::rows(rows, cols, ldy), &source, from)
        })
    }

    pub(super) fn quantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        let mut call = start("quantize", n);
        check_blocks(&call, "n", n)?;
        let to = call.out("y", y, &dense(&[n]), QUANTIZED)?;
        let source = call.input("x", x, &dense(&[n]), FLOATS)?;
        self.submit(call, move |faults| {
            let x = source.floats(n);
            let levels: u16 = if to.dtype == DType::Q8 { 127 } else { 8 };
            let finite = |x: &f32| {
                let scale = f16_from_f32(x.abs() / f32::from(levels));
                f32_from_f16(scale).is_finite()
            };
            let mut blocks = x.chunks(QUANT_BLOCK);
            if let Some(bad) = blocks.position(|block| !block.iter().all(finite)) {
                let (at, most) = (bad * QUANT_BLOCK, 65504 * u32::from(levels));
                let begins = "begins a block without a finite f16 scale";
                faults.report(format!(
                    "quantize: x[{at}] {begins}, expected magnitudes of at most {most}"
                ));
                return;
            }
            let blocks: Vec<u8> = x
                .chunks(QUANT_BLOCK)
                .flat_map(|block| quantized(block, to.dtype))
                .collect();
            to.put_bytes(&blocks);
        })
    }

    pub(super) fn dequantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        let mut call = start("dequantize", n);
        check_blocks(&call, "n", n)?;
        let to = call.out("y", y, &dense(&[n]), FLOATS)?;
        let source = call.input("x", x, &dense(&[n]), QUANTIZED)?;
        self.submit(call, move |_| to.put(&source.floats(n)))
    }
}
