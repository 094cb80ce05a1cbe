//! Parameters and statistics by name, as checkpoints hold them: what is evaluated under the network's names, what
//! training alone needs under `optimizer.`.

use super::{Kind, Named, Params, Slot};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Prefix of what is exported for training alone.
pub const OPTIMIZER: &str = "optimizer.";
/// Prefix of an exported parameter's momentum.
const MOMENTUM: &str = "optimizer.momentum.";
/// Prefix of an entry's own values, where its average is exported.
const VALUE: &str = "optimizer.value.";
/// Misfits an import error lists.
const SHOWN: usize = 8;

impl Params {
    /// Every entry's name, shape and values as they are evaluated: averages, where they are kept. With
    /// `optimizer`, what training needs too: each parameter's momentum under `optimizer.momentum.` and its
    /// name, and beside averages each entry's own values under `optimizer.value.`.
    ///
    /// # Errors
    /// A lost device.
    pub fn export(&self, optimizer: bool) -> Result<Vec<Named>> {
        let mut out = if self.averaged() {
            let values = self.read(self.learned.iter().filter_map(|p| p.averages.as_ref()))?;
            let running = self.read(self.tracked.iter().filter_map(|p| p.averages.as_ref()))?;
            self.all(&values, &running)
        } else {
            self.export_trained()?
        };
        if optimizer && self.averaged() {
            let own = self.export_trained()?.into_iter();
            out.extend(own.map(|(name, shape, data)| (format!("{VALUE}{name}"), shape, data)));
        }
        if optimizer {
            let momentum = self.read(self.learned.iter().map(|p| &p.momentum))?;
            for slot in self.slots(Kind::Parameter) {
                let (name, shape, data) = self.named(slot, &momentum);
                out.push((format!("{MOMENTUM}{name}"), shape, data));
            }
        }
        Ok(out)
    }

    /// Every entry's name, shape and values as they are trained.
    ///
    /// # Errors
    /// A lost device.
    pub fn export_trained(&self) -> Result<Vec<Named>> {
        let values = self.read(self.learned.iter().map(|p| &p.values))?;
        let running = self.read(self.tracked.iter().map(|p| &p.running))?;
        Ok(self.all(&values, &running))
    }

    /// Every entry, in the order declared, from the parts of both kinds.
    fn all(&self, learned: &[Vec<f32>], tracked: &[Vec<f32>]) -> Vec<Named> {
        let of = |slot: Slot| match self.entries[slot.0].kind {
            Kind::Parameter => self.named(slot, learned),
            Kind::Statistic => self.named(slot, tracked),
        };
        (0..self.entries.len()).map(|i| of(Slot(i))).collect()
    }

    /// The gradients of the step that ran last, by parameter.
    ///
    /// # Errors
    /// A lost device.
    pub fn export_gradients(&self) -> Result<Vec<Named>> {
        let flat = self.read(self.learned.iter().map(|p| &p.gradients))?;
        Ok(self.slots(Kind::Parameter).map(|slot| self.named(slot, &flat)).collect())
    }

    /// The values of one twin of each part.
    fn read<'a>(&self, parts: impl Iterator<Item = &'a Tensor>) -> Result<Vec<Vec<f32>>> {
        parts.filter_map(Tensor::leaf).map(|slice| self.gpu.read(slice)).collect()
    }

    /// An entry's name and shape, and its values among those of all parts.
    fn named(&self, slot: Slot, parts: &[Vec<f32>]) -> Named {
        let (e, place) = (&self.entries[slot.0], &self.places[slot.0]);
        let values = &parts[place.part][place.start..][..e.shape.len()];
        (e.name.clone(), e.shape.dims().to_vec(), values.to_vec())
    }

    /// Takes values by name: every entry must be there with its shape; momentum may be absent, and so may an
    /// entry's own values beside its average, which it then starts from; `num_batches_tracked` is passed
    /// over; any other name is an error.
    ///
    /// # Errors
    /// Missing, misshapen or unknown names, all told at once.
    pub fn import(&self, tensors: &[Named]) -> Result<()> {
        let by_name: HashMap<&str, Slot> =
            self.entries.iter().enumerate().map(|(i, e)| (e.name.as_str(), Slot(i))).collect();
        let mut wrong = Vec::new();
        let mut seen = vec![false; self.entries.len()];
        // Own values last: an entry's average sets both.
        let (own, others): (Vec<_>, Vec<_>) =
            tensors.iter().partition(|(name, ..)| name.starts_with(VALUE));
        for (name, shape, data) in others.into_iter().chain(own) {
            let prefix = [MOMENTUM, VALUE].into_iter().find(|p| name.starts_with(p));
            let base = &name[prefix.map_or(0, str::len)..];
            let Some(slot) = by_name.get(base) else {
                if !name.ends_with("num_batches_tracked") {
                    wrong.push(format!("`{name}` is no parameter of this model"));
                }
                continue;
            };
            let want = &self.entries[slot.0].shape;
            if want.dims() != shape.as_slice() {
                wrong.push(format!("`{name}` is {shape:?}, the model's is {want}"));
                continue;
            }
            match (prefix, self.entries[slot.0].kind) {
                (None, _) => {
                    seen[slot.0] = true;
                    self.write(*slot, data);
                }
                (Some(MOMENTUM), Kind::Parameter) => {
                    let part = &self.learned[self.places[slot.0].part];
                    self.gpu.write(&self.beside(*slot, &part.momentum), data);
                }
                (Some(MOMENTUM), Kind::Statistic) => {
                    wrong.push(format!("`{name}` is of a statistic, which has no momentum"));
                }
                // Without averages, what the others became is what is trained.
                (Some(_), _) if self.averaged() => {
                    if let Some(slice) = self.tensor(*slot).leaf() {
                        self.gpu.write(slice, data);
                    }
                }
                (Some(_), _) => {}
            }
        }
        for (e, seen) in self.entries.iter().zip(seen) {
            if !seen {
                wrong.push(format!("`{}` {} is missing", e.name, e.shape));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(SHOWN);
        wrong.truncate(SHOWN);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        Err(Error::Failure(format!("the parameters do not fit the model: {}", wrong.join("; "))))
    }
}
