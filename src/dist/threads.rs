//! Ranks that are threads of one process, with a channel from each to each: for tests, and for programs that
//! drive several devices from one process.

use super::Transport;
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};

/// One thread's ends of the channels.
pub struct Threads {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// The ranks of a group of `size` threads; each goes to its own thread.
pub fn threads(size: usize) -> Vec<Threads> {
    let mut all: Vec<Threads> =
        (0..size).map(|rank| Threads { rank, to: Vec::new(), from: Vec::new() }).collect();
    for from in 0..size {
        for to in 0..size {
            let (sender, receiver) = channel();
            all[from].to.push(sender);
            all[to].from.push(receiver);
        }
    }
    all
}

impl Threads {
    fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
        self.to[to].send(bytes.to_vec()).map_err(|_| gone(to))
    }

    fn receive(&self, from: usize, into: &mut [u8]) -> Result<()> {
        let bytes = self.from[from].recv().map_err(|_| gone(from))?;
        if bytes.len() != into.len() {
            return Err(Error::Failure(format!(
                "rank {from} sent {} bytes where {} were awaited",
                bytes.len(),
                into.len()
            )));
        }
        into.copy_from_slice(&bytes);
        Ok(())
    }
}

fn gone(rank: usize) -> Error {
    Error::Failure(format!("rank {rank} has ended"))
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn local_rank(&self) -> usize {
        self.rank
    }

    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        let each = (send.len() / self.size()).max(1);
        for to in 0..self.size() {
            self.send(to, send.chunks(each).nth(to).unwrap_or_default())?;
        }
        let mut parts = receive.chunks_mut(each);
        (0..self.size()).try_for_each(|from| self.receive(from, parts.next().unwrap_or_default()))
    }

    fn all_gather(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        (0..self.size()).try_for_each(|to| self.send(to, send))?;
        let mut parts = receive.chunks_mut(send.len().max(1));
        (0..self.size()).try_for_each(|from| self.receive(from, parts.next().unwrap_or_default()))
    }

    fn broadcast(&self, data: &mut [u8]) -> Result<()> {
        match self.rank {
            0 => (1..self.size()).try_for_each(|to| self.send(to, data)),
            _ => self.receive(0, data),
        }
    }

    /// A thread cannot end the others; they find its channels closed.
    fn abort(&self, _: u8) {}
}
