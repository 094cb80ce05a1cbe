//! Ranks that are processes of an MPI job, through the crate `mpi`'s safe interface. Every call is made by the
//! main thread. MPI ends the job by itself when a rank dies or a message fails.

use super::Transport;
use crate::error::{Error, Result};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

/// The job.
pub(super) struct Mpi {
    world: SimpleCommunicator,
    local_rank: usize,
    // Dropped last: MPI ends with it.
    _universe: Universe,
}

impl Mpi {
    /// Joins the job that this process was started in.
    ///
    /// # Errors
    /// An MPI that was started before, or does not take calls beside other threads.
    pub fn start() -> Result<Self> {
        let started = mpi::initialize_with_threading(Threading::Funneled);
        let Some((universe, threading)) = started else {
            return Err(Error::Failure("MPI was started already in this process".into()));
        };
        if threading < Threading::Funneled {
            return Err(Error::Failure("this MPI does not work in a program with threads".into()));
        }
        let world = universe.world();
        let local_rank = world.split_shared(world.rank()).rank() as usize;
        Ok(Mpi { world, local_rank, _universe: universe })
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // The end of MPI waits for all ranks, of which this one may not come.
        if std::thread::panicking() {
            self.world.abort(101);
        }
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn local_rank(&self) -> usize {
        self.local_rank
    }

    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        self.world.all_to_all_into(send, receive);
        Ok(())
    }

    fn all_gather(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        self.world.all_gather_into(send, receive);
        Ok(())
    }

    fn broadcast(&self, data: &mut [u8]) -> Result<()> {
        self.world.process_at_rank(0).broadcast_into(data);
        Ok(())
    }

    fn abort(&self, code: u8) {
        self.world.abort(i32::from(code));
    }
}
