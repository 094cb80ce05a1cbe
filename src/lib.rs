//! evenkeel
pub mod error;
pub mod gpu;
