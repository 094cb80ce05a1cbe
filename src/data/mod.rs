//! stub
pub mod sampler {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Shuffle { None, Epoch }
    pub fn epoch_order(n: usize, _seed: u64, _epoch: u64, _s: Shuffle) -> Vec<u32> { (0..n as u32).collect() }
}
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
pub const CIFAR_MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
pub const CIFAR_STD: [f32; 3] = [0.2023, 0.1994, 0.2010];
#[derive(Clone, Debug)]
pub struct Dataset { pub name: String, pub classes: Vec<String>, pub shape: [usize; 3], pub pixels: Vec<u8>, pub labels: Vec<u32>, pub mean: [f32; 3], pub std: [f32; 3] }
impl Dataset { pub fn select(&self, i: &[u32]) -> Dataset { let b: usize = self.shape.iter().product(); Dataset { pixels: i.iter().flat_map(|k| self.pixels[*k as usize * b..][..b].to_vec()).collect(), labels: i.iter().map(|k| self.labels[*k as usize]).collect(), ..self.clone() } } }
#[derive(Clone, Debug)]
pub struct Splits { pub train: Dataset, pub test: Dataset, pub counts: Vec<usize>, pub indices: Vec<u32>, pub skipped: Vec<String> }
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile { Exp, Step }
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubsetRule { Shuffled, First }
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec { pub dataset: String, pub data: Option<PathBuf>, pub imbalance: f64, pub profile: Profile, pub classes: Option<usize>, pub train_per_class: Option<usize>, pub test_per_class: Option<usize>, pub image_size: Option<usize>, pub subset_seed: u32, pub skip_bad: bool, pub seed: u64, pub subset: SubsetRule }
impl Default for DataSpec { fn default() -> Self { DataSpec { dataset: "synthetic".into(), data: None, imbalance: 100.0, profile: Profile::Exp, classes: None, train_per_class: None, test_per_class: None, image_size: None, subset_seed: 0, skip_bad: false, seed: 0, subset: SubsetRule::Shuffled } } }
pub fn load(_s: &DataSpec) -> Result<Splits> {
    let make = |n: usize| { let labels: Vec<u32> = (0..n as u32).map(|i| i % 10).collect(); let pixels = labels.iter().flat_map(|l| (0..3072u32).map(move |p| ((p * (l + 3)) % 256) as u8)).collect(); Dataset { name: "stub".into(), classes: (0..10).map(|c| c.to_string()).collect(), shape: [3, 32, 32], pixels, labels, mean: CIFAR_MEAN, std: CIFAR_STD } };
    Ok(Splits { train: make(500), test: make(100), counts: vec![50; 10], indices: vec![], skipped: vec![] })
}
pub fn load_image(_: &Path, s: [usize; 2]) -> Result<Vec<u8>> { Ok(vec![0; 3 * s[0] * s[1]]) }
