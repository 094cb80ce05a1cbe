//! Which variants of the kernels a device gets, and why it doesn't get the others: for people, behind
//! `evenkeel devices`.

use crate::conv2d::{self, Conv2d, Direction};
use crate::matmul::{self, Matmul};
use crate::{Caps, Launch};

/// A family of kernels that has a choice.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What it computes.
    pub family: &'static str,
    /// The variants that the device can run, its choice for a usual shape first.
    pub offered: Vec<&'static str>,
    /// Why that one is first.
    pub why: String,
    /// The variants that it can't run, and why.
    pub lacking: Vec<(&'static str, String)>,
}

/// The device's subgroups, in words.
pub fn subgroups(caps: &Caps) -> String {
    match (caps.subgroups, caps.subgroup_size) {
        (false, _) => "no subgroups".into(),
        (true, (least, most)) if least == most => format!("subgroups of {least}"),
        (true, (least, most)) => format!("subgroups of {least} to {most}"),
    }
}

/// What a device with `caps` gets, family by family.
pub fn offers(caps: &Caps) -> Vec<Offer> {
    let convolution = |family, side: u32| {
        let shape = Conv2d {
            n: 32,
            ci: 16,
            h: 32,
            w: 32,
            co: 16,
            kh: side,
            kw: side,
            stride: [1; 2],
            pad: [side / 2; 2],
            dilation: [1; 2],
            groups: 1,
        };
        let variants = |caps: &Caps| conv2d::variants(&shape, Direction::Forward, caps);
        let launches = |v| launches(conv2d::program(&shape, Direction::Forward, v, &rich()));
        // Those that compute such a shape on some device.
        let every = Caps { software: true, f16: true, half_products: true, ..rich() };
        offer(family, variants(caps), &variants(&every), |v| v.name(), launches, caps)
    };
    let product = Matmul {
        batch: 1,
        m: 512,
        n: 512,
        k: 512,
        transpose_a: false,
        transpose_b: false,
        bias: false,
    };
    vec![
        convolution("3x3 convolution", 3),
        convolution("1x1 convolution", 1),
        offer(
            "matrix product",
            matmul::variants(&product, caps),
            &matmul::Variant::ALL,
            |v| v.name(),
            |v| launches(matmul::program(&product, v, &rich())),
            caps,
        ),
    ]
}

/// A device on which every variant can be built.
fn rich() -> Caps {
    Caps { subgroups: true, subgroup_size: (8, 8), ..Caps::portable() }
}

fn launches(program: crate::Program) -> Vec<Launch> {
    program.calls.into_iter().map(|call| call.launch).collect()
}

fn offer<V: Copy + PartialEq>(
    family: &'static str,
    offered: Vec<V>,
    all: &[V],
    name: impl Fn(V) -> &'static str,
    launches: impl Fn(V) -> Vec<Launch>,
    caps: &Caps,
) -> Offer {
    let needs_subgroups = |v: V| launches(v).iter().any(|l| l.subgroups);
    let kind = if caps.software { "software device" } else { "GPU" };
    let why = match offered.first() {
        Some(first) if needs_subgroups(*first) => format!("{kind}, {}", subgroups(caps)),
        _ => kind.to_string(),
    };
    let without = all.iter().filter(|v| !offered.contains(v));
    let lacking = without.map(|v| {
        let reason = if needs_subgroups(*v) {
            format!("needs subgroups of 8 or more, the device has {}", subgroups(caps))
        } else if caps.f16 {
            "in mixed precision alone".to_string()
        } else {
            "needs f16 in shaders".to_string()
        };
        (name(*v), reason)
    });
    let lacking = lacking.collect();
    Offer { family, offered: offered.into_iter().map(name).collect(), why, lacking }
}
