//! Which variant a shape takes on one device, where it was measured: a map from a shape's key to a
//! variant's name. Keys leave the batch size out, as the kernels do.

use crate::conv2d::{Conv2d, Direction};
use crate::matmul::Matmul;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Measured choices; empty where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuned(Arc<BTreeMap<String, String>>);

impl Tuned {
    /// Of pairs of a key and a variant's name.
    pub fn new(choices: impl IntoIterator<Item = (String, String)>) -> Self {
        Tuned(Arc::new(choices.into_iter().collect()))
    }

    /// The variant measured best for `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// How many choices there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No choices.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The key of a convolution: `conv2d_forward 16x32x32 to 16, 3x3 stride 1x1 pad 1x1 dilation 1x1
/// groups 1`.
pub fn conv2d_key(s: &Conv2d, direction: Direction) -> String {
    let name = match direction {
        Direction::Forward => "conv2d_forward",
        Direction::BackwardData => "conv2d_backward_data",
        Direction::BackwardWeights => "conv2d_backward_weights",
    };
    let pair = |p: [u32; 2]| format!("{}x{}", p[0], p[1]);
    format!(
        "{name} {}x{}x{} to {}, {}x{} stride {} pad {} dilation {} groups {}",
        s.ci,
        s.h,
        s.w,
        s.co,
        s.kh,
        s.kw,
        pair(s.stride),
        pair(s.pad),
        pair(s.dilation),
        s.groups
    )
}

/// The key of a matrix product: `matmul 512x512x512` (m, n, k), with `ta`, `tb`, `bias` where they apply.
pub fn matmul_key(p: &Matmul) -> String {
    let mut key = format!("matmul {}x{}x{}", p.m, p.n, p.k);
    for (word, present) in [("ta", p.transpose_a), ("tb", p.transpose_b), ("bias", p.bias)] {
        if present {
            key = format!("{key} {word}");
        }
    }
    key
}
