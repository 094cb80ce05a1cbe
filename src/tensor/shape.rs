//! Shapes: extents, outermost first; a tensor is contiguous in that order.

use std::fmt;

/// Extents of a tensor; `[]` is a scalar of one element.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// True when an extent is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    // ANCHOR: strides
    /// Elements to the next index of each axis.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.0.len()];
        for i in (1..self.0.len()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }
    // ANCHOR_END: strides

    /// The shape two tensors broadcast to (NumPy's rule), or `None`.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.0.len().max(other.0.len());
        let at = |s: &Shape, i: usize| match (i + s.0.len()).checked_sub(rank) {
            Some(j) => s.0[j],
            None => 1,
        };
        (0..rank)
            .map(|i| match (at(self, i), at(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<Vec<usize>>>()
            .map(Shape)
    }

    // ANCHOR: broadcast
    /// Strides for reading this shape as if it were `out`: 0 along a broadcast axis.
    pub fn broadcast_strides(&self, out: &Shape) -> Vec<u32> {
        let own = self.strides();
        let skip = out.0.len() - self.0.len();
        (0..out.0.len())
            .map(|i| if i < skip || self.0[i - skip] == 1 { 0 } else { own[i - skip] as u32 })
            .collect()
    }
    // ANCHOR_END: broadcast
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(dims.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let a = Shape::from([4, 1, 3]);
        let b = Shape::from([2, 3]);
        let out = a.broadcast(&b).unwrap();
        assert_eq!(out, Shape::from([4, 2, 3]));
        assert_eq!(a.broadcast_strides(&out), [3, 0, 1]);
        assert_eq!(b.broadcast_strides(&out), [0, 3, 1]);
        assert_eq!(Shape::from([4]).broadcast(&Shape::from([3])), None);
        assert_eq!(Shape::default().len(), 1);
    }
}
