//! What the integration tests share: one device.

use evenkeel::gpu::Gpu;
use std::rc::Rc;

/// The device under test; without any there is nothing to test, and that is a failure.
pub fn gpu() -> Rc<Gpu> {
    Gpu::open(None).expect("a Vulkan, Metal or DX12 adapter (tools/setup installs a software one)")
}
