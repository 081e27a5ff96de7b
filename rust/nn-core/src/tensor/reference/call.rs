//! The arguments of one op, checked one by one, with the sentences of the library.

use std::sync::Arc;

use super::memory::Window;
use crate::tensor::{Buffer, DType, TensorError, TensorResult};
use crate::text::general;

pub(super) const F32: &[DType] = &[DType::F32];
pub(super) const I32: &[DType] = &[DType::I32];
pub(super) const I64: &[DType] = &[DType::I64];
pub(super) const FLOATS: &[DType] = &[DType::F32, DType::BF16, DType::F16];
pub(super) const QUANTIZED: &[DType] = &[DType::Q8, DType::Q4];
pub(super) const UNQUANTIZED: &[DType] = &[
    DType::F32,
    DType::BF16,
    DType::F16,
    DType::I32,
    DType::I64,
    DType::U8,
];

const I32_MAX: u128 = i32::MAX as u128;
const I64_MAX: u128 = i64::MAX as u128;

/// How much of a buffer an argument covers: runs of consecutive elements, repeated at strides.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    /// Elements from the first to the last, inclusive.
    total: u128,
    dims: Vec<usize>,
    /// As the caller gave them, for sentences.
    strides: Vec<usize>,
    /// Of the outermost level that repeats; 0: contiguous.
    stride: u128,
    /// Elements within one step of that stride.
    span: u128,
    self_overlap: bool,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(ToString::to_string).collect();
        f.write_str(&dims.join("x"))?;
        match self.strides.as_slice() {
            [] => Ok(()),
            [ld] => write!(f, " with leading dimension {ld}"),
            [first @ .., last] => {
                let first: Vec<String> = first.iter().map(ToString::to_string).collect();
                write!(f, " with strides {} and {last}", first.join(", "))
            }
        }
    }
}

/// Contiguous elements.
pub(super) fn dense(dims: &[usize]) -> Extent {
    let total = dims
        .iter()
        .fold(1_u128, |total, &dim| total.saturating_mul(dim as u128));
    Extent {
        total,
        dims: dims.to_vec(),
        ..Extent::default()
    }
}

/// Rows of cols elements, ld apart.
fn rows_of(rows: usize, cols: usize, ld: usize) -> Extent {
    let total = if rows > 0 && cols > 0 {
        (rows as u128 - 1) * ld as u128 + cols as u128
    } else {
        0
    };
    let apart = total > 0 && rows > 1 && ld != cols;
    let (stride, span) = if apart {
        (ld as u128, cols as u128)
    } else {
        (0, 0)
    };
    let strides = if ld == cols { Vec::new() } else { vec![ld] };
    Extent {
        total,
        dims: vec![rows, cols],
        strides,
        stride,
        span,
        self_overlap: false,
    }
}

/// inner elements at every combination of two (count, stride) levels, in whatever order they nest.
pub(super) fn strided(inner: usize, outer: (usize, usize), middle: (usize, usize)) -> Extent {
    let (dims, strides) = (vec![outer.0, middle.0, inner], vec![outer.1, middle.1]);
    if dims.contains(&0) {
        return Extent {
            dims,
            strides,
            ..Extent::default()
        };
    }
    let mut levels = [outer, middle];
    levels.sort_by_key(|level| level.1);
    let mut extent = Extent {
        total: inner as u128,
        dims,
        strides,
        ..Extent::default()
    };
    for (count, step) in levels {
        if count > 1 {
            extent.self_overlap |= (step as u128) < extent.total;
            (extent.stride, extent.span) = (step as u128, extent.total);
            extent.total = extent
                .total
                .saturating_add((count as u128 - 1).saturating_mul(step as u128));
        }
    }
    extent
}

#[derive(Debug)]
struct Access {
    name: &'static str,
    window: Window,
    /// All in bytes from the start of the cells.
    begin: u128,
    bytes: u128,
    stride: u128,
    span: u128,
    output: bool,
    /// Outputs that may stand in exactly the same elements.
    alias: &'static [&'static str],
}

/// Outputs first, then inputs: each access is checked when it is made, overlaps by the end.
#[derive(Debug)]
pub(super) struct Call {
    pub op: &'static str,
    accesses: Vec<Access>,
    numbers: Vec<String>,
    /// The problem has no elements: everything is checked and nothing runs.
    pub nothing: bool,
}

impl Call {
    pub fn new(op: &'static str) -> Self {
        Self {
            op,
            accesses: Vec::new(),
            numbers: Vec::new(),
            nothing: false,
        }
    }

    pub fn require(&self, holds: bool, text: impl FnOnce() -> String) -> TensorResult<()> {
        if holds {
            return Ok(());
        }
        Err(TensorError::invalid(format!("{}: {}", self.op, text())))
    }

    // ---------------- numbers

    /// Remembered for a graph's text.
    pub fn dims(&mut self, dims: &[(&'static str, usize)]) {
        self.numbers
            .extend(dims.iter().map(|(name, value)| format!("{name}={value}")));
    }

    pub fn at_least(&self, name: &str, value: i128, least: i128) -> TensorResult<()> {
        self.require(value >= least, || {
            format!("{name} is {value}, expected at least {least}")
        })
    }

    pub fn at_most(&self, name: &str, value: u128, most: u128, because: &str) -> TensorResult<()> {
        let reason = if because.is_empty() {
            String::new()
        } else {
            format!(" ({because})")
        };
        self.require(value <= most, || {
            format!("{name} is {value}, expected at most {most}{reason}")
        })
    }

    pub fn fits_i32(&self, name: &str, count: u128) -> TensorResult<()> {
        self.at_most(
            name,
            count.min(I64_MAX),
            I32_MAX,
            "they are numbered in i32",
        )
    }

    pub fn product(&self, name: &str, a: usize, b: usize) -> TensorResult<u128> {
        let product = a as u128 * b as u128;
        self.require(product <= I64_MAX, || {
            format!("{name} is {a}x{b}, which 63 bits cannot count")
        })?;
        Ok(product)
    }

    /// n elements that are numbered from start, in 63 bits.
    pub fn numbered(&self, name: &str, start: usize, n: usize) -> TensorResult<()> {
        self.require(start as u128 + n as u128 <= I64_MAX, || {
            format!("{name} is {start}, which leaves no room for {n} elements in 63 bits")
        })
    }

    pub fn flag(&mut self, name: &str, value: bool) {
        self.numbers.push(format!("{name}={}", u8::from(value)));
    }

    pub fn real(&mut self, name: &str, value: f64, least: f64) -> TensorResult<f64> {
        let shown = general(value, 6);
        self.require(value.is_finite(), || {
            format!("{name} is {shown}, expected a finite number")
        })?;
        self.require(value >= least, || {
            format!("{name} is {shown}, expected at least {}", general(least, 6))
        })?;
        self.numbers.push(format!("{name}={}", general(value, 9)));
        Ok(value)
    }

    pub fn real32(&mut self, name: &str, value: f64, least: f64) -> TensorResult<f32> {
        let narrow = self.real(name, value, least)? as f32;
        self.require(narrow.is_finite(), || {
            format!("{name} is {}, expected a finite f32", general(value, 6))
        })?;
        Ok(narrow)
    }

    /// An integer dtype takes integers in its range, a float dtype takes anything.
    pub fn fill_value(&mut self, name: &str, value: f64, dtype: DType) -> TensorResult<()> {
        let (low, high) = match dtype {
            DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            // The largest f64 below 2^63.
            DType::I64 => (i64::MIN as f64, (i64::MAX as f64).next_down()),
            DType::U8 => (0.0, 255.0),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        let holds = dtype.is_float() || (value >= low && value <= high && value == value.trunc());
        self.require(holds, || {
            format!(
                "{name} is {}, expected an integer that {dtype} holds",
                general(value, 6)
            )
        })?;
        self.numbers.push(format!("{name}={}", general(value, 9)));
        Ok(())
    }

    // ---------------- extents

    pub fn matrix(
        &self,
        rows: usize,
        cols: usize,
        ld_name: &str,
        ld: usize,
    ) -> TensorResult<Extent> {
        self.at_least(ld_name, ld as i128, cols as i128)?;
        Ok(rows_of(rows, cols, ld))
    }

    /// batch matrices, stride elements apart.
    pub fn repeated(
        &self,
        (batch, stride): (usize, usize),
        rows: usize,
        cols: usize,
        ld_name: &str,
        ld: usize,
    ) -> TensorResult<Extent> {
        self.at_least(ld_name, ld as i128, cols as i128)?;
        Ok(strided(cols, (batch, stride), (rows, ld)))
    }

    // ---------------- buffers

    pub fn out(
        &mut self,
        name: &'static str,
        buffer: &Buffer,
        extent: &Extent,
        dtypes: &[DType],
    ) -> TensorResult<Window> {
        self.access(name, buffer, extent, dtypes, true, &[])
    }

    pub fn input(
        &mut self,
        name: &'static str,
        buffer: &Buffer,
        extent: &Extent,
        dtypes: &[DType],
    ) -> TensorResult<Window> {
        self.access(name, buffer, extent, dtypes, false, &[])
    }

    /// An input that may stand in the elements of these outputs.
    pub fn aliased(
        &mut self,
        name: &'static str,
        buffer: &Buffer,
        extent: &Extent,
        dtypes: &[DType],
        alias: &'static [&'static str],
    ) -> TensorResult<Window> {
        self.access(name, buffer, extent, dtypes, false, alias)
    }

    pub fn optional(
        &mut self,
        name: &'static str,
        buffer: Option<&Buffer>,
        extent: &Extent,
        dtypes: &[DType],
    ) -> TensorResult<Option<Window>> {
        buffer
            .map(|buffer| self.access(name, buffer, extent, dtypes, false, &[]))
            .transpose()
    }

    /// An output that may be left out, but not here.
    pub fn out_given(
        &mut self,
        name: &'static str,
        buffer: Option<&Buffer>,
        extent: &Extent,
        dtypes: &[DType],
    ) -> TensorResult<Window> {
        let Some(buffer) = buffer else {
            let text = format!("{}: {name} is 0, expected a buffer", self.op);
            return Err(TensorError::invalid(text));
        };
        self.out(name, buffer, extent, dtypes)
    }

    pub fn same_dtype(
        &self,
        name: &str,
        window: &Window,
        like: &str,
        expected: &Window,
    ) -> TensorResult<()> {
        let (found, wanted) = (window.dtype, expected.dtype);
        self.require(found == wanted, || {
            format!("{name} is {found}, expected {wanted} like {like}")
        })
    }

    fn access(
        &mut self,
        name: &'static str,
        buffer: &Buffer,
        extent: &Extent,
        dtypes: &[DType],
        output: bool,
        alias: &'static [&'static str],
    ) -> TensorResult<Window> {
        let Some(window) = buffer.memory::<Window>() else {
            let text = format!(
                "{}: {name} is of another backend, expected a buffer of reference",
                self.op
            );
            return Err(TensorError::invalid(text));
        };
        self.require(dtypes.contains(&window.dtype), || {
            let mut labels: Vec<&str> = dtypes.iter().map(|dtype| dtype.label()).collect();
            let last = labels.pop().unwrap_or_default();
            let start = if labels.is_empty() {
                String::new()
            } else {
                format!("{} or ", labels.join(", "))
            };
            format!("{name} is {}, expected {start}{last}", window.dtype)
        })?;
        self.require(extent.total <= window.count as u128, || {
            let mut shape = extent.to_string();
            if extent.total > I64_MAX {
                shape.push_str(", which 63 bits cannot count");
            } else if extent.dims.len() > 1 || !extent.strides.is_empty() {
                shape = format!("{shape} = {}", extent.total);
            }
            format!(
                "{name} holds {} elements, expected at least {shape}",
                window.count
            )
        })?;
        self.require(!(output && extent.self_overlap), || {
            format!("{name} is {extent}, expected strides that keep its rows apart")
        })?;
        let size = window.dtype.storage_size() as u128;
        self.accesses.push(Access {
            name,
            window: window.clone(),
            begin: window.start as u128 * size,
            bytes: window.dtype.bytes(extent.total as usize) as u128,
            stride: extent.stride * size,
            span: extent.span * size,
            output,
            alias,
        });
        Ok(window.clone())
    }

    // ---------------- all together

    /// Outputs against everything that was named after them.
    pub fn check_overlaps(&self) -> TensorResult<()> {
        for (index, out) in self
            .accesses
            .iter()
            .enumerate()
            .filter(|(_, access)| access.output)
        {
            for other in &self.accesses[index + 1..] {
                if disjoint(out, other) {
                    continue;
                }
                let (a, b) = (out.name, other.name);
                self.require(other.alias.contains(&a), || {
                    format!("{a} overlaps {b}, expected memory of its own")
                })?;
                let same = out.begin == other.begin
                    && out.stride == other.stride
                    && out.window.dtype == other.window.dtype;
                self.require(same, || {
                    format!("{a} overlaps {b}, expected exactly the same elements or none")
                })?;
            }
        }
        Ok(())
    }

    /// The op's line in a graph's text.
    pub fn line(&self) -> String {
        let buffers = self
            .accesses
            .iter()
            .map(|access| format!("{}:{}", access.name, access.window.dtype));
        let words: Vec<String> = std::iter::once(self.op.to_string())
            .chain(buffers)
            .chain(self.numbers.iter().cloned())
            .collect();
        words.join(" ")
    }
}

fn disjoint(a: &Access, b: &Access) -> bool {
    if !Arc::ptr_eq(&a.window.cells, &b.window.cells) || a.bytes == 0 || b.bytes == 0 {
        return true;
    }
    if a.begin + a.bytes <= b.begin || b.begin + b.bytes <= a.begin {
        return true;
    }
    // Interleaved rows, such as q, k and v in one matrix: apart when both step alike and their rows fit
    // side by side.
    if a.stride == 0 || a.stride != b.stride {
        return false;
    }
    let offset = (b.begin + a.stride * (1 + a.begin / a.stride) - a.begin) % a.stride;
    offset >= a.span && offset + b.span <= a.stride
}
