//! Train on your own photos, a folder a class, and classify one:
//! `cargo run --release --example own_photos -- PHOTOS`. Without a folder it paints one: many red
//! squares, few blue ones.

use evenkeel::train::config::{Config, Overrides};
use evenkeel::train::trainer::{self, Options};
use image::{Rgb, RgbImage};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Two classes of made-up photos, one of them rare.
fn paint(folder: &Path) -> Result<(), Box<dyn Error>> {
    for (class, count, colour) in [("red", 24u32, [200, 40, 40]), ("blue", 8, [40, 40, 200])] {
        std::fs::create_dir_all(folder.join(class))?;
        for i in 0..count {
            let at = i % 16;
            let photo = RgbImage::from_fn(40, 40, |x, y| {
                let inside = (at..at + 20).contains(&x) && (at..at + 20).contains(&y);
                if inside { Rgb(colour) } else { Rgb([120, 120 + (x % 8) as u8, 120]) }
            });
            photo.save(folder.join(class).join(format!("{i}.png")))?;
        }
    }
    Ok(())
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::temp_dir().join(format!("evenkeel-photos-{}", std::process::id()));
    let given = std::env::args_os().nth(1).map(PathBuf::from).filter(|p| p.is_dir());
    let photos = match &given {
        Some(folder) => folder.clone(),
        None => {
            paint(&place.join("photos"))?;
            place.join("photos")
        }
    };
    let mut config = Config::default();
    config.apply(&Overrides {
        dataset: Some("folder".into()),
        data: Some(photos.display().to_string()),
        imbalance: Some("1".into()),
        batch_size: Some("8".into()),
        epochs: Some("8".into()),
        ..Overrides::default()
    })?;
    let out = place.join("run");
    let options = Options {
        out: Some(out.clone()),
        resume: false,
        json: false,
        quiet: true,
        trace_nan: false,
        lose_device_at: None,
        stop: Default::default(),
        group: Default::default(),
    };
    let outcome = trainer::run(&config, &options)?;
    let page = evenkeel::report::of_folders(&[&out])?;
    let summary = outcome.summary.ok_or("no evaluation")?;
    println!("accuracy {:.0} %", 100.0 * summary.overall);
    println!("now: evenkeel predict {}/checkpoint/best.safetensors PHOTO.jpg", out.display());
    println!("what happened: {}", page.display());
    assert!(page.exists());
    if given.is_none() {
        assert!(summary.mean_class > 0.9, "two plain colours are easily told apart");
        std::fs::remove_dir_all(&place)?;
    }
    Ok(())
}
