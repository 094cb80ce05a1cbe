//! Parameters and statistics in flat buffers: every parameter's values, gradient and momentum lie at
//! the same place of three twin buffers, so that the optimizer is one launch; every running
//! statistic and its batch's value lie likewise in two. What is more than a device binds at once lies
//! in several such parts, with a launch each; no entry is in two of them.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Slice, mib};
use crate::tensor::{DType, Shape, Tensor};
use std::rc::Rc;

mod named;
mod start;

pub use named::OPTIMIZER;
use start::start_values;

/// Words a parameter's place is a multiple of: 256 bytes, the portable binding alignment.
pub const BLOCK: usize = 64;

/// A name, a shape and its values.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// How an entry's values start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element this value.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between −bound and bound.
    Uniform(f32),
    /// The length ‖v_i‖ at which each i of another entry's first axis starts.
    RowLengths(Slot),
}

/// What an entry is to training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Learned.
    Parameter,
    /// A running statistic.
    Statistic,
}

/// Names an entry of a [`Builder`] and of the [`Params`] made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(usize);

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    shape: Shape,
    init: Init,
    kind: Kind,
}

/// Collects entries while layers are made.
#[derive(Debug, Default)]
pub struct Builder {
    entries: Vec<Entry>,
}

impl Builder {
    /// Declares a learned tensor.
    pub fn parameter(&mut self, name: String, shape: impl Into<Shape>, init: Init) -> Slot {
        self.entry(name, shape.into(), init, Kind::Parameter)
    }

    /// Declares a running statistic.
    pub fn statistic(&mut self, name: String, shape: impl Into<Shape>, start: f32) -> Slot {
        self.entry(name, shape.into(), Init::Constant(start), Kind::Statistic)
    }

    /// Names and shapes of all entries, in the order they were declared.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|e| (e.name.as_str(), e.shape.dims()))
    }

    fn entry(&mut self, name: String, shape: Shape, init: Init, kind: Kind) -> Slot {
        self.entries.push(Entry { name, shape, init, kind });
        Slot(self.entries.len() - 1)
    }
}

/// The entries on the device.
pub struct Params {
    gpu: Rc<Gpu>,
    entries: Vec<Entry>,
    places: Vec<Place>,
    /// The parameters, in the order of their blocks.
    pub learned: Vec<Learned>,
    /// The statistics.
    pub tracked: Vec<Tracked>,
}

/// Twin buffers of some of the parameters.
#[derive(Debug)]
pub struct Learned {
    /// Number of its first block among those of all parts.
    pub first: usize,
    /// Values.
    pub values: Tensor,
    /// Their gradients.
    pub gradients: Tensor,
    /// The optimizer's momentum.
    pub momentum: Tensor,
    /// The gradients of one batch, where a step sums those of several.
    pub of_batch: Option<Tensor>,
    /// Averages of the values over the steps, where they are kept.
    pub averages: Option<Tensor>,
}

impl Learned {
    /// Where a batch's gradients go: the step's own, if it is of one batch.
    pub fn by_batch(&self) -> &Tensor {
        self.of_batch.as_ref().unwrap_or(&self.gradients)
    }
}

/// Twin buffers of some of the statistics.
#[derive(Debug)]
pub struct Tracked {
    /// Running statistics.
    pub running: Tensor,
    /// The batch's value of each.
    pub batch: Tensor,
    /// Averages of the running statistics over the steps, where they are kept.
    pub averages: Option<Tensor>,
}

#[derive(Clone, Debug)]
struct Place {
    part: usize,
    start: usize,
    leaf: Tensor,
    average: Option<Tensor>,
}

impl Params {
    /// Lays the entries out and fills them from `seed`; each entry's numbers depend on the seed and
    /// its name alone.
    ///
    /// # Errors
    /// A parameter that is more than the device binds at once, or no memory.
    pub fn new(gpu: &Rc<Gpu>, builder: Builder, seed: u64) -> Result<Self> {
        Self::in_parts(gpu, builder, seed, gpu.caps.max_binding)
    }

    /// [`Params::new`] in parts of at most `limit` bytes, as on a device that binds no more.
    ///
    /// # Errors
    /// A parameter of more than that, or no memory.
    pub fn in_parts(gpu: &Rc<Gpu>, builder: Builder, seed: u64, limit: u64) -> Result<Self> {
        let entries = builder.entries;
        let most = limit as usize / 4 / BLOCK * BLOCK;
        let [learned, tracked] =
            [Kind::Parameter, Kind::Statistic].map(|kind| layout(&entries, kind, most));
        let (learned, tracked) =
            (learned.map_err(|e| beyond(e, limit))?, tracked.map_err(|e| beyond(e, limit))?);
        let flat = |label: &str, words: usize| flat(gpu, label, words);
        let mut params = Params {
            gpu: gpu.clone(),
            places: Vec::new(),
            learned: Vec::new(),
            tracked: Vec::new(),
            entries,
        };
        let mut first = 0;
        for words in &learned.words {
            params.learned.push(Learned {
                first,
                values: flat("parameters", *words)?,
                gradients: flat("gradients", *words)?,
                momentum: flat("momentum", *words)?,
                of_batch: None,
                averages: None,
            });
            first += words / BLOCK;
        }
        for words in &tracked.words {
            params.tracked.push(Tracked {
                running: flat("statistics", *words)?,
                batch: flat("batch statistics", *words)?,
                averages: None,
            });
        }
        let [mut learned, mut tracked] = [learned, tracked].map(|l| l.places.into_iter());
        for e in &params.entries {
            let (places, whole): (_, fn(&Params, usize) -> &Tensor) = match e.kind {
                Kind::Parameter => (&mut learned, |p, part| &p.learned[part].values),
                Kind::Statistic => (&mut tracked, |p, part| &p.tracked[part].running),
            };
            let Some((part, start)) = places.next() else { unreachable!("a place for each entry") };
            let slice = within(whole(&params, part), start, e.shape.len());
            let leaf = Tensor::from_slice(gpu, slice, e.shape.clone(), DType::F32);
            params.places.push(Place { part, start, leaf, average: None });
        }
        for (i, e) in params.entries.iter().enumerate() {
            params.write(Slot(i), &start_values(&params.entries, e, seed));
        }
        Ok(params)
    }

    /// Makes room for the gradients of one batch beside those of a step of several.
    ///
    /// # Errors
    /// No memory.
    pub fn sum_batches(&mut self) -> Result<()> {
        for part in &mut self.learned {
            let words = part.gradients.shape().len();
            part.of_batch = Some(flat(&self.gpu, "gradients of a batch", words)?);
        }
        Ok(())
    }

    /// Keeps averages of all entries beside them, which start as they are.
    ///
    /// # Errors
    /// No memory, or a lost device.
    pub fn keep_averages(&mut self) -> Result<()> {
        let gpu = self.gpu.clone();
        let twin = |whole: &Tensor| -> Result<Option<Tensor>> {
            let twin = flat(&gpu, "averages", whole.shape().len())?;
            if let (Some(from), Some(to)) = (whole.leaf(), twin.leaf()) {
                gpu.write(to, &gpu.read::<f32>(from)?);
            }
            Ok(Some(twin))
        };
        for part in &mut self.learned {
            part.averages = twin(&part.values)?;
        }
        for part in &mut self.tracked {
            part.averages = twin(&part.running)?;
        }
        for slot in (0..self.entries.len()).map(Slot) {
            let (e, place) = (&self.entries[slot.0], &self.places[slot.0]);
            let whole = match e.kind {
                Kind::Parameter => &self.learned[place.part].averages,
                Kind::Statistic => &self.tracked[place.part].averages,
            };
            let slice = whole.as_ref().map(|whole| self.beside(slot, whole));
            self.places[slot.0].average =
                slice.map(|s| Tensor::from_slice(&gpu, s, e.shape.clone(), DType::F32));
        }
        Ok(())
    }

    /// Whether averages are kept.
    fn averaged(&self) -> bool {
        self.learned.iter().any(|part| part.averages.is_some())
    }

    /// The tensor of an entry as it is evaluated: its average, where there is one.
    pub fn average(&self, slot: Slot) -> &Tensor {
        let Place { leaf, average, .. } = &self.places[slot.0];
        average.as_ref().unwrap_or(leaf)
    }

    /// The tensor of an entry.
    pub fn tensor(&self, slot: Slot) -> &Tensor {
        &self.places[slot.0].leaf
    }

    /// An entry's name.
    pub fn name(&self, slot: Slot) -> &str {
        &self.entries[slot.0].name
    }

    /// The entries of one kind, in declaration order.
    pub fn slots(&self, kind: Kind) -> impl Iterator<Item = Slot> + '_ {
        self.entries.iter().enumerate().filter(move |(_, e)| e.kind == kind).map(|(i, _)| Slot(i))
    }

    /// The number of learned values.
    pub fn count(&self) -> usize {
        self.slots(Kind::Parameter).map(|s| self.tensor(s).shape().len()).sum()
    }

    /// Where an entry's gradient by a batch (of a parameter) or batch value (of a statistic) goes.
    pub fn twin(&self, slot: Slot) -> Slice {
        let part = self.places[slot.0].part;
        self.beside(
            slot,
            match self.entries[slot.0].kind {
                Kind::Parameter => self.learned[part].by_batch(),
                Kind::Statistic => &self.tracked[part].batch,
            },
        )
    }

    /// The entry's place in a twin of its part.
    fn beside(&self, slot: Slot, whole: &Tensor) -> Slice {
        within(whole, self.places[slot.0].start, self.entries[slot.0].shape.len())
    }

    /// An entry's first block among those of all parts.
    fn block(&self, slot: Slot) -> usize {
        let place = &self.places[slot.0];
        self.learned[place.part].first + place.start / BLOCK
    }

    /// The parameter to which a block belongs, counted over all parts.
    pub fn owner(&self, block: usize) -> Option<&str> {
        let until = self.slots(Kind::Parameter).take_while(|s| self.block(*s) <= block);
        until.last().map(|s| self.name(s))
    }

    /// The parameter that lies at `slice`, or whose gradient does.
    pub fn at(&self, slice: &Slice) -> Option<&str> {
        let holds = |whole: &Tensor| {
            whole.leaf().is_some_and(|whole| Rc::ptr_eq(&whole.buffer, &slice.buffer))
        };
        let part = self.learned.iter().find(|p| holds(&p.values) || holds(p.by_batch()))?;
        self.owner(part.first + slice.start / BLOCK)
    }

    /// For each block of each part a number given by the parameter's name.
    pub fn blocks(&self, of: impl Fn(&str) -> u32) -> Vec<Vec<u32>> {
        let words = |p: &Learned| p.values.shape().len();
        let mut blocks: Vec<Vec<u32>> =
            self.learned.iter().map(|p| vec![0; words(p) / BLOCK]).collect();
        for slot in self.slots(Kind::Parameter) {
            let Place { part, start, .. } = self.places[slot.0];
            let count = self.entries[slot.0].shape.len().div_ceil(BLOCK);
            blocks[part][start / BLOCK..][..count].fill(of(self.name(slot)));
        }
        blocks
    }

    /// Sets an entry, and its average.
    fn write(&self, slot: Slot, values: &[f32]) {
        for slice in [self.tensor(slot), self.average(slot)].into_iter().filter_map(Tensor::leaf) {
            self.gpu.write(slice, values);
        }
    }
}

/// Parts of no more than some words, and the place of each entry of one kind.
struct Layout {
    /// Words of each part: one at least, and each at least a block.
    words: Vec<usize>,
    /// Part and first word of each entry.
    places: Vec<(usize, usize)>,
}

/// Fills one part after the other with the entries of `kind`, in their order; an entry that is more than
/// `most` words is the error.
fn layout(entries: &[Entry], kind: Kind, most: usize) -> std::result::Result<Layout, &Entry> {
    let mut found = Layout { words: vec![0], places: Vec::new() };
    for e in entries.iter().filter(|e| e.kind == kind) {
        let need = e.shape.len().next_multiple_of(BLOCK);
        if need > most {
            return Err(e);
        }
        if found.words[found.words.len() - 1] + need > most {
            found.words.push(0);
        }
        let part = found.words.len() - 1;
        found.places.push((part, found.words[part]));
        found.words[part] += need;
    }
    found.words[0] = found.words[0].max(BLOCK);
    Ok(found)
}

fn beyond(e: &Entry, limit: u64) -> Error {
    let [need, most] = [e.shape.len() as u64 * 4, limit].map(mib);
    let (name, shape) = (&e.name, &e.shape);
    Error::Device(format!(
        "{name} {shape} needs {need} in one buffer; this device binds at most {most}: a smaller network \
         or fewer classes fit"
    ))
}

fn flat(gpu: &Rc<Gpu>, label: &str, words: usize) -> Result<Tensor> {
    let buffer = gpu.alloc(label, words)?;
    Ok(Tensor::from_slice(gpu, Slice::whole(buffer), [words], DType::F32))
}

fn within(whole: &Tensor, start: usize, words: usize) -> Slice {
    match whole.leaf() {
        Some(s) => Slice { buffer: s.buffer.clone(), start: s.start + start, words },
        None => unreachable!("flat buffers are leaves"),
    }
}
