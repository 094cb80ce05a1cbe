//! Submission: a list of dispatches in one submit and one compute pass (several passes where copies to
//! textures stand between them, several submits where one would take too long: `gpu/watchdog.rs`), or,
//! to profile, each in a pass of its own between two timestamps.

use super::tape::Taped;
use super::watchdog::slow_seconds;
use super::{Gpu, Pipeline, Slice, TexelCopy, Texels};
use crate::error::{Error, Result};
use evenkeel_kernels::Launch;
use evenkeel_kernels::pieces::Piece;
use std::rc::Rc;
use wgpu::util::DeviceExt;

/// Size of the step's uniform in bytes (`shaders/step.wgsl`).
pub const STEP_BYTES: usize = 40;

/// The step's uniform: what changes between two replays of a plan.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct StepUniform {
    /// The optimizer's learning rate.
    pub learning_rate: f32,
    /// Optimizer steps taken before this one.
    pub step: u32,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Position in the epoch's order of the batch's first sample.
    pub first: u32,
    /// The run's seed.
    pub seed: [u32; 2],
    /// The batch's own share in a mixed batch (mixup, CutMix).
    pub lambda: f32,
    /// Sample i is mixed with sample i + shift, modulo the batch.
    pub shift: u32,
    /// The batch's share of the step's samples.
    pub weight: f32,
    /// Number of the batch within the step.
    pub batch: u32,
}

impl Default for StepUniform {
    /// Zeros, of a step of one batch.
    fn default() -> Self {
        StepUniform { weight: 1.0, ..bytemuck::Zeroable::zeroed() }
    }
}

/// A pipeline with its buffers and grid, ready to run, in one piece or several.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pipeline: Rc<Pipeline>,
    group: wgpu::BindGroup,
    /// Grids, each with the uniform that tells its place, where there are several.
    pieces: Vec<([u32; 3], Option<wgpu::BindGroup>)>,
    /// Of each piece, on a slow device.
    seconds: f64,
    copies: Vec<TexelCopy>,
    taped: Option<Rc<Taped>>,
}

impl Dispatch {
    /// `kernels/file.wgsl:entry`
    pub fn name(&self) -> &str {
        &self.pipeline.name
    }

    /// What a tape tells of it, where there is one.
    pub(super) fn taped(&self) -> Option<&Taped> {
        self.taped.as_deref()
    }
}

/// Queries a set holds at most (the portable limit).
const QUERIES: usize = 4096;

impl Gpu {
    /// Binds `buffers` (in binding order) to a launch, in pieces where it is too long for one
    /// dispatch ([`Gpu::guarded`]).
    ///
    /// # Errors
    /// A kernel that does not compile, a grid beyond 65,535 workgroups, a wrong number of buffers.
    pub fn bind(&self, launch: &Launch, buffers: &[Binding<'_>]) -> Result<Dispatch> {
        let launch = &*self.guarded(launch);
        let pipeline = self.pipeline(launch)?;
        if launch.grid.iter().any(|g| *g == 0 || *g > 65_535) {
            return Err(Error::Device(format!(
                "{}: a grid of {:?} workgroups is outside 1..=65535",
                pipeline.name, launch.grid
            )));
        }
        if buffers.len() != pipeline.access.len() {
            return Err(Error::Shader(format!(
                "{}: {} buffers for {} bindings",
                pipeline.name,
                buffers.len(),
                pipeline.access.len()
            )));
        }
        let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry {
                binding: i as u32,
                resource: match b {
                    Binding::Storage(slice) => slice.binding(),
                    Binding::Uniform(raw) => raw.as_entire_binding(),
                    Binding::Texels(texels, _) => wgpu::BindingResource::TextureView(&texels.view),
                },
            })
            .collect();
        let (group, pieces) = self
            .tried(wgpu::ErrorFilter::Validation, |device| {
                let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&pipeline.name),
                    layout: &pipeline.layout,
                    entries: &entries,
                });
                let pieces: Vec<_> = match &pipeline.piece {
                    None => vec![(launch.grid, None)],
                    Some(layout) => {
                        let bound = |p: Piece| (p.grid, Some(self.piece(layout, p, launch.grid)));
                        self.watchdog.pieces(launch).into_iter().map(bound).collect()
                    }
                };
                (group, pieces)
            })
            .map_err(|e| Error::Device(format!("{}: cannot bind: {e}", pipeline.name)))?;
        let seconds = slow_seconds(&launch.cost) / pieces.len() as f64;
        let taped = match &self.tape {
            Some(tape) => Some(tape.launch(launch, &pipeline.access, buffers, &self.caps)?),
            None => None,
        };
        let taped = taped.map(Rc::new);
        Ok(Dispatch { pipeline, group, pieces, seconds, copies: Vec::new(), taped })
    }

    /// A piece's place and the whole grid, as a kernel reads them (`kernels/pieces.rs`).
    fn piece(
        &self,
        layout: &wgpu::BindGroupLayout,
        piece: Piece,
        whole: [u32; 3],
    ) -> wgpu::BindGroup {
        let ([a, b, c], [x, y, z]) = (piece.first, whole);
        let uniform = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("piece"),
            contents: bytemuck::cast_slice(&[a, b, c, 0, x, y, z, 0]),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("piece"),
            layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() }],
        })
    }

    /// A uniform buffer for [`StepUniform`].
    pub fn step_uniform(&self) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("step"),
            size: STEP_BYTES as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Writes the step's uniform; takes effect at the next submit.
    pub fn write_step(&self, uniform: &wgpu::Buffer, step: &StepUniform) {
        self.queue.write_buffer(uniform, 0, bytemuck::bytes_of(step));
        if let Some(tape) = &self.tape {
            tape.step(uniform, bytemuck::cast_ref(step));
        }
    }

    /// Runs the dispatches in order: one submit, unless a slow device would take too long for it, and
    /// one pass, unless copies stand between. Does not wait.
    ///
    /// # Errors
    /// An error the driver reported for this or earlier work.
    pub fn submit(&self, dispatches: &[Dispatch]) -> Result<()> {
        match &self.tape {
            Some(tape) => self.submit_taped(tape, dispatches),
            None => self.submit_now(dispatches),
        }
    }

    /// [`Gpu::submit`] without a tape.
    pub(super) fn submit_now(&self, dispatches: &[Dispatch]) -> Result<()> {
        let mut work = Recording::new(self);
        for dispatch in dispatches {
            work.copies(&dispatch.copies);
            for piece in &dispatch.pieces {
                work.room_for(dispatch.seconds);
                dispatch.record(piece, work.pass());
            }
        }
        let index = work.submit();
        self.in_flight.borrow_mut().push_back(index);
        self.take_failure()
    }

    /// Waits until at most two submits are under way, so that a loop cannot run far ahead of the
    /// device.
    ///
    /// # Errors
    /// A lost device.
    pub fn throttle(&self) -> Result<()> {
        let mut in_flight = self.in_flight.borrow_mut();
        while in_flight.len() > 2 {
            let oldest = in_flight.pop_front();
            self.poll(wgpu::PollType::Wait { submission_index: oldest, timeout: None })?;
        }
        Ok(())
    }

    pub(super) fn poll(&self, how: wgpu::PollType) -> Result<()> {
        self.device
            .poll(how)
            .map_err(|e| Error::Device(format!("waiting for the device failed: {e}")))?;
        self.take_failure()
    }

    /// Waits for everything submitted.
    ///
    /// # Errors
    /// A lost device.
    pub fn wait(&self) -> Result<()> {
        self.in_flight.borrow_mut().clear();
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    /// Runs the dispatches each in a pass of its own and returns its nanoseconds by timestamps.
    ///
    /// # Errors
    /// No timestamp queries on this device.
    pub fn profile(&self, dispatches: &[Dispatch]) -> Result<Vec<f64>> {
        if !self.timestamps {
            return Err(Error::Device(format!(
                "{} offers no timestamp queries, so it cannot be profiled",
                self.describe()
            )));
        }
        let mut times = Vec::with_capacity(dispatches.len());
        let mut rest = dispatches;
        while !rest.is_empty() {
            let mut busy = 0.0;
            let fits = |d: &&Dispatch| {
                busy += d.seconds * d.pieces.len() as f64;
                busy <= self.watchdog.seconds
            };
            let count = rest.iter().take_while(fits).count().clamp(1, QUERIES / 2);
            times.extend(self.profile_chunk(&rest[..count])?);
            rest = &rest[count..];
        }
        Ok(times)
    }

    fn profile_chunk(&self, chunk: &[Dispatch]) -> Result<Vec<f64>> {
        let count = chunk.len() as u32 * 2;
        let set = self.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("profile"),
            size: u64::from(count) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let readable = self.alloc("profile", count as usize * 2)?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for (i, d) in chunk.iter().enumerate() {
            let i = i as u32 * 2;
            d.copies.iter().for_each(|c| c.record(&mut encoder));
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(d.name()),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &set,
                    beginning_of_pass_write_index: Some(i),
                    end_of_pass_write_index: Some(i + 1),
                }),
            });
            d.pieces.iter().for_each(|piece| d.record(piece, &mut pass));
        }
        encoder.resolve_query_set(&set, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &readable.raw, 0, u64::from(count) * 8);
        self.queue.submit([encoder.finish()]);
        let ticks: Vec<u64> = self.read(&Slice::whole(readable))?;
        let period = f64::from(self.queue.get_timestamp_period());
        Ok(ticks.chunks(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period).collect())
    }
}

/// What a kernel's binding is given.
pub enum Binding<'a> {
    /// A range of a storage buffer.
    Storage(&'a Slice),
    /// The step's uniform.
    Uniform(&'a wgpu::Buffer),
    /// A texture that lies over the argument, or has a copy of it.
    Texels(&'a Texels, &'a Slice),
}

impl Dispatch {
    /// The same dispatch after these copies.
    pub fn after(self, copies: Vec<TexelCopy>) -> Self {
        Dispatch { copies, ..self }
    }

    fn record(
        &self,
        (grid, place): &([u32; 3], Option<wgpu::BindGroup>),
        pass: &mut wgpu::ComputePass<'_>,
    ) {
        pass.set_pipeline(&self.pipeline.raw);
        pass.set_bind_group(0, &self.group, &[]);
        if let Some(place) = place {
            pass.set_bind_group(1, place, &[]);
        }
        pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
    }
}

/// Commands not yet submitted, and for how long they would keep a slow device busy.
struct Recording<'a> {
    gpu: &'a Gpu,
    encoder: wgpu::CommandEncoder,
    pass: Option<wgpu::ComputePass<'static>>,
    seconds: f64,
}

impl<'a> Recording<'a> {
    fn new(gpu: &'a Gpu) -> Self {
        let encoder = gpu.device.create_command_encoder(&Default::default());
        Recording { gpu, encoder, pass: None, seconds: 0.0 }
    }

    /// Records copies, which stand between passes.
    fn copies(&mut self, copies: &[TexelCopy]) {
        if !copies.is_empty() {
            self.pass = None;
            copies.iter().for_each(|c| c.record(&mut self.encoder));
        }
    }

    /// The pass under way.
    fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        self.pass.get_or_insert_with(|| {
            self.encoder.begin_compute_pass(&Default::default()).forget_lifetime()
        })
    }

    /// Submits what there is if `seconds` more would be too long.
    fn room_for(&mut self, seconds: f64) {
        if self.seconds > 0.0 && self.seconds + seconds > self.gpu.watchdog.seconds {
            let full = std::mem::replace(self, Recording::new(self.gpu));
            full.submit();
        }
        self.seconds += seconds;
    }

    fn submit(mut self) -> wgpu::SubmissionIndex {
        self.pass = None;
        self.gpu.queue.submit([self.encoder.finish()])
    }
}
