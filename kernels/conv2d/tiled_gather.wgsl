// The operands of tiled.wgsl for forward and backward-data (the roles of x, y are dy, dx there).
// Grid z: phase, group. Bindings: 0 x or dy, 1 weights, 2 y or dx.
// The batch size follows from the length of binding 0.

#include "phases"

@group(0) @binding(0) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const M: u32 = OUT;

var<private> group: u32;
var<private> phase: vec2<u32>;
var<private> first: vec2<u32>;                      // first tap of the phase
var<private> taps: vec2<u32>;                       // number of taps of the phase
var<private> weight_row: vec4<u32>;                 // this lane's rows of A: where they begin
var<private> row_inside: vec4<bool>;
var<private> plane: vec4<u32>;                      // this lane's columns of B: their image,
var<private> y: vec4<u32>;                          // and position (before a tap's offset) in it
var<private> x: vec4<u32>;
var<private> target_at: vec4<u32>;                  // where a column is stored, channel 0 of the group
var<private> target_inside: vec4<bool>;

fn columns() -> u32 {
    return arrayLength(&image) / (IN * GROUPS * IMAGE.x * IMAGE.y) * LATTICE.x * LATTICE.y;
}

// The range of k of this workgroup. From locals: what a private variable holds counts as non-uniform,
// and barriers stand in the loop over this range.
fn start(z: u32, depth: u32) -> vec2<u32> {
    let at = vec2<u32>(z / GROUPS / PHASES.y, z / GROUPS % PHASES.y);
    let kh0 = first_tap(at.x, SH, PH, DH, KH, TAP_STEP_H);
    let kw0 = first_tap(at.y, SW, PW, DW, KW, TAP_STEP_W);
    let rows = (KH - kh0 + TAP_STEP_H - 1u) / TAP_STEP_H;
    let columns = (KW - kw0 + TAP_STEP_W - 1u) / TAP_STEP_W;
    group = z % GROUPS;
    phase = at;
    first = vec2<u32>(kh0, kw0);
    taps = vec2<u32>(rows, columns);
    return vec2<u32>(0u, IN * rows * columns);
}

fn choose_rows(m: vec4<u32>) {
    row_inside = m < vec4<u32>(M);
    let c = min(m, vec4<u32>(M - 1u));
    if DATA {
        weight_row = (group * IN * OUT + c) * TAPS;
    } else {
        weight_row = (group * OUT + c) * (IN * TAPS);
    }
}

fn choose_columns(p: vec4<u32>) {
    let n = p / (LATTICE.x * LATTICE.y);
    let i = p / LATTICE.y % LATTICE.x;
    let j = p % LATTICE.y;
    plane = (n * GROUPS + group) * IN * (IMAGE.x * IMAGE.y);
    y = i * PIXEL_STEP.x;
    x = j * PIXEL_STEP.y;
    let h = i * PHASES.x + phase.x;
    let w = j * PHASES.y + phase.y;
    target_inside = (p < vec4<u32>(columns())) & (h < vec4<u32>(RESULT.x)) & (w < vec4<u32>(RESULT.y));
    target_at = ((n * GROUPS + group) * OUT * RESULT.x + h) * RESULT.y + w;
}

// (channel within the group, kh, kw) of k.
fn tap_of(k: u32) -> vec3<u32> {
    if !DATA { return vec3<u32>(k / TAPS, k / KW % KH, k % KW); }
    let t = vec2<u32>(k / taps.y % taps.x, k % taps.y);
    let tap = first + t * vec2<u32>(TAP_STEP_H, TAP_STEP_W);
    return vec3<u32>(k / (taps.x * taps.y), tap);
}

fn load_a(k: u32, end: u32) -> vec4<f32> {
    if k >= end { return vec4<f32>(); }
    let t = tap_of(k);
    let at = weight_row + t.x * (TAPS * select(1u, OUT, DATA)) + t.y * KW + t.z;
    let v = vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
    return select(vec4<f32>(), v, row_inside);
}

fn load_b(k: u32, end: u32) -> vec4<f32> {
    if k >= end { return vec4<f32>(); }
    let t = tap_of(k);
    let row = y + tap_offset(phase.x, t.y, SH, PH, DH);
    let column = x + tap_offset(phase.y, t.z, SW, PW, DW);
    let inside = (row < vec4<u32>(IMAGE.x)) & (column < vec4<u32>(IMAGE.y));
    let at = min(plane + (t.x * IMAGE.x + row) * IMAGE.y + column, vec4<u32>(arrayLength(&image) - 1u));
    let v = vec4<f32>(image[at.x], image[at.y], image[at.z], image[at.w]);
    return select(vec4<f32>(), v, inside);
}

fn store(m: u32, v: vec4<f32>) {
    if m >= M { return; }
    let at = target_at + m * (RESULT.x * RESULT.y);
    if target_inside.x { result[at.x] = v.x; }
    if target_inside.y { result[at.y] = v.y; }
    if target_inside.z { result[at.z] = v.z; }
    if target_inside.w { result[at.w] = v.w; }
}
