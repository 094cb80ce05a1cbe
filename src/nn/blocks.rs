//! Residual blocks: two 3×3 convolutions (He et al., 2016), or the bottleneck of 1×1, 3×3 and 1×1, whose
//! middle may be in groups (ResNeXt, Xie et al., 2017); around them the identity, option A's subsampled
//! and padded one, or a 1×1 convolution with its norm. Names as torchvision's.

use super::layers::{ConvShape, Fan};
use super::{BatchNorm, Builder, Conv2d, Norms, Scope};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// What blocks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two 3×3 convolutions; around them option A, without parameters (the CIFAR networks).
    Padded,
    /// Two 3×3 convolutions; around them a 1×1 convolution where shapes differ.
    Basic,
    /// 1×1, 3×3, 1×1; the middle has `base`/64 of a quarter of the output's channels in each of `groups`.
    Bottleneck {
        /// Groups of the 3×3 convolution.
        groups: usize,
        /// Channels of a group in the first stage; 64 with one group.
        base: usize,
    },
}

/// A block's place: name, channels in and out, stride, and whether its stage is the last.
#[derive(Debug)]
pub struct At {
    /// `layer1.0`
    pub name: String,
    /// Channels in.
    pub ci: usize,
    /// Channels out.
    pub co: usize,
    /// Step of its strided convolution.
    pub stride: usize,
    /// Its stage is the last.
    pub last: bool,
}

impl At {
    /// The convolutions on the way, first to last.
    fn convolutions(&self, kind: Kind) -> Vec<ConvShape> {
        let plain = |ci, co, k, stride| ConvShape { ci, co, k, stride, groups: 1 };
        match kind {
            Kind::Padded | Kind::Basic => {
                vec![plain(self.ci, self.co, 3, self.stride), plain(self.co, self.co, 3, 1)]
            }
            Kind::Bottleneck { groups, base } => {
                let width = self.co / 4 * base / 64 * groups;
                let middle = ConvShape { groups, ..plain(width, width, 3, self.stride) };
                vec![plain(self.ci, width, 1, 1), middle, plain(width, self.co, 1, 1)]
            }
        }
    }

    /// Whether what goes around has another shape than what comes out.
    fn changes(&self) -> bool {
        self.ci != self.co || self.stride != 1
    }

    /// The names of its norms, each with whether it ends a block of the last stage.
    pub fn norms(&self, kind: Kind) -> Vec<(String, bool)> {
        let count = self.convolutions(kind).len();
        let ends = |i| self.last && i == count;
        let mut names: Vec<(String, bool)> =
            (1..=count).map(|i| (format!("{}.bn{i}", self.name), ends(i))).collect();
        if self.changes() && kind != Kind::Padded {
            names.push((format!("{}.downsample.1", self.name), self.last));
        }
        names
    }
}

/// A block with its parameters.
#[derive(Debug)]
pub struct Block {
    way: Vec<(Conv2d, BatchNorm)>,
    around: Around,
}

/// The way around.
#[derive(Debug)]
enum Around {
    Identity,
    Padded { planes: usize, stride: usize },
    Projected(Conv2d, BatchNorm),
}

impl Block {
    /// Declares the block's parameters under `prefix`.
    pub fn new(b: &mut Builder, at: &At, kind: Kind, prefix: &str, norms: &Norms) -> Self {
        let name = |part: &str| format!("{prefix}{}.{part}", at.name);
        let start = (Fan::of(kind), norms.weights);
        let shapes = at.convolutions(kind);
        let count = shapes.len();
        let way = (1..)
            .zip(shapes)
            .map(|(i, shape)| {
                let conv = Conv2d::new(b, &name(&format!("conv{i}")), shape, start);
                let last = at.last && i == count;
                let bn = BatchNorm::new(b, &name(&format!("bn{i}")), shape.co, norms, last);
                (conv, bn)
            })
            .collect();
        let around = match kind {
            _ if !at.changes() => Around::Identity,
            Kind::Padded => Around::Padded { planes: at.co, stride: at.stride },
            Kind::Basic | Kind::Bottleneck { .. } => {
                let shape = ConvShape { ci: at.ci, co: at.co, k: 1, stride: at.stride, groups: 1 };
                let conv = Conv2d::new(b, &name("downsample.0"), shape, start);
                let bn = BatchNorm::new(b, &name("downsample.1"), at.co, norms, at.last);
                Around::Projected(conv, bn)
            }
        };
        Block { way, around }
    }

    /// relu(way(x) + around(x)), each convolution of the way followed by its norm, all but the last of
    /// these by a ReLU.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        scope.block(|| self.pass(scope, x))
    }

    fn pass(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        let mut h = x.clone();
        let Some(((last, closing), way)) = self.way.split_last() else { return Ok(h) };
        for (conv, bn) in way {
            h = bn.forward(scope, &conv.forward(scope, &h)?, None, true)?;
        }
        h = last.forward(scope, &h)?;
        let around = match &self.around {
            Around::Identity => x.clone(),
            Around::Padded { planes, stride } => ops::shortcut_a(x, *planes, *stride)?,
            Around::Projected(conv, bn) => {
                bn.forward(scope, &conv.forward(scope, x)?, None, false)?
            }
        };
        closing.forward(scope, &h, Some(&around), true)
    }

    /// Its norms, in the order of their names.
    pub fn norms(&self) -> impl Iterator<Item = &BatchNorm> {
        let around = match &self.around {
            Around::Projected(_, bn) => Some(bn),
            _ => None,
        };
        self.way.iter().map(|(_, bn)| bn).chain(around)
    }
}
