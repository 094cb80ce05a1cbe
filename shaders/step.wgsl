// What changes from one step to the next: one uniform of 32 bytes, written before each submit.
struct Step {
    learning_rate: f32,
    step: u32,          // optimizer steps taken before this one
    epoch: u32,
    first: u32,         // position in the epoch's order of the batch's first sample
    seed: vec2<u32>,    // the run's seed
    reserved: vec2<u32>,
}
