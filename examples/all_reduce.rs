//! How long ranks take to sum gradients of several sizes: `mpirun -n 2 target/release/examples/all_reduce`. The
//! numbers are those that docs/distributed.md models a step with.

use evenkeel::dist;
use evenkeel::error::Result;
use std::time::Instant;

/// Sums of each size; the median is told, and the shortest, which other work on the machine disturbs least.
const TIMES: usize = 21;

fn main() -> Result<()> {
    let group = dist::launched()?;
    if group.leads() {
        let ranks = group.size();
        println!(
            "{ranks} ranks\n{:>12} {:>12} {:>12} {:>10}",
            "bytes", "median ms", "least ms", "GB/s"
        );
    }
    for power in [2, 10, 14, 18, 20, 22, 24, 26] {
        let bytes = 1usize << power;
        let mut data = vec![1.0f32; bytes / 4];
        let mut seconds = Vec::new();
        for _ in 0..TIMES {
            // So that no rank waits for another that was late.
            group.total(0)?;
            let began = Instant::now();
            group.sum(&mut data)?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let [least, median] = [seconds[0], seconds[TIMES / 2]].map(|s| s * 1e3);
        if group.leads() {
            let rate = bytes as f64 / least / 1e6;
            println!("{bytes:>12} {median:>12.4} {least:>12.4} {rate:>10.2}");
        }
    }
    Ok(())
}
