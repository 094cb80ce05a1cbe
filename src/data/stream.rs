//! Images read while others are trained on.
//!
//! Places in the order of an epoch → worker w takes positions w, w + T, w + 2T, … : reads, decodes,
//! crops and resizes, and puts the result into a short queue of its own → the consumer takes from the
//! queues in turn, so batches come in order, whichever worker is slow, and no worker runs far ahead.

use super::crop;
use super::image_file;
use super::place::Place;
use super::random::Draws;
use crate::error::{Error, Result};
use fast_image_resize::Resizer;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// Purpose of the crops' random numbers.
const CROP: u64 = 0x6372_6f70;

/// How images are seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// The centre, as tests see them, of the image resized to cover this many times the size.
    Centre(f64),
    /// A random crop, a function of seed, epoch, position and draw.
    Crop {
        /// The run's seed.
        seed: u64,
        /// The epoch.
        epoch: u64,
        /// Tells two images at the same position apart.
        draw: u64,
    },
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Height and width.
    pub size: [usize; 2],
    /// What of the image.
    pub view: View,
    /// Images in a batch of the iterator.
    pub batch: usize,
    /// Position in the order to begin at.
    pub from: usize,
    /// Images that are kept ready, at most about; a batch at least.
    pub ahead: usize,
    /// Threads.
    pub threads: usize,
    /// Leave unreadable images out, instead of stopping.
    pub skip_bad: bool,
}

/// A batch.
#[derive(Debug)]
pub struct Batch {
    /// Position of its first image in the order.
    pub first: usize,
    /// The bytes of 3 × height × width of each image.
    pub pixels: Vec<u8>,
    /// Which of the places each image is. In the place of an unreadable one stands a good one of the
    /// batch once more, so that batches keep their size.
    pub indices: Vec<u32>,
    /// Images that could not be read, as `path: why`.
    pub skipped: Vec<String>,
}

/// Time spent, over all threads.
#[derive(Debug, Default)]
struct Clocks {
    read: AtomicU64,
    decode: AtomicU64,
    resize: AtomicU64,
    full: AtomicU64,
}

/// Seconds spent in each stage, over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Reading files.
    pub read: f64,
    /// Decoding.
    pub decode: f64,
    /// Cropping and resizing.
    pub resize: f64,
    /// Workers waiting for room in their queues: the consumer is slower.
    pub full: f64,
    /// The consumer waiting for images: the workers are slower.
    pub empty: f64,
}

impl Add for Times {
    type Output = Times;

    fn add(self, other: Times) -> Times {
        Times {
            read: self.read + other.read,
            decode: self.decode + other.decode,
            resize: self.resize + other.resize,
            full: self.full + other.full,
            empty: self.empty + other.empty,
        }
    }
}

impl Sub for Times {
    type Output = Times;

    fn sub(self, other: Times) -> Times {
        Times {
            read: self.read - other.read,
            decode: self.decode - other.decode,
            resize: self.resize - other.resize,
            full: self.full - other.full,
            empty: self.empty - other.empty,
        }
    }
}

/// Batches in order.
#[derive(Debug)]
pub struct Stream {
    how: How,
    order: Arc<Vec<u32>>,
    queues: Vec<Receiver<Result<Vec<u8>>>>,
    workers: Vec<JoinHandle<()>>,
    clocks: Arc<Clocks>,
    next: usize,
    empty: f64,
}

impl Stream {
    /// Starts to read `places` in the order of `order`, from position `how.from` on.
    ///
    /// # Errors
    /// No thread to be had.
    pub fn start(places: Arc<Vec<Place>>, order: Arc<Vec<u32>>, how: How) -> Result<Self> {
        Self::start_part(places, order, None, how)
    }

    /// [`Stream::start`], where `order` is a part of an epoch's: what lies at i of it is at `epoch_positions[i]`
    /// of the epoch, by which it is cropped.
    ///
    /// # Errors
    /// As [`Stream::start`].
    pub fn start_part(
        places: Arc<Vec<Place>>,
        order: Arc<Vec<u32>>,
        epoch_positions: Option<Arc<Vec<usize>>>,
        how: How,
    ) -> Result<Self> {
        let clocks = Arc::new(Clocks::default());
        let threads = how.threads.clamp(1, order.len().saturating_sub(how.from).max(1));
        let room = how.ahead.max(how.batch).div_ceil(threads).max(1);
        let mut stream = Stream {
            how,
            order: order.clone(),
            queues: Vec::new(),
            workers: Vec::new(),
            clocks: clocks.clone(),
            next: how.from,
            empty: 0.0,
        };
        for first in 0..threads {
            let (sender, receiver) = sync_channel(room);
            let worker = Worker {
                places: places.clone(),
                order: order.clone(),
                epoch_positions: epoch_positions.clone(),
                clocks: clocks.clone(),
                how,
                sender,
            };
            let spawned = std::thread::Builder::new()
                .name("evenkeel images".into())
                .spawn(move || worker.run(first, threads));
            stream.queues.push(receiver);
            stream.workers.push(spawned.map_err(|e| Error::Failure(format!("no thread: {e}")))?);
        }
        Ok(stream)
    }

    /// Time spent so far.
    pub fn times(&self) -> Times {
        let seconds = |clock: &AtomicU64| clock.load(Ordering::Relaxed) as f64 * 1e-9;
        Times {
            read: seconds(&self.clocks.read),
            decode: seconds(&self.clocks.decode),
            resize: seconds(&self.clocks.resize),
            full: seconds(&self.clocks.full),
            empty: self.empty,
        }
    }

    /// Position of the next image.
    pub fn position(&self) -> usize {
        self.next
    }

    /// The next `count` images, or as many as are left.
    ///
    /// # Errors
    /// An image that cannot be read, or with `skip_bad` none that can.
    pub fn take_batch(&mut self, count: usize) -> Result<Batch> {
        let first = self.next;
        let count = count.min(self.order.len() - first);
        let bytes = 3 * self.how.size[0] * self.how.size[1];
        let mut batch = Batch {
            first,
            pixels: super::buffer(count, bytes)?,
            indices: self.order[first..first + count].to_vec(),
            skipped: Vec::new(),
        };
        let mut missing = Vec::new();
        for i in 0..count {
            let waited = Instant::now();
            let queue = &self.queues[(first + i - self.how.from) % self.queues.len()];
            let image = queue.recv().map_err(|_| Error::Failure("an image reader died".into()))?;
            self.empty += waited.elapsed().as_secs_f64();
            match image {
                Ok(image) => batch.pixels[i * bytes..][..bytes].copy_from_slice(&image),
                Err(e) if self.how.skip_bad => {
                    batch.skipped.push(e.to_string());
                    missing.push(i);
                }
                Err(e) => return Err(super::files::advised(e)),
            }
        }
        self.next += count;
        let Some(good) = (0..count).find(|i| !missing.contains(i)) else {
            return Err(Error::Failure(format!(
                "none of {count} images could be read: {}",
                batch.skipped.join("; ")
            )));
        };
        for i in missing {
            batch.pixels.copy_within(good * bytes..(good + 1) * bytes, i * bytes);
            batch.indices[i] = batch.indices[good];
        }
        Ok(batch)
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        (self.next < self.order.len()).then(|| {
            let batch = self.take_batch(self.how.batch);
            if batch.is_err() {
                self.next = self.order.len();
            }
            batch
        })
    }
}

impl Drop for Stream {
    /// Readers find their queue closed at the next image.
    fn drop(&mut self) {
        self.queues.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

struct Worker {
    places: Arc<Vec<Place>>,
    order: Arc<Vec<u32>>,
    epoch_positions: Option<Arc<Vec<usize>>>,
    clocks: Arc<Clocks>,
    how: How,
    sender: SyncSender<Result<Vec<u8>>>,
}

impl Worker {
    fn run(&self, first: usize, step: usize) {
        let mut resizer = Resizer::new();
        for position in (self.how.from + first..self.order.len()).step_by(step) {
            let image = self.image(position, &mut resizer);
            let waited = Instant::now();
            if self.sender.send(image).is_err() {
                return;
            }
            add(&self.clocks.full, waited);
        }
    }

    fn image(&self, position: usize, resizer: &mut Resizer) -> Result<Vec<u8>> {
        let place = &self.places[self.order[position] as usize];
        let [rows, columns] = self.how.size;
        let started = Instant::now();
        let bytes = place.read()?;
        add(&self.clocks.read, started);
        let started = Instant::now();
        let image = image_file::decode(place.path(), &bytes)?;
        add(&self.clocks.decode, started);
        let started = Instant::now();
        let rectangle = match self.how.view {
            View::Centre(margin) => {
                crop::centre(image.width(), image.height(), self.how.size, margin)
            }
            View::Crop { seed, epoch, draw } => {
                let position = self.epoch_positions.as_ref().map_or(position, |all| all[position]);
                let mut draws = Draws::new(&[seed, CROP, epoch, position as u64, draw]);
                crop::random(image.width(), image.height(), &mut draws)
            }
        };
        let mut out = vec![0; 3 * rows * columns];
        crop::resize(resizer, &image, rectangle, self.how.size, &mut out)?;
        add(&self.clocks.resize, started);
        Ok(out)
    }
}

fn add(clock: &AtomicU64, since: Instant) {
    clock.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    /// Twelve images whose red value is their number; 4 and 7 are damaged if `bad`.
    fn twelve(bad: bool) -> (tempfile::TempDir, Arc<Vec<Place>>) {
        let dir = tempfile::tempdir().unwrap();
        let places = (0..12u8).map(|i| {
            let path = dir.path().join(format!("{i:02}.png"));
            RgbImage::from_pixel(20, 16, Rgb([i, 0, 0])).save(&path).unwrap();
            if bad && (i == 4 || i == 7) {
                std::fs::write(&path, b"broken").unwrap();
            }
            Place::from(path)
        });
        let places = Arc::new(places.collect());
        (dir, places)
    }

    fn how(threads: usize) -> How {
        let view = View::Centre(1.0);
        How { size: [8, 8], view, batch: 5, from: 0, ahead: 5, threads, skip_bad: false }
    }

    #[test]
    fn batches_come_in_order_from_any_number_of_threads() {
        let (_dir, places) = twelve(false);
        let order: Arc<Vec<u32>> = Arc::new((0..12).rev().chain([3, 3]).collect());
        for threads in [1, 2, 3, 16] {
            let stream = Stream::start(places.clone(), order.clone(), how(threads)).unwrap();
            let mut reds = Vec::new();
            let mut firsts = Vec::new();
            for batch in stream {
                let batch = batch.unwrap();
                firsts.push((batch.first, batch.indices.len()));
                reds.extend(batch.pixels.chunks(3 * 64).map(|image| u32::from(image[0])));
            }
            assert_eq!(reds, *order, "{threads} threads");
            assert_eq!(firsts, [(0, 5), (5, 5), (10, 4)]);
            let later = How { from: 7, ..how(threads) };
            let mut stream = Stream::start(places.clone(), order.clone(), later).unwrap();
            assert_eq!(stream.take_batch(3).unwrap().indices, order[7..10]);
            assert_eq!((stream.position(), stream.take_batch(9).unwrap().first), (10, 10));
            assert!(stream.next().is_none());
        }
    }

    #[test]
    fn a_crop_depends_on_seed_epoch_and_position_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ramp.png");
        RgbImage::from_fn(60, 40, |x, y| Rgb([4 * x as u8, 6 * y as u8, 0])).save(&path).unwrap();
        let places = Arc::new(vec![Place::from(path)]);
        let read = |[seed, epoch, draw]: [u64; 3], threads, from| -> Vec<u8> {
            let view = View::Crop { seed, epoch, draw };
            let how = How { view, from, ..how(threads) };
            let stream = Stream::start(places.clone(), Arc::new(vec![0; 6]), how).unwrap();
            stream.flat_map(|b| b.unwrap().pixels).collect()
        };
        let first = read([1, 2, 0], 1, 0);
        assert_eq!(first, read([1, 2, 0], 4, 0));
        assert_eq!(first[4 * 3 * 64..], read([1, 2, 0], 3, 4));
        for other in [[2, 2, 0], [1, 3, 0], [1, 2, 1]] {
            assert_ne!(first, read(other, 1, 0), "{other:?}");
        }
        assert_ne!(first[..3 * 64], first[3 * 64..6 * 64]);
    }

    #[test]
    fn a_broken_image_is_named_and_replaced_or_stops_the_stream() {
        let (_dir, places) = twelve(true);
        let order: Arc<Vec<u32>> = Arc::new((0..12).collect());
        let lenient = How { skip_bad: true, ..how(2) };
        let batches: Vec<Batch> = Stream::start(places.clone(), order.clone(), lenient)
            .unwrap()
            .map(|b| b.unwrap())
            .collect();
        assert_eq!(batches[0].indices, [0, 1, 2, 3, 0]);
        assert_eq!(batches[1].indices, [5, 6, 5, 8, 9]);
        assert!(batches[0].skipped[0].contains("04.png") && batches[2].skipped.is_empty());
        let mut strict = Stream::start(places, order, how(2)).unwrap();
        let e = strict.next().unwrap().unwrap_err().to_string();
        assert!(e.contains("04.png") && e.contains("--skip-bad"), "{e}");
        assert!(strict.next().is_none());
    }

    #[test]
    fn a_stream_may_be_left_early() {
        let (_dir, places) = twelve(false);
        let order = Arc::new(vec![0; 1000]);
        let mut stream = Stream::start(places, order, how(2)).unwrap();
        assert!(stream.next().unwrap().is_ok());
        drop(stream);
    }
}
