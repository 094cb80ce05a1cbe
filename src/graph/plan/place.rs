//! Where values lie: how long each is needed, and a buffer for each, shared by those whose lives do not overlap.
//!
//! Items in order → a [`Life`] for each output and temporary → the smallest buffer of the workspace that is free for
//! it, largest lives first. A value that no binding holds is refused, with the batch that would fit.

use super::{Item, Workspace, base};
use crate::error::{Error, Result};
use crate::gpu::{Slice, mib};
use crate::graph::Work;
use crate::tensor::ValueId;
use std::collections::HashMap;

/// A stretch of the order in which a range of memory is needed.
pub(super) struct Life {
    pub what: What,
    pub words: usize,
    pub from: usize,
    pub to: usize,
}

/// What lies there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// An output.
    Value(ValueId),
    /// A temporary of the item at a position.
    Temp(usize, usize),
}

// ANCHOR: lifetimes
pub(super) fn lifetimes(
    items: &[Item],
    work: &Work,
    pinned: &HashMap<ValueId, Slice>,
) -> Vec<Life> {
    let mut last: HashMap<ValueId, usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        for tensor in &item.ins {
            last.insert(base(tensor).id(), at);
        }
    }
    for tensor in &work.keep {
        last.insert(base(tensor).id(), items.len());
    }
    let mut lives = Vec::new();
    for (at, item) in items.iter().enumerate() {
        for (id, words) in &item.outs {
            if !pinned.contains_key(id) {
                let to = last.get(id).copied().unwrap_or(at);
                lives.push(Life { what: What::Value(*id), words: *words, from: at, to });
            }
        }
        for (i, words) in item.program.temps.iter().enumerate() {
            lives.push(Life { what: What::Temp(at, i), words: (*words).max(1), from: at, to: at });
        }
    }
    lives
}
// ANCHOR_END: lifetimes

/// The most bytes alive at one position.
pub(super) fn peak(lives: &[Life], positions: usize) -> u64 {
    let mut change = vec![0i64; positions + 2];
    for l in lives {
        change[l.from] += l.words as i64 * 4;
        change[l.to + 1] -= l.words as i64 * 4;
    }
    let mut now = 0;
    change
        .iter()
        .map(|c| {
            now += c;
            now
        })
        .max()
        .unwrap_or(0) as u64
}

// ANCHOR: place
/// Gives each life a buffer: largest first, the smallest buffer that is big enough and free.
pub(super) fn place(
    workspace: &mut Workspace,
    lives: &[Life],
    items: &[Item],
) -> Result<HashMap<What, Slice>> {
    let mut by_size: Vec<&Life> = lives.iter().collect();
    by_size.sort_by_key(|l| (std::cmp::Reverse(l.words), l.from));
    let gpu = workspace.gpu.clone();
    if let Some(largest) = by_size.first() {
        fits(workspace, largest, &items[largest.from])?;
    }
    let mut tenants: Vec<Vec<(usize, usize)>> = vec![Vec::new(); workspace.buffers.len()];
    let mut placed = HashMap::new();
    for life in by_size {
        let free = |t: &[(usize, usize)]| t.iter().all(|(f, l)| life.to < *f || life.from > *l);
        let best = (0..tenants.len())
            .filter(|i| workspace.buffers[*i].words() >= life.words && free(&tenants[*i]))
            .min_by_key(|i| workspace.buffers[*i].words());
        let slot = match best {
            Some(slot) => slot,
            None => {
                let buffer = gpu
                    .alloc(items[life.from].name, life.words)
                    .map_err(|e| with_hint(e, workspace.rows / workspace.views))?;
                workspace.buffers.push(buffer);
                tenants.push(Vec::new());
                tenants.len() - 1
            }
        };
        tenants[slot].push((life.from, life.to));
        let slice = Slice { buffer: workspace.buffers[slot].clone(), start: 0, words: life.words };
        placed.insert(life.what, slice);
    }
    Ok(placed)
}
// ANCHOR_END: place

/// Refuses a value that no binding can hold, naming the batch that would fit if its size is the batch's.
fn fits(workspace: &Workspace, life: &Life, item: &Item) -> Result<()> {
    let (gpu, bytes) = (&workspace.gpu, life.words as u64 * 4);
    let rows = item.node.as_ref().and_then(|node| node.outputs[0].0.dims().first().copied());
    let batch = match rows {
        Some(rows) if rows == workspace.rows => rows / workspace.views,
        _ => 0,
    };
    if bytes <= gpu.caps.max_binding {
        return Ok(());
    }
    let hint = match (gpu.caps.max_binding / (bytes / batch.max(1) as u64).max(1)) as usize {
        fit if batch > 1 && fit >= 1 => format!(
            "; --batch-size {fit} fits this limit, and with --accumulate {} a step stays as large",
            batch.div_ceil(fit)
        ),
        _ => String::new(),
    };
    Err(Error::Device(format!(
        "{} {} needs {} in one buffer; this device allows {}{hint}",
        item.name,
        item.shape,
        mib(bytes),
        mib(gpu.caps.max_binding)
    )))
}

fn with_hint(error: Error, batch: usize) -> Error {
    match error {
        Error::Device(message) if batch > 1 => {
            Error::Device(format!("{message}; try --batch-size {}", batch / 2))
        }
        other => other,
    }
}
