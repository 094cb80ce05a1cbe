//! Answers of the driver that come later: errors in what was made, values read back. A program may stop
//! until they are there. In a browser, which answers between two turns of its event loop, it may not: there
//! values are awaited, and an error is told by a later submit.

use super::{Gpu, Slice};
use crate::error::{Error, Result};
use futures_channel::oneshot;
use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What `future` gives without waiting for anything but the device, as it does outside a browser.
///
/// # Errors
/// Its own, and a browser, where it must be awaited.
pub(crate) fn at_once<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::Device(
            "a value was not read back in time; in a browser it has to be awaited".into(),
        )),
    }
}

/// A buffer through which a slice is read back again and again while the device goes on with later work.
pub struct Readback {
    staging: wgpu::Buffer,
    under_way: RefCell<Option<UnderWay>>,
}

type Answer = std::result::Result<(), wgpu::BufferAsyncError>;

struct UnderWay {
    submitted: wgpu::SubmissionIndex,
    mapped: oneshot::Receiver<Answer>,
}

impl Gpu {
    /// A way to read `words` words back.
    pub(crate) fn readback(&self, words: usize) -> Readback {
        Readback { staging: self.staging(words as u64 * 4), under_way: RefCell::default() }
    }

    /// Begins to read a slice as the work submitted so far leaves it.
    pub(crate) fn begin_read(&self, slice: &Slice, through: &Readback) {
        let (submitted, mapped) = self.begin(slice, &through.staging);
        *through.under_way.borrow_mut() = Some(UnderWay { submitted, mapped });
    }

    /// What [`Gpu::begin_read`] began to read; waits for it, but for nothing submitted later.
    ///
    /// # Errors
    /// A lost device; a reading that was not begun.
    pub(crate) fn end_read<T: bytemuck::Pod>(&self, through: &Readback) -> Result<Vec<T>> {
        let Some(UnderWay { submitted, mapped }) = through.under_way.borrow_mut().take() else {
            return Err(Error::Failure("a readback was ended that was not begun".into()));
        };
        self.poll(wgpu::PollType::Wait { submission_index: Some(submitted), timeout: None })?;
        let found = at_once(self.mapped(&through.staging, mapped))?;
        through.staging.unmap();
        Ok(found)
    }

    /// What `make` makes of the device, or the driver's `filter` error about it. A browser's comes with the
    /// next [`Gpu::submit`] that follows it.
    pub(super) fn tried<T>(
        &self,
        filter: wgpu::ErrorFilter,
        make: impl FnOnce(&wgpu::Device) -> T,
    ) -> std::result::Result<T, wgpu::Error> {
        if cfg!(target_arch = "wasm32") {
            return Ok(make(&self.device));
        }
        let scope = self.device.push_error_scope(filter);
        let made = make(&self.device);
        match pollster::block_on(scope.pop()) {
            None => Ok(made),
            Some(error) => Err(error),
        }
    }

    /// Reads a slice back, waiting for the work submitted so far.
    ///
    /// # Errors
    /// A lost device; a browser, which needs [`Gpu::read_async`].
    pub fn read<T: bytemuck::Pod>(&self, slice: &Slice) -> Result<Vec<T>> {
        at_once(self.read_async(slice))
    }

    /// [`Gpu::read`], of which a tape doesn't tell.
    pub(super) fn read_now<T: bytemuck::Pod>(&self, slice: &Slice) -> Result<Vec<T>> {
        at_once(self.fetch(slice))
    }

    /// Reads a slice back after the work submitted so far. Outside a browser it waits for it when first
    /// polled, so that no one else has to poll the device.
    ///
    /// # Errors
    /// A lost device.
    pub async fn read_async<T: bytemuck::Pod>(&self, slice: &Slice) -> Result<Vec<T>> {
        let found = self.fetch(slice).await?;
        if let Some(tape) = &self.tape {
            tape.read(slice, bytemuck::cast_slice(&found))?;
        }
        Ok(found)
    }

    async fn fetch<T: bytemuck::Pod>(&self, slice: &Slice) -> Result<Vec<T>> {
        let staging = self.staging(slice.words as u64 * 4);
        let (_, mapped) = self.begin(slice, &staging);
        self.wait()?;
        self.mapped(&staging, mapped).await
    }

    fn staging(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Submits a copy of the slice, and asks for what it copies.
    fn begin(
        &self,
        slice: &Slice,
        staging: &wgpu::Buffer,
    ) -> (wgpu::SubmissionIndex, oneshot::Receiver<Answer>) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let (start, bytes) = (slice.start as u64 * 4, slice.words as u64 * 4);
        encoder.copy_buffer_to_buffer(&slice.buffer.raw, start, staging, 0, bytes);
        let submitted = self.queue.submit([encoder.finish()]);
        let (tx, mapped) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |r| {
            let _ = tx.send(r);
        });
        (submitted, mapped)
    }

    async fn mapped<T: bytemuck::Pod>(
        &self,
        staging: &wgpu::Buffer,
        mapped: oneshot::Receiver<Answer>,
    ) -> Result<Vec<T>> {
        match mapped.await {
            Ok(Ok(())) => {}
            other => {
                self.take_failure()?;
                return Err(Error::Device(format!("a readback failed: {other:?}")));
            }
        }
        let view = staging
            .get_mapped_range(..)
            .map_err(|e| Error::Device(format!("a readback failed: {e}")))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }
}
