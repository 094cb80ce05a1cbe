//! Lower limits than the adapter's, to see on this machine what a lesser device would do: the device is
//! asked for with them (`--limits`, `EVENKEEL_LIMITS`), so the driver's own checks hold.

use crate::error::{Result, unknown};
use evenkeel_kernels::Caps;
use std::sync::OnceLock;

/// Which limits and features a device is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// All that the adapter has.
    #[default]
    Adapter,
    /// WebGPU's defaults, which every browser has, and no features.
    Webgpu,
    /// wgpu's defaults for old phones and OpenGL: a kernel binds four storage buffers.
    Downlevel,
}

static ASKED: OnceLock<Limits> = OnceLock::new();

impl Limits {
    /// The names that [`Limits::named`] takes.
    pub const NAMES: &'static [&'static str] = &["adapter", "webgpu", "downlevel"];

    /// Limits by name.
    ///
    /// # Errors
    /// A name that is not there.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "adapter" => Ok(Limits::Adapter),
            "webgpu" => Ok(Limits::Webgpu),
            "downlevel" => Ok(Limits::Downlevel),
            other => Err(unknown("limits", other, Self::NAMES)),
        }
    }

    /// Every device opened from now on in this process is asked for with these limits, whatever the
    /// environment says; the first call counts.
    pub fn ask(self) {
        let _ = ASKED.set(self);
    }

    /// The limits asked for: by [`Limits::ask`], else `EVENKEEL_LIMITS`, else the adapter's.
    ///
    /// # Errors
    /// As [`Limits::named`].
    pub fn asked() -> Result<Self> {
        if let Some(asked) = ASKED.get() {
            return Ok(*asked);
        }
        match std::env::var("EVENKEEL_LIMITS") {
            Ok(name) if !name.is_empty() => Limits::named(&name),
            _ => Ok(Limits::Adapter),
        }
    }

    /// What the device is asked for, of what the adapter has.
    pub(super) fn of(self, adapter: wgpu::Limits) -> wgpu::Limits {
        match self {
            Limits::Adapter => adapter,
            Limits::Webgpu => wgpu::Limits::default().or_worse_values_from(&adapter),
            Limits::Downlevel => wgpu::Limits::downlevel_defaults().or_worse_values_from(&adapter),
        }
    }

    /// What such a device offers to kernels, of what the adapter does.
    pub(super) fn clip(self, caps: Caps, limits: &wgpu::Limits) -> Caps {
        if self == Limits::Adapter {
            return caps;
        }
        Caps {
            software: caps.software,
            max_binding: limits.max_storage_buffer_binding_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            tuned: caps.tuned,
            prefer: caps.prefer,
            half_products: caps.half_products,
            ..Caps::portable()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;
    use evenkeel_kernels::Caps;

    #[test]
    fn names_are_those_that_are_taken() {
        for name in Limits::NAMES {
            assert!(Limits::named(name).is_ok(), "{name}");
        }
        let wrong = Limits::named("webgl").expect_err("no such limits");
        assert_eq!(wrong.exit_code(), 2);
        assert!(wrong.to_string().contains("webgpu"), "{wrong}");
    }

    #[test]
    fn lower_limits_take_features_away_and_never_give_more_than_there_is() {
        let adapter = wgpu::Limits {
            max_storage_buffer_binding_size: 64 << 20,
            max_compute_invocations_per_workgroup: 1024,
            ..Default::default()
        };
        let all = Caps { subgroups: true, f16: true, texels: true, ..Caps::portable() };
        for asked in [Limits::Webgpu, Limits::Downlevel] {
            let limits = asked.of(adapter.clone());
            let caps = asked.clip(all.clone(), &limits);
            assert!(!caps.subgroups && !caps.f16 && !caps.texels, "{caps:?}");
            assert_eq!((caps.max_binding, caps.max_invocations), (64 << 20, 256), "{caps:?}");
        }
        let few = Limits::Downlevel.clip(all.clone(), &Limits::Downlevel.of(adapter.clone()));
        assert_eq!(few.storage_buffers, 4);
        assert_eq!(Limits::Adapter.clip(all.clone(), &adapter), all);
    }
}
