// Convolution as a matrix product in workgroup tiles (implicit GEMM), for GPUs with fast workgroup
// memory: C[m][p] = sum over k of A[m][k] * B[k][p], where A and B are read straight from the tensors.
//
//                     m         p           k              A         B
//   forward           co        (n,oh,ow)   (ci,kh,kw)     weights   x under tap k of position p
//   backward-data     ci        (n,i,j)     (co,kh,kw)     weights   dy that tap k carries to p
//   backward-weights  co        (ci,kh,kw)  (n,oh,ow)      dy        x under tap p of position k
//
// The operands file says how quads of A and B are loaded and where C is stored, the numbers file of what
// numbers the tiles are, the products file how they are multiplied.
// Mapping: a workgroup computes a tile of TM x TP; an invocation 8 x 4 of it (8 vec4 over p). For each
// slice of KT values of k, the invocations load the slices of A and B into workgroup memory, as vec4
// over m and over p, wait, multiply, and wait again.
// Grid: x, y: tiles, m fastest, folded; z: see the operands file.

#include "numbers"
#include "operands"

const THREADS: u32 = TM * TP / 32u;
const A_QUADS: u32 = TM / 4u;
const B_QUADS: u32 = TP / 4u;

var<workgroup> tile_a: array<Quad, KT * A_QUADS>;         // [k][m / 4]
var<workgroup> tile_b: array<Quad, KT * B_QUADS>;         // [k][p / 4]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    const M_TILES = (M + TM - 1u) / TM;
    let tile = wg.x + wg.y * grid.x;
    let m0 = tile % M_TILES * TM;
    let p0 = tile / M_TILES * TP;
    let range = start(wg.z, grid.z);
    if p0 >= columns() { return; }

    // What this invocation loads: one quad of A at one k, quads of B at every B_STEP-th k.
    const B_STEP = THREADS / B_QUADS;
    let a_k = lane % KT;
    let a_quad = lane / KT;
    let b_k = lane / B_QUADS;
    let b_quad = lane % B_QUADS;
    choose_rows(m0 + a_quad * 4u + vec4<u32>(0u, 1u, 2u, 3u));
    choose_columns(p0 + b_quad * 4u + vec4<u32>(0u, 1u, 2u, 3u));

    // What it computes: rows tm*8 .. +7, columns tp*4 .. +3 of the tile.
    let tm = lane / B_QUADS;
    let tp = lane % B_QUADS;
    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    var acc2 = vec4<f32>();
    var acc3 = vec4<f32>();
    var acc4 = vec4<f32>();
    var acc5 = vec4<f32>();
    var acc6 = vec4<f32>();
    var acc7 = vec4<f32>();
    for (var k0 = range.x; k0 < range.y; k0 += KT) {
        if a_quad < A_QUADS {
            tile_a[a_k * A_QUADS + a_quad] = Quad(load_a(k0 + a_k, range.y));
        }
        for (var k = b_k; k < KT; k += B_STEP) {
            tile_b[k * B_QUADS + b_quad] = Quad(load_b(k0 + k, range.y));
        }
        workgroupBarrier();
        #include "products"
        workgroupBarrier();
    }
    // The columns this invocation loaded are the ones it stores: tp == b_quad.
    let m = m0 + tm * 8u;
    store(m, acc0);
    store(m + 1u, acc1);
    store(m + 2u, acc2);
    store(m + 3u, acc3);
    store(m + 4u, acc4);
    store(m + 5u, acc5);
    store(m + 6u, acc6);
    store(m + 7u, acc7);
}
