//! Measuring: what the device can do at most, what each kernel reaches of it, and where a training
//! step's time goes. Everything here returns numbers; `cli::bench` prints them.
//!
//! A [`clock`] times rounds of work; [`limits`] measures multiply-adds, copies and dispatches;
//! [`kernels`] holds each op against those; [`tune`] finds its fastest variant; [`step`] takes a whole
//! training step apart, launch by launch; [`methods`] holds every recipe's step against cross-entropy's.

pub mod clock;
pub mod kernels;
pub mod limits;
pub mod methods;
pub mod step;
pub mod tune;
