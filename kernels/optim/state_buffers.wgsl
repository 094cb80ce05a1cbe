// Parameters and momentum before the step: read where they will be written.
fn old_param(at: u32) -> vec4<f32> { return params[at]; }
fn old_momentum(at: u32) -> vec4<f32> { return momentum[at]; }
