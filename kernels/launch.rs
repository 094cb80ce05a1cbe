//! What to launch: a kernel file with its constants and grid ([`Launch`]), and the short list of
//! launches that makes one op ([`Program`]), with the cost model's FLOPs and bytes.

use crate::tuned::Tuned;
use crate::webgpu;
use crate::wgsl::{Assembled, ShaderError, assemble};

/// One embedded WGSL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path from the repository's root, such as `kernels/conv2d/forward.wgsl`.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// A value written at the head of a kernel as `const NAME: type = value;`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constant {
    /// `u32`
    U32(u32),
    /// `i32`
    I32(i32),
    /// `f32`, finite
    F32(f32),
    /// `bool`
    Bool(bool),
}

impl From<u32> for Constant {
    fn from(v: u32) -> Self {
        Constant::U32(v)
    }
}
impl From<i32> for Constant {
    fn from(v: i32) -> Self {
        Constant::I32(v)
    }
}
impl From<f32> for Constant {
    fn from(v: f32) -> Self {
        Constant::F32(v)
    }
}
impl From<bool> for Constant {
    fn from(v: bool) -> Self {
        Constant::Bool(v)
    }
}

/// What a device offers to kernels; a family's variants are chosen by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// A CPU pretending to be a GPU (lavapipe, SwiftShader, WARP).
    pub software: bool,
    /// Subgroup operations are available.
    pub subgroups: bool,
    /// Smallest and largest subgroup size the driver may choose; equal on most devices.
    pub subgroup_size: (u32, u32),
    /// `f16` in shaders.
    pub f16: bool,
    /// Convolutions may round what they multiply to `f16` (mixed precision): not a device's own, but what is
    /// asked for.
    pub half_products: bool,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Largest invocations in a workgroup.
    pub max_invocations: u32,
    /// Workgroup memory in bytes.
    pub workgroup_memory: u32,
    /// Storage buffers that a kernel may bind.
    pub storage_buffers: u32,
    /// Inputs may be read as texels ([`Launch::texels`]), and that is faster than from buffers.
    pub texels: bool,
    /// The variant to take wherever a family offers one of this name, before its own choice.
    pub prefer: Option<&'static str>,
    /// Variants measured best on this device, by shape; they come after `prefer`.
    pub tuned: Tuned,
}

impl Caps {
    /// What every WebGPU device has: no features, default limits.
    pub fn portable() -> Self {
        Caps {
            software: false,
            subgroups: false,
            subgroup_size: (1, 128),
            f16: false,
            half_products: false,
            max_binding: 128 << 20,
            max_invocations: 256,
            workgroup_memory: 16 << 10,
            storage_buffers: webgpu::STORAGE_BUFFERS as u32,
            texels: false,
            prefer: None,
            tuned: Tuned::default(),
        }
    }

    /// Of the variants a family offers, best guess first: the preferred one, else the first.
    pub fn choose<V: Copy>(&self, offered: &[V], name: impl Fn(V) -> &'static str) -> V {
        self.choose_for("", offered, name)
    }

    /// Of the variants a family offers for the shape that `key` names, best guess first: the
    /// preferred one, else the one measured best, else the first.
    pub fn choose_for<V: Copy>(
        &self,
        key: &str,
        offered: &[V],
        name: impl Fn(V) -> &'static str,
    ) -> V {
        let called = |wanted: &str| offered.iter().find(|v| name(**v) == wanted);
        let preferred = self.prefer.and_then(called);
        *preferred.or_else(|| self.tuned.get(key).and_then(called)).unwrap_or(&offered[0])
    }

    /// Whether a workgroup of 8 invocations lies in one subgroup, whichever size the driver chooses:
    /// kernels that hand values around by shuffles are such workgroups. In larger subgroups the
    /// other lanes idle, and what is shuffled from them is not used.
    pub fn shuffles_among_8(&self) -> bool {
        self.subgroups && self.subgroup_size.0 >= 8
    }
}

/// The cost model: what a launch must compute and move, at least.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations (a multiply-add counts two).
    pub flops: u64,
    /// Bytes read from storage, each needed byte once.
    pub read: u64,
    /// Bytes written to storage.
    pub written: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, o: Cost) -> Cost {
        Cost {
            flops: self.flops + o.flops,
            read: self.read + o.read,
            written: self.written + o.written,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(iter: I) -> Cost {
        iter.fold(Cost::default(), |a, b| a + b)
    }
}

/// One dispatch of one entry point.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The file with the entry point.
    pub source: Source,
    /// The entry point's name.
    pub entry: &'static str,
    /// Constants written at the head of the file.
    pub constants: Vec<(&'static str, Constant)>,
    /// Files that the kernel includes under a name of its own (`#include "op"`), beside the library.
    pub parts: Vec<(&'static str, Source)>,
    /// Workgroups in x, y, z.
    pub grid: [u32; 3],
    /// FLOPs and bytes.
    pub cost: Cost,
    /// The kernel uses subgroup operations.
    pub subgroups: bool,
    /// The kernel uses `f16`.
    pub f16: bool,
    /// The inputs (`#input` lines) that are read as texels.
    pub texels: Vec<&'static str>,
    /// The grid is run piece by piece ([`crate::pieces`]); a uniform in bind group 1 holds the
    /// piece's place and the whole grid.
    pub in_pieces: bool,
}

/// Texels in a row of the texture that [`Launch::texels`] reads: element i of an input is texel
/// (i % TEXEL_ROW, i / TEXEL_ROW).
pub const TEXEL_ROW: u32 = 1024;

impl Launch {
    /// A launch of `entry` in `source` without constants, one workgroup.
    pub fn new(source: Source, entry: &'static str) -> Self {
        Launch {
            source,
            entry,
            constants: Vec::new(),
            parts: Vec::new(),
            grid: [1, 1, 1],
            cost: Cost::default(),
            subgroups: false,
            f16: false,
            texels: Vec::new(),
            in_pieces: false,
        }
    }

    /// Adds a constant.
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Names the file behind `#include "name"`.
    pub fn part(mut self, name: &'static str, source: Source) -> Self {
        self.parts.push((name, source));
        self
    }

    /// Sets the grid in workgroups.
    pub fn grid(mut self, x: u32, y: u32, z: u32) -> Self {
        self.grid = [x, y, z];
        self
    }

    /// Sets the cost.
    pub fn cost(mut self, flops: u64, read: u64, written: u64) -> Self {
        self.cost = Cost { flops, read, written };
        self
    }

    /// Reads the inputs of these `#input` lines, of vec4 elements, as texels of a storage texture
    /// over the argument, or with a copy of it, where `caps` says so. Mesa's software Vulkan fetches eight
    /// texels in 5 ns, but eight vec4 of a storage buffer, element by element, in 20 to 200 ns.
    /// A copy serves a whole program: what one launch has read so, no later one of it may write.
    /// Of more inputs than WebGPU lets a kernel have storage textures, the last stay buffers.
    pub fn texels(mut self, caps: &Caps, inputs: &[&'static str]) -> Self {
        if caps.texels {
            let room = webgpu::STORAGE_TEXTURES.saturating_sub(self.texels.len());
            self.texels.extend(inputs.iter().take(room));
        }
        self
    }

    /// Says that the kernel uses subgroup operations.
    pub fn with_subgroups(mut self) -> Self {
        self.subgroups = true;
        self
    }

    /// What it is beside its constants: file, entry point, the files it names, the features it needs:
    /// `kernels/matmul/blocks.wgsl:main (operands_vec4.wgsl) +subgroups +texels`.
    pub fn form(&self) -> String {
        let mut form = format!("{}:{}", self.source.path, self.entry);
        let parts: Vec<&str> =
            self.parts.iter().filter_map(|(_, s)| s.path.rsplit('/').next()).collect();
        if !parts.is_empty() {
            form = format!("{form} ({})", parts.join(", "));
        }
        let features = [
            (self.subgroups, "subgroups"),
            (self.f16, "f16"),
            (!self.texels.is_empty(), "texels"),
            (self.in_pieces, "pieces"),
        ];
        for (_, feature) in features.iter().filter(|(needed, _)| *needed) {
            form = format!("{form} +{feature}");
        }
        form
    }

    /// Joins constants, includes and text, keeping for each line the file and line it came from.
    pub fn assemble(&self) -> Result<Assembled, ShaderError> {
        assemble(self)
    }
}

/// What a binding of a call is: bindings are `@group(0) @binding(i)` for argument i.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// The op's input i.
    In(usize),
    /// The op's output i.
    Out(usize),
    /// The program's temporary i.
    Temp(usize),
    /// The step's uniform (`shaders/step.wgsl`): learning rate, step number, random counters.
    Step,
}

/// One launch with its arguments in binding order.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is launched.
    pub launch: Launch,
    /// What is bound.
    pub args: Vec<Arg>,
}

/// What processes that train together (ranks) do with an argument between two launches: each comes with its
/// own and goes on with what all have made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Every float becomes its sum over the ranks.
    Sum,
    /// The partial statistics of `batchnorm/stats.wgsl` become those of all ranks' batches together.
    Moments {
        /// Channels of the batch norm.
        channels: u32,
    },
    /// The partial sums of `batchnorm/backward_sums.wgsl` become the rank's share of the sums over all
    /// ranks' batches: S·n/N, n of the N elements of a channel being its own. So S/N, of which the gradient
    /// is made, is what the next launch finds by dividing by its own n, and the shares of a parameter's
    /// gradient add up to the whole.
    Sums {
        /// Channels of the batch norm.
        channels: u32,
        /// n, the rank's elements of a channel.
        elements: u32,
    },
}

/// The launches that compute one op, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// Launches, run one after another.
    pub calls: Vec<Call>,
    /// Sizes of the temporaries in 4-byte words.
    pub temps: Vec<usize>,
    /// What is exchanged before the call of this number, where several processes train together.
    pub exchanges: Vec<(usize, Arg, Exchange)>,
}

impl Program {
    /// A program of one launch.
    pub fn single(launch: Launch, args: impl Into<Vec<Arg>>) -> Self {
        Program { calls: vec![Call { launch, args: args.into() }], ..Program::default() }
    }

    /// Has `arg` exchanged after the launches appended so far.
    pub fn exchange(&mut self, arg: Arg, what: Exchange) {
        self.exchanges.push((self.calls.len(), arg, what));
    }

    /// Reserves a temporary of `words` 4-byte words.
    pub fn temp(&mut self, words: usize) -> Arg {
        self.temps.push(words);
        Arg::Temp(self.temps.len() - 1)
    }

    /// Appends a launch.
    pub fn push(&mut self, launch: Launch, args: impl Into<Vec<Arg>>) {
        self.calls.push(Call { launch, args: args.into() });
    }

    /// Appends a launch; if it reads texels, it is given `again` behind the others: arguments bound
    /// once more, as buffers for their length or as texels beside the buffer that is written.
    pub fn push_reading(&mut self, launch: Launch, args: &[Arg], again: &[Arg]) {
        let again = if launch.texels.is_empty() { &[] } else { again };
        self.push(launch, [args, again].concat());
    }

    /// The sum of the launches' costs.
    pub fn cost(&self) -> Cost {
        self.calls.iter().map(|c| c.launch.cost).sum()
    }
}

/// A grid for `groups` workgroups along one line, folded into y past 65,535 (the portable limit);
/// the kernel's index is `wg.x + wg.y * num_workgroups.x`.
pub fn linear_grid(groups: u32) -> [u32; 3] {
    const LIMIT: u32 = 65_535;
    if groups <= LIMIT {
        return [groups.max(1), 1, 1];
    }
    let y = groups.div_ceil(LIMIT);
    [groups.div_ceil(y), y, 1]
}
