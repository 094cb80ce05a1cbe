//! The built-in long-tailed set: small textured shapes, made from a seed at start-up.
//!
//! Classes → the looks of each ([`Look`]) → the long-tailed choice → pixels of each chosen image, a
//! function of (seed, split, class, number) alone.
//!
//! What makes it long-tailed in more than counts: class i and class C−1−i share colours and shape
//! and differ only in the direction and width of their stripes, so what is rare looks like what is
//! frequent. Every image has its own position, size, hue, stripe phase, light and noise, and smaller
//! patches of other classes in the background, so that neither a mean colour nor a single pixel
//! tells the class. Stripes lean left or right at random: mirrored images stay in their class.
//!
//! All arithmetic is on integers and the four basic operations of f32, with a sine of its own: the
//! system's differ in the last bit, and the set is to be the same everywhere.

use super::random::Draws;
use super::{DataSpec, Dataset, Splits, buffer, longtail};
use crate::error::{Error, Result};

const CLASSES: usize = 10;
const TRAIN_PER_CLASS: usize = 1150;
const TEST_PER_CLASS: usize = 100;
const SIZE: usize = 32;
/// Indices are 32 bits, and labels of the whole source are kept while choosing.
const MOST_IMAGES: usize = 100_000_000;

/// Mean and standard deviation per channel of the default set, measured.
const MEAN: [f32; 3] = [0.428, 0.412, 0.383];
const STD: [f32; 3] = [0.186, 0.179, 0.179];

/// How hard the set is, in units of an image of 32 × 32. Chosen so that a small network trained on
/// the default set (imbalance 100) recognises the frequent classes and loses most of the rare.
mod level {
    /// Stripe direction of the first of a pair of classes, and how far the other is turned from it
    /// (turns; a quarter is upright).
    pub const DIRECTION: (f32, f32) = (0.02, 0.08);
    pub const TURN: f32 = 0.17;
    /// Spread of the direction within a class.
    pub const DIRECTION_SPREAD: f32 = 0.06;
    /// Stripe widths (pixels a period) of the pairs, and the factor of the second of a pair.
    pub const PERIOD: (f32, f32) = (4.5, 7.5);
    pub const PERIOD_FACTOR: f32 = 1.5;
    pub const PERIOD_SPREAD: f32 = 0.15;
    /// How far the second of a pair is from the first on the way to the next pair's hue.
    pub const HUE_SHIFT: f32 = 0.5;
    /// Spread of the hue within a class (turns).
    pub const HUE_SPREAD: f32 = 0.08;
    /// Share of the images that have the shape of their class's partner.
    pub const BORROWED: f32 = 0.6;
    /// Radius of the shape (pixels).
    pub const RADIUS: (f32, f32) = (7.5, 12.0);
    /// Patches of other classes: most of them, and their radius.
    pub const PATCHES: usize = 4;
    pub const PATCH_RADIUS: (f32, f32) = (2.5, 5.0);
    /// Noise of a pixel, on a scale to 1.
    pub const NOISE: f32 = 0.08;
}

/// Makes the training images that the long-tailed choice keeps, and a balanced test set.
pub(super) fn load(spec: &DataSpec) -> Result<Splits> {
    let classes = spec.classes.unwrap_or(CLASSES);
    let (train, test) = (
        spec.train_per_class.unwrap_or(TRAIN_PER_CLASS),
        spec.test_per_class.unwrap_or(TEST_PER_CLASS),
    );
    if classes.checked_mul(train.max(test)).is_none_or(|n| n > MOST_IMAGES) {
        return Err(Error::usage(format!(
            "{classes} classes of up to {} images are more than the {MOST_IMAGES} images a synthetic set can have",
            train.max(test)
        )));
    }
    let names: Vec<String> = (0..classes).map(|c| name(c, classes)).collect();
    let source = |per_class: usize| -> Vec<u32> {
        (0..classes as u32).flat_map(|c| std::iter::repeat_n(c, per_class)).collect()
    };
    let indices = longtail::choose(&source(train), &names, spec)?;
    let size = spec.image_size.unwrap_or(SIZE);
    let make = |split: u64, per_class: usize, indices: &[u32]| -> Result<Dataset> {
        let bytes = 3 * size * size;
        let mut pixels = buffer(indices.len(), bytes)?;
        let numbers = indices.iter().map(|i| (*i as usize / per_class, *i as usize % per_class));
        for (place, (class, number)) in pixels.chunks_exact_mut(bytes).zip(numbers) {
            let mut draws = Draws::new(&[spec.seed, split, class as u64, number as u64]);
            draw(class, classes, size, &mut draws, place);
        }
        Ok(Dataset {
            name: "synthetic".into(),
            classes: names.clone(),
            shape: [3, size, size],
            pixels,
            labels: indices.iter().map(|i| (*i as usize / per_class) as u32).collect(),
            files: None,
            mean: MEAN,
            std: STD,
        })
    };
    let all: Vec<u32> = (0..(classes * test) as u32).collect();
    Ok(Splits::new(make(0, train, &indices)?, make(1, test, &all)?, indices, Vec::new()))
}

/// What a class looks like before an image's own jitter.
struct Look {
    hue: f32,
    shape: Shape,
    direction: f32,
    period: f32,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Disc,
    Square,
    Diamond,
    Ring,
    Cross,
}

const SHAPES: [(Shape, &str); 5] = [
    (Shape::Disc, "disc"),
    (Shape::Square, "square"),
    (Shape::Diamond, "diamond"),
    (Shape::Ring, "ring"),
    (Shape::Cross, "cross"),
];

/// The pair a class belongs to, and whether it is the rarer one of it.
fn pair(class: usize, classes: usize) -> (usize, bool) {
    let partner = classes - 1 - class;
    (class.min(partner), class > partner)
}

fn look(class: usize, classes: usize) -> Look {
    let (pair, second) = pair(class, classes);
    let pairs = classes.div_ceil(2);
    // Multiples of the golden ratio: neighbouring pairs are far apart, and any number of pairs
    // spreads evenly.
    let spread = |salt: f32| fract((pair as f32 + salt) * 0.618_034);
    let (from, to) = level::DIRECTION;
    let (short, long) = level::PERIOD;
    let turned = if second { level::TURN } else { 0.0 };
    let widened = if second { level::PERIOD_FACTOR } else { 1.0 };
    Look {
        hue: (pair as f32 + if second { level::HUE_SHIFT } else { 0.0 }) / pairs as f32,
        shape: SHAPES[shape(class, classes)].0,
        direction: from + (to - from) * spread(0.0) + turned,
        period: (short + (long - short) * spread(0.5)) * widened,
    }
}

/// Which of [`SHAPES`] a class has: its partner's is two further.
fn shape(class: usize, classes: usize) -> usize {
    let (pair, second) = pair(class, classes);
    (pair + if second { 2 } else { 0 }) % SHAPES.len()
}

/// A class's name: its number, shape and which of its pair it is.
fn name(class: usize, classes: usize) -> String {
    let stripes = if pair(class, classes).1 { "steep" } else { "flat" };
    format!("{class} {stripes} {}", SHAPES[shape(class, classes)].1)
}

/// A textured shape somewhere in the image.
struct Patch {
    shape: Shape,
    x: f32,
    y: f32,
    radius: f32,
    /// Stripes: phase (turns) at the centre and its change along x and y.
    phase: f32,
    step: [f32; 2],
    /// The two colours of the stripes.
    colours: [[f32; 3]; 2],
}

impl Patch {
    fn new(look: &Look, radius: f32, reach: f32, draws: &mut Draws) -> Self {
        let lean = if draws.below(2) == 0 { 1.0 } else { -1.0 };
        let direction = lean * (look.direction + draws.around(level::DIRECTION_SPREAD));
        let period = look.period * (1.0 + draws.around(level::PERIOD_SPREAD));
        let hue = look.hue + draws.around(level::HUE_SPREAD);
        Patch {
            shape: look.shape,
            x: 16.0 + draws.within(-reach, reach),
            y: 16.0 + draws.within(-reach, reach),
            radius,
            phase: draws.unit(),
            step: [cosine(direction) / period, sine(direction) / period],
            colours: [
                colour(hue, draws.within(0.5, 0.9), draws.within(0.7, 0.95)),
                colour(hue + 0.12, draws.within(0.4, 0.8), draws.within(0.3, 0.55)),
            ],
        }
    }

    /// The colour at a point, if it lies in the shape.
    fn at(&self, x: f32, y: f32) -> Option<[f32; 3]> {
        let (dx, dy) = (x - self.x, y - self.y);
        if !inside(self.shape, dx.abs() / self.radius, dy.abs() / self.radius) {
            return None;
        }
        let wave = sine(self.phase + dx * self.step[0] + dy * self.step[1]);
        Some(blend(self.colours[0], self.colours[1], 0.5 + 0.5 * wave))
    }
}

/// Whether a point lies in a shape of radius 1; all shapes are symmetric, so distances suffice.
fn inside(shape: Shape, dx: f32, dy: f32) -> bool {
    let square = dx * dx + dy * dy;
    match shape {
        Shape::Disc => square < 1.0,
        Shape::Square => dx.max(dy) < 0.88,
        Shape::Diamond => dx + dy < 1.2,
        Shape::Ring => (0.2..1.1).contains(&square),
        Shape::Cross => dx.min(dy) < 0.42 && dx.max(dy) < 1.05,
    }
}

/// Draws an image into its place.
fn draw(class: usize, classes: usize, size: usize, draws: &mut Draws, place: &mut [u8]) {
    let back = colour(draws.unit(), draws.within(0.1, 0.4), draws.within(0.25, 0.75));
    let slope = [draws.around(0.012), draws.around(0.012)];
    let light = draws.within(0.75, 1.15);
    let mut patches = Vec::with_capacity(level::PATCHES + 1);
    for _ in 0..draws.below(level::PATCHES + 1) {
        let other = look(draws.below(classes), classes);
        let radius = draws.within(level::PATCH_RADIUS.0, level::PATCH_RADIUS.1);
        patches.push(Patch::new(&other, radius, 14.0, draws));
    }
    let radius = draws.within(level::RADIUS.0, level::RADIUS.1);
    let mut own = look(class, classes);
    if draws.unit() < level::BORROWED {
        own.shape = look(classes - 1 - class, classes).shape;
    }
    patches.push(Patch::new(&own, radius, 18.0 - radius, draws));
    let scale = 32.0 / size as f32;
    for row in 0..size {
        for column in 0..size {
            let (x, y) = ((column as f32 + 0.5) * scale, (row as f32 + 0.5) * scale);
            let shade = slope[0] * (x - 16.0) + slope[1] * (y - 16.0);
            // The last patch, the class's own, lies on top.
            let seen = patches.iter().rev().find_map(|p| p.at(x, y)).unwrap_or(back);
            let noise = noise(draws.bits());
            for c in 0..3 {
                let value = (seen[c] + shade) * light + noise[c] * level::NOISE;
                place[(c * size + row) * size + column] =
                    (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        }
    }
}

/// Three triangular numbers in (−1, 1) from 64 bits.
fn noise(bits: u64) -> [f32; 3] {
    [0, 20, 40].map(|shift| {
        let (a, b) = (bits >> shift & 0x3FF, bits >> (shift + 10) & 0x3FF);
        (a as f32 - b as f32) / 1024.0
    })
}

fn fract(x: f32) -> f32 {
    x - x.floor()
}

/// The sine of an angle in turns, to 0.001: a parabola, bent to fit.
fn sine(turns: f32) -> f32 {
    let x = 1.0 - 2.0 * fract(turns);
    let parabola = 4.0 * x * (1.0 - x.abs());
    0.225 * (parabola * parabola.abs() - parabola) + parabola
}

fn cosine(turns: f32) -> f32 {
    sine(turns + 0.25)
}

fn blend(a: [f32; 3], b: [f32; 3], share: f32) -> [f32; 3] {
    [0, 1, 2].map(|c| a[c] * share + b[c] * (1.0 - share))
}

/// Red, green and blue of a hue (turns), saturation and value.
fn colour(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|offset| {
        let distance = (6.0 * fract(hue + offset) - 3.0).abs() - 1.0;
        value * (1.0 - saturation + saturation * distance.clamp(0.0, 1.0))
    })
}

#[cfg(test)]
#[path = "synthetic_tests.rs"]
mod tests;
