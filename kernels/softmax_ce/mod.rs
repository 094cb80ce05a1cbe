//! stub
use crate::*;
/// x
#[derive(Debug,Clone,Copy)] pub struct SoftmaxCe{pub n:u32,pub classes:u32,pub label_smoothing:f32,pub class_weights:bool,pub offsets:bool}
/// x
pub fn forward_backward(_:&SoftmaxCe,_:&Caps)->Program{Program::default()}
/// x
pub fn softmax_forward(_:u32,_:u32,_:bool,_:&Caps)->Program{Program::default()}
/// x
pub fn softmax_backward(_:u32,_:u32,_:bool,_:&Caps)->Program{Program::default()}
/// x
pub fn argmax_store(_:u32,_:u32,_:&Caps)->Program{Program::default()}
