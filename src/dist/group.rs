//! One process's view of all that train together: its number, exchanges of numbers and texts, agreement.

use super::{Threads, Transport};
use crate::error::{Error, Result};
use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The ranks, seen from one of them. All call the same methods in the same order, unless it says otherwise.
pub struct Group {
    transport: Option<Box<dyn Transport>>,
    spent: Cell<Duration>,
}

/// A broadcast's largest piece: MPI counts in 31 bits.
const PIECE: usize = 1 << 28;

/// The `rank`-th of `size` parts of `total` things in order, whose lengths differ by one at most.
pub fn part(total: usize, rank: usize, size: usize) -> Range<usize> {
    total * rank / size..total * (rank + 1) / size
}

impl Group {
    /// A process alone.
    pub fn alone() -> Self {
        Group { transport: None, spent: Cell::default() }
    }

    /// The ranks that `transport` connects.
    pub fn over(transport: impl Transport + 'static) -> Self {
        let transport: Box<dyn Transport> = Box::new(transport);
        Group { transport: Some(transport).filter(|t| t.size() > 1), spent: Cell::default() }
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.transport.as_ref().map_or(0, |t| t.rank())
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.transport.as_ref().map_or(1, |t| t.size())
    }

    /// This process's number among those of its machine, if it is not alone.
    pub fn local_rank(&self) -> Option<usize> {
        self.transport.as_ref().map(|t| t.local_rank())
    }

    /// This is rank 0, which decides, writes and tells.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// This rank's part of `total` things in order.
    pub fn part(&self, total: usize) -> Range<usize> {
        part(total, self.rank(), self.size())
    }

    /// Time spent in exchanges since the last call, waiting for others included.
    pub fn take_spent(&self) -> Duration {
        self.spent.take()
    }

    fn timed<T>(&self, act: impl FnOnce(&dyn Transport) -> Result<T>, alone: T) -> Result<T> {
        let Some(transport) = &self.transport else { return Ok(alone) };
        let began = Instant::now();
        let done = act(transport.as_ref());
        self.spent.set(self.spent.get() + began.elapsed());
        done
    }

    /// Replaces each of `data` by its sum over the ranks, added in their order in 64 bits: each rank adds up
    /// one part and gives it to all, so all have the same bits.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn sum(&self, data: &mut [f32]) -> Result<()> {
        let size = self.size();
        self.timed(
            |t| {
                let each = data.len().div_ceil(size);
                let mut own = data.to_vec();
                own.resize(each * size, 0.0);
                let mut parts = vec![0.0f32; each * size];
                t.all_to_all(bytemuck::cast_slice(&own), bytemuck::cast_slice_mut(&mut parts))?;
                let mut sums = vec![0.0f64; each];
                for part in parts.chunks(each.max(1)) {
                    sums.iter_mut().zip(part).for_each(|(sum, term)| *sum += f64::from(*term));
                }
                let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
                t.all_gather(bytemuck::cast_slice(&sums), bytemuck::cast_slice_mut(&mut own))?;
                data.copy_from_slice(&own[..data.len()]);
                Ok(())
            },
            (),
        )
    }

    /// What every rank gives, in their order; as many each.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn gather<T: bytemuck::Pod>(&self, own: &[T]) -> Result<Vec<T>> {
        let mut all = own.repeat(self.size());
        let receive = bytemuck::cast_slice_mut(&mut all);
        self.timed(|t| t.all_gather(bytemuck::cast_slice(own), receive), ())?;
        Ok(all)
    }

    /// The parts ([`Group::part`]) of `total` things, put together.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn gather_parts<T: bytemuck::Pod>(&self, own: Vec<T>, total: usize) -> Result<Vec<T>> {
        let (size, longest) = (self.size(), total.div_ceil(self.size()));
        let mut padded = own;
        padded.resize(longest, T::zeroed());
        let all = self.gather(&padded)?;
        let of = |rank: usize| {
            let first = rank * longest;
            all[first..first + part(total, rank, size).len()].iter().copied()
        };
        Ok((0..size).flat_map(of).collect())
    }

    /// Σ of a number over the ranks.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn total(&self, own: usize) -> Result<usize> {
        Ok(self.gather(&[own as u64])?.iter().sum::<u64>() as usize)
    }

    /// Whether `own` is true on some rank.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn any(&self, own: bool) -> Result<bool> {
        Ok(self.total(usize::from(own))? > 0)
    }

    /// Every rank's text.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn texts(&self, own: &str) -> Result<Vec<String>> {
        let lengths = self.gather(&[own.len() as u64])?;
        let longest = lengths.iter().max().copied().unwrap_or(0) as usize;
        let mut padded = own.as_bytes().to_vec();
        padded.resize(longest.max(1), 0);
        let all = self.gather(&padded)?;
        let text = |(bytes, length): (&[u8], &u64)| {
            String::from_utf8_lossy(&bytes[..*length as usize]).into_owned()
        };
        Ok(all.chunks(longest.max(1)).zip(&lengths).map(text).collect())
    }

    /// Gives every rank what rank 0 has in `data`; as many on each.
    ///
    /// # Errors
    /// A rank that is gone.
    pub fn broadcast<T: bytemuck::Pod>(&self, data: &mut [T]) -> Result<()> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(data);
        self.timed(|t| bytes.chunks_mut(PIECE).try_for_each(|piece| t.broadcast(piece)), ())
    }

    /// What `decide` says on rank 0, told to all; its error ends all.
    ///
    /// # Errors
    /// Its own, on every rank; a rank that is gone.
    pub fn lead(&self, decide: impl FnOnce() -> Result<String>) -> Result<String> {
        let own = if self.leads() { decide() } else { Ok(String::new()) };
        let mut text = self.agree(own)?;
        let mut length = [text.len() as u64];
        self.broadcast(&mut length)?;
        let mut bytes = text.into_bytes();
        bytes.resize(length[0] as usize, 0);
        self.broadcast(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(text)
    }

    /// `own`, if it is an error on no rank: else an error on all, which the first rank that has one tells.
    ///
    /// # Errors
    /// That.
    pub fn agree<T>(&self, own: Result<T>) -> Result<T> {
        if self.size() == 1 {
            return own;
        }
        let told = own.as_ref().err().map(|e| (e.exit_code(), e.to_string()));
        let texts =
            self.texts(&told.map_or_else(String::new, |(code, e)| format!("{code} {e}")))?;
        let Some(first) = texts.iter().position(|t| !t.is_empty()) else { return own };
        match own {
            Err(e) if first == self.rank() => Err(self.together(e)),
            _ => {
                let (code, text) = texts[first].split_once(' ').unwrap_or(("1", &texts[first]));
                let code = code.parse().unwrap_or(1);
                let source = match code {
                    2 => Error::Usage(text.to_string()),
                    _ => Error::Failure(text.to_string()),
                };
                Err(Error::Together { rank: first, told: false, source: Box::new(source) })
            }
        }
    }

    /// An error that every rank has at the same place: told by one, rank 0 if all had it by themselves.
    pub fn together(&self, error: Error) -> Error {
        if self.size() == 1 || matches!(error, Error::Together { .. }) {
            return error;
        }
        Error::Together { rank: self.rank(), told: true, source: Box::new(error) }
    }

    /// An error that every rank has by itself: rank 0 tells it.
    pub fn told_by_lead(&self, error: Error) -> Error {
        match self.together(error) {
            Error::Together { source, .. } => {
                Error::Together { rank: 0, told: self.leads(), source }
            }
            other => other,
        }
    }

    /// Ends what this rank did: an error that it has alone is told, and ends all the others too, which wait
    /// for it. Called by one rank or by all.
    ///
    /// # Errors
    /// `result`'s.
    pub fn end<T>(&self, result: Result<T>) -> Result<T> {
        if let (Err(e), Some(transport)) = (&result, &self.transport)
            && !matches!(e, Error::Together { .. })
        {
            eprintln!("evenkeel: rank {}: {e}", self.rank());
            transport.abort(e.exit_code());
        }
        result
    }
}

impl Default for Group {
    /// A process alone.
    fn default() -> Self {
        Group::alone()
    }
}

impl From<Threads> for Group {
    fn from(threads: Threads) -> Self {
        Group::over(threads)
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;

    /// What each of `n` ranks finds.
    fn ranks<T: Send>(n: usize, run: impl Fn(&Group) -> T + Sync) -> Vec<T> {
        let run = &run;
        std::thread::scope(|scope| {
            let started: Vec<_> =
                threads(n).into_iter().map(|t| scope.spawn(move || run(&Group::from(t)))).collect();
            started.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn parts_are_even_and_leave_nothing_out() {
        for (total, size) in [(32, 2), (11, 3), (2, 3), (0, 2), (7, 1)] {
            let parts: Vec<_> = (0..size).map(|r| part(total, r, size)).collect();
            assert_eq!(parts[0].start, 0);
            assert_eq!(parts[size - 1].end, total);
            assert!(parts.windows(2).all(|p| p[0].end == p[1].start));
            let lengths: Vec<usize> = parts.iter().map(ExactSizeIterator::len).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn sums_are_the_same_bits_on_every_rank() {
        // 1e8 + 1 − 1e8 in 32 bits would lose the 1 in this order.
        let values = [1e8f32, 1.0, -1e8];
        let found = ranks(3, |group| {
            let mut data: Vec<f32> =
                (0..7).map(|i| values[group.rank()] * (i + 1) as f32).collect();
            group.sum(&mut data).unwrap();
            data
        });
        for data in found {
            assert_eq!(data, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        }
        let mut alone = [2.5f32];
        Group::alone().sum(&mut alone).unwrap();
        assert_eq!(alone, [2.5]);
    }

    #[test]
    fn texts_numbers_and_decisions_reach_all() {
        let found = ranks(3, |group| {
            let texts = group.texts(&"é".repeat(group.rank())).unwrap();
            let decided = group.lead(|| Ok("rank 0 says".into())).unwrap();
            let mut data = [group.rank() as u32 + 5; 3];
            group.broadcast(&mut data).unwrap();
            let any = group.any(group.rank() == 2).unwrap();
            let own: Vec<u32> = group.part(7).map(|i| i as u32).collect();
            assert_eq!(group.gather_parts(own, 7).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
            (texts, decided, data, group.total(group.rank()).unwrap(), any)
        });
        for (texts, decided, data, total, any) in found {
            assert_eq!(texts, ["", "é", "éé"]);
            assert_eq!((decided.as_str(), data, total, any), ("rank 0 says", [5; 3], 3, true));
        }
    }

    #[test]
    fn an_error_of_one_is_an_error_of_all_and_told_once() {
        let found = ranks(3, |group| {
            let own = match group.rank() {
                1 => Err(Error::usage("no such file")),
                2 => Err(Error::Failure("another".into())),
                _ => Ok(()),
            };
            let error = group.agree(own).unwrap_err();
            assert_eq!((error.exit_code(), error.to_string()), (2, "rank 1: no such file".into()));
            matches!(error, Error::Together { told: true, .. })
        });
        assert_eq!(found, [false, true, false]);
        assert_eq!(Group::alone().agree(Ok(3)).unwrap(), 3);
    }

    #[test]
    fn a_rank_that_is_gone_is_named() {
        let found = ranks(2, |group| match group.rank() {
            0 => group.sum(&mut [1.0; 4]).unwrap_err().to_string(),
            _ => String::new(),
        });
        assert!(found[0].contains("rank 1"), "{}", found[0]);
    }
}
