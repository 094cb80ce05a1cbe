//! A streamed set on its way to the device: batches are read ahead by threads and written, one behind the other,
//! into a ring of slots, from which the plans gather as they do from a whole set.
//!
//! Position p of an epoch's order lies in slot p mod capacity. The order of slots never changes, so a plan's
//! bindings don't either; the ring holds several batches, so that the next one can be written while steps that
//! read the last ones are under way. Lane 1, behind the first lane's slots, holds the images that others are
//! mixed with or drawn towards.

use crate::data::stream::{Batch, How, Stream, Times, View};
use crate::data::{Dataset, Files};
use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Batches that the ring has room for.
const BATCHES: usize = 3;

/// The reading end of a streamed set.
pub(super) struct Staging {
    files: Files,
    labels: Vec<u32>,
    size: [usize; 2],
    capacity: usize,
    lanes: Vec<RefCell<Lane>>,
    /// Time spent by streams that have ended.
    spent: Cell<Times>,
}

/// Images in an order of their own.
struct Lane {
    order: Arc<Vec<u32>>,
    /// The positions that this process takes, ascending, where others take the rest.
    own: Option<Arc<Vec<usize>>>,
    view: View,
    stream: Option<Stream>,
}

impl Staging {
    /// Of `data`, which is streamed; for batches of `batch` of `positions` in an order, with a second lane for
    /// `others`.
    pub fn new(
        data: &Dataset,
        files: &Files,
        positions: usize,
        batch: usize,
        others: bool,
    ) -> Self {
        let [_, h, w] = data.shape;
        let view = View::Centre(files.margin);
        let lane = |order: Vec<u32>| {
            RefCell::new(Lane { order: Arc::new(order), own: None, view, stream: None })
        };
        let mut lanes = vec![lane((0..data.len() as u32).collect())];
        lanes.extend(others.then(|| lane(Vec::new())));
        Staging {
            files: files.clone(),
            labels: data.labels.clone(),
            size: [h, w],
            capacity: (BATCHES * batch.max(1)).min(positions.max(1)),
            lanes,
            spent: Cell::default(),
        }
    }

    /// Slots of a lane.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Lanes.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Sets a lane's order; that of the first lane empties the second. Images are seen as tests see them.
    pub fn set_order(&self, lane: usize, order: &[u32]) {
        let mut order = order.to_vec();
        if lane == 1 {
            // As long as the first lane's.
            let positions = self.lanes[0].borrow().order.len();
            order = order.iter().copied().cycle().take(positions).collect();
        } else if let Some(others) = self.lanes.get(1) {
            self.restart(&mut others.borrow_mut(), |lane| lane.order = Arc::default());
        }
        if let Some(lane) = self.lanes.get(lane) {
            self.restart(&mut lane.borrow_mut(), |lane| {
                lane.order = Arc::new(order);
                lane.own = None;
                lane.view = View::Centre(self.files.margin);
            });
        }
    }

    /// Shows random crops from now on, by seed, epoch and position.
    pub fn crop(&self, seed: u64, epoch: u64) {
        for (draw, lane) in self.lanes.iter().enumerate() {
            let view = View::Crop { seed, epoch, draw: draw as u64 };
            self.restart(&mut lane.borrow_mut(), |lane| lane.view = view);
        }
    }

    /// Reads ahead only what is at these positions of the order, ascending: others are another process's.
    pub fn keep_to(&self, positions: &Arc<Vec<usize>>) {
        for lane in &self.lanes {
            self.restart(&mut lane.borrow_mut(), |lane| lane.own = Some(positions.clone()));
        }
    }

    fn restart(&self, lane: &mut Lane, change: impl FnOnce(&mut Lane)) {
        if let Some(stream) = lane.stream.take() {
            self.spent.set(self.spent.get() + stream.times());
        }
        change(lane);
    }

    /// The images of a lane at positions `first..first + n` of its order; none of a lane without an order. In
    /// an order's sequence they are read ahead, elsewhere reading starts anew.
    ///
    /// # Errors
    /// An image that cannot be read; positions beyond the order or the ring.
    pub fn fetch(&self, lane: usize, first: usize, n: usize) -> Result<Option<Batch>> {
        let mut lane = self.lanes[lane].borrow_mut();
        if lane.order.is_empty() {
            return Ok(None);
        }
        if n > self.capacity || first + n > lane.order.len() {
            return Err(Error::Failure(format!(
                "positions {first} to {} of a streamed set of {} positions, whose ring holds {} images",
                first + n,
                lane.order.len(),
                self.capacity
            )));
        }
        // Where it stands among those that are read.
        let from = match &lane.own {
            Some(own) => own.binary_search(&first).unwrap_or_else(|next| next),
            None => first,
        };
        if lane.stream.as_ref().is_none_or(|stream| stream.position() != from) {
            let how = How {
                size: self.size,
                view: lane.view,
                batch: n,
                from,
                ahead: 2 * n,
                threads: std::thread::available_parallelism().map_or(1, usize::from),
                skip_bad: false,
            };
            let order = match &lane.own {
                Some(own) => Arc::new(own.iter().map(|p| lane.order[*p]).collect()),
                None => lane.order.clone(),
            };
            let places = self.files.places.clone();
            let stream = Stream::start_part(places, order, lane.own.clone(), how)?;
            self.restart(&mut lane, |lane| lane.stream = Some(stream));
        }
        let Some(stream) = &mut lane.stream else { return Ok(None) };
        stream.take_batch(n).map(Some)
    }

    /// The labels of these images.
    pub fn labels<'a>(&'a self, images: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        images.iter().map(|i| self.labels[*i as usize])
    }

    /// Time spent reading so far.
    pub fn times(&self) -> Times {
        let running = self.lanes.iter().filter_map(|l| Some(l.borrow().stream.as_ref()?.times()));
        running.fold(self.spent.get(), |sum, times| sum + times)
    }
}
