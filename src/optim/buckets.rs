//! Which stretches of the flat gradients are summed over the ranks together: whole parameters side by side,
//! from the last layer to the first, as backward finds them.

use crate::gpu::Slice;
use crate::nn::{Params, Slot};
use std::rc::Rc;

/// Words of gradients that travel together (4 MiB); docs/distributed.md has a model of what that costs.
pub(super) const WORDS: usize = 1 << 20;

/// The gradients of `slots` (in the order they lie in memory) in stretches of at most `most` words (or one
/// parameter), the last first.
pub(super) fn buckets(params: &Params, slots: &[Slot], most: usize) -> Vec<Slice> {
    let mut found: Vec<Slice> = Vec::new();
    for slot in slots.iter().rev() {
        let next = params.twin(*slot);
        if let Some(last) = found.last_mut()
            && Rc::ptr_eq(&last.buffer, &next.buffer)
            && next.start < last.start
            && last.start + last.words - next.start <= most
        {
            last.words += last.start - next.start;
            last.start = next.start;
        } else {
            found.push(next);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;
    use crate::nn::{Builder, Init, Kind};

    #[test]
    fn every_gradient_is_in_one_bucket_and_the_last_come_first() {
        let gpu = Gpu::open(None).expect("a device");
        let mut builder = Builder::default();
        for (i, words) in [100, 64, 300, 10, 70].into_iter().enumerate() {
            builder.parameter(format!("p{i}"), [words], Init::Constant(0.0));
        }
        let params = Params::new(&gpu, builder, 0).expect("parameters");
        let slots: Vec<Slot> = params.slots(Kind::Parameter).collect();
        // Places, in blocks of 64 words: 0..100, 128..192, 192..492, 512..522, 576..646
        let of = |most| -> Vec<(usize, usize)> {
            buckets(&params, &slots, most).iter().map(|s| (s.start, s.start + s.words)).collect()
        };
        assert_eq!(of(200), [(512, 646), (192, 492), (0, 192)]);
        assert_eq!(of(1), [(576, 646), (512, 522), (192, 492), (128, 192), (0, 100)]);
        assert_eq!(of(WORDS), [(0, 646)]);
        // Parameters that do not learn are left out at the ends.
        let learning = &slots[1..3];
        let some = buckets(&params, learning, WORDS);
        assert_eq!((some.len(), some[0].start, some[0].words), (1, 128, 364));
    }
}
