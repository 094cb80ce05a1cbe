//! What ranks make of numbers that they exchange between two launches of a step
//! ([`Exchange`]): gradients added up, batch norm's statistics merged.

use super::Group;
use crate::error::Result;
use evenkeel_kernels::Exchange;

/// Words of a record of batch norm's scratch: coefficients of each channel, then partials (`batchnorm/`).
const RECORD: usize = 4;

/// Replaces `data`, which an argument holds, by what all ranks' together make.
///
/// # Errors
/// A rank that is gone.
pub fn exchange(group: &Group, what: Exchange, data: &mut [f32]) -> Result<()> {
    match what {
        Exchange::Sum => group.sum(data),
        Exchange::Moments { channels } => moments(group, channels as usize, data),
        Exchange::Sums { channels, elements } => sums(group, channels as usize, elements, data),
    }
}

/// Mean, sum of squared deviations from it, count.
type Moments = [f64; 3];

/// Of two sets together (Chan, Golub and LeVeque); either may be empty.
fn merge([mean, m2, n]: Moments, [other, other_m2, m]: Moments) -> Moments {
    let count = n + m;
    let share = m / count.max(1.0);
    let delta = other - mean;
    [mean + delta * share, m2 + other_m2 + delta * delta * n * share, count]
}

/// Partials (mean − pivot, M2, count, pivot): the first of each channel becomes all ranks', the others empty.
fn moments(group: &Group, channels: usize, data: &mut [f32]) -> Result<()> {
    let (_, partials) = data.split_at_mut(channels * RECORD);
    let mut own = vec![Moments::default(); channels];
    for (i, p) in partials.chunks_exact(RECORD).enumerate() {
        let [mean, m2, count, pivot] = [p[0], p[1], p[2], p[3]].map(f64::from);
        let all = &mut own[i % channels];
        *all = merge(*all, [pivot + mean, m2, count]);
    }
    let ranks = group.gather(&own)?;
    partials.fill(0.0);
    for (channel, p) in partials.chunks_exact_mut(RECORD).take(channels).enumerate() {
        let each = ranks.iter().skip(channel).step_by(channels);
        let [mean, m2, count] = each.fold(Moments::default(), |all, one| merge(all, *one));
        p.copy_from_slice(&[mean as f32, m2 as f32, count as f32, 0.0]);
    }
    Ok(())
}

/// Partials (Σg, Σg·x̂, mean, 1/σ): the first of each channel becomes the rank's share of all ranks' sums, the
/// others' sums 0.
fn sums(group: &Group, channels: usize, elements: u32, data: &mut [f32]) -> Result<()> {
    let (_, partials) = data.split_at_mut(channels * RECORD);
    let mut own = vec![[0.0f64; 2]; channels + 1];
    own[channels][0] = f64::from(elements);
    for (i, p) in partials.chunks_exact_mut(RECORD).enumerate() {
        let all = &mut own[i % channels];
        *all = [all[0] + f64::from(p[0]), all[1] + f64::from(p[1])];
        p[..2].fill(0.0);
    }
    let ranks = group.gather(&own)?;
    let total = |i: usize, at: usize| -> f64 {
        ranks.iter().skip(i).step_by(channels + 1).map(|s| s[at]).sum()
    };
    let share = f64::from(elements) / total(channels, 0);
    for (channel, p) in partials.chunks_exact_mut(RECORD).take(channels).enumerate() {
        p[0] = (total(channel, 0) * share) as f32;
        p[1] = (total(channel, 1) * share) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;

    /// What two ranks' data becomes.
    fn both(what: [Exchange; 2], data: [Vec<f32>; 2]) -> [Vec<f32>; 2] {
        std::thread::scope(|scope| {
            let run = |(t, (what, mut data)): (_, (Exchange, Vec<f32>))| {
                scope.spawn(move || {
                    exchange(&Group::from(t), what, &mut data).unwrap();
                    data
                })
            };
            let pairs = what.into_iter().zip(data);
            let started: Vec<_> = threads(2).into_iter().zip(pairs).map(run).collect();
            let mut found = started.into_iter().map(|t| t.join().unwrap());
            [found.next().unwrap(), found.next().unwrap()]
        })
    }

    #[test]
    fn merged_moments_are_those_of_all_elements() {
        // Channel 0: {1, 3} and {5} on rank 0, {11} on rank 1; channel 1: {2, 2} | {4, 6}.
        let coefficients = [9.0; 8];
        let rank0 =
            [1.0, 2.0, 2.0, 1.0, 0.0, 0.0, 2.0, 2.0, 4.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0];
        let rank1 = [0.0, 0.0, 1.0, 11.0, 1.0, 2.0, 2.0, 4.0];
        let data = [[&coefficients[..], &rank0].concat(), [&coefficients[..], &rank1].concat()];
        let found = both([Exchange::Moments { channels: 2 }; 2], data);
        for data in &found {
            assert_eq!(data[..8], coefficients);
            // {1, 3, 5, 11}: mean 5, M2 56; {2, 2, 4, 6}: mean 3.5, M2 11
            assert_eq!(data[8..16], [5.0, 56.0, 4.0, 0.0, 3.5, 11.0, 4.0, 0.0]);
            assert!(data[16..].iter().all(|v| *v == 0.0));
        }
    }

    #[test]
    fn shares_of_sums_follow_the_ranks_elements() {
        // One channel; rank 0 has 3 of 4 elements, in two parts.
        let data = [
            vec![0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 7.0, 8.0, 3.0, 4.0, 7.0, 8.0],
            vec![0.0, 0.0, 0.0, 0.0, 4.0, -2.0, 7.0, 8.0],
        ];
        let of = |elements| Exchange::Sums { channels: 1, elements };
        let [a, b] = both([of(3), of(1)], data);
        assert_eq!(a[4..], [6.0, 3.0, 7.0, 8.0, 0.0, 0.0, 7.0, 8.0]);
        assert_eq!(b[4..], [2.0, 1.0, 7.0, 8.0]);
    }
}
