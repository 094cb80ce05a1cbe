//! `evenkeel data`: looks through a data set, packs it into shards, measures how fast it is read.

use crate::data::audit::{self, Audit, Training};
use crate::data::stream::{How, Times, View};
use crate::error::{Error, Result};
use crate::train::metrics::Shot;
use crate::train::progress::say;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `data`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Decode every image; print classes and what is broken, missing, or in training and test alike
    Check {
        /// Class folders, list files (their folder or the training list), or a packed set
        place: PathBuf,
        /// Seed of the choice of test images, where there are none
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Pack a set into tar files (WebDataset's layout), which `--dataset shards` reads
    Pack {
        /// Class folders or list files
        place: PathBuf,
        /// Folder of the shards, which must not hold any
        out: PathBuf,
        /// Size of a shard in MiB
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..65_536))]
        shard_size: u64,
        /// Seed of the order within shards, and of the choice of test images where there are none
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Leave broken and missing images out, instead of stopping
        #[arg(long)]
        skip_bad: bool,
    },
    /// Measure images a second: decoding alone, and read, decoded, cropped and resized as in training
    Speed {
        /// Class folders, list files, or a packed set
        place: PathBuf,
        /// Height and width that images are brought to
        #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u16).range(8..4097))]
        image_size: u16,
        /// Images, spread over the training set
        #[arg(long, default_value_t = 2000)]
        images: usize,
        /// Threads [default: the processors]
        #[arg(long)]
        threads: Option<usize>,
        /// Rounds, of which the medians are told
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..1000))]
        rounds: u16,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Check { place, seed, json } => check(&audit::audit(place, *seed)?, *json),
        What::Pack { place, out, shard_size, seed, skip_bad } => {
            let packed = audit::pack(place, out, shard_size << 20, *seed, *skip_bad)?;
            for skipped in &packed.skipped {
                eprintln!("left out {skipped}");
            }
            say(format_args!(
                "{} images, {:.1} MiB, in {} shards in {}; train with --dataset shards --data {}",
                packed.images,
                packed.bytes as f64 / f64::from(1 << 20),
                packed.shards.len(),
                out.display(),
                out.display()
            ));
            Ok(())
        }
        What::Speed { place, image_size, images, threads, rounds, json } => {
            let training = Training::of(place, 0, *images)?;
            if training.is_empty() {
                return Err(Error::data(place, "has no training images"));
            }
            let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
            let how = How {
                size: [usize::from(*image_size); 2],
                view: View::Crop { seed: 0, epoch: 0, draw: 0 },
                batch: 32,
                from: 0,
                ahead: 64,
                threads: threads.unwrap_or(processors),
                skip_bad: true,
            };
            speed(&training, how, *rounds, *json)
        }
    }
}

/// Prints what was found.
fn check(found: &Audit, as_json: bool) -> Result<()> {
    let [many, medium, few] = shots(&found.counts);
    if as_json {
        say(format_args!(
            "{}",
            json!({
                "name": found.name, "dataset": found.kind, "classes": found.classes,
                "counts": found.counts, "imbalance": found.ratio(),
                "many": many, "medium": medium, "few": few, "bytes": found.bytes,
                "sides": found.sides, "broken": found.broken, "twins": found.twins,
                "images": found.images.iter().map(|(name, n)| json!([name, n])).collect::<Vec<_>>(),
            })
        ));
    } else {
        let chosen = if found.chosen { " (chosen here: there is no test set)" } else { "" };
        let images = found.images.iter().filter(|(_, n)| *n > 0).map(|(name, n)| match *name {
            "test" => format!("{n} test{chosen}"),
            name => format!("{n} {name}"),
        });
        say(format_args!(
            "{} (--dataset {}): {} images, {:.1} MiB",
            found.name,
            found.kind,
            images.collect::<Vec<_>>().join(", "),
            found.bytes as f64 / f64::from(1 << 20)
        ));
        let (most, least) = (found.counts.iter().max(), found.counts.iter().min());
        say(format_args!(
            "{} classes of {} to {} training images, imbalance {:.1}: {many} many-shot (over 100), \
             {medium} medium, {few} few-shot (under 20)",
            found.classes.len(),
            least.unwrap_or(&0),
            most.unwrap_or(&0),
            found.ratio()
        ));
        if let Some([least, median, most]) = found.sides {
            say(format_args!("shorter side: {least} to {most} pixels, median {median}"));
        }
        found.broken.iter().for_each(|b| say(format_args!("broken: {b}")));
        found.twins.iter().for_each(|t| say(format_args!("in training and test: {t}")));
    }
    let empty = found.counts.iter().filter(|n| **n == 0).count();
    let faults = [
        (found.broken.len(), "broken or missing images"),
        (found.twins.len(), "test images that are also training images"),
        (empty, "classes without training images"),
    ];
    let faults: Vec<String> =
        faults.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::Failure(format!("{}: {}", found.name, faults.join(", "))))
}

/// How many classes are many-, medium- and few-shot.
fn shots(counts: &[usize]) -> [usize; 3] {
    [Shot::Many, Shot::Medium, Shot::Few]
        .map(|shot| counts.iter().filter(|n| Shot::of(**n) == shot).count())
}

/// Prints images a second of both, interleaved, and where the time of the stream went.
fn speed(training: &Training, how: How, rounds: u16, as_json: bool) -> Result<()> {
    let images = training.len() as f64;
    let mut rates = [Vec::new(), Vec::new()];
    let mut times = Times::default();
    let mut skipped = 0;
    for _ in 0..rounds {
        let started = Instant::now();
        training.decode();
        rates[0].push(images / started.elapsed().as_secs_f64());
        let started = Instant::now();
        let mut stream = training.stream(how)?;
        skipped = 0;
        for batch in &mut stream {
            skipped += batch?.skipped.len();
        }
        rates[1].push(images / started.elapsed().as_secs_f64());
        times = stream.times();
    }
    let [decode, stream] = rates.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    if as_json {
        say(format_args!(
            "{}",
            json!({
                "images": training.len(), "threads": how.threads, "image_size": how.size[0],
                "skipped": skipped, "decode_per_second": decode, "stream_per_second": stream,
                "share": stream / decode, "seconds": {
                    "read": times.read, "decode": times.decode, "resize": times.resize,
                    "full": times.full, "empty": times.empty,
                },
            })
        ));
        return Ok(());
    }
    say(format_args!(
        "{} images to {} × {}, {} threads, medians of {rounds} rounds",
        training.len(),
        how.size[0],
        how.size[1],
        how.threads
    ));
    say(format_args!("decoding alone  {decode:9.1} images/s"));
    say(format_args!("as in training  {stream:9.1} images/s, {:.0} %", 100.0 * stream / decode));
    say(format_args!(
        "seconds of all threads: reading {:.2}, decoding {:.2}, cropping and resizing {:.2}, waiting {:.2}",
        times.read, times.decode, times.resize, times.full
    ));
    if skipped > 0 {
        say(format_args!("{skipped} images could not be read; `evenkeel data check` names them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_by_their_shots() {
        assert_eq!(shots(&[9, 3]), [0, 0, 2]);
        assert_eq!(shots(&[101, 100, 20, 19]), [1, 2, 1]);
    }
}
