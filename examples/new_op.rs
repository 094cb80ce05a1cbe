//! A new op with a kernel of its own and a gradient: leaky ReLU. Forward and backward are one kernel,
//! y = s(x)·x and dx = s(x)·dy. `cargo run --release --example new_op`

use evenkeel::error::Result;
use evenkeel::gpu::Gpu;
use evenkeel::graph::grad;
use evenkeel::ops;
use evenkeel::tensor::{DType, Gradients, Node, Op, Tensor};
use evenkeel_kernels::{Arg, Caps, Launch, Program, Source, linear_grid};

const LEAKY: Source = Source { path: "examples/new_op.wgsl", text: include_str!("new_op.wgsl") };

/// `slope` for negative x; inputs x and what is scaled: x itself, or dy.
#[derive(Debug)]
struct Leaky {
    slope: f32,
}

impl Op for Leaky {
    fn name(&self) -> &'static str {
        "leaky_relu"
    }

    fn program(&self, node: &Node, _: &Caps) -> Program {
        let n = node.outputs()[0].0.len() as u32;
        let [x, y, z] = linear_grid(n.div_ceil(64));
        let bytes = 4 * u64::from(n);
        let launch = Launch::new(LEAKY, "leaky").constant("SLOPE", self.slope).grid(x, y, z).cost(
            u64::from(n),
            2 * bytes,
            bytes,
        );
        Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let x = &node.inputs()[0];
        let dx = gradients.first().map(|dy| scaled(x, dy, self.slope));
        // The second input is x too: its share is in the first's.
        Ok(vec![dx, None])
    }
}

fn scaled(x: &Tensor, by: &Tensor, slope: f32) -> Tensor {
    let out = (x.shape().clone(), DType::F32);
    let [y] = Tensor::record(x.gpu(), Leaky { slope }, vec![x.clone(), by.clone()], [out]);
    y
}

/// x where it is positive, slope·x elsewhere.
pub fn leaky_relu(x: &Tensor, slope: f32) -> Tensor {
    scaled(x, x, slope)
}

/// Runs the example.
pub fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::open(None)?;
    let values = [-2.0f32, -0.5, 0.5, 3.0];
    let loss_of = |v: &[f32]| -> Result<(Tensor, Tensor)> {
        let x = Tensor::new(&gpu, v, [v.len()])?;
        // In the middle of a graph: Σ (leaky(x))², so that dy is not 1.
        Ok((x.clone(), ops::sum(&ops::unary("square", &leaky_relu(&x, 0.1))?, &[], false)?))
    };
    let (x, loss) = loss_of(&values)?;
    let found = grad(&loss, &[&x])?.remove(0).expect("the loss depends on x").to_vec()?;
    for (i, found) in found.iter().enumerate() {
        let at = |step: f32| -> Result<f32> {
            let mut v = values;
            v[i] += step;
            Ok(loss_of(&v)?.1.to_vec()?[0])
        };
        let expected = (at(0.01)? - at(-0.01)?) / 0.02;
        println!("d loss / d x[{i}]: {found:.4}, by finite differences {expected:.4}");
        assert!((found - expected).abs() < 1e-2);
    }
    Ok(())
}
