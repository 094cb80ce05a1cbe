//! Optimizers: all parameters in one launch (a launch a part, where a device binds less), after a guard that finds gradients that are not finite.

mod buckets;
mod sgd;

pub use sgd::{Alarm, Learning, Sgd, SgdOptions};
