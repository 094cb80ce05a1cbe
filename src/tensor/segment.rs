//! A stretch of recorded nodes, such as a residual block's: what is in it can be computed again.

use super::{Source, Tensor, next_id};

/// The nodes recorded within a stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    from: u64,
    to: u64,
}

impl Segment {
    /// What `make` gives, and the nodes that it recorded.
    pub fn of<T>(make: impl FnOnce() -> T) -> (T, Segment) {
        let from = next_id();
        let made = make();
        (made, Segment { from, to: next_id() })
    }

    /// Whether node `id` is one of them.
    pub(crate) fn holds(&self, id: u64) -> bool {
        (self.from..self.to).contains(&id)
    }

    /// Whether one of them made `tensor`.
    pub(crate) fn made(&self, tensor: &Tensor) -> bool {
        matches!(tensor.source(), Source::Node(node, _) if self.holds(node.id))
    }
}
