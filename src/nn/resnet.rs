//! The CIFAR ResNet of depth 6n+2 (He et al., 2016) as the long-tailed line of work uses it: stem
//! 3×3, three stages of n blocks, option-A shortcuts, global average pool, linear head; parameter
//! names as PyTorch's reference implementations have them.

use super::head::Classifier;
use super::{BatchNorm, Builder, Conv2d, EXPERTS, Head, Norms, Scope};
use crate::error::{Error, Result, unknown};
use crate::ops;
use crate::tensor::Tensor;

/// Models by name: blocks in a stage, and the channels of the first.
pub const MODELS: &[(&str, usize, usize)] = &[
    ("small", 1, 8),
    ("resnet20", 3, 16),
    ("resnet32", 5, 16),
    ("resnet44", 7, 16),
    ("resnet56", 9, 16),
    ("resnet110", 18, 16),
];

/// What to build.
#[derive(Debug)]
pub struct Spec<'a> {
    /// A name of [`MODELS`].
    pub model: &'a str,
    /// Classes.
    pub classes: usize,
    /// The head.
    pub head: Head,
    /// Branches that share the stem and the first stage, each with the later stages at three quarters of
    /// their width and a head of its own (RIDE); 1: the plain network.
    pub experts: usize,
    /// The norms.
    pub norms: Norms,
}

/// The network: a trunk, and one branch or several.
#[derive(Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    blocks: Vec<Block>,
    branches: Vec<Branch>,
}

/// The later stages and the classifier. The first branch's names are the plain network's, those of branch
/// e > 0 begin with `experts.e.`.
#[derive(Debug)]
struct Branch {
    blocks: Vec<Block>,
    head: Classifier,
}

#[derive(Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    planes: usize,
    stride: usize,
    shortcut: bool,
}

/// A block's place: name, channels in and out, stride, and whether its stage is the last.
struct At {
    name: String,
    ci: usize,
    co: usize,
    stride: usize,
    last: bool,
}

impl ResNet {
    /// Declares the network's parameters in `builder`.
    ///
    /// # Errors
    /// An unknown model, no classes, norm patterns that match nothing.
    pub fn new(builder: &mut Builder, spec: &Spec<'_>) -> Result<Self> {
        let (n, width) = size(spec.model)?;
        if spec.classes == 0 {
            return Err(Error::usage("a classifier needs at least one class"));
        }
        if spec.experts == 0 || (spec.experts > 1 && !width.is_multiple_of(4)) {
            return Err(Error::usage(format!("{} has no {} experts", spec.model, spec.experts)));
        }
        let places = places(n, width, spec.experts > 1);
        let mut names = vec![("bn1".to_string(), false)];
        for at in &places {
            names.push((format!("{}.bn1", at.name), false));
            names.push((format!("{}.bn2", at.name), at.last));
        }
        let count = names.iter().filter(|(name, last)| spec.norms.selects(name, *last)).count();
        let all: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        spec.norms.declare(builder, "", count, &all)?;
        let conv1 = Conv2d::new(builder, "conv1", (3, width), 3, 1);
        let bn1 = BatchNorm::new(builder, "bn1", width, &spec.norms, false);
        let trunk = if spec.experts > 1 { n } else { places.len() };
        let (shared, own) = places.split_at(trunk);
        let blocks = shared.iter().map(|at| Block::new(builder, at, "", &spec.norms)).collect();
        let features = places.last().map_or(width, |at| at.co);
        let mut branches = Vec::new();
        for e in 0..spec.experts {
            let prefix = if e == 0 { String::new() } else { format!("{EXPERTS}{e}.") };
            // Each expert has an α of its own, as in the reference.
            if e > 0 {
                spec.norms.declare(builder, &prefix, count, &all)?;
            }
            branches.push(Branch {
                blocks: own
                    .iter()
                    .map(|at| Block::new(builder, at, &prefix, &spec.norms))
                    .collect(),
                head: Classifier::new(builder, &prefix, spec.head, features, spec.classes),
            });
        }
        Ok(ResNet { conv1, bn1, blocks, branches })
    }

    /// Images [N, 3, H, W] → each expert's logits [N, classes].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn each(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Vec<Tensor>> {
        let trunk = self.trunk(scope, x)?;
        self.branches.iter().map(|b| b.classify(scope, &b.maps(scope, &trunk)?)).collect()
    }

    /// Images [N, 3, H, W] → logits [N, classes], the mean of the experts'.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        ops::mean_of(&self.each(scope, x)?)
    }

    /// Images [N, 3, H, W] → the feature maps behind the (first expert's) last ReLU [N, C, H/4, W/4], and
    /// the logits [N, classes].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn maps_and_logits(&self, scope: &Scope<'_>, x: &Tensor) -> Result<[Tensor; 2]> {
        let trunk = self.trunk(scope, x)?;
        let maps: Vec<Tensor> =
            self.branches.iter().map(|b| b.maps(scope, &trunk)).collect::<Result<_>>()?;
        let logits: Vec<Tensor> = self
            .branches
            .iter()
            .zip(&maps)
            .map(|(b, maps)| b.classify(scope, maps))
            .collect::<Result<_>>()?;
        Ok([maps[0].clone(), ops::mean_of(&logits)?])
    }

    /// Images [N, 3, H, W] → the feature maps behind the (first expert's) last ReLU.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn maps(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        self.branches[0].maps(scope, &self.trunk(scope, x)?)
    }

    /// Images [N, 3, H, W] → (the first expert's) pooled features [N, C].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn features(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        ops::global_avg_pool(&self.maps(scope, x)?)
    }

    /// What all experts share.
    fn trunk(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        let mut h = self.conv1.forward(scope, x)?;
        h = self.bn1.forward(scope, &h, None, true)?;
        for block in &self.blocks {
            h = block.forward(scope, &h)?;
        }
        Ok(h)
    }

    /// The batch-norm layers, in the order data passes them, expert by expert.
    pub fn norms(&self) -> impl Iterator<Item = &BatchNorm> {
        std::iter::once(&self.bn1)
            .chain(norms_of(&self.blocks))
            .chain(self.branches.iter().flat_map(|b| norms_of(&b.blocks).chain(b.head.norm())))
    }
}

fn norms_of(blocks: &[Block]) -> impl Iterator<Item = &BatchNorm> {
    blocks.iter().flat_map(|b| [&b.bn1, &b.bn2])
}

impl Branch {
    fn maps(&self, scope: &Scope<'_>, trunk: &Tensor) -> Result<Tensor> {
        self.blocks.iter().try_fold(trunk.clone(), |h, block| block.forward(scope, &h))
    }

    fn classify(&self, scope: &Scope<'_>, maps: &Tensor) -> Result<Tensor> {
        self.head.forward(scope, &ops::global_avg_pool(maps)?)
    }
}

/// Blocks in a stage and channels of the first: of a model of [`MODELS`], or of one some times as wide,
/// such as `resnet20x2`, for measuring how cost grows.
fn size(model: &str) -> Result<(usize, usize)> {
    let known = |wanted: &str| MODELS.iter().find(|(name, ..)| *name == wanted);
    if let Some((_, n, width)) = known(model) {
        return Ok((*n, *width));
    }
    let wider = model.rsplit_once('x').and_then(|(name, times)| {
        let times = times.parse::<usize>().ok().filter(|t| (1..=16).contains(t))?;
        known(name).map(|(_, n, width)| (*n, width * times))
    });
    wider.ok_or_else(|| {
        let names: Vec<&str> = MODELS.iter().map(|(name, ..)| *name).collect();
        unknown("model", model, &names)
    })
}

/// The blocks of three stages; with `narrow` the later two have three quarters of their width.
fn places(n: usize, width: usize, narrow: bool) -> Vec<At> {
    let mut places = Vec::new();
    let mut ci = width;
    for stage in 0..3 {
        let co = if narrow && stage > 0 { (width << stage) * 3 / 4 } else { width << stage };
        for block in 0..n {
            places.push(At {
                name: format!("layer{}.{block}", stage + 1),
                ci,
                co,
                stride: if stage > 0 && block == 0 { 2 } else { 1 },
                last: stage == 2,
            });
            ci = co;
        }
    }
    places
}

impl Block {
    fn new(b: &mut Builder, at: &At, prefix: &str, norms: &Norms) -> Self {
        let name = |part: &str| format!("{prefix}{}.{part}", at.name);
        Block {
            conv1: Conv2d::new(b, &name("conv1"), (at.ci, at.co), 3, at.stride),
            bn1: BatchNorm::new(b, &name("bn1"), at.co, norms, false),
            conv2: Conv2d::new(b, &name("conv2"), (at.co, at.co), 3, 1),
            bn2: BatchNorm::new(b, &name("bn2"), at.co, norms, at.last),
            planes: at.co,
            stride: at.stride,
            shortcut: at.ci != at.co || at.stride != 1,
        }
    }

    /// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))
    fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        let h = self.conv1.forward(scope, x)?;
        let h = self.bn1.forward(scope, &h, None, true)?;
        let h = self.conv2.forward(scope, &h)?;
        let around =
            if self.shortcut { ops::shortcut_a(x, self.planes, self.stride)? } else { x.clone() };
        self.bn2.forward(scope, &h, Some(&around), true)
    }
}
