//! The nearest neighbours of points, by squared distance: every candidate is looked at, so the answer is
//! exact. A candidate is given up as soon as its sum exceeds the worst distance still wanted, which changes
//! nothing but the time.

use super::parallel;

/// Points of as many numbers each.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    values: &'a [f32],
    dims: usize,
}

/// Numbers summed before a candidate is looked at again; lanes of the sum.
const RUN: usize = 64;
const LANES: usize = 8;

impl<'a> Points<'a> {
    /// `values`, `dims` numbers a point.
    pub fn new(values: &'a [f32], dims: usize) -> Self {
        Points { values, dims: dims.max(1) }
    }

    /// The point of an index.
    pub fn point(&self, index: u32) -> &'a [f32] {
        let start = index as usize * self.dims;
        &self.values[start..start + self.dims]
    }

    /// The `k` candidates nearest to `of`, itself left out: nearest first, of equally near ones the earlier
    /// candidate first. Fewer where there are not as many.
    pub fn nearest(&self, of: u32, candidates: &[u32], k: usize) -> Vec<u32> {
        let query = self.point(of);
        let mut found: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
        for candidate in candidates.iter().copied().filter(|c| *c != of) {
            let limit = match found.last() {
                Some((worst, _)) if found.len() == k => *worst,
                _ => f32::INFINITY,
            };
            let Some(d) = within(query, self.point(candidate), limit) else { continue };
            let at = found.partition_point(|(other, _)| *other <= d);
            found.insert(at, (d, candidate));
            found.truncate(k);
        }
        found.into_iter().map(|(_, index)| index).collect()
    }

    /// [`Points::nearest`] of each of `of`, by all of the machine's threads.
    pub fn nearest_of_each(&self, of: &[u32], candidates: &[u32], k: usize) -> Vec<Vec<u32>> {
        parallel::each(of, |i| self.nearest(*i, candidates, k))
    }
}

/// ‖a − b‖², or nothing once it has reached `limit`.
fn within(a: &[f32], b: &[f32], limit: f32) -> Option<f32> {
    let mut total = 0.0;
    for (a, b) in a.chunks(RUN).zip(b.chunks(RUN)) {
        let mut lanes = [0.0f32; LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += (a - b) * (a - b);
            }
        }
        total += lanes.iter().sum::<f32>();
        if total >= limit {
            return None;
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::super::random::Draws;
    use super::*;

    #[test]
    fn neighbours_are_those_of_a_sorted_list_of_all_distances() {
        let (count, dims) = (300, 70);
        let mut draws = Draws::new(&[1]);
        let mut values: Vec<f32> = (0..count * dims).map(|_| draws.within(-1.0, 1.0)).collect();
        // Points that are the same are equally near.
        values.copy_within(0..dims, 7 * dims);
        values.copy_within(0..dims, 200 * dims);
        let points = Points::new(&values, dims);
        let candidates: Vec<u32> = (0..count as u32).filter(|i| i % 3 != 1).collect();
        for of in [0u32, 1, 7, 58, 299] {
            let distance = |i: u32| -> f64 {
                let pairs = points.point(of).iter().zip(points.point(i));
                pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            let mut all: Vec<u32> = candidates.iter().copied().filter(|i| *i != of).collect();
            all.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
            for k in [1, 5, 20] {
                assert_eq!(points.nearest(of, &candidates, k), all[..k], "{of}, {k}");
            }
        }
        let all: Vec<u32> = (0..count as u32).collect();
        let each: Vec<Vec<u32>> = all.iter().map(|i| points.nearest(*i, &candidates, 2)).collect();
        assert_eq!(points.nearest_of_each(&all, &candidates, 2), each);
        assert_eq!(points.nearest(0, &[0, 3], 5), [3]);
        assert!(points.nearest(0, &[], 5).is_empty());
    }
}
