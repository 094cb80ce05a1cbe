//! `evenkeel devices`: the adapters, best first; the number is what `--device` takes.

use crate::error::Result;
use crate::gpu::{Adapter, adapters, mib};
use crate::train::progress::say;
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
    if args.json {
        let list: Vec<Value> = found.iter().enumerate().map(|(i, a)| describe(i, a)).collect();
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
        let caps = adapter.caps();
        let info = &adapter.info;
        say(format_args!("{i}: {}", crate::gpu::describe(info)));
        say(format_args!("   kind            {:?}", info.device_type));
        say(format_args!("   largest binding {}", mib(caps.max_binding)));
        say(format_args!(
            "   workgroup       {} invocations, {} KiB memory",
            caps.max_invocations,
            caps.workgroup_memory >> 10
        ));
        let (least, most) = caps.subgroup_size;
        let subgroups = match (caps.subgroups, least == most) {
            (false, _) => "no".to_string(),
            (true, true) => format!("of {least}"),
            (true, false) => format!("of {least} to {most}"),
        };
        say(format_args!("   subgroups       {subgroups}"));
        say(format_args!("   f16             {}", if caps.f16 { "yes" } else { "no" }));
        let coop = adapter.cooperative_matrices().len();
        say(format_args!(
            "   matrix units    {}",
            if coop > 0 { format!("{coop} shapes") } else { "no".into() }
        ));
        say(format_args!("   kernels         {}", choice(&caps)));
    }
    Ok(())
}

/// Which kernel family a device gets, and why.
fn choice(caps: &evenkeel_kernels::Caps) -> String {
    match (caps.software, caps.fixed_subgroup()) {
        (true, Some(size)) => format!("subgroup family (software device, subgroups of {size})"),
        (true, None) => "portable direct family (software device)".into(),
        (false, _) => "workgroup-tiled family (GPU)".into(),
    }
}

fn describe(index: usize, adapter: &Adapter) -> Value {
    let (caps, info, limits) = (adapter.caps(), &adapter.info, adapter.limits());
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
        "kernels": choice(&caps),
    })
}
