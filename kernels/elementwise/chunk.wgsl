// Who computes which packs. Each run of 8 threads walks a contiguous chunk of 8 * PACKS packs, pass
// i taking the packs first + 8 i: 128 bytes at a time, a cache line of a discrete GPU, while on a CPU
// device a subgroup stays in its own stretch of memory (4x faster than interleaved workgroups).
// Workgroups of 64 threads; grid: linear, 64 * PACKS packs a workgroup. Constant: PACKS.
const RUN: u32 = 8u;

fn first_pack(wg: vec3<u32>, groups: vec3<u32>, thread: u32) -> u32 {
    let workgroup = wg.x + wg.y * groups.x;
    return (workgroup * 64u + thread / RUN * RUN) * PACKS + thread % RUN;
}
