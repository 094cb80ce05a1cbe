//! Every kernel by name, for people: what it computes, the sizes it takes with usual values, its
//! variants, and the launches for given sizes. Behind `evenkeel inspect`.

use crate::batchnorm::{Affine, BatchNorm};
use crate::conv2d::{Conv2d, Direction};
use crate::{Caps, Program};
use crate::{
    augment, batch, batchnorm, conv2d, elementwise, limits, matmul, optim, pool, reduce, rows,
    shortcut, softmax_ce,
};

/// A kernel (or the few launches of one op).
pub struct Kernel {
    /// `family.what`, such as `conv2d.forward`.
    pub name: String,
    /// What it computes.
    pub equation: String,
    /// The sizes it takes, with usual values.
    pub sizes: &'static [(&'static str, u32)],
    build: Build,
}

type Build = Box<dyn Fn(&Sizes, &Caps) -> Vec<Made>>;

/// One variant for given sizes.
pub struct Made {
    /// The variant's name; `only` where there is one.
    pub variant: &'static str,
    /// Its launches.
    pub program: Program,
}

/// Values for a kernel's sizes.
#[derive(Clone, Debug)]
pub struct Sizes(Vec<(&'static str, u32)>);

/// The largest product of all sizes; with it, no count of elements leaves 32 bits by far.
const MOST: u64 = 1 << 36;

impl Sizes {
    fn at(&self, name: &str) -> u32 {
        self.0.iter().find(|(n, _)| *n == name).map_or(1, |(_, v)| *v)
    }

    fn on(&self, name: &str) -> bool {
        self.at(name) != 0
    }

    fn pad(&self) -> u32 {
        self.0.iter().find(|(n, _)| *n == "pad").map_or(0, |(_, v)| *v)
    }

    /// Names and values.
    pub fn all(&self) -> &[(&'static str, u32)] {
        &self.0
    }
}

impl Kernel {
    /// The usual sizes with `changes` over them.
    ///
    /// # Errors
    /// In words: a size the kernel doesn't have, or values beyond what it takes.
    pub fn sizes(&self, changes: &[(String, u32)]) -> Result<Sizes, String> {
        let mut sizes = Sizes(self.sizes.to_vec());
        for (name, value) in changes {
            let Some(found) = sizes.0.iter_mut().find(|(n, _)| n == name) else {
                let known: Vec<&str> = self.sizes.iter().map(|(n, _)| *n).collect();
                let list = known.join(", ");
                return Err(format!("{} has no size `{name}`; it has: {list}", self.name));
            };
            // The rest are counts; these may be nothing.
            let may_be_zero = matches!(found.0, "pad" | "relu" | "residual" | "bias" | "ta" | "tb");
            if *value == 0 && !may_be_zero {
                return Err(format!("{}: {} must be at least 1", self.name, found.0));
            }
            found.1 = *value;
        }
        let elements =
            sizes.0.iter().map(|(_, v)| u64::from((*v).max(1))).fold(1, u64::saturating_mul);
        // The extents of every tensor are among the sizes, so their product is a bound, if a wide one.
        if elements > MOST {
            return Err(format!("{}: these sizes are beyond what one buffer holds", self.name));
        }
        Ok(sizes)
    }

    /// The variants that a device with `caps` can run for these sizes, its choice first.
    ///
    /// # Errors
    /// In words: sizes that leave no output.
    pub fn variants(&self, sizes: &Sizes, caps: &Caps) -> Result<Vec<Made>, String> {
        let window = |axis: &str| sizes.at("k") <= sizes.at(axis).saturating_add(2 * sizes.pad());
        let has = |size: &str| self.sizes.iter().any(|(n, _)| *n == size);
        if has("k") && has("pad") && !(window("h") && window("w")) {
            return Err(format!("{}: a window of {} leaves no output", self.name, sizes.at("k")));
        }
        Ok((self.build)(sizes, caps))
    }
}

/// A kernel with one variant.
fn only(
    name: impl Into<String>,
    equation: impl Into<String>,
    sizes: &'static [(&'static str, u32)],
    build: impl Fn(&Sizes, &Caps) -> Program + 'static,
) -> Kernel {
    let build = move |s: &Sizes, c: &Caps| vec![Made { variant: "only", program: build(s, c) }];
    Kernel { name: name.into(), equation: equation.into(), sizes, build: Box::new(build) }
}

const LEN: &[(&str, u32)] = &[("len", 1 << 20)];
const ROWS: &[(&str, u32)] = &[("rows", 128), ("cols", 100)];
const PLANE: &[(&str, u32)] = &[("n", 32), ("c", 64), ("hw", 64)];
const POOL: &[(&str, u32)] =
    &[("n", 32), ("c", 16), ("h", 32), ("w", 32), ("k", 2), ("stride", 2), ("pad", 0)];
const SHORT: &[(&str, u32)] =
    &[("n", 32), ("ci", 16), ("h", 32), ("w", 32), ("co", 32), ("stride", 2)];

const MIX: &[(&str, u32)] = &[("n", 128), ("c", 3), ("h", 32), ("w", 32)];

fn mixed(s: &Sizes, cut: bool) -> batch::Mix {
    batch::Mix { n: s.at("n"), c: s.at("c"), h: s.at("h"), w: s.at("w"), cut }
}

/// Every kernel, family by family.
pub fn all() -> Vec<Kernel> {
    let mut all = vec![
        only(
            "batch.gather",
            "x = (byte/255 - mean)/std, cropped and flipped at random; labels beside it",
            &[("n", 128), ("images", 12_406)],
            |s, _| {
                let images = s.at("images");
                batch::program(&[batch::Batch {
                    n: s.at("n"),
                    c: 3,
                    h: 32,
                    w: 32,
                    first_image: 0,
                    images,
                    order_len: images,
                    mean: [0.5; 3],
                    std: [0.25; 3],
                    pad: 4,
                    flip: true,
                    augment: true,
                    cutout: 0,
                    draw: 0,
                }])
            },
        ),
        only("batch.random", "words of Philox 4x32-10", &[("n", 4096)], |s, _| {
            batch::random(s.at("n"))
        }),
        only("batch.mixup", "y = lambda x[i] + (1 - lambda) other[i + shift]", MIX, |s, c| {
            batch::mix(&mixed(s, false), c)
        }),
        only("batch.cutmix", "y = other[i + shift] in a box, x[i] outside", MIX, |s, c| {
            batch::mix(&mixed(s, true), c)
        }),
        only("augment", "one operation of a policy, drawn for each sample", MIX, |s, c| {
            let pass = augment::Pass {
                n: s.at("n"),
                c: s.at("c"),
                h: s.at("h"),
                w: s.at("w"),
                rows: 25,
                passes: 2,
                pass: 0,
                independent: false,
                cutout: 0,
                draw: 0,
                mean: [0.5; 3],
                std: [0.25; 3],
            };
            augment::program(&pass, c)
        }),
        only("batch.one_hot", "hot[i, label[i]] = 1", &[("n", 128), ("classes", 100)], |s, _| {
            batch::one_hot(s.at("n"), s.at("classes"))
        }),
        only("batch.noise", "normal random numbers of the step", &[("len", 12_800)], |s, _| {
            batch::noise(s.at("len"), 1, batch::Noise::Normal, 0)
        }),
    ];
    all.extend(convolutions());
    all.push(products());
    all.extend(norms());
    all.extend(elementwise_all());
    all.extend(rest());
    all
}

fn convolutions() -> Vec<Kernel> {
    const SIZES: &[(&str, u32)] = &[
        ("n", 32),
        ("ci", 16),
        ("h", 32),
        ("w", 32),
        ("co", 16),
        ("k", 3),
        ("stride", 1),
        ("pad", 1),
    ];
    let of = |name: &str, equation: &str, direction: Direction| Kernel {
        name: name.into(),
        equation: equation.into(),
        sizes: SIZES,
        build: Box::new(move |s, caps| {
            let shape = Conv2d {
                n: s.at("n"),
                ci: s.at("ci"),
                h: s.at("h"),
                w: s.at("w"),
                co: s.at("co"),
                kh: s.at("k"),
                kw: s.at("k"),
                stride: [s.at("stride"); 2],
                pad: [s.at("pad"); 2],
                dilation: [1; 2],
                groups: 1,
            };
            let make = |v: conv2d::Variant| Made {
                variant: v.name(),
                program: conv2d::program(&shape, direction, v, caps),
            };
            conv2d::variants(&shape, direction, caps).into_iter().map(make).collect()
        }),
    };
    vec![
        of(
            "conv2d.forward",
            "y[n,co,i,j] = sum_{ci,u,v} x[n,ci,i*s+u-p,j*s+v-p] w[co,ci,u,v]",
            Direction::Forward,
        ),
        of("conv2d.backward_data", "dx = sum over co and taps of dy w", Direction::BackwardData),
        of(
            "conv2d.backward_weights",
            "dw[co,ci,u,v] = sum_{n,i,j} dy[n,co,i,j] x[n,ci,i*s+u-p,j*s+v-p]",
            Direction::BackwardWeights,
        ),
    ]
}

fn products() -> Kernel {
    Kernel {
        name: "matmul".into(),
        equation: "c = a b (+ bias), a [m,k] or its transpose, b [k,n] or its transpose".into(),
        sizes: &[
            ("batch", 1),
            ("m", 512),
            ("n", 512),
            ("k", 512),
            ("ta", 0),
            ("tb", 0),
            ("bias", 0),
        ],
        build: Box::new(|s, caps| {
            let p = matmul::Matmul {
                batch: s.at("batch"),
                m: s.at("m"),
                n: s.at("n"),
                k: s.at("k"),
                transpose_a: s.on("ta"),
                transpose_b: s.on("tb"),
                bias: s.on("bias"),
            };
            let make = |v: matmul::Variant| Made {
                variant: v.name(),
                program: matmul::program(&p, v, caps),
            };
            matmul::variants(&p, caps).into_iter().map(make).collect()
        }),
    }
}

type Pass = fn(&BatchNorm, &Caps) -> Program;

fn norms() -> Vec<Kernel> {
    const SIZES: &[(&str, u32)] = &[("n", 32), ("c", 64), ("hw", 64), ("relu", 1), ("residual", 1)];
    const KINDS: [(&str, Affine, &str); 3] = [
        ("batch_norm", Affine::Plain, "w = gamma, b = beta"),
        (
            "normalized_batch_norm",
            Affine::Normalized { eps: 1e-6 },
            "w = alpha gamma/(|gamma| + 1e-6), b = alpha beta/(|beta| + 1e-6)",
        ),
        ("logit_rectification", Affine::None, "w = 1, b = 0"),
    ];
    const PASSES: [(&str, Pass, &str); 4] = [
        (
            "forward_train",
            batchnorm::forward_train,
            "y = relu?(w (x - mean)/sqrt(var + eps) + b + residual?)",
        ),
        (
            "forward_eval",
            batchnorm::forward_eval,
            "y = relu?(w (x - running mean)/sqrt(running var + eps) + b + residual?)",
        ),
        (
            "backward_train",
            batchnorm::backward_train,
            "dx = w/sigma (g - mean g - xhat mean(g xhat)) and the parameters' gradients",
        ),
        ("backward_eval", batchnorm::backward_eval, "dx = w/sigma g and the parameters' gradients"),
    ];
    let mut all = Vec::new();
    for (kind, affine, map) in KINDS {
        for (pass, build, equation) in PASSES {
            let equation = format!("{equation}; {map}");
            all.push(only(format!("{kind}.{pass}"), equation, SIZES, move |s, caps| {
                let (relu, residual) = (s.on("relu"), s.on("residual"));
                let bn = BatchNorm::new(s.at("n"), s.at("c"), s.at("hw"));
                build(&BatchNorm { affine, relu, residual, ..bn }, caps)
            }));
        }
    }
    all
}

/// The first comment line of an elementwise op's file says what it computes.
fn said(text: &'static str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches('/').trim().to_string()
}

fn elementwise_all() -> Vec<Kernel> {
    let mut all = Vec::new();
    for (name, source) in elementwise::unary_sources() {
        let equation = said(source.text);
        all.push(only(format!("{name}.forward"), equation.clone(), LEN, move |s, c| {
            elementwise::unary_forward(name, s.at("len"), c).unwrap_or_default()
        }));
        all.push(only(format!("{name}.backward"), equation, LEN, move |s, c| {
            elementwise::unary_backward(name, s.at("len"), c).unwrap_or_default()
        }));
    }
    // A channel's vector over a batch of planes: the broadcast that networks have.
    for (name, source) in elementwise::binary_sources() {
        let equation = format!("{} (b is one value a channel)", said(source.text));
        let axes = |s: &Sizes| {
            ([s.at("n"), s.at("c"), s.at("hw")], [s.at("c") * s.at("hw"), s.at("hw"), 1])
        };
        all.push(only(format!("{name}.forward"), equation.clone(), PLANE, move |s, _| {
            let (shape, strides) = axes(s);
            elementwise::binary_forward(name, &shape, &strides, &[0, 1, 0]).unwrap_or_default()
        }));
        all.push(only(format!("{name}.backward"), equation, PLANE, move |s, _| {
            let (shape, strides) = axes(s);
            elementwise::binary_backward(name, 1, &shape, &strides, &[0, 1, 0]).unwrap_or_default()
        }));
    }
    all.extend([
        only("affine", "y = 2 x - 1", LEN, |s, c| elementwise::affine(s.at("len"), 2.0, -1.0, c)),
        only("scale_by", "y = x s[0]", LEN, |s, c| elementwise::scale_by(s.at("len"), c)),
        only("fill", "y = 0.5", LEN, |s, _| elementwise::fill(s.at("len"), 0.5)),
        only("copy", "y = x", LEN, |s, c| elementwise::copy(s.at("len"), c)),
        only("halve", "h = x as halves", LEN, |s, c| elementwise::halve(s.at("len"), c)),
        only("restore", "x = the floats of halves", LEN, |s, c| {
            elementwise::restore(s.at("len"), c)
        }),
        only("sum_n", "y = x0 + x1 + x2", LEN, |s, c| {
            elementwise::sum_n(s.at("len"), 3, c).unwrap_or_default()
        }),
        only("expand", "y[n,c,i] = x[c]", PLANE, |s, _| {
            elementwise::expand(&[s.at("n"), s.at("c"), s.at("hw")], &[0, 1, 0], 1.0)
                .unwrap_or_default()
        }),
        only("permute", "y[n,i,c] = x[n,c,i]", PLANE, |s, _| {
            let (c, hw) = (s.at("c"), s.at("hw"));
            elementwise::permute(&[s.at("n"), hw, c], &[c * hw, 1, hw]).unwrap_or_default()
        }),
    ]);
    all
}

fn pooled(s: &Sizes) -> pool::Pool2d {
    pool::Pool2d {
        n: s.at("n"),
        c: s.at("c"),
        h: s.at("h"),
        w: s.at("w"),
        kernel: [s.at("k"); 2],
        stride: [s.at("stride"); 2],
        pad: [s.at("pad"); 2],
    }
}

fn short(s: &Sizes) -> shortcut::ShortcutA {
    let (n, ci, h, w) = (s.at("n"), s.at("ci"), s.at("h"), s.at("w"));
    shortcut::ShortcutA { n, ci, h, w, co: s.at("co").max(ci), stride: s.at("stride") }
}

/// Pools, sums, shortcut, softmax and loss, optimizer.
fn rest() -> Vec<Kernel> {
    const CE: &[(&str, u32)] = &[("n", 128), ("classes", 100)];
    const WORDS: &[(&str, u32)] = &[("blocks", 4258)];
    let group = optim::Group { weight_decay: 2e-4, lr_scale: 1.0 };
    vec![
        only("max_pool2d.forward", "y = max over the window", POOL, |s, c| {
            pool::max_forward(&pooled(s), c)
        }),
        only("max_pool2d.backward", "dx = dy where x was the maximum", POOL, |s, c| {
            pool::max_backward(&pooled(s), c)
        }),
        only("avg_pool2d.forward", "y = mean over the window", POOL, |s, c| {
            pool::avg_forward(&pooled(s), c)
        }),
        only("avg_pool2d.backward", "dx = sum of dy/k^2 over the windows", POOL, |s, c| {
            pool::avg_backward(&pooled(s), c)
        }),
        only("global_avg_pool.forward", "y[n,c] = mean_i x[n,c,i]", PLANE, |s, c| {
            reduce::global_avg_pool(s.at("n"), s.at("c"), s.at("hw"), c)
        }),
        only("global_avg_pool.backward", "dx[n,c,i] = dy[n,c]/hw", PLANE, |s, _| {
            pool::global_avg_backward(s.at("n"), s.at("c"), s.at("hw"))
        }),
        only("sum", "y[c] = sum_{n,i} x[n,c,i]", PLANE, |s, c| {
            reduce::sum(&[s.at("n"), s.at("c"), s.at("hw")], &[true, false, true], 1.0, c)
        }),
        only(
            "shortcut_a.forward",
            "every second row and column, channels padded with zeros",
            SHORT,
            |s, c| shortcut::forward(&short(s), c),
        ),
        only("shortcut_a.backward", "its transpose", SHORT, |s, c| {
            shortcut::backward(&short(s), c)
        }),
        only("rows", "y = some rows of x", ROWS, |s, _| {
            rows::rows(s.at("rows") / 2 * s.at("cols"), s.at("cols") as i32)
        }),
        only("rows.backward", "its transpose", ROWS, |s, _| {
            rows::rows(s.at("rows") * s.at("cols"), -(s.at("cols") as i32))
        }),
        only("softmax.forward", "y = exp(x - max)/sum", ROWS, |s, c| {
            softmax_ce::softmax_forward(s.at("rows"), s.at("cols"), c)
        }),
        only("softmax.backward", "dx = y (dy - sum(dy y))", ROWS, |s, c| {
            softmax_ce::softmax_backward(s.at("rows"), s.at("cols"), c)
        }),
        only("log_softmax.forward", "y = x - log sum exp x", ROWS, |s, c| {
            softmax_ce::log_softmax_forward(s.at("rows"), s.at("cols"), c)
        }),
        only("log_softmax.backward", "dx = dy - exp(y) sum dy", ROWS, |s, c| {
            softmax_ce::log_softmax_backward(s.at("rows"), s.at("cols"), c)
        }),
        only(
            "cross_entropy",
            "loss = mean(logsumexp z - z[label]) and dz = (softmax z - onehot)/n",
            CE,
            |s, c| {
                let (n, classes) = (s.at("n"), s.at("classes"));
                let ce = softmax_ce::SoftmaxCe {
                    n,
                    classes,
                    label_smoothing: 0.0,
                    class_weights: false,
                    offsets: false,
                    mean: true,
                };
                softmax_ce::forward_backward(&ce, c)
            },
        ),
        only("argmax", "prediction[first + i] = argmax of row i", CE, |s, c| {
            softmax_ce::argmax_store(s.at("n"), s.at("classes"), c)
        }),
        only(
            "optim.guard",
            "notes the first gradient or loss that is not finite",
            WORDS,
            |s, c| optim::guard(64 * s.at("blocks"), 0, c),
        ),
        only("optim.sgd", "g += wd p; m = mu m + g; p -= lr m", WORDS, move |s, c| {
            let sgd = optim::Sgd {
                words: 64 * s.at("blocks"),
                momentum: 0.9,
                nesterov: false,
                groups: vec![group],
            };
            optim::sgd(&sgd, c)
        }),
        only("optim.running", "running = 0.9 running + 0.1 batch", WORDS, |s, c| {
            optim::running_update(64 * s.at("blocks"), 0.1, c)
        }),
        only("optim.accumulate", "total += weight part", WORDS, |s, c| {
            optim::accumulate(64 * s.at("blocks"), c)
        }),
        only("optim.square_sum", "partial = sums of g^2", WORDS, |s, c| {
            optim::square_sum(64 * s.at("blocks"), 0, c)
        }),
        only("optim.clip", "g *= min(1, limit/(|g| + 1e-6))", WORDS, |s, c| {
            optim::clip(64 * s.at("blocks"), 1.0, c)
        }),
        only("optim.ema", "average += (1 - decay)(value - average)", WORDS, |s, c| {
            optim::ema(64 * s.at("blocks"), 0.999, c)
        }),
        only(
            "limits.fma",
            "chains of multiply-adds in registers: the device's rate",
            &[("threads", 4096), ("steps", 1024)],
            |s, _| limits::fma(s.at("threads"), s.at("steps"), limits::Number::F32),
        ),
        only("limits.nothing", "an empty launch: what a dispatch costs", &[], |_, _| {
            limits::nothing()
        }),
        only(
            "optim.max_norm",
            "W_j *= min(1, limit/|W_j|) for each row",
            &[("rows", 10), ("cols", 64)],
            |s, c| optim::max_norm(s.at("rows"), s.at("cols"), 1.0, c),
        ),
        only("optim.unscale", "grads /= scale", WORDS, |s, c| {
            optim::unscale(64 * s.at("blocks"), c)
        }),
        only(
            "optim.rescale",
            "scale /= 2 after a step left out, *= 2 after many finite",
            &[],
            |_, _| optim::rescale(optim::SCALE_GROWS),
        ),
        only("optim.record", "ring[step] = loss", &[], |_, _| optim::record()),
        only("optim.enqueue", "ring[step n + i] = rows[i]", WORDS, |s, c| {
            optim::enqueue(64 * s.at("blocks"), 4 * 64 * s.at("blocks"), c)
        }),
    ]
}

/// Devices of the kinds kernels are chosen for, by the names `inspect` takes.
pub fn devices() -> [(&'static str, Caps); 4] {
    let with = |software, subgroup| Caps {
        software,
        subgroups: true,
        subgroup_size: (subgroup, subgroup),
        ..Caps::portable()
    };
    [
        ("portable", Caps::portable()),
        ("gpu", with(false, 32)),
        ("gpu-mixed", Caps { f16: true, half_products: true, ..with(false, 32) }),
        ("lavapipe", Caps { texels: true, ..with(true, 8) }),
    ]
}
