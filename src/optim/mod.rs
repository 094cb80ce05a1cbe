//! Optimizers: all parameters in one launch, after a guard that finds gradients that are not finite.

mod sgd;

pub use sgd::{Alarm, Learning, Sgd, SgdOptions};
