//! AdaBN (Li et al., arXiv 2016): after training, the running statistics are taken anew over the data that the
//! network is meant for; here a class-balanced stream of the training images, without random changes.
//!
//! Each whole batch is normalized by itself and gives a mean m_b and an unbiased variance v_b of each channel;
//! over all batches mean = avg m_b and variance = avg v_b + avg (m_b − mean)²: within and between batches.

use super::device_set::DeviceSet;
use super::session::Session;
use crate::data::sampler::{Pool, Rule};
use crate::error::{Error, Result};
use crate::nn::Named;
use std::collections::HashMap;

/// Keeps the stream apart from the epochs' orders of the same seed.
const PURPOSE: u64 = 0xADAB;
const MEAN: &str = "running_mean";
const VARIANCE: &str = "running_var";

/// Replaces the running statistics of `session` by those of as many class-balanced draws as there are images.
///
/// # Errors
/// What planning or the device reports.
pub fn reestimate(
    session: &mut Session,
    (set, labels): (&DeviceSet, &[u32]),
    classes: usize,
    batch_size: usize,
    seed: u64,
) -> Result<()> {
    let order = Pool::new(labels, classes).epoch(Rule::Power(0.0), seed ^ PURPOSE, 0, 0.0);
    set.set_order(&order);
    let batch = batch_size.min(order.len());
    let count = order.len() / batch.max(1) * batch;
    let mut sums: HashMap<String, Sums> = HashMap::new();
    session.batch_statistics(set, count, batch, |name, values| {
        let Some((layer, part)) = name.rsplit_once('.') else { return };
        let layer = sums.entry(layer.to_string()).or_default();
        match part {
            MEAN => layer.means.push(values),
            VARIANCE => layer.variances.push(values),
            _ => {}
        }
    })?;
    let mut all = session.params.export(false)?;
    let taken = replace(&mut all, &sums);
    if taken != 2 * sums.len() {
        return Err(Error::Failure(
            "some batch norms have statistics that AdaBN cannot take".into(),
        ));
    }
    session.params.import(&all)
}

/// What a layer's batches gave: a mean and a variance of each channel.
#[derive(Default)]
struct Sums {
    means: Vec<Vec<f32>>,
    variances: Vec<Vec<f32>>,
}

/// Puts the statistics over all batches in the place of the running ones; how many entries were replaced.
fn replace(all: &mut [Named], sums: &HashMap<String, Sums>) -> usize {
    let mut replaced = 0;
    for (name, _, values) in all {
        let Some((layer, part)) = name.rsplit_once('.') else { continue };
        let Some(sums) = sums.get(layer) else { continue };
        let (mean, variance) = sums.pooled();
        match part {
            MEAN => *values = mean,
            VARIANCE => *values = variance,
            _ => continue,
        }
        replaced += 1;
    }
    replaced
}

impl Sums {
    fn pooled(&self) -> (Vec<f32>, Vec<f32>) {
        let average = |of: &dyn Fn(usize, usize) -> f64, channel: usize| -> f64 {
            let batches = self.means.len();
            (0..batches).map(|b| of(b, channel)).sum::<f64>() / batches.max(1) as f64
        };
        let channels = self.means.first().map_or(0, Vec::len);
        let each = (0..channels).map(|k| {
            let mean = average(&|b, k| f64::from(self.means[b][k]), k);
            let within = average(&|b, k| f64::from(self.variances[b][k]), k);
            let between = average(&|b, k| (f64::from(self.means[b][k]) - mean).powi(2), k);
            (mean as f32, (within + between) as f32)
        });
        each.unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_pool_to_the_moments_of_all_their_values() {
        let batches = [[1.0f32, 2.0, 4.0, 9.0], [-3.0, 0.5, 0.5, 10.0], [7.0, 7.0, 8.0, 6.0]];
        let moments = |x: &[f32]| {
            let mean = x.iter().sum::<f32>() / x.len() as f32;
            (mean, x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / x.len() as f32)
        };
        let mut sums = Sums::default();
        for batch in &batches {
            let (mean, variance) = moments(batch);
            sums.means.push(vec![mean]);
            sums.variances.push(vec![variance]);
        }
        let (mean, variance) = moments(&batches.concat());
        let found = sums.pooled();
        assert!((found.0[0] - mean).abs() < 1e-6 && (found.1[0] - variance).abs() < 1e-5);
        let mut all = vec![
            ("bn1.running_mean".to_string(), vec![1], vec![0.0]),
            ("bn1.running_var".to_string(), vec![1], vec![1.0]),
            ("bn1.weight".to_string(), vec![1], vec![3.0]),
        ];
        assert_eq!(replace(&mut all, &HashMap::from([("bn1".to_string(), sums)])), 2);
        assert_eq!((all[0].2[0], all[1].2[0], all[2].2[0]), (found.0[0], found.1[0], 3.0));
    }
}
