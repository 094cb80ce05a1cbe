//! From recorded nodes to a list of bound dispatches that can be replayed.
//!
//! Nodes run in the order they were recorded. Each output lives from its node to its last reader;
//! outputs whose lives do not overlap share a buffer (largest first, best fit), views share their
//! input's, and a value to be stored is computed in place where nothing else reads it. What waits for the
//! backward pass may do so as halves (`halves`).

mod halves;
mod place;

use super::backward::ancestors;
use super::exchange::{Stop, Stops};
use super::schedule::Work;
use super::texels::TexelPool;
use crate::dist::Group;
use crate::error::{Error, Result};
use crate::gpu::{Binding, Buffer, Dispatch, Gpu, Slice, StepUniform};
use crate::ops;
use crate::tensor::{DType, Node, Shape, Source, Tensor, ValueId};
use evenkeel_kernels::{Access, Arg, Call, Caps, Cost, Exchange, Program};
use place::{What, lifetimes, peak, place};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// The buffers that plans share: plans of one workspace never run at the same time, so each may use
/// all of them. Also the step's uniform.
pub struct Workspace {
    gpu: Rc<Gpu>,
    buffers: Vec<Rc<Buffer>>,
    texels: TexelPool,
    uniform: wgpu::Buffer,
    /// Rows of a batch, to say in an error which batch would fit; 0 where there is no batch.
    pub rows: usize,
    /// Rows of each of its images.
    pub views: usize,
    /// The ranks that its plans exchange with; without them a plan has the values of one process.
    pub group: Option<Rc<Group>>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new(gpu: &Rc<Gpu>) -> Self {
        Workspace {
            gpu: gpu.clone(),
            buffers: Vec::new(),
            texels: TexelPool::default(),
            uniform: gpu.step_uniform(),
            rows: 0,
            views: 1,
            group: None,
        }
    }

    /// Bytes in the shared buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.words() as u64 * 4).sum()
    }
}

/// One node's share of a plan, for profiles and drawings.
#[derive(Clone, Debug)]
pub struct Step {
    /// The op, or the effect's name.
    pub op: &'static str,
    /// Shape of its first output.
    pub shape: String,
    /// The kernel file and entry of each dispatch, with its cost.
    pub calls: Vec<(String, Cost)>,
    /// Where its floats come from; none of an effect.
    pub inputs: Vec<Slice>,
    /// Where its floats go, and their shapes; none of an effect.
    pub outputs: Vec<(Slice, Shape)>,
    /// The earlier steps whose outputs it reads.
    pub reads: Vec<usize>,
}

/// Counts of a plan.
#[derive(Clone, Debug, Default)]
pub struct PlanStats {
    /// Dispatches a run.
    pub dispatches: usize,
    /// FLOPs and bytes of a run by the cost model.
    pub cost: Cost,
    /// Bytes of all values if none shared a buffer.
    pub unshared: u64,
    /// The most bytes of values alive at once.
    pub live: u64,
}

/// Bound dispatches, ready to replay.
pub struct Plan {
    pub(super) gpu: Rc<Gpu>,
    pub(super) uniform: wgpu::Buffer,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) steps: Vec<Step>,
    pub(super) stops: Option<Stops>,
    places: HashMap<ValueId, Slice>,
    stats: PlanStats,
    // Nodes hold the leaves' buffers.
    _work: Work,
}

/// What runs at one position of the order.
struct Item {
    name: &'static str,
    program: Program,
    ins: Vec<Tensor>,
    outs: Vec<(ValueId, usize)>,
    shape: String,
    /// What recorded it; none for a copy or an effect.
    node: Option<Rc<Node>>,
    /// Its exchanges need not be finished before the effects.
    travels: bool,
}

impl Item {
    fn of_node(node: &Rc<Node>, caps: &Caps) -> Self {
        Item {
            name: node.op.name(),
            program: node.op.program(node, caps),
            ins: node.inputs.clone(),
            outs: node
                .outputs
                .iter()
                .enumerate()
                .map(|(i, (s, _))| (ValueId { node: node.id, output: i }, s.len().max(1)))
                .collect(),
            shape: node.outputs[0].0.to_string(),
            node: Some(node.clone()),
            travels: false,
        }
    }

    /// What computes `value`; a leaf is there.
    fn of(gpu: &Gpu, value: &Tensor) -> Option<Self> {
        match value.source() {
            Source::Leaf(_) => None,
            Source::Node(node, _) => Some(Self::of_node(node, &gpu.caps)),
        }
    }
}

impl Plan {
    /// Plans `work` in `workspace`.
    ///
    /// # Errors
    /// A kernel that does not compile, a value that no binding holds, no memory.
    pub fn build(workspace: &mut Workspace, work: Work) -> Result<Plan> {
        let gpu = workspace.gpu.clone();
        let nodes: Vec<Rc<Node>> = ancestors(work.roots()).into_values().collect();
        let group = workspace.group.clone().filter(|g| g.size() > 1);
        let (items, pinned) = order(&gpu, &nodes, &work);
        let mut items = halves::halved(&gpu, items, &work, &pinned);
        if group.is_some() {
            let sums = work.sums.iter().filter_map(|slice| sum(&gpu, slice, &items, &pinned));
            // From the back, so that those before keep their places.
            let mut sums: Vec<(usize, Item)> = sums.collect();
            sums.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            for (at, item) in sums {
                items.insert(at, item);
            }
        }
        let effects = items.len() - work.effects.len();
        let lives = lifetimes(&items, &work, &pinned);
        let placed = place(workspace, &lives, &items)?;
        let mut plan = Plan {
            uniform: workspace.uniform.clone(),
            dispatches: Vec::new(),
            steps: Vec::new(),
            stops: group.map(|group| Stops { group, all: Vec::new() }),
            places: HashMap::new(),
            stats: PlanStats { live: peak(&lives, items.len()), ..Default::default() },
            gpu,
            _work: work,
        };
        plan.stats.unshared = lives.iter().map(|l| l.words as u64 * 4).sum();
        for (what, slice) in &placed {
            if let What::Value(id) = what {
                plan.places.insert(*id, slice.clone());
            }
        }
        plan.places.extend(pinned);
        let made_by: HashMap<ValueId, usize> = items
            .iter()
            .enumerate()
            .flat_map(|(at, item)| item.outs.iter().map(move |(id, _)| (*id, at)))
            .collect();
        for (at, item) in items.iter().enumerate() {
            if at == effects {
                plan.fall_due();
            }
            plan.bind(at, item, &placed, &mut workspace.texels)?;
            let read = item.ins.iter().filter_map(|t| made_by.get(&base(t).id()).copied());
            let read: std::collections::BTreeSet<usize> = read.collect();
            plan.steps[at].reads = read.into_iter().collect();
        }
        Ok(plan)
    }

    /// Where a value lies: its own place, or that of what it is a view of.
    fn locate(&self, tensor: &Tensor) -> Result<Slice> {
        match base(tensor).source() {
            Source::Leaf(slice) => Ok(slice.clone()),
            Source::Node(node, output) => {
                let id = ValueId { node: node.id, output: *output };
                self.places.get(&id).cloned().ok_or_else(|| {
                    Error::Failure(format!("{}: the plan does not hold this value", node.op.name()))
                })
            }
        }
    }

    fn bind(
        &mut self,
        at: usize,
        item: &Item,
        placed: &HashMap<What, Slice>,
        pool: &mut TexelPool,
    ) -> Result<()> {
        pool.forget();
        let mut step = Step {
            op: item.name,
            shape: item.shape.clone(),
            calls: Vec::new(),
            reads: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        if let Some(node) = &item.node {
            for input in item.ins.iter().filter(|t| t.dtype() == DType::F32) {
                step.inputs.push(self.locate(input)?);
            }
            for ((id, _), (shape, dtype)) in item.outs.iter().zip(&node.outputs) {
                let place = self.places.get(id).filter(|_| *dtype == DType::F32);
                step.outputs.extend(place.map(|slice| (slice.clone(), shape.clone())));
            }
        }
        let slice_of = |plan: &Plan, arg: &Arg| match arg {
            Arg::In(i) => plan.locate(&item.ins[*i]).map(Some),
            Arg::Out(i) => Ok(plan.places.get(&item.outs[*i].0).cloned()),
            Arg::Temp(i) => Ok(placed.get(&What::Temp(at, *i)).cloned()),
            Arg::Step => Ok(None),
        };
        let exchanges_before = |plan: &mut Plan, call: usize| -> Result<()> {
            for (_, arg, what) in item.program.exchanges.iter().filter(|(c, ..)| *c == call) {
                if let Some(slice) = slice_of(plan, arg)? {
                    plan.stop(slice, *what, item.travels);
                }
            }
            Ok(())
        };
        for (number, call) in item.program.calls.iter().enumerate() {
            exchanges_before(self, number)?;
            let Call { launch, args } = call;
            let slices: Vec<Option<Slice>> =
                args.iter().map(|arg| slice_of(self, arg)).collect::<Result<_>>()?;
            let pipeline = self.gpu.pipeline(&self.gpu.guarded(launch))?;
            let mut copies = Vec::new();
            let mut texels = Vec::new();
            for (slice, access) in slices.iter().zip(&pipeline.access) {
                texels.push(match slice {
                    Some(slice) if *access == Access::Texels => {
                        Some(pool.holding(&self.gpu, slice, &mut copies)?)
                    }
                    _ => None,
                });
            }
            let buffers: Vec<Binding<'_>> = slices
                .iter()
                .zip(&texels)
                .map(|bound| match bound {
                    (Some(slice), Some(texels)) => Binding::Texels(texels, slice),
                    (Some(slice), None) => Binding::Storage(slice),
                    (None, _) => Binding::Uniform(&self.uniform),
                })
                .collect();
            let dispatch = self.gpu.bind(launch, &buffers)?.after(copies);
            self.stats.dispatches += 1;
            self.stats.cost = self.stats.cost + launch.cost;
            step.calls.push((dispatch.name().to_string(), launch.cost));
            self.dispatches.push(dispatch);
        }
        exchanges_before(self, item.program.calls.len())?;
        self.steps.push(step);
        Ok(())
    }

    /// An exchange after the dispatches so far; one that `travels` may take until [`Plan::fall_due`].
    fn stop(&mut self, slice: Slice, what: Exchange, travels: bool) {
        let at = self.dispatches.len();
        if let Some(stops) = &mut self.stops {
            let readback = self.gpu.readback(slice.words);
            let due = if travels { usize::MAX } else { at };
            stops.all.push(Stop { at, due, slice, what, readback });
        }
    }

    /// What travels must have come before the dispatches that follow.
    fn fall_due(&mut self) {
        let now = self.dispatches.len();
        for stop in self.stops.iter_mut().flat_map(|s| &mut s.all) {
            stop.due = stop.due.min(now);
        }
    }

    /// Submits the dispatches of `range`, with the exchanges between them.
    pub(super) fn replay(&self, range: Range<usize>) -> Result<()> {
        match &self.stops {
            None => self.gpu.submit(&self.dispatches[range]),
            Some(stops) => stops.replay(&self.gpu, &self.dispatches, range),
        }
    }

    /// The ranks it exchanges with, if there are several.
    pub(super) fn group(&self) -> Option<&Group> {
        self.stops.as_ref().map(|s| s.group.as_ref())
    }

    /// Replays the plan: one write of the uniform, one pass, one submit. Does not wait, but for what ranks
    /// exchange.
    ///
    /// # Errors
    /// What the driver reports; a rank that is gone.
    pub fn run(&self, step: &StepUniform) -> Result<()> {
        self.gpu.write_step(&self.uniform, step);
        self.replay(0..self.dispatches.len())
    }

    /// Replays the plan `times` times in one pass and one submit, for benches of plans too short to
    /// be submitted alone. Does not wait.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn repeat(&self, step: &StepUniform, times: usize) -> Result<()> {
        self.gpu.write_step(&self.uniform, step);
        self.gpu.submit(&vec![&self.dispatches[..]; times].concat())
    }

    /// Replays with a timestamp around each dispatch: nanoseconds, in the order of
    /// [`Plan::steps`]' calls.
    ///
    /// # Errors
    /// A device without timestamp queries.
    pub fn profile(&self, step: &StepUniform) -> Result<Vec<f64>> {
        self.gpu.write_step(&self.uniform, step);
        self.gpu.profile(&self.dispatches)
    }

    /// Reads a kept value after a run.
    ///
    /// # Errors
    /// A value the plan was not asked to keep, or a lost device.
    pub fn read<T: bytemuck::Pod>(&self, value: &Tensor) -> Result<Vec<T>> {
        self.gpu.read(&self.locate(value)?)
    }

    /// What runs, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Counts.
    pub fn stats(&self) -> &PlanStats {
        &self.stats
    }
}

/// What a view shows in the end.
fn base(tensor: &Tensor) -> &Tensor {
    match tensor.source() {
        Source::Node(node, _) if node.op.is_view() => base(&node.inputs[0]),
        _ => tensor,
    }
}

/// The order of work: nodes as recorded, each followed by the copies that store its outputs, then
/// effects. Also the values that are computed right where they are to be stored.
fn order(gpu: &Rc<Gpu>, nodes: &[Rc<Node>], work: &Work) -> (Vec<Item>, HashMap<ValueId, Slice>) {
    let mut readers: HashMap<ValueId, usize> = HashMap::new();
    let reads = nodes
        .iter()
        .filter(|n| !n.op.is_view())
        .flat_map(|n| n.inputs.iter())
        .chain(work.effects.iter().flat_map(|e| e.args.iter()))
        .chain(work.keep.iter());
    for tensor in reads {
        *readers.entry(base(tensor).id()).or_default() += 1;
    }
    let mut pinned: HashMap<ValueId, Slice> = HashMap::new();
    let mut copies: HashMap<u64, Vec<(Tensor, Slice)>> = HashMap::new();
    let mut leaf_copies = Vec::new();
    for (value, into) in &work.store {
        let from = base(value);
        let id = from.id();
        if from.leaf().is_some() {
            leaf_copies.push((from.clone(), into.clone()));
        } else if readers.contains_key(&id) || pinned.contains_key(&id) {
            copies.entry(id.node).or_default().push((from.clone(), into.clone()));
        } else {
            pinned.insert(id, into.clone());
        }
    }
    let mut items = Vec::new();
    let half_products = gpu.caps.half_products || work.half_products;
    let caps = Caps { half_products, ..gpu.caps.clone() };
    for node in nodes.iter().filter(|n| !n.op.is_view()) {
        items.push(Item::of_node(node, &caps));
        for (from, into) in copies.remove(&node.id).unwrap_or_default() {
            items.push(copy(gpu, from, into));
        }
    }
    for (from, into) in leaf_copies {
        items.push(copy(gpu, from, into));
    }
    for effect in &work.effects {
        items.push(Item {
            name: effect.name,
            program: effect.program.clone(),
            ins: effect.args.clone(),
            outs: Vec::new(),
            shape: effect.args.first().map(|t| t.shape().to_string()).unwrap_or_default(),
            node: None,
            travels: false,
        });
    }
    (items, pinned)
}

/// A copy into a leaf: the kernel's output is bound as a second input.
fn copy(gpu: &Rc<Gpu>, from: Tensor, into: Slice) -> Item {
    let mut program = ops::copy_program(into.words as u32, &gpu.caps);
    for call in &mut program.calls {
        for arg in &mut call.args {
            if *arg == Arg::Out(0) {
                *arg = Arg::In(1);
            }
        }
    }
    let shape = from.shape().clone();
    let to = Tensor::from_slice(gpu, into, shape.clone(), from.dtype());
    let (shape, ins) = (shape.to_string(), vec![from, to]);
    Item { name: "store", program, ins, outs: Vec::new(), shape, node: None, travels: false }
}

/// The sum over the ranks of what is stored in `slice`, and its place behind the last item that stores there;
/// none where nothing does.
fn sum(
    gpu: &Rc<Gpu>,
    slice: &Slice,
    items: &[Item],
    pinned: &HashMap<ValueId, Slice>,
) -> Option<(usize, Item)> {
    let within = |s: &Slice| {
        Rc::ptr_eq(&s.buffer, &slice.buffer)
            && s.start < slice.start + slice.words
            && slice.start < s.start + s.words
    };
    let stores = |item: &Item| {
        let copied = item.name == "store" && item.ins[1].leaf().is_some_and(within);
        copied || item.outs.iter().any(|(id, _)| pinned.get(id).is_some_and(within))
    };
    let at = items.iter().rposition(stores)? + 1;
    let mut program = Program::default();
    program.exchange(Arg::In(0), Exchange::Sum);
    let whole = Tensor::from_slice(gpu, slice.clone(), [slice.words], DType::F32);
    let shape = whole.shape().to_string();
    let (ins, outs) = (vec![whole], Vec::new());
    Some((at, Item { name: "all_reduce", program, ins, outs, shape, node: None, travels: true }))
}
