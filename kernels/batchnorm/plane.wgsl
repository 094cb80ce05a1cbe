// Where a channel's elements are, for the kernels that give each channel to some workgroups.
//
// Of a tensor [N, CHANNELS, H, W] read in packs (`Pack`, PLANE of them in a plane of H*W), channel c
// owns N*PLANE packs, numbered through the images; the grid's y cuts them into equal runs:
// workgroup (c, chunk) takes one run, its invocations interleaved, so a workgroup reads a contiguous
// stretch of each plane.
struct Run {
    first: u32,
    end: u32,
}

// The chunk-th of `chunks` runs of a channel's `total` packs.
fn run_of(total: u32, chunk: u32, chunks: u32) -> Run {
    let size = (total + chunks - 1u) / chunks;
    let first = min(chunk * size, total);
    return Run(first, min(first + size, total));
}

// Position in the tensor, in packs, of the channel's i-th pack.
fn element(channel: u32, i: u32) -> u32 {
    return ((i / PLANE) * CHANNELS + channel) * PLANE + i % PLANE;
}
