//! Writes the built-in set as a picture, a row a class, frequent classes first, and says what it
//! holds: `cargo run --release --example contact_sheet -- sheet.png`.

use evenkeel::data::{DataSpec, load};
use image::{Rgb, RgbImage};
use std::error::Error;

const COLUMNS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "sheet.png".into());
    let splits = load(&DataSpec::default())?;
    let set = &splits.train;
    let [_, h, w] = set.shape;
    let (cell_h, cell_w) = (h + 2, w + 2);
    let size = ((COLUMNS * cell_w) as u32, (set.classes.len() * cell_h) as u32);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([255, 255, 255]));
    for class in 0..set.classes.len() {
        let of_class = (0..set.len()).filter(|i| set.labels[*i] as usize == class);
        for (column, i) in of_class.take(COLUMNS).enumerate() {
            let pixels = set.image(i);
            for at in 0..h * w {
                let (x, y) = (column * cell_w + at % w, class * cell_h + at / w);
                let colour = [0, 1, 2].map(|c| pixels[c * h * w + at]);
                sheet.put_pixel(x as u32, y as u32, Rgb(colour));
            }
        }
        println!("{:<18} {:>5} training images", set.classes[class], splits.counts[class]);
    }
    for c in 0..3 {
        let plane = |i: usize| &set.image(i)[c * h * w..(c + 1) * h * w];
        let all = || (0..set.len()).flat_map(plane).map(|v| f64::from(*v) / 255.0);
        let n = (set.len() * h * w) as f64;
        let mean = all().sum::<f64>() / n;
        let variance = all().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        println!("channel {c}: mean {mean:.3}, standard deviation {:.3}", variance.sqrt());
    }
    sheet.save(&path)?;
    println!("{path}");
    Ok(())
}
