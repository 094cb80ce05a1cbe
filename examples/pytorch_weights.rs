//! PyTorch weights: `save_file(model.state_dict(), "net.safetensors")` there, classified with here.
//! `cargo run --release --example pytorch_weights -- net.safetensors`; without a file, one that PyTorch
//! wrote for the tests (a `small` network, untrained).

use evenkeel::gpu::Gpu;
use evenkeel::nn::{
    BiasStart, Builder, Experts, Head, Mode, NormKind, NormLayers, Norms, Params, Projected,
    ResNet, Scope, Spec,
};
use evenkeel::ops;
use evenkeel::tensor::Tensor;
use evenkeel::train::about::floats;
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use std::error::Error;
use std::path::PathBuf;

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/trajectory/bn.safetensors");
    let path = std::env::args_os().nth(1).filter(|p| PathBuf::from(p).exists());
    let path = path.map_or_else(|| PathBuf::from(shipped), PathBuf::from);
    let file = Checkpoint::load(&path)?;
    let Some((shape, TensorData::F32(_))) = file.get("linear.weight") else {
        return Err("the file has no linear.weight".into());
    };
    // The network that the names describe: blocks in a stage, classes.
    let blocks =
        (0..).take_while(|i| file.get(&format!("layer1.{i}.conv1.weight")).is_some()).count();
    let model = evenkeel::nn::MODELS.iter().find(|arch| arch.blocks[0] == blocks);
    let model = model.ok_or("no model has so many blocks")?.name;
    let norms = Norms::new(NormKind::Bn, NormLayers::Nothing, BiasStart::Zero);
    let (classes, experts) = (shape[0], Experts::ONE);
    let spec =
        Spec { model, classes, head: Head::Linear, experts, norms, projected: Projected::NONE };
    let gpu = Gpu::open(None)?;
    let mut builder = Builder::default();
    let net = ResNet::new(&mut builder, &spec)?;
    let params = Params::new(&gpu, builder, 0)?;
    // Every name and shape must fit; what doesn't is told.
    params.import(&floats(&file))?;
    println!(
        "{}: {model}, {} classes, {} parameters",
        path.display(),
        spec.classes,
        params.count()
    );
    // Two made-up images in PyTorch's layout [N, 3, 32, 32], already normalized.
    let pixels: Vec<f32> = (0..2 * 3 * 32 * 32).map(|i| (i % 29) as f32 / 14.0 - 1.0).collect();
    let x = Tensor::new(&gpu, &pixels, [2, 3, 32, 32])?;
    let logits = net.forward(&Scope::new(&params, Mode::Eval), &x)?;
    let probabilities = ops::softmax(&logits)?.to_vec()?;
    for (i, row) in probabilities.chunks(spec.classes).enumerate() {
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).ok_or("no class")?;
        println!("image {i}: class {best} with {:.1} %", 100.0 * row[best]);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    Ok(())
}
