//! Is it right? Every op against a CPU reference in 64-bit floats, PyTorch's golden files, and
//! gradients in the middle of a graph.
//!
//! [`cases`] declares what is checked, [`mod@reference`] says what should come out, [`device`] computes it
//! with the engine, [`golden`] reads and compares files that others wrote.

pub mod cases;
pub mod device;
pub mod golden;
pub mod reference;
pub mod run;
