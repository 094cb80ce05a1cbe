//! evenkeel's compute kernels: one folder per family, the `.wgsl` entry points beside the Rust that
//! says what to launch (bindings, constants, grid, variants, cost in FLOPs and bytes).
//!
//! This crate knows naga and nothing of devices, tensors or gradients, so every kernel can be
//! assembled, validated, translated, costed and printed without a GPU. The way through it:
//! a family's function builds a [`Program`] (a few [`Launch`]es and the temporaries between them);
//! [`Launch::assemble`] joins the WGSL with its includes and constants; [`Assembled::compile`]
//! parses and validates it, naming the `.wgsl` file and line of an error.

#![forbid(unsafe_code)]

/// Embeds a kernel file of this crate: `source!("conv2d/forward.wgsl")`.
macro_rules! source {
    ($path:literal) => {
        $crate::Source {
            path: concat!("kernels/", $path),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)),
        }
    };
}

/// Embeds a library file: `library!("reduce.wgsl")`.
macro_rules! library {
    ($path:literal) => {
        $crate::Source {
            path: concat!("shaders/", $path),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders/", $path)),
        }
    };
}

mod launch;
mod translate;
mod tuned;
mod wgsl;

pub mod augment;
pub mod batch;
pub mod batchnorm;
pub mod catalog;
pub mod census;
pub mod conv2d;
pub mod elementwise;
pub mod limits;
pub mod matmul;
pub mod offers;
pub mod optim;
pub mod pieces;
pub mod pool;
pub mod reduce;
pub mod rows;
pub mod shortcut;
pub mod softmax_ce;
pub mod webgpu;

pub use launch::{
    Arg, Call, Caps, Constant, Cost, Exchange, Launch, Program, Source, TEXEL_ROW, linear_grid,
};
pub use translate::ShaderModel;
pub use tuned::{Tuned, conv2d_key, matmul_key};
pub use wgsl::{Access, Assembled, Binding, Compiled, ShaderError};

/// The WGSL library under `shaders/`: functions without entry points, found by `#include`.
pub const LIBRARY: &[Source] = &[
    library!("half.wgsl"),
    library!("step.wgsl"),
    library!("reduce.wgsl"),
    library!("philox.wgsl"),
    library!("subgroup.wgsl"),
];
