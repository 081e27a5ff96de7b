//! Dimensions of a row-major tensor.

use std::fmt;

use super::status::{TensorError, TensorResult};

/// Sizes of the dimensions, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape with these sizes. Errors: [`TensorError::Shape`] when a usize cannot count the
    /// elements.
    pub fn new(sizes: &[usize]) -> TensorResult<Self> {
        let shape = Self(sizes.to_vec());
        // A zero makes any product zero, but the strides are products of the sizes behind it.
        let positive = sizes.iter().map(|&size| size.max(1));
        match positive.into_iter().try_fold(1_usize, usize::checked_mul) {
            Some(_) => Ok(shape),
            None => Err(TensorError::Shape(format!(
                "{shape} elements are more than can be counted"
            ))),
        }
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements, 1 for a scalar.
    pub fn size(&self) -> usize {
        self.0.iter().product()
    }

    /// Elements between neighbours in each dimension.
    pub fn strides(&self) -> Vec<usize> {
        (0..self.rank())
            .map(|axis| self.0[axis + 1..].iter().product())
            .collect()
    }

    /// The shape of the same count given by sizes, of which one may be -1.
    pub fn reshape(&self, sizes: &[isize]) -> TensorResult<Self> {
        let refused = || {
            let wanted: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            let count = self.size();
            TensorError::Shape(format!(
                "cannot reshape {self} ({count} elements) to {}",
                wanted.join("x")
            ))
        };
        let free = sizes.iter().filter(|&&size| size == -1).count();
        let known = sizes
            .iter()
            .filter(|&&size| size != -1)
            .try_fold(1_usize, |product, &size| {
                product.checked_mul(usize::try_from(size).ok()?)
            })
            .ok_or_else(refused)?;
        let inferred = match free {
            0 if known == self.size() => 0,
            1 if known > 0 && self.size().is_multiple_of(known) => self.size() / known,
            _ => return Err(refused()),
        };
        let sizes: Vec<usize> = sizes
            .iter()
            .map(|&size| usize::try_from(size).unwrap_or(inferred))
            .collect();
        Self::new(&sizes)
    }
}

impl fmt::Display for Shape {
    /// As in the library's sentences: 4x768.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("scalar");
        }
        let sizes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&sizes.join("x"))
    }
}
