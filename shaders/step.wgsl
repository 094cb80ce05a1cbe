// What changes from one step to the next: one uniform of 40 bytes, written before each submit.
struct Step {
    learning_rate: f32,
    step: u32,          // optimizer steps taken before this one
    epoch: u32,
    first: u32,         // position in the epoch's order of the batch's first sample
    seed: vec2<u32>,    // the run's seed
    lambda: f32,        // the batch's own share in a mixed batch (mixup, CutMix)
    shift: u32,         // sample i is mixed with sample i + shift
    weight: f32,        // the batch's share of the step's samples
    batch: u32,         // number of the batch within the step
}
