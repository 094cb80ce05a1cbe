//! Several processes that train together, one a device: who they are, and how they exchange.
//!
//! A [`Group`] is one process's view of all (its *ranks*): sums in a fixed order, so that every rank gets the
//! same bits whatever the timing; agreement on errors; what rank 0 decides. It stands on a [`Transport`],
//! which moves bytes: none for a process alone, channels between threads, or MPI (`--features mpi`). What is
//! exchanged between two launches of a step is in [`exchange`]; docs/distributed.md tells the whole.

mod exchange;
mod group;
#[cfg(all(feature = "mpi", not(target_arch = "wasm32")))]
mod mpi;
mod threads;

pub use exchange::exchange;
pub use group::{Group, part};
pub use threads::{Threads, threads};

use crate::error::{Error, Result};

/// Moves bytes between ranks. All ranks call the same functions in the same order with the same lengths.
pub trait Transport {
    /// This process's number, from 0.
    fn rank(&self) -> usize;
    /// How many there are.
    fn size(&self) -> usize;
    /// This process's number among those of its machine.
    fn local_rank(&self) -> usize;
    /// Sends the i-th of equal parts of `send` to rank i; `receive` gets a part from each, in their order.
    ///
    /// # Errors
    /// A rank that is gone.
    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()>;
    /// Gives every rank what all send, in their order.
    ///
    /// # Errors
    /// A rank that is gone.
    fn all_gather(&self, send: &[u8], receive: &mut [u8]) -> Result<()>;
    /// Gives every rank what rank 0 has in `data`.
    ///
    /// # Errors
    /// A rank that is gone.
    fn broadcast(&self, data: &mut [u8]) -> Result<()>;
    /// Ends all ranks' processes, where it can; returns otherwise.
    fn abort(&self, code: u8);
}

/// Variables by which starters of processes tell how many there are: Open MPI; MPICH, Intel MPI and Slurm's
/// PMI-2; MVAPICH.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
/// Set where a starter such as `srun --mpi=pmix` tells the number only to MPI.
const STARTED: &str = "PMIX_RANK";

/// How many processes this one was started with, by the environment: 1 where nothing started it; `None` where
/// only MPI knows.
pub fn started_with() -> Option<usize> {
    started(|name| std::env::var(name).ok())
}

fn started(get: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let told = SIZES.iter().find_map(|name| get(name)?.parse().ok());
    match told {
        Some(size) => Some(size),
        None if get(STARTED).is_some() => None,
        None => Some(1),
    }
}

/// The group that this process was started in: of one process, unless `mpirun` or the like started it.
///
/// # Errors
/// Several processes without MPI in this program, or an MPI that does not start.
pub fn launched() -> Result<Group> {
    if started_with() == Some(1) {
        return Ok(Group::alone());
    }
    over_mpi()
}

#[cfg(all(feature = "mpi", not(target_arch = "wasm32")))]
fn over_mpi() -> Result<Group> {
    Ok(Group::over(mpi::Mpi::start()?))
}

#[cfg(not(all(feature = "mpi", not(target_arch = "wasm32"))))]
fn over_mpi() -> Result<Group> {
    let many = started_with().map_or("several".into(), |n| n.to_string());
    Err(Error::usage(format!(
        "started as {many} processes that train together, but this program was built without MPI: build it \
         with `cargo build --release --features mpi` (docs/distributed.md), or start it without mpirun"
    )))
}

/// An error unless this process is the only one: for commands that several would do several times.
///
/// # Errors
/// That.
pub fn refuse_several() -> Result<()> {
    match started_with() {
        Some(1) => Ok(()),
        _ => Err(Error::usage(
            "only `evenkeel train` runs as several processes; start other commands without mpirun",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::started;

    #[test]
    fn the_environment_tells_how_many_there_are() {
        let with = |set: &'static [(&str, &str)]| {
            started(move |name| {
                set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_string())
            })
        };
        assert_eq!(with(&[]), Some(1));
        assert_eq!(with(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(4));
        assert_eq!(with(&[("PMI_SIZE", "2"), ("PMIX_RANK", "0")]), Some(2));
        assert_eq!(with(&[("PMIX_RANK", "3")]), None);
    }
}
