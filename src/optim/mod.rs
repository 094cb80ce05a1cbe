//! Optimizers: all parameters in one launch (a launch a part, where a device binds less), after a guard that finds gradients that are not finite.

mod buckets;
mod loss_scale;
mod sgd;

pub use loss_scale::Scaled;
pub use sgd::{Alarm, Learning, Sgd, SgdOptions};
