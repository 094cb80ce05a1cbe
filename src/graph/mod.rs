//! Trace → backward → plan → replay.
//!
//! [`grad`] walks the recorded nodes from a loss in reverse and records the gradient's nodes.
//! [`Plan::build`] takes the values wanted, orders the nodes behind them, places their outputs in
//! reused buffers by liveness, and binds every launch; [`Plan::run`] replays the list in one pass
//! and one submit. [`Tensor::to_vec`](crate::tensor::Tensor::to_vec) does all of it for one value.

mod backward;
mod eval;
mod exchange;
mod plan;
mod recompute;
mod schedule;
mod texels;
mod trace;

pub use backward::{grad, grad_again, vjp};
pub use eval::evaluate;
pub use plan::{Plan, PlanStats, Step, Workspace};
pub use schedule::{Effect, Work};
pub use trace::{Culprit, Extent};
