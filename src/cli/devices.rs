//! `evenkeel devices`: the adapters, best first; the number is what `--device` takes.

use crate::error::Result;
use crate::gpu::{Adapter, Limits, adapters, mib};
use crate::train::progress::say;
use evenkeel_kernels::Caps;
use evenkeel_kernels::offers::{Offer, offers, subgroups};
use evenkeel_kernels::webgpu::MOST_BUFFERS;
use serde_json::{Value, json};

/// Arguments of `devices`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON array on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let found = adapters();
    let asked = Limits::asked()?;
    if args.json {
        let list: Vec<Value> =
            found.iter().enumerate().map(|(i, a)| describe(i, a, asked)).collect();
        say(format_args!("{}", Value::from(list)));
        return Ok(());
    }
    if found.is_empty() {
        say(format_args!(
            "no adapter found. Install a Vulkan driver: on Debian or Ubuntu `apt install libvulkan1 \
             mesa-vulkan-drivers` brings AMD, Intel and a software driver"
        ));
    }
    for (i, adapter) in found.iter().enumerate() {
        let caps = adapter.caps(asked);
        let info = &adapter.info;
        say(format_args!("{i}: {}", crate::gpu::describe(info)));
        say(format_args!("   kind            {:?}", info.device_type));
        say(format_args!("   largest binding {}", mib(caps.max_binding)));
        say(format_args!(
            "   workgroup       {} invocations, {} KiB memory",
            caps.max_invocations,
            caps.workgroup_memory >> 10
        ));
        say(format_args!("   subgroups       {}", subgroups(&caps)));
        say(format_args!("   f16             {}", if caps.f16 { "yes" } else { "no" }));
        let coop = adapter.cooperative_matrices().len();
        say(format_args!(
            "   matrix units    {}",
            if coop > 0 { format!("{coop} shapes") } else { "no".into() }
        ));
        for Offer { family, offered, why, lacking } in offers(&caps) {
            say(format_args!("   {family:<15} {} ({why})", offered.join(", ")));
            for (variant, reason) in lacking {
                say(format_args!("                   no {variant}: {reason}"));
            }
        }
        for (what, reason) in rest(adapter, &caps, asked) {
            say(format_args!("   {what:<15} {reason}"));
        }
    }
    Ok(())
}

/// What else decides about kernels, and why it is as it is.
fn rest(adapter: &Adapter, caps: &Caps, asked: Limits) -> Vec<(&'static str, String)> {
    let inputs = match (caps.texels, caps.software, asked) {
        (true, ..) => {
            "as texels where that is faster (software device with float storage textures)"
        }
        (_, _, Limits::Webgpu | Limits::Downlevel) => "from buffers (texels need a feature)",
        (_, true, _) => "from buffers (no read-only storage textures of four floats)",
        (_, false, _) => "from buffers (a GPU reads them as fast)",
    };
    let mut found = vec![("inputs", inputs.to_string())];
    let buffers = adapter.limits(asked).max_storage_buffers_per_shader_stage;
    if buffers < MOST_BUFFERS {
        let short = format!(
            "{buffers} in a kernel; training needs {MOST_BUFFERS}, so it can't run here: \
             `evenkeel check` says which ops can"
        );
        found.push(("storage buffers", short));
    }
    if adapter.info.backend == wgpu::Backend::Dx12 {
        // wgpu doesn't say which compiler it loaded; subgroups need the newer one's shader models.
        let compiler = if adapter.features().contains(wgpu::Features::SUBGROUP) {
            "DXC"
        } else {
            "FXC, Microsoft's old one: no subgroups, no f16. For these put dxcompiler.dll of \
             github.com/microsoft/DirectXShaderCompiler beside evenkeel.exe"
        };
        found.push(("shader compiler", compiler.to_string()));
    }
    found
}

fn describe(index: usize, adapter: &Adapter, asked: Limits) -> Value {
    let (caps, info, limits) = (adapter.caps(asked), &adapter.info, adapter.limits(asked));
    let kernels: Vec<Value> = offers(&caps)
        .into_iter()
        .map(|o| json!({"family": o.family, "offered": o.offered, "why": o.why, "lacking": o.lacking}))
        .collect();
    json!({
        "index": index,
        "name": info.name,
        "backend": info.backend.to_string(),
        "kind": format!("{:?}", info.device_type),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "software": caps.software,
        "subgroups": caps.subgroups,
        "subgroup_size": [caps.subgroup_size.0, caps.subgroup_size.1],
        "f16": caps.f16,
        "cooperative_matrices": adapter.cooperative_matrices(),
        "features": format!("{:?}", adapter.features()),
        "limits": {
            "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
            "max_buffer_size": limits.max_buffer_size,
            "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
            "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
            "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
            "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
        },
        "texels": caps.texels,
        "kernels": kernels,
    })
}
