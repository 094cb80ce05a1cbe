//! Training: the recipe, the loop, its measures, and what it leaves on disk.
//!
//! [`config`] → [`trainer::run`] (data to the device, a [`session::Session`] with its plans, epochs)
//! → [`metrics`], [`run_dir`] (checkpoints, `metrics.jsonl`), [`events`] (TensorBoard), [`progress`].

pub mod about;
pub mod adabn;
pub mod atomic;
pub mod benchmarks;
pub mod calibration;
pub mod card;
pub mod checkpoint;
pub mod compare;
pub mod config;
pub mod device_set;
pub mod events;
pub mod features;
pub(crate) mod feed;
mod fingerprint;
pub mod inside;
pub mod live;
pub mod methods;
pub mod metrics;
pub mod mixing;
pub mod momentum;
pub mod parts;
pub mod policy;
pub mod post;
pub mod progress;
pub mod recipes;
pub mod recommend;
pub mod run_dir;
pub mod schedule;
pub mod session;
pub mod stages;
mod staging;
pub mod teacher;
mod throughput;
mod trace;
pub mod trainer;
