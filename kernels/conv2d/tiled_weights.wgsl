// The operands of tiled.wgsl for backward-weights: k runs over the batch's output positions.
// Grid z: share of k, group. Bindings: 0 x, 1 dy, 2 partial[share][co][ci,kh,kw] (summed by
// sum_partials.wgsl), or dw if there is one share.
// The batch size follows from the length of binding 0.

@group(0) @binding(0) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const GI: u32 = CI / GROUPS;
const M: u32 = CO / GROUPS;
const P: u32 = GI * KH * KW;

var<private> group: u32;
var<private> share: u32;
var<private> row_at: vec4<u32>;                     // this lane's rows of A: channel plane in dy
var<private> row_inside: vec4<bool>;
var<private> plane: vec4<u32>;                      // this lane's columns of B: channel plane of x,
var<private> y: vec4<u32>;                          // and the tap's offset in it
var<private> x: vec4<u32>;
var<private> column: vec4<u32>;

fn columns() -> u32 { return P; }

// The range of k of this workgroup: a share of the batch's output positions. From locals, to be
// uniform (barriers stand in the loop over it).
fn start(z: u32, depth: u32) -> vec2<u32> {
    let part = z / GROUPS;
    group = z % GROUPS;
    share = part;
    let shares = depth / GROUPS;
    let positions = arrayLength(&image) / (CI * H * W) * (HO * WO);
    let size = ((positions + shares - 1u) / shares + KT - 1u) / KT * KT;
    return min(vec2<u32>(part, part + 1u) * size, vec2<u32>(positions));
}

fn choose_rows(m: vec4<u32>) {
    row_inside = m < vec4<u32>(M);
    row_at = (group * M + min(m, vec4<u32>(M - 1u))) * (HO * WO);
}

fn choose_columns(p: vec4<u32>) {
    column = p;
    let k = min(p, vec4<u32>(P - 1u));
    plane = (group * GI + k / (KH * KW)) * (H * W);
    y = k / KW % KH * DH - PH;
    x = k % KW * DW - PW;
}

fn load_a(k: u32, end: u32) -> vec4<f32> {
    if k >= end { return vec4<f32>(); }
    let at = k / (HO * WO) * (CO * HO * WO) + k % (HO * WO) + row_at;
    let v = vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]);
    return select(vec4<f32>(), v, row_inside);
}

fn load_b(k: u32, end: u32) -> vec4<f32> {
    if k >= end { return vec4<f32>(); }
    let row = k / WO % HO * SH + y;
    let column = k % WO * SW + x;
    let inside = (row < vec4<u32>(H)) & (column < vec4<u32>(W));
    let base = k / (HO * WO) * (CI * H * W) + plane;
    let at = min(base + row * W + column, vec4<u32>(arrayLength(&image) - 1u));
    let v = vec4<f32>(image[at.x], image[at.y], image[at.z], image[at.w]);
    return select(vec4<f32>(), v, inside);
}

fn store(m: u32, v: vec4<f32>) {
    if m >= M { return; }
    let at = (share * CO + group * M + m) * P + column;
    if column.x < P { result[at.x] = v.x; }
    if column.y < P { result[at.y] = v.y; }
    if column.z < P { result[at.z] = v.z; }
    if column.w < P { result[at.w] = v.w; }
}
