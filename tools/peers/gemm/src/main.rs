//! Times the `gemm` crate on a product of two 512×512 matrices on as many threads as
//! `RAYON_NUM_THREADS` says; see `../clock.rs` for the command line.

// One group, without batches: a part of what is shared lies idle here.
#[allow(dead_code)]
#[path = "../../clock.rs"]
mod clock;

use clock::{Clock, Wanted};

fn main() {
    let wanted = Wanted::read(&["matmul"], &[]);
    let clock =
        Clock { peer: "gemm", version: "0.19.0", device: "cpu".into(), repeats: wanted.repeats };
    const N: usize = 512;
    let a: Vec<f32> = (0..N * N).map(|i| (i % 17) as f32 - 8.0).collect();
    let b: Vec<f32> = (0..N * N).map(|i| (i % 13) as f32 - 6.0).collect();
    let mut c = vec![0f32; N * N];
    let side = N as isize;
    let call = || {
        // SAFETY: each matrix has N rows of N, row after row, and c is not read.
        unsafe {
            gemm::gemm(
                N, N, N, c.as_mut_ptr(), 1, side, false, a.as_ptr(), 1, side, b.as_ptr(), 1, side,
                0.0, 1.0, false, false, false, gemm::Parallelism::Rayon(0),
            );
        }
    };
    clock.time("matmul_512x512x512", call, || {});
}
