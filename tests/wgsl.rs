//! The rules of the house for WGSL, held without a device: where it may stand, and that every kernel
//! validates within WebGPU's default limits, for a device that promises nothing more and for those with
//! subgroups.

use evenkeel_kernels::batchnorm::{Affine, BatchNorm};
use evenkeel_kernels::conv2d::{Conv2d, Direction};
use evenkeel_kernels::{
    Access, Caps, Compiled, Launch, Program, Source, augment, batch, batchnorm, conv2d,
    elementwise, limits, matmul, optim, pool, reduce, shortcut, softmax_ce,
};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

const STORAGE_BUFFERS: usize = 8;
const WORKGROUP_BYTES: u32 = 16 << 10;
const INVOCATIONS: u32 = 256;
const GRID: u32 = 65_535;

/// The files under a folder of the repository with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    assert!(!found.is_empty(), "no .{extension} under {folder}");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text file")
}

/// The files among `paths` that hold the mark of an entry point.
fn with_entry_points(paths: &[PathBuf]) -> Vec<&PathBuf> {
    paths.iter().filter(|p| text(p).contains("@compute")).collect()
}

#[test]
fn the_library_has_no_entry_points() {
    assert_eq!(with_entry_points(&files("shaders", "wgsl")), Vec::<&PathBuf>::new());
}

#[test]
fn no_wgsl_stands_in_rust_strings() {
    for folder in ["src", "kernels"] {
        assert_eq!(with_entry_points(&files(folder, "rs")), Vec::<&PathBuf>::new());
    }
}

/// Programs with what they are and for which device, to be checked.
struct Collection {
    name: &'static str,
    caps: Caps,
    programs: Vec<(String, Program)>,
}

impl Collection {
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
fn devices() -> [Collection; 5] {
    let with = |name, software, subgroup: Option<(u32, u32)>| Collection {
        name,
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
    [
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
fn resnet20(all: &mut Collection, n: u32) {
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
    all.add("guard", optim::guard(words, &caps));
    for nesterov in [false, true] {
        let sgd = optim::Sgd { words, momentum: 0.9, nesterov, groups: vec![group; 2] };
        all.add("sgd", optim::sgd(&sgd, &caps));
    }
    all.add("running", optim::running_update(1408, 0.1, &caps));
    all.add("max_norm", optim::max_norm(10, 64, 0.5, &caps));
    all.add("record", optim::record());
}

/// What ResNet-20 does not use: other shapes, variants, ops.
fn the_rest(all: &mut Collection) {
    let caps = all.caps.clone();
    let odd =
        Conv2d { h: 7, w: 9, kh: 5, kw: 1, stride: [2, 1], pad: [2, 0], ..conv3x3(3, 6, 10, 7, 1) };
    all.conv(odd);
    all.conv(Conv2d { groups: 2, dilation: [2, 1], ..odd });
    all.conv(Conv2d { groups: 6, ci: 6, co: 6, ..conv3x3(2, 6, 6, 8, 1) });
    all.conv(Conv2d { kh: 1, kw: 1, pad: [0; 2], ..conv3x3(4, 64, 128, 16, 1) });
    all.conv(Conv2d { kh: 7, kw: 7, pad: [3; 2], ..conv3x3(1, 3, 64, 224, 2) });
    all.conv(conv3x3(2, 5, 7, 9, 1));
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
            all.norm(BatchNorm { affine, relu: true, ..BatchNorm::new(n, c, hw) });
        }
    }
    for len in [1, 7, 64, 4096, 100_000_003] {
        for name in elementwise::unary_names() {
            let forward = elementwise::unary_forward(name, len, &all.caps).expect("a listed name");
            all.add(format!("{name} {len}"), forward);
            let backward =
                elementwise::unary_backward(name, len, &all.caps).expect("a listed name");
            all.add(format!("{name} backward {len}"), backward);
        }
        all.add("affine", elementwise::affine(len, 2.0, -1.0, &all.caps));
        all.add("scale_by", elementwise::scale_by(len, &all.caps));
        all.add("fill", elementwise::fill(len, 0.5));
        all.add("copy", elementwise::copy(len, &all.caps));
        for terms in 2..=6 {
            let program = elementwise::sum_n(len, terms, &all.caps);
            all.add("sum_n", program.expect("2 to 6 terms"));
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
            let forward = elementwise::binary_forward(name, shape, a, b).expect("a listed name");
            all.add(format!("{name} {shape:?}"), forward);
            for which in 0..2 {
                let backward = elementwise::binary_backward(name, which, shape, a, b);
                let what = format!("{name} backward {which} {shape:?}");
                all.add(what, backward.expect("a listed name"));
            }
        }
        all.add("expand", elementwise::expand(shape, b, 0.25).expect("few axes"));
        all.add("permute", elementwise::permute(shape, a).expect("few axes"));
    }
    for kernel in [[2, 2], [3, 1]] {
        let p = pool::Pool2d { n: 2, c: 5, h: 9, w: 8, kernel, stride: [2; 2], pad: [1, 0] };
        all.add("max", pool::max_forward(&p));
        all.add("max backward", pool::max_backward(&p));
        all.add("avg", pool::avg_forward(&p));
        all.add("avg backward", pool::avg_backward(&p));
    }
    all.add("odd global_avg_pool", reduce::global_avg_pool(3, 5, 49, &caps));
    all.add("odd global_avg_pool backward", pool::global_avg_backward(3, 5, 49));
    let odd = shortcut::ShortcutA { n: 1, ci: 3, h: 5, w: 7, co: 5, stride: 2 };
    all.add("odd shortcut", shortcut::forward(&odd, &all.caps));
    all.add("odd shortcut backward", shortcut::backward(&odd, &all.caps));
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
        all.add("noise", batch::noise(1000, noise, 1));
    }
    all.add("nothing", limits::nothing());
    all.add("fma", limits::fma(1 << 14, 8, limits::Number::F32));
    if caps.f16 {
        all.add("fma f16", limits::fma(1 << 14, 8, limits::Number::F16));
    }
}

fn collected() -> [Collection; 5] {
    devices().map(|mut all| {
        for n in [16, 128] {
            resnet20(&mut all, n);
        }
        the_rest(&mut all);
        all
    })
}

fn workgroup_bytes(compiled: &Compiled) -> u32 {
    let module = &compiled.module;
    let shared =
        module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
    shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum()
}

/// What is against the limits in a kernel that validated.
fn beyond_limits(compiled: &Compiled) -> Option<String> {
    let storage = compiled
        .bindings
        .iter()
        .filter(|b| matches!(b.access, Access::Read | Access::ReadWrite))
        .count();
    let invocations: u32 = compiled.workgroup_size.iter().product();
    let memory = workgroup_bytes(compiled);
    if storage > STORAGE_BUFFERS {
        Some(format!("{storage} storage buffers"))
    } else if invocations > INVOCATIONS {
        Some(format!("{invocations} invocations"))
    } else if memory > WORKGROUP_BYTES {
        Some(format!("{memory} bytes of workgroup memory"))
    } else {
        None
    }
}

#[test]
fn every_kernel_validates_within_the_default_limits() {
    for all in collected() {
        let mut seen = HashSet::new();
        let mut wrong = Vec::new();
        for (what, program) in &all.programs {
            for call in &program.calls {
                let launch = &call.launch;
                let mut complain = |why: String| {
                    wrong.push(format!("{what}, {}: {why}", launch.source.path));
                };
                if launch.grid.iter().any(|g| !(1..=GRID).contains(g)) {
                    complain(format!("a grid of {:?}", launch.grid));
                }
                if launch.subgroups && !all.caps.subgroups || launch.f16 && !all.caps.f16 {
                    complain("uses a feature that the device lacks".into());
                }
                let assembled = match launch.assemble() {
                    Ok(assembled) => assembled,
                    Err(e) => {
                        complain(e.to_string());
                        continue;
                    }
                };
                if !seen.insert((launch.entry, assembled.text.clone())) {
                    continue;
                }
                match assembled.compile() {
                    Err(e) => complain(e.to_string()),
                    Ok(compiled) => {
                        if let Some(why) = beyond_limits(&compiled) {
                            complain(why);
                        }
                        if compiled.bindings.iter().any(|b| b.index as usize >= call.args.len()) {
                            complain(format!("{} arguments are too few", call.args.len()));
                        }
                    }
                }
            }
        }
        assert!(seen.len() > 200, "{}: only {} kernels", all.name, seen.len());
        assert!(wrong.is_empty(), "{}: {} wrong:\n{}", all.name, wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn every_wgsl_file_is_part_of_a_kernel_checked_here() {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for all in collected() {
        for call in all.programs.iter().flat_map(|(_, program)| &program.calls) {
            let assembled = call.launch.assemble().expect("an assembled kernel");
            used.extend(assembled.map.iter().map(|(file, _)| *file));
        }
    }
    let paths = [files("kernels", "wgsl"), files("shaders", "wgsl")].concat();
    let names = paths.iter().map(|p| {
        let inside = p.strip_prefix(root()).expect("a file of the repository");
        inside.to_string_lossy().replace('\\', "/")
    });
    let unused: Vec<String> = names.filter(|name| !used.contains(name.as_str())).collect();
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn every_program_says_what_it_costs() {
    let [portable, ..] = collected();
    for (what, program) in &portable.programs {
        let cost = program.cost();
        assert!(cost.read + cost.written > 0 || what == "record", "{what} moves no bytes");
    }
}

const BAD: &str = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
    y[0] = 1u;
}
";

/// A launch of a text that stands in no file.
fn made_up(text: &'static str) -> Launch {
    Launch::new(Source { path: "kernels/made/up.wgsl", text }, "main")
}

fn fault(launch: &Launch) -> evenkeel_kernels::ShaderError {
    match launch.assemble() {
        Err(e) => e,
        Ok(assembled) => assembled.compile().expect_err("a faulty kernel"),
    }
}

#[test]
fn an_error_of_types_names_file_and_line() {
    let launch = made_up(BAD).constant("N", 3u32).constant("SCALE", 0.5f32);
    let error = fault(&launch);
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/up.wgsl", 5), "{error}");
    assert!(error.to_string().contains("y[0] = 1u;"), "{error}");
}

#[test]
fn an_error_of_syntax_names_file_and_line() {
    let error = fault(&made_up("const a = 1;\nlet = ;\n"));
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/up.wgsl", 2), "{error}");
}

#[test]
fn an_error_in_an_included_file_names_that_file() {
    let part = Source {
        path: "kernels/made/part.wgsl",
        text: "\n\nfn twice(x: f32) -> u32 { return x; }\n",
    };
    let error = fault(&made_up("#include \"part\"\nconst a = 1;\n").part("part", part));
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/part.wgsl", 3), "{error}");
}

#[test]
fn an_include_of_nothing_names_file_line_and_what_was_sought() {
    let error = fault(&made_up("const a = 1;\n#include \"nothing.wgsl\"\n"));
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/up.wgsl", 2), "{error}");
    assert!(error.to_string().contains("nothing.wgsl"), "{error}");
}

#[test]
fn a_missing_entry_point_is_named() {
    let error = fault(&Launch { entry: "start", ..made_up("const a = 1;\n") });
    assert!(error.to_string().contains("kernels/made/up.wgsl"), "{error}");
    assert!(error.to_string().contains("start"), "{error}");
}
