// C[batch, m, n] = A B (+ bias), one thread per element: the rung that the others are measured from,
// and the choice for the smallest products.
//
// Mapping: thread = element of C. Grid: linear, 64 elements a workgroup.
// Bindings: 0 a, 1 b, 2 bias, 3 c.
#include "operands"
#include "result"

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index >= arrayLength(&c)) {
        return;
    }
    let column = index % N;
    let row = index / N % M;
    let matrix = index / (N * M);
    let a_step = select(1u, M, TRANSPOSE_A);
    let b_step = select(N, 1u, TRANSPOSE_B);
    var at_a = matrix * (M * K) + select(row * K, row, TRANSPOSE_A);
    var at_b = matrix * (K * N) + select(column, column * K, TRANSPOSE_B);
    var sum = 0.0;
    for (var k = 0u; k < K; k++) {
        sum += a(at_a) * b(at_b);
        at_a += a_step;
        at_b += b_step;
    }
    if (BIAS) {
        sum += bias[column];
    }
    c[index] = sum;
}
