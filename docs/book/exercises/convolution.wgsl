// dx of y[n,co,h,w] = sum over ci,kh,kw of x[n,ci,h+kh-1,w+kw-1] * w[co,ci,kh,kw].
//
// Constants: N, CI, CO, H, W. Grid: at least (W, H, N*CI) invocations.
// Bindings: 0 dy [N, CO, H, W], 1 w [CO, CI, 3, 3], 2 dx [N, CI, H, W].

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= W || id.y >= H || id.z >= N * CI {
        return;
    }
    let n = id.z / CI;
    let ci = id.z % CI;
    var sum = 0.0;
    for (var co = 0u; co < CO; co++) {
        for (var kh = 0u; kh < 3u; kh++) {
            for (var kw = 0u; kw < 3u; kw++) {
                // Which output used x[n, ci, id.y, id.x] under this tap?
            }
        }
    }
    dx[(id.z * H + id.y) * W + id.x] = sum;
}
