//! evenkeel trains image classifiers on long-tailed data on any GPU, without CUDA.
//!
//! The way of the data, and the order of the modules: files ([`data`]) → a batch on the device →
//! network ([`nn`]) → [`loss`] → gradients ([`graph`]) → update ([`optim`]) → the loop and what
//! it leaves on disk ([`train`]) → the page about it ([`report`]). Below them lie the lazy [`tensor`] and the device ([`gpu`]); the
//! kernels are the crate `evenkeel_kernels`. Imports run one way:
//! cli → lesson → bench, report → train → nn, loss, optim, data → ops → graph, tensor → gpu → kernels.
//!
//! ```no_run
//! use evenkeel::{gpu::Gpu, graph::grad, ops, tensor::Tensor};
//! # fn main() -> evenkeel::error::Result<()> {
//! let gpu = Gpu::open(None)?;
//! let x = Tensor::new(&gpu, &[1.0, -2.0, 3.0], [3])?;
//! let loss = ops::sum(&ops::unary("square", &x)?, &[], false)?;
//! let dx = grad(&loss, &[&x])?.remove(0).expect("the loss depends on x");
//! assert_eq!(dx.to_vec()?, [2.0, -4.0, 6.0]);
//! # Ok(()) }
//! ```

pub mod data;
#[cfg(not(target_arch = "wasm32"))]
pub mod report;
pub mod train;

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
#[cfg(not(target_arch = "wasm32"))]
pub mod lesson;

pub mod check;
pub mod loss;
pub mod nn;
pub mod optim;

pub mod ops;

pub mod graph;
pub mod tensor;

pub mod dist;
pub mod gpu;

#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod error;
