//! ResNets: the CIFAR ones of depth 6n+2 (He et al., 2016) as the long-tailed line of work uses them (stem
//! 3×3, three stages of n blocks, option-A shortcuts) and the ImageNet ones (stem 7×7 and maximum pool,
//! four stages, projected shortcuts; ResNeXt with grouped bottlenecks); then global average pool and
//! classifier. Parameter names as PyTorch's reference implementations and torchvision have them.

use super::blocks::{At, Block, Kind};
use super::head::Classifier;
use super::layers::{ConvShape, Fan};
use super::projection::{Projected, Projections};
use super::{BatchNorm, Builder, Conv2d, EXPERTS, Head, Norms, Scope, evidence, groups};
use crate::error::{Error, Result, unknown};
use crate::ops::{self, Pool2dOptions};
use crate::tensor::Tensor;

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct Arch {
    /// The name it is asked for by.
    pub name: &'static str,
    /// Blocks of each stage.
    pub blocks: &'static [usize],
    /// Channels of the stem, and in multiples of it of the stages.
    pub width: usize,
    /// What blocks are made of.
    pub kind: Kind,
}

const fn cifar(name: &'static str, blocks: &'static [usize], width: usize) -> Arch {
    Arch { name, blocks, width, kind: Kind::Padded }
}

const fn imagenet(name: &'static str, blocks: &'static [usize], kind: Kind) -> Arch {
    Arch { name, blocks, width: 64, kind }
}

const BOTTLENECK: Kind = Kind::Bottleneck { groups: 1, base: 64 };

/// The models: CIFAR's, then ImageNet's.
pub const MODELS: &[Arch] = &[
    cifar("small", &[1; 3], 8),
    cifar("resnet20", &[3; 3], 16),
    cifar("resnet32", &[5; 3], 16),
    cifar("resnet44", &[7; 3], 16),
    cifar("resnet56", &[9; 3], 16),
    cifar("resnet110", &[18; 3], 16),
    imagenet("resnet10", &[1; 4], Kind::Basic),
    imagenet("resnet18", &[2; 4], Kind::Basic),
    imagenet("resnet34", &[3, 4, 6, 3], Kind::Basic),
    imagenet("resnet50", &[3, 4, 6, 3], BOTTLENECK),
    imagenet("resnet101", &[3, 4, 23, 3], BOTTLENECK),
    imagenet("resnet152", &[3, 8, 36, 3], BOTTLENECK),
    imagenet("resnext50", &[3, 4, 6, 3], Kind::Bottleneck { groups: 32, base: 4 }),
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
    /// Its branches.
    pub experts: Experts<'a>,
    /// The norms.
    pub norms: Norms,
    /// The contrastive branch beside the classifier.
    pub projected: Projected,
}

/// Branches with a head each, and what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts<'a> {
    /// How many; 1: the plain network.
    pub count: usize,
    /// What each has of its own.
    pub branches: Branches,
    /// How their logits become one.
    pub combine: Combine<'a>,
}

impl Experts<'_> {
    /// The plain network.
    pub const ONE: Self = Experts { count: 1, branches: Branches::Late, combine: Combine::Mean };
}

/// What each of several experts has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branches {
    /// The later two stages at three quarters of their width (RIDE).
    Late,
    /// All stages at full width: only the stem is shared (TLC).
    Whole,
}

/// How several experts' logits become the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine<'a> {
    /// Their mean.
    Mean,
    /// Weighted by the evidence of those before (TLC, `evidence`).
    Evidence,
    /// Each class's by the experts that answer for it, given the classes' counts (ACE, `groups`).
    Groups(&'a [usize]),
}

/// The same, ready to be computed.
#[derive(Debug)]
enum Combiner {
    Mean,
    Evidence,
    Groups(Vec<Vec<f32>>),
}

impl Combiner {
    fn new(experts: &Experts<'_>) -> Result<Self> {
        Ok(match experts.combine {
            Combine::Mean => Self::Mean,
            Combine::Evidence => Self::Evidence,
            Combine::Groups(counts) => Self::Groups(groups::targets(counts, experts.count)?),
        })
    }
}

/// The network: a trunk, and one branch or several.
#[derive(Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    /// A maximum pool behind the stem.
    pooled: bool,
    blocks: Vec<Block>,
    branches: Vec<Branch>,
    projections: Option<Projections>,
    /// How many blocks lie before the end of each stage.
    stage_ends: Vec<usize>,
    combine: Combiner,
}

/// What a network makes of a batch.
#[derive(Debug)]
pub struct Pass {
    /// Each expert's pooled features [N, C].
    pub features: Vec<Tensor>,
    /// Each expert's logits [N, classes].
    pub logits: Vec<Tensor>,
    /// The network's logits [N, classes].
    pub output: Tensor,
    /// The maps [N, C, h, w] behind each stage's last ReLU, of the first expert.
    pub stages: Vec<Tensor>,
}

/// The later stages and the classifier. The first branch's names are the plain network's, those of branch
/// e > 0 begin with `experts.e.`.
#[derive(Debug)]
struct Branch {
    blocks: Vec<Block>,
    head: Classifier,
}

impl ResNet {
    /// Declares the network's parameters in `builder`.
    ///
    /// # Errors
    /// An unknown model, no classes, norm patterns that match nothing.
    pub fn new(builder: &mut Builder, spec: &Spec<'_>) -> Result<Self> {
        let arch = arch(spec.model)?;
        let Arch { blocks, width, kind, .. } = arch;
        if spec.classes == 0 {
            return Err(Error::usage("a classifier needs at least one class"));
        }
        let Experts { count: experts, branches: own, .. } = spec.experts;
        let combine = Combiner::new(&spec.experts)?;
        let narrow = experts > 1 && own == Branches::Late;
        if experts == 0 || (narrow && !width.is_multiple_of(4)) {
            return Err(Error::usage(format!("{} has no {experts} experts", spec.model)));
        }
        let places = places(&arch, narrow);
        let mut names = vec![("bn1".to_string(), false)];
        names.extend(places.iter().flat_map(|at| at.norms(kind)));
        let count = names.iter().filter(|(name, last)| spec.norms.selects(name, *last)).count();
        let all: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        spec.norms.declare(builder, "", count, &all)?;
        let (k, stride) = if kind == Kind::Padded { (3, 1) } else { (7, 2) };
        let stem = ConvShape { ci: 3, co: width, k, stride, groups: 1 };
        let conv1 = Conv2d::new(builder, "conv1", stem, (Fan::of(kind), spec.norms.weights));
        let bn1 = BatchNorm::new(builder, "bn1", width, &spec.norms, false);
        let trunk = match own {
            _ if experts == 1 => places.len(),
            Branches::Late => blocks[..shared(&arch)].iter().sum(),
            Branches::Whole => 0,
        };
        let (common, own) = places.split_at(trunk);
        let blocks =
            common.iter().map(|at| Block::new(builder, at, kind, "", &spec.norms)).collect();
        let features = places.last().map_or(width, |at| at.co);
        let mut branches = Vec::new();
        for e in 0..experts {
            let prefix = if e == 0 { String::new() } else { format!("{EXPERTS}{e}.") };
            // Each expert has an α of its own, as in the reference.
            if e > 0 {
                spec.norms.declare(builder, &prefix, count, &all)?;
            }
            branches.push(Branch {
                blocks: own
                    .iter()
                    .map(|at| Block::new(builder, at, kind, &prefix, &spec.norms))
                    .collect(),
                head: Classifier::new(
                    builder,
                    &prefix,
                    (spec.head, spec.norms.weights),
                    kind,
                    [features, spec.classes],
                ),
            });
        }
        let projections = Projections::new(builder, features, spec.projected);
        let mut total = 0;
        let ends = arch.blocks.iter().map(|n| {
            total += n;
            total
        });
        let stage_ends = ends.collect();
        let pooled = kind != Kind::Padded;
        Ok(ResNet { conv1, bn1, pooled, blocks, branches, projections, stage_ends, combine })
    }

    /// Images [N, 3, H, W] → each expert's logits [N, classes].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn each(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(self.pass(scope, x)?.logits)
    }

    /// Images [N, 3, H, W] → each expert's pooled features [N, C].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn each_features(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Vec<Tensor>> {
        let trunk = self.trunk(scope, x, &mut |_| ())?;
        let pooled = |b: &Branch| ops::global_avg_pool(&b.maps(scope, &trunk)?);
        self.branches.iter().map(pooled).collect()
    }

    /// The contrastive branch: (the first expert's) features [N, C] as unit vectors [N, P].
    ///
    /// # Errors
    /// A network without one, or shapes that do not fit.
    pub fn project(&self, scope: &Scope<'_>, features: &Tensor) -> Result<Tensor> {
        let branch = self.projections.as_ref().ok_or_else(no_branch)?;
        branch.features.forward(scope, features)
    }

    /// Each class's prototype in the contrastive branch [classes, P].
    ///
    /// # Errors
    /// A network without them, or shapes that do not fit.
    pub fn prototypes(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let branch = self.projections.as_ref().and_then(|p| p.prototypes.as_ref());
        branch.ok_or_else(no_branch)?.forward(scope, &self.branches[0].head.weight(scope)?)
    }

    /// The centroids in the (first expert's) classifier's memory [classes, C], if it has one.
    pub fn centroids(&self, scope: &Scope<'_>) -> Option<Tensor> {
        self.branches[0].head.centroids(scope)
    }

    /// Images [N, 3, H, W] → features, logits and the maps behind each stage.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn pass(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Pass> {
        self.pass_through(scope, x, |_, features| Ok(features))
    }

    /// [`ResNet::pass`], in which each expert's pooled features go to its classifier as `change` makes them
    /// of its number and the features.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn pass_through(
        &self,
        scope: &Scope<'_>,
        x: &Tensor,
        change: impl Fn(usize, Tensor) -> Result<Tensor>,
    ) -> Result<Pass> {
        let (mut stages, mut passed) = (Vec::new(), 0);
        let mut note = |h: &Tensor| {
            passed += 1;
            if self.stage_ends.contains(&passed) {
                stages.push(h.clone());
            }
        };
        let trunk = self.trunk(scope, x, &mut note)?;
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        for (e, branch) in self.branches.iter().enumerate() {
            let mut h = trunk.clone();
            for block in &branch.blocks {
                h = block.forward(scope, &h)?;
                if e == 0 {
                    note(&h);
                }
            }
            let pooled = change(e, ops::global_avg_pool(&h)?)?;
            logits.push(branch.head.forward(scope, &pooled)?);
            features.push(pooled);
        }
        Ok(Pass { features, output: self.combined(scope, &logits)?, logits, stages })
    }

    /// Images [N, 3, H, W] → logits [N, classes], those of the experts combined.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        self.combined(scope, &self.each(scope, x)?)
    }

    /// Images [N, 3, H, W] → the feature maps behind the (first expert's) last ReLU [N, C, H/4, W/4]
    /// (ImageNet's networks: H/32, W/32), and the logits [N, classes].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn maps_and_logits(&self, scope: &Scope<'_>, x: &Tensor) -> Result<[Tensor; 2]> {
        let trunk = self.trunk(scope, x, &mut |_| ())?;
        let maps: Vec<Tensor> =
            self.branches.iter().map(|b| b.maps(scope, &trunk)).collect::<Result<_>>()?;
        let logits: Vec<Tensor> = self
            .branches
            .iter()
            .zip(&maps)
            .map(|(b, maps)| b.classify(scope, maps))
            .collect::<Result<_>>()?;
        Ok([maps[0].clone(), self.combined(scope, &logits)?])
    }

    /// Images [N, 3, H, W] → the feature maps behind the (first expert's) last ReLU.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn maps(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        self.branches[0].maps(scope, &self.trunk(scope, x, &mut |_| ())?)
    }

    /// Images [N, 3, H, W] → (the first expert's) pooled features [N, C].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn features(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        ops::global_avg_pool(&self.maps(scope, x)?)
    }

    /// The experts' logits as one.
    fn combined(&self, scope: &Scope<'_>, each: &[Tensor]) -> Result<Tensor> {
        match &self.combine {
            Combiner::Mean => ops::mean_of(each),
            Combiner::Evidence => evidence::combine(each),
            Combiner::Groups(targets) => {
                let weights: Vec<Tensor> =
                    self.branches.iter().map(|b| b.head.weight(scope)).collect::<Result<_>>()?;
                groups::combine(each, &weights.iter().collect::<Vec<_>>(), targets)
            }
        }
    }

    /// What all experts share; `note` is given what each block makes.
    fn trunk(
        &self,
        scope: &Scope<'_>,
        x: &Tensor,
        note: &mut impl FnMut(&Tensor),
    ) -> Result<Tensor> {
        let mut h = self.conv1.forward(scope, x)?;
        h = self.bn1.forward(scope, &h, None, true)?;
        if self.pooled {
            h = ops::max_pool2d(&h, POOL)?;
        }
        for block in &self.blocks {
            h = block.forward(scope, &h)?;
            note(&h);
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

fn no_branch() -> Error {
    Error::Failure("the network has no such contrastive branch".into())
}

fn norms_of(blocks: &[Block]) -> impl Iterator<Item = &BatchNorm> {
    blocks.iter().flat_map(Block::norms)
}

impl Branch {
    fn maps(&self, scope: &Scope<'_>, trunk: &Tensor) -> Result<Tensor> {
        self.blocks.iter().try_fold(trunk.clone(), |h, block| block.forward(scope, &h))
    }

    fn classify(&self, scope: &Scope<'_>, maps: &Tensor) -> Result<Tensor> {
        self.head.forward(scope, &ops::global_avg_pool(maps)?)
    }
}

/// The pool behind ImageNet's stem.
const POOL: Pool2dOptions = Pool2dOptions { kernel: [3; 2], stride: [2; 2], padding: [1; 2] };

/// A model of [`MODELS`], or a CIFAR one some times as wide, such as `resnet20x2`, for measuring how cost
/// grows.
fn arch(model: &str) -> Result<Arch> {
    let known = |wanted: &str| MODELS.iter().find(|arch| arch.name == wanted).copied();
    if let Some(arch) = known(model) {
        return Ok(arch);
    }
    let wider = model.rsplit_once('x').and_then(|(name, times)| {
        let times = times.parse::<usize>().ok().filter(|t| (1..=16).contains(t))?;
        let arch = known(name).filter(|arch| arch.kind == Kind::Padded)?;
        Some(Arch { width: arch.width * times, ..arch })
    });
    wider.ok_or_else(|| {
        let names: Vec<&str> = MODELS.iter().map(|arch| arch.name).collect();
        unknown("model", model, &names)
    })
}

/// Stages that experts share: all but two.
fn shared(arch: &Arch) -> usize {
    arch.blocks.len() - 2
}

/// The blocks of all stages; with `narrow` the last two have three quarters of their width.
fn places(arch: &Arch, narrow: bool) -> Vec<At> {
    let expansion = if matches!(arch.kind, Kind::Bottleneck { .. }) { 4 } else { 1 };
    let mut places = Vec::new();
    let mut ci = arch.width;
    for (stage, blocks) in arch.blocks.iter().enumerate() {
        let full = (arch.width << stage) * expansion;
        let co = if narrow && stage >= shared(arch) { full * 3 / 4 } else { full };
        for block in 0..*blocks {
            places.push(At {
                name: format!("layer{}.{block}", stage + 1),
                ci,
                co,
                stride: if stage > 0 && block == 0 { 2 } else { 1 },
                last: stage + 1 == arch.blocks.len(),
            });
            ci = co;
        }
    }
    places
}
