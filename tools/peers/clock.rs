//! What every peer program here shares (included by path, no crate): the timing of one case and the
//! JSON line that `compare` reads. A time is a median over `repeats` groups of calls, each group ended by `wait`,
//! divided by the calls in it.

use std::time::Instant;

/// The command line: `PROGRAM [CASE...] [--repeats N] [--batch N]...`, cases in groups.
pub struct Wanted {
    groups: Vec<String>,
    named: &'static [&'static str],
    pub repeats: usize,
    pub batches: Vec<usize>,
}

impl Wanted {
    /// Reads the arguments; `usual` are the groups that the program has, `named` those that run only where
    /// they are named.
    pub fn read(usual: &[&'static str], named: &'static [&'static str]) -> Self {
        let known = [usual, named].concat();
        let mut wanted = Wanted { groups: Vec::new(), named, repeats: 7, batches: Vec::new() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            match arg.as_str() {
                "--repeats" => wanted.repeats = number().unwrap_or_else(|| usage(&known)),
                "--batch" => wanted.batches.push(number().unwrap_or_else(|| usage(&known))),
                group if known.contains(&group) => wanted.groups.push(arg),
                _ => usage(&known),
            }
        }
        if wanted.batches.is_empty() {
            wanted.batches.push(32);
        }
        wanted
    }

    /// Whether a group was asked for; without any, all usual ones are.
    pub fn has(&self, group: &str) -> bool {
        match self.groups.is_empty() {
            true => !self.named.contains(&group),
            false => self.groups.iter().any(|g| g == group),
        }
    }
}

fn usage<T>(known: &[&str]) -> T {
    eprintln!("usage: [{}]... [--repeats N] [--batch N]...", known.join("|"));
    std::process::exit(2);
}

/// Who is timed.
pub struct Clock {
    pub peer: &'static str,
    pub version: &'static str,
    pub device: String,
    pub repeats: usize,
}

impl Clock {
    /// Times `call`; its results live until `wait` has returned, so that a lazy engine can't drop the
    /// work.
    pub fn time<T>(&self, case: &str, mut call: impl FnMut() -> T, wait: impl Fn()) {
        let mut group = |calls: usize| {
            let start = Instant::now();
            let made: Vec<T> = (0..calls).map(|_| call()).collect();
            wait();
            let ms = start.elapsed().as_secs_f64() * 1e3 / calls as f64;
            drop(made);
            ms
        };
        let first = group(1);
        // what takes seconds is warm after one call
        if first < 1000.0 {
            group(2);
        }
        let calls = ((20.0 / group(1).max(1e-3)) as usize).clamp(1, 32);
        let cpu = cpu_ms();
        let mut found: Vec<f64> = (0..self.repeats).map(|_| group(calls)).collect();
        let cpu = cpu.zip(cpu_ms()).map(|(a, b)| (b - a) / (self.repeats * calls) as f64);
        found.sort_by(f64::total_cmp);
        println!(
            "{{\"peer\":\"{}\",\"version\":\"{}\",\"device\":\"{}\",\"case\":\"{case}\",\
             \"median_ms\":{:.5},\"min_ms\":{:.5},\"cpu_ms\":{},\"first_ms\":{first:.2},\
             \"repeats\":{},\"calls\":{calls}}}",
            self.peer,
            self.version,
            self.device,
            found[found.len() / 2],
            found[0],
            cpu.map_or("null".into(), |c| format!("{c:.5}")),
            self.repeats,
        );
    }
}

/// Processor time of all threads of this process (Linux; 10 ms fine).
fn cpu_ms() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks * 10.0)
}
