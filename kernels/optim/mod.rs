//! stub
use crate::*;
/// x
pub struct Group{pub weight_decay:f32,pub lr_scale:f32}
/// x
pub struct Sgd{pub words:u32,pub momentum:f32,pub nesterov:bool,pub groups:Vec<Group>}
/// x
pub fn guard(_:u32,_:&Caps)->Program{Program::default()}
/// x
pub fn sgd(_:&Sgd,_:&Caps)->Program{Program::default()}
/// x
pub fn running_update(_:u32,_:f32,_:&Caps)->Program{Program::default()}
/// x
pub fn record(_:u32,_:&Caps)->Program{Program::default()}
/// x
pub fn first_bad_block(_:u32)->Option<u32>{None}
