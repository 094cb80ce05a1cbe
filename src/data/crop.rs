//! Views of an image at the network's size: the random crop that large-scale training sees
//! (torchvision's `RandomResizedCrop`), and the centre of the resized image that it is tested on. torchvision rounds
//! the resized image's sides to whole pixels before it cuts the centre out; here the rectangle is exact.
//!
//! RGB pixels → a rectangle → resized by a filter as wide as the reduction (bilinear, antialiased) →
//! bytes, channel by channel.

use super::random::Draws;
use crate::error::{Error, Result};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Share of the image's area that a crop may have.
const AREA: [f32; 2] = [0.08, 1.0];
/// Width over height that a crop may have.
const RATIO: [f32; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// A rectangle in pixels: left, top, width, height.
pub(super) type Rectangle = [f64; 4];

/// A random rectangle: area and ratio (its logarithm) uniform within their bounds, of ten tries the
/// first that fits, else the largest centred one within the bounds of the ratio.
pub(super) fn random(width: u32, height: u32, draws: &mut Draws) -> Rectangle {
    let (w, h) = (width as f32, height as f32);
    for _ in 0..10 {
        let area = w * h * draws.within(AREA[0], AREA[1]);
        let ratio = draws.within(RATIO[0].ln(), RATIO[1].ln()).exp();
        let (cw, ch) = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round());
        if cw >= 1.0 && ch >= 1.0 && cw <= w && ch <= h {
            let left = draws.below((w - cw) as usize + 1);
            let top = draws.below((h - ch) as usize + 1);
            return [left as f64, top as f64, f64::from(cw), f64::from(ch)];
        }
    }
    let cw = w.min((h * RATIO[1]).round()).max(1.0);
    let ch = h.min((w / RATIO[0]).round()).max(1.0);
    let offset = |all: f32, part: f32| f64::from(((all - part) / 2.0).floor());
    [offset(w, cw), offset(h, ch), f64::from(cw), f64::from(ch)]
}

/// The rectangle that becomes the centre `size` (height, width) of the image that was resized until it just
/// covered `margin` times the target: 256/224 is usual for networks of 224 × 224.
pub(super) fn centre(
    width: u32,
    height: u32,
    [rows, columns]: [usize; 2],
    margin: f64,
) -> Rectangle {
    let (w, h) = (f64::from(width), f64::from(height));
    let scale = (w / columns as f64).min(h / rows as f64) / margin;
    let (cw, ch) = (scale * columns as f64, scale * rows as f64);
    [(w - cw) / 2.0, (h - ch) / 2.0, cw, ch]
}

/// Resizes a rectangle of `image` to `size` (height, width), into 3 × height × width bytes.
///
/// # Errors
/// An image without pixels.
pub(super) fn resize(
    resizer: &mut Resizer,
    image: &RgbImage,
    [left, top, width, height]: Rectangle,
    [rows, columns]: [usize; 2],
    out: &mut [u8],
) -> Result<()> {
    let failed = |e: String| Error::Failure(format!("an image cannot be resized: {e}"));
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3)
        .map_err(|e| failed(e.to_string()))?;
    let mut made = Image::new(columns as u32, rows as u32, PixelType::U8x3);
    let options = ResizeOptions::new()
        .crop(left, top, width, height)
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer.resize(&source, &mut made, &options).map_err(|e| failed(e.to_string()))?;
    let (red, rest) = out.split_at_mut(rows * columns);
    let (green, blue) = rest.split_at_mut(rows * columns);
    let planes = red.iter_mut().zip(green).zip(blue);
    for (pixel, ((r, g), b)) in made.buffer().chunks_exact(3).zip(planes) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_rectangles_lie_within_and_keep_the_bounds() {
        let mut draws = Draws::new(&[3]);
        let mut areas = Vec::new();
        for _ in 0..2000 {
            let [left, top, w, h] = random(500, 375, &mut draws);
            assert!(left >= 0.0 && top >= 0.0 && left + w <= 500.0 && top + h <= 375.0);
            // Rounding to whole pixels moves both a little.
            assert!((0.74..=1.36).contains(&(w / h)), "{w} × {h}");
            areas.push(w * h / (500.0 * 375.0));
        }
        let (least, most) = areas.iter().fold((1.0f64, 0.0f64), |(a, b), v| (a.min(*v), b.max(*v)));
        assert!((0.079..0.1).contains(&least) && most > 0.9, "{least} {most}");
        // No rectangle of these ratios and areas fits into a strip.
        assert_eq!(random(1000, 10, &mut draws), [493.0, 0.0, 13.0, 10.0]);
    }

    #[test]
    fn the_centre_is_that_of_256_over_224() {
        let [left, top, w, h] = centre(512, 256, [224, 224], 256.0 / 224.0);
        assert!((w - 224.0).abs() < 1e-9 && (h - 224.0).abs() < 1e-9);
        assert!((left - 144.0).abs() < 1e-9 && (top - 16.0).abs() < 1e-9);
        assert_eq!(centre(80, 20, [16, 16], 1.0), [30.0, 0.0, 20.0, 20.0]);
    }

    #[test]
    fn a_resized_ramp_is_a_ramp() {
        let ramp = RgbImage::from_fn(64, 32, |x, y| image::Rgb([4 * x as u8, 8 * y as u8, 7]));
        let mut out = vec![0; 3 * 8 * 8];
        let all = [0.0, 0.0, 64.0, 32.0];
        resize(&mut Resizer::new(), &ramp, all, [8, 8], &mut out).unwrap();
        for (i, value) in out.iter().enumerate() {
            let (c, y, x) = (i / 64, i / 8 % 8, i % 8);
            // The mean over a cell; the outer ones lean inwards.
            let want = [32.0 * x as f64 + 14.0, 32.0 * y as f64 + 14.0, 7.0][c];
            assert!((f64::from(*value) - want).abs() <= 5.5, "{c} {y} {x}: {value}, not {want}");
        }
    }
}
