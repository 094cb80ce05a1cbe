//! What a page calls: a device, data, and networks in training on it. The engine is the crate `evenkeel`; this only
//! turns its values into JavaScript's.
//!
//! [`Device::open`] → [`Data::make`] from a recipe's text → [`Network::new`] → [`Network::step`], and now and then
//! [`Network::losses`] and [`Network::accuracies`]. Every function throws an `Error` with the engine's words.

use evenkeel::data::{self, Splits};
use evenkeel::gpu::{Gpu, Limits};
use evenkeel::train::config::Config;
use evenkeel::train::live::Live;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

fn thrown(error: evenkeel::error::Error) -> JsError {
    JsError::new(&error.to_string())
}

/// An open WebGPU device.
#[wasm_bindgen]
pub struct Device(Rc<Gpu>);

#[wasm_bindgen]
impl Device {
    /// Opens the browser's adapter, within WebGPU's default limits and without features.
    pub async fn open() -> Result<Device, JsError> {
        console_error_panic_hook::set_once();
        Limits::Webgpu.ask();
        Ok(Device(Gpu::request().await.map_err(thrown)?))
    }

    /// The adapter's name, as far as the browser tells it.
    pub fn name(&self) -> String {
        self.0.info.name.clone()
    }

    /// Whether the adapter is a processor that pretends to be a GPU.
    pub fn software(&self) -> bool {
        self.0.caps.software
    }

    /// Bytes of GPU memory that the engine holds.
    pub fn bytes(&self) -> f64 {
        self.0.memory().0 as f64
    }
}

/// Training and test images.
#[wasm_bindgen]
pub struct Data(Rc<Splits>);

#[wasm_bindgen]
impl Data {
    /// The data that a recipe asks for.
    pub fn make(recipe: &str) -> Result<Data, JsError> {
        let config = Config::from_toml_str(recipe).map_err(thrown)?;
        config.validate().map_err(thrown)?;
        Ok(Data(Rc::new(data::load(&config.data).map_err(thrown)?)))
    }

    /// Class names, most frequent class first.
    pub fn classes(&self) -> Vec<String> {
        self.0.train.classes.clone()
    }

    /// Training images of each class.
    pub fn counts(&self) -> Vec<u32> {
        self.0.counts.iter().map(|n| *n as u32).collect()
    }

    /// Width and height of an image.
    pub fn side(&self) -> usize {
        self.0.train.shape[2]
    }

    /// The first training image of a class: red, green, blue and 255 of each pixel, row by row.
    pub fn example(&self, class: u32) -> Vec<u8> {
        let train = &self.0.train;
        let Some(i) = train.labels.iter().position(|label| *label == class) else {
            return Vec::new();
        };
        let image = train.image(i);
        let pixels = image.len() / 3;
        (0..pixels)
            .flat_map(|p| [image[p], image[pixels + p], image[2 * pixels + p], 255])
            .collect()
    }
}

/// A network in training.
#[wasm_bindgen]
pub struct Network(Live);

#[wasm_bindgen]
impl Network {
    /// The network of a recipe, with the values that its seed gives.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &Device, data: &Data, recipe: &str) -> Result<Network, JsError> {
        let config = Config::from_toml_str(recipe).map_err(thrown)?;
        Ok(Network(Live::new(&device.0, &config, &data.0).map_err(thrown)?))
    }

    /// Submits a step; false when there is none left.
    pub fn step(&mut self) -> Result<bool, JsError> {
        self.0.step().map_err(thrown)
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.0.steps()
    }

    /// Images in the batches of those steps.
    pub fn images(&self) -> f64 {
        self.0.images() as f64
    }

    /// Epochs done.
    pub fn epochs(&self) -> usize {
        self.0.epoch()
    }

    /// Steps of an epoch.
    #[wasm_bindgen(js_name = stepsIn)]
    pub fn steps_in(&self, epoch: usize) -> usize {
        self.0.steps_in(epoch)
    }

    /// The losses of the steps since the last call, when the device has computed them.
    pub async fn losses(&mut self) -> Result<Vec<f32>, JsError> {
        self.0.losses().await.map_err(thrown)
    }

    /// Of the test images of each class, the share that is classified right.
    pub async fn accuracies(&mut self) -> Result<Vec<f64>, JsError> {
        let summary = self.0.evaluate().await.map_err(thrown)?;
        Ok(summary.per_class.into_iter().map(|a| a.unwrap_or(f64::NAN)).collect())
    }
}
