//! Networks: parameters in flat buffers, layers, ResNets and their heads.
//!
//! A [`Builder`] collects what layers declare (name, shape, start); [`Params`] lays it out on the
//! device; a layer's `forward` takes a [`Scope`], which hands it its tensors and notes the batch's
//! statistics.

mod blocks;
pub mod evidence;
pub mod groups;
mod head;
mod layers;
mod memory;
mod norm;
mod params;
mod projection;
mod resnet;
mod scope;
mod trans_norm;
mod weight_norm;

pub use blocks::Kind as BlockKind;
pub use head::{Head, in_head, in_head_scales, is_head_weight, of_head};
pub use layers::{Conv2d, ConvShape, Fan, Linear};
pub use memory::{
    CENTROIDS, HALLUCINATOR, MemoryParts, in_memory, memory_logits, squared_distances,
};
pub use norm::{
    BatchNorm, BiasStart, EPS, MOMENTUM, NORM_EPS, NormKind, NormLayers, Norms, SCALE_FACTOR,
};
pub use params::{
    BLOCK, Builder, Init, Kind, Learned, Named, OPTIMIZER as OPTIMIZER_PREFIX, Params, Slot,
    Tracked,
};
pub use projection::{Projected, in_projection};
pub use resnet::{Arch, Branches, Combine, Experts, MODELS, Pass, ResNet, Spec};
pub use scope::{Mode, Scope};
pub use trans_norm::{After, Moments, trans_norm_eval, trans_norm_train};
pub use weight_norm::{WeightNorm, head_weight, unit_rows, weight_norm};

/// What the names of a network's second and later experts begin with.
const EXPERTS: &str = "experts.";
