//! Every kind of launch the engine makes, without a device: for each kind of device that kernels are
//! chosen for, the programs of a ResNet-20's step, of other shapes and ops, and of the catalogue, by
//! every variant. What the tests validate and `tools/portability` compiles for every backend.

use crate::batchnorm::{Affine, BatchNorm};
use crate::conv2d::{Conv2d, Direction};
use crate::{
    Caps, Program, augment, batch, batchnorm, catalog, conv2d, elementwise, limits, matmul, optim,
    pool, reduce, rows, shortcut, softmax_ce,
};

/// The programs of one kind of device.
pub struct Census {
    /// The kind of device.
    pub device: &'static str,
    /// What it offers.
    pub caps: Caps,
    /// What each program computes, and the program.
    pub programs: Vec<(String, Program)>,
}

impl Census {
    fn add(&mut self, what: impl Into<String>, program: Program) {
        self.programs.push((what.into(), program));
    }

    fn conv(&mut self, shape: Conv2d) {
        for direction in [Direction::Forward, Direction::BackwardData, Direction::BackwardWeights] {
            for variant in conv2d::variants(&shape, direction, &self.caps) {
                let what = format!("conv2d {} {direction:?} {shape:?}", variant.name());
                self.add(what, conv2d::program(&shape, direction, variant, &self.caps));
            }
        }
    }

    fn norm(&mut self, bn: BatchNorm) {
        let caps = self.caps.clone();
        self.add(format!("forward_train {bn:?}"), batchnorm::forward_train(&bn, &caps));
        self.add(format!("forward_eval {bn:?}"), batchnorm::forward_eval(&bn, &caps));
        self.add(format!("backward_train {bn:?}"), batchnorm::backward_train(&bn, &caps));
        self.add(format!("backward_eval {bn:?}"), batchnorm::backward_eval(&bn, &caps));
    }

    fn product(&mut self, p: matmul::Matmul) {
        for variant in matmul::variants(&p, &self.caps) {
            let what = format!("matmul {} {p:?}", variant.name());
            self.add(what, matmul::program(&p, variant, &self.caps));
        }
    }
}

/// The devices that kernels are chosen for.
fn devices() -> [Census; 6] {
    let with = |device, software, subgroup: Option<(u32, u32)>| Census {
        device,
        caps: Caps {
            software,
            subgroups: subgroup.is_some(),
            f16: !software && subgroup.is_some(),
            subgroup_size: subgroup.unwrap_or(Caps::portable().subgroup_size),
            ..Caps::portable()
        },
        programs: Vec::new(),
    };
    let mut lavapipe = with("software that reads texels", true, Some((8, 8)));
    lavapipe.caps.texels = true;
    let mut mixed = with("a GPU in mixed precision", false, Some((32, 32)));
    mixed.caps.half_products = true;
    [
        mixed,
        with("portable", false, None),
        with("a GPU with subgroups of 32 and f16", false, Some((32, 32))),
        with("software without subgroups", true, None),
        with("software with subgroups of 8", true, Some((8, 8))),
        lavapipe,
    ]
}

/// Channels and height of ResNet-20's stages.
const STAGES: [(u32, u32); 3] = [(16, 32), (32, 16), (64, 8)];

fn conv3x3(n: u32, ci: u32, co: u32, size: u32, stride: u32) -> Conv2d {
    Conv2d {
        n,
        ci,
        h: size,
        w: size,
        co,
        kh: 3,
        kw: 3,
        stride: [stride; 2],
        pad: [1; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

/// What a training step of ResNet-20 launches at batch `n`, with both norms and heads.
fn resnet20(all: &mut Census, n: u32) {
    let caps = all.caps.clone();
    let gather = batch::Batch {
        n,
        c: 3,
        h: 32,
        w: 32,
        first_image: 0,
        images: 10_000,
        order_len: 12_406,
        mean: [0.5; 3],
        std: [0.2; 3],
        pad: 4,
        flip: true,
        augment: true,
        cutout: 0,
        draw: 0,
    };
    let second = batch::Batch { first_image: 10_000, images: 2_406, ..gather };
    all.add("batch", batch::program(&[gather, second]));
    all.add("batch as stored", batch::program(&[batch::Batch { augment: false, ..gather }]));
    all.add("batch of crops", batch::program(&[batch::Batch { pad: 0, ..gather }]));
    all.add("cutout", batch::program(&[batch::Batch { cutout: 16, draw: 1, ..gather }]));
    all.conv(conv3x3(n, 3, 16, 32, 1));
    for (stage, (c, size)) in STAGES.into_iter().enumerate() {
        all.conv(conv3x3(n, c, c, size, 1));
        if stage > 0 {
            let (before, large) = STAGES[stage - 1];
            all.conv(conv3x3(n, before, c, large, 2));
            let short = shortcut::ShortcutA { n, ci: before, h: large, w: large, co: c, stride: 2 };
            all.add("shortcut", shortcut::forward(&short, &all.caps));
            all.add("shortcut backward", shortcut::backward(&short, &all.caps));
        }
        for affine in [Affine::None, Affine::Plain, Affine::Normalized { eps: 1e-6 }] {
            for (relu, residual) in [(false, false), (true, false), (true, true), (false, true)] {
                let alpha_len = 3;
                let bn = BatchNorm::new(n, c, size * size);
                all.norm(BatchNorm { affine, relu, residual, alpha_len, ..bn });
            }
        }
    }
    all.add("global_avg_pool", reduce::global_avg_pool(n, 64, 64, &caps));
    all.add("global_avg_pool backward", pool::global_avg_backward(n, 64, 64));
    for (transpose_a, transpose_b, bias, [m, n, k]) in [
        (false, true, true, [n, 10, 64]),
        (false, false, false, [n, 64, 10]),
        (true, false, false, [10, 64, n]),
    ] {
        all.product(matmul::Matmul { batch: 1, m, n, k, transpose_a, transpose_b, bias });
    }
    all.add("bias gradient", reduce::sum(&[n, 10], &[true, false], 1.0, &caps));
    all.norm(BatchNorm { affine: Affine::None, ..BatchNorm::new(n, 10, 1) });
    for (class_weights, offsets, mean) in
        [(false, false, true), (true, false, true), (true, true, false), (false, true, true)]
    {
        let label_smoothing = 0.1;
        let ce =
            softmax_ce::SoftmaxCe { n, classes: 10, label_smoothing, class_weights, offsets, mean };
        all.add(format!("{ce:?}"), softmax_ce::forward_backward(&ce, &caps));
    }
    all.add("argmax", softmax_ce::argmax_store(n, 10, &caps));
    let words = 272_512;
    let group = optim::Group { weight_decay: 2e-4, lr_scale: 1.0 };
    all.add("guard", optim::guard(words, 0, &caps));
    for nesterov in [false, true] {
        let sgd = optim::Sgd { words, momentum: 0.9, nesterov, groups: vec![group; 2] };
        all.add("sgd", optim::sgd(&sgd, &caps));
    }
    all.add("running", optim::running_update(1408, 0.1, &caps));
    for words in [1, 1408] {
        all.add("accumulate", optim::accumulate(words, &caps));
    }
    all.add("square_sum", optim::square_sum(words, 3, &caps));
    all.add("clip", optim::clip(words, 1.0, &caps));
    all.add("ema", optim::ema(1408, 0.999, &caps));
    all.add("max_norm", optim::max_norm(10, 64, 0.5, &caps));
    all.add("record", optim::record());
    all.add("enqueue", optim::enqueue(64 * 32, 1024 * 32, &caps));
}

/// What ResNet-20 does not use: other shapes, variants, ops.
fn the_rest(all: &mut Census) {
    let caps = all.caps.clone();
    let odd =
        Conv2d { h: 7, w: 9, kh: 5, kw: 1, stride: [2, 1], pad: [2, 0], ..conv3x3(3, 6, 10, 7, 1) };
    all.conv(odd);
    all.conv(Conv2d { groups: 2, dilation: [2, 1], ..odd });
    all.conv(Conv2d { groups: 6, ci: 6, co: 6, ..conv3x3(2, 6, 6, 8, 1) });
    all.conv(Conv2d { kh: 1, kw: 1, pad: [0; 2], ..conv3x3(4, 64, 128, 16, 1) });
    all.conv(Conv2d { kh: 7, kw: 7, pad: [3; 2], ..conv3x3(1, 3, 64, 224, 2) });
    all.conv(conv3x3(2, 5, 7, 9, 1));
    all.conv(conv3x3(2, 5, 7, 9, 2));
    // Past 65,535 workgroups on one line.
    all.conv(conv3x3(256, 16, 64, 32, 1));
    for [m, n, k] in [[1, 1, 1], [33, 31, 65], [64, 64, 64], [512, 512, 512], [100_000, 16, 3]] {
        for (transpose_a, transpose_b) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            for (batch, bias) in [(1, false), (3, true)] {
                all.product(matmul::Matmul { batch, m, n, k, transpose_a, transpose_b, bias });
            }
        }
    }
    for [n, c, hw] in [[2, 3, 35], [8, 5, 1], [1, 1000, 49], [300, 7, 1]] {
        for affine in [Affine::None, Affine::Plain, Affine::Normalized { eps: 1e-6 }] {
            for (relu, residual) in [(false, false), (true, false), (true, true)] {
                all.norm(BatchNorm { affine, relu, residual, ..BatchNorm::new(n, c, hw) });
            }
        }
    }
    for len in [1, 7, 64, 4096, 100_000_003] {
        for name in elementwise::unary_names() {
            let forward = elementwise::unary_forward(name, len, &all.caps).unwrap_or_default();
            all.add(format!("{name} {len}"), forward);
            let backward = elementwise::unary_backward(name, len, &all.caps).unwrap_or_default();
            all.add(format!("{name} backward {len}"), backward);
        }
        all.add("affine", elementwise::affine(len, 2.0, -1.0, &all.caps));
        all.add("scale_by", elementwise::scale_by(len, &all.caps));
        all.add("fill", elementwise::fill(len, 0.5));
        all.add("copy", elementwise::copy(len, &all.caps));
        if len.is_multiple_of(elementwise::EIGHT) {
            all.add("halve", elementwise::halve(len, &all.caps));
            all.add("restore", elementwise::restore(len, &all.caps));
        }
        for terms in 2..=6 {
            let program = elementwise::sum_n(len, terms, &all.caps);
            all.add("sum_n", program.unwrap_or_default());
        }
    }
    // Equal shapes, a scalar, a row, a column, a channel, and one that does not merge.
    let channel: (&[u32], &[u32], &[u32]) = (&[2, 8, 4, 4], &[128, 16, 4, 1], &[0, 1, 0, 0]);
    for (shape, a, b) in [
        (&[6, 8][..], &[8, 1][..], &[8, 1][..]),
        (&[6, 8], &[8, 1], &[0, 0]),
        (&[6, 8], &[0, 0], &[8, 1]),
        (&[6, 8], &[8, 1], &[0, 1]),
        (&[6, 7], &[7, 1], &[1, 0]),
        channel,
        (&[3, 4, 5], &[0, 5, 1], &[5, 0, 1]),
    ] {
        for name in elementwise::binary_names() {
            let forward = elementwise::binary_forward(name, shape, a, b).unwrap_or_default();
            all.add(format!("{name} {shape:?}"), forward);
            for which in 0..2 {
                let backward = elementwise::binary_backward(name, which, shape, a, b);
                let what = format!("{name} backward {which} {shape:?}");
                all.add(what, backward.unwrap_or_default());
            }
        }
        all.add("expand", elementwise::expand(shape, b, 0.25).unwrap_or_default());
        all.add("permute", elementwise::permute(shape, a).unwrap_or_default());
    }
    for kernel in [[2, 2], [3, 1]] {
        let p = pool::Pool2d { n: 2, c: 5, h: 9, w: 8, kernel, stride: [2; 2], pad: [1, 0] };
        all.add("max", pool::max_forward(&p, &caps));
        all.add("max backward", pool::max_backward(&p, &caps));
        all.add("avg", pool::avg_forward(&p, &caps));
        all.add("avg backward", pool::avg_backward(&p, &caps));
    }
    all.add("odd global_avg_pool", reduce::global_avg_pool(3, 5, 49, &caps));
    all.add("odd global_avg_pool backward", pool::global_avg_backward(3, 5, 49));
    all.add("rows", rows::rows(7 * 33, 33));
    all.add("rows backward", rows::rows(9 * 33, -33));
    for w in [5, 7] {
        let odd = shortcut::ShortcutA { n: 1, ci: 3, h: 5, w, co: 5, stride: 2 };
        all.add("odd shortcut", shortcut::forward(&odd, &all.caps));
        all.add("odd shortcut backward", shortcut::backward(&odd, &all.caps));
    }
    for shape in [&[1u32][..], &[7, 5], &[64, 4096], &[2, 3, 4, 5], &[1 << 20]] {
        for mask in 1..1u32 << shape.len() {
            let over: Vec<bool> = (0..shape.len()).map(|i| mask >> i & 1 == 1).collect();
            all.add(format!("sum {shape:?} {over:?}"), reduce::sum(shape, &over, 0.5, &caps));
        }
    }
    for (rows, cols) in [(1, 1), (5, 7), (128, 100), (70_000, 3)] {
        all.add("softmax", softmax_ce::softmax_forward(rows, cols, &caps));
        all.add("log_softmax", softmax_ce::log_softmax_forward(rows, cols, &caps));
        all.add("softmax backward", softmax_ce::softmax_backward(rows, cols, &caps));
        all.add("log_softmax backward", softmax_ce::log_softmax_backward(rows, cols, &caps));
        all.add("argmax", softmax_ce::argmax_store(rows, cols, &caps));
    }
    all.add("random", batch::random(1000));
    for (w, cut) in [(8, false), (8, true), (7, false), (7, true)] {
        all.add("mix", batch::mix(&batch::Mix { n: 5, c: 3, h: 6, w, cut }, &caps));
    }
    for (c, pass) in [(1, 0), (3, 1)] {
        let pass = augment::Pass {
            n: 5,
            c,
            h: 7,
            w: 9,
            rows: 3,
            passes: 2,
            pass,
            independent: pass == 1,
            cutout: 4 * pass,
            draw: pass,
            mean: [0.5; 3],
            std: [0.2; 3],
        };
        all.add("augment", augment::program(&pass, &caps));
    }
    all.add("one_hot", batch::one_hot(5, 7));
    for noise in [batch::Noise::Uniform, batch::Noise::Normal, batch::Noise::Bernoulli(0.9)] {
        all.add("noise", batch::noise(1000, 10, noise, 1));
    }
    all.add("nothing", limits::nothing());
    all.add("fma", limits::fma(1 << 14, 8, limits::Number::F32));
    if caps.f16 {
        all.add("fma f16", limits::fma(1 << 14, 8, limits::Number::F16));
    }
}

/// The catalogue's kernels at their usual sizes, and at stride 2 where they have a stride.
fn catalogued(all: &mut Census) {
    for kernel in catalog::all() {
        let strided = kernel.sizes.iter().any(|(name, _)| *name == "stride");
        let stride = strided.then(|| vec![("stride".to_string(), 2)]);
        for changes in [Some(Vec::new()), stride].into_iter().flatten() {
            let sizes = kernel.sizes(&changes);
            for made in sizes.and_then(|s| kernel.variants(&s, &all.caps)).unwrap_or_default() {
                all.add(format!("{} {}", kernel.name, made.variant), made.program);
            }
        }
    }
}

/// Every device's programs.
pub fn all() -> [Census; 6] {
    devices().map(|mut all| {
        for n in [16, 128] {
            resnet20(&mut all, n);
        }
        the_rest(&mut all);
        catalogued(&mut all);
        all
    })
}
