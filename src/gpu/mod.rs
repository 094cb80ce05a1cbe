//! The device: adapters, buffers, pipelines, submission, timestamps.
//!
//! [`Gpu::open`] chooses an adapter. [`Gpu::bind`] turns one [`evenkeel_kernels::Call`] and its
//! buffers into a [`Dispatch`] (pipelines are cached); [`Gpu::submit`] runs a list of them in one
//! compute pass and one submit; [`Gpu::profile`] runs it with a timestamp around each.

#[cfg_attr(not(target_os = "linux"), path = "alias_none.rs")]
mod alias;
mod buffer;
mod device;
mod limits;
mod pipeline;
mod stream;
pub mod table;
mod tape;
mod texels;
mod wait;
mod watchdog;

pub use buffer::{Buffer, Memory, Slice, mib};
pub use device::{Adapter, BUFFERS, Gpu, adapters, describe};
pub use limits::Limits;
pub use pipeline::Pipeline;
pub use stream::{Binding, Dispatch, STEP_BYTES, StepUniform};
pub use tape::record_in;
pub use texels::{TexelCopy, Texels};
pub(crate) use wait::{Readback, at_once};
pub use watchdog::Watchdog;
