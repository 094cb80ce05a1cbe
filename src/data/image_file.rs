//! One image file as a network's input.
//!
//! JPEG or PNG → 8-bit RGB, turned as its EXIF data says → the centre that remains when the image is resized
//! until it just covers the target, the shorter side exactly → bytes, channel by channel.

use super::crop;
use super::place::Place;
use crate::error::{Error, Result};
use fast_image_resize::Resizer;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use std::path::Path;

/// Reads an image as the bytes of 3 × height × width, `size` being height and width.
///
/// # Errors
/// A file that cannot be read, is neither JPEG nor PNG, is damaged or cut short.
pub fn load_image(path: &Path, size: [usize; 2]) -> Result<Vec<u8>> {
    let mut out = vec![0; 3 * size[0] * size[1]];
    load_into(&Place::from(path.to_path_buf()), size, 1.0, &mut out)?;
    Ok(out)
}

/// [`load_image`] into a place of 3 × height × width bytes, of the image resized to cover `margin` times as much.
pub(super) fn load_into(
    place: &Place,
    size: [usize; 2],
    margin: f64,
    out: &mut [u8],
) -> Result<()> {
    let image = decode(place.path(), &place.read()?)?;
    let rectangle = crop::centre(image.width(), image.height(), size, margin);
    crop::resize(&mut Resizer::new(), &image, rectangle, size, out)
}

/// The pixels of a file's bytes. Formats are told apart by content, not by name; the path is for messages.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<RgbImage> {
    let read = |e| Error::io("read", path, e);
    if bytes.is_empty() {
        return Err(Error::data(path, "is empty"));
    }
    let bad = |e: image::ImageError| Error::data(path, format!("cannot be decoded: {e}"));
    let reader =
        ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().map_err(read)?;
    match reader.format() {
        Some(ImageFormat::Png) => {}
        Some(ImageFormat::Jpeg) if jpeg_is_whole(bytes) => {}
        Some(ImageFormat::Jpeg) => {
            return Err(Error::data(path, "is cut short: the JPEG has no end marker"));
        }
        Some(other) => {
            return Err(Error::data(path, format!("is {other:?}; only JPEG and PNG are read")));
        }
        None => return Err(Error::data(path, "is neither a JPEG nor a PNG image")),
    }
    let mut decoder = reader.into_decoder().map_err(bad)?;
    // Cameras store the picture as the sensor lay; damaged EXIF data is no reason to refuse it.
    let turn = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(bad)?;
    image.apply_orientation(turn);
    Ok(image.into_rgb8())
}

/// Whether the end marker is there. The decoder fills what is missing with grey and reports
/// nothing, so half a picture would pass as one.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == [0xFF, 0xD9])
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use std::path::PathBuf;

    /// Red left half, blue right half, with a green top row.
    fn flag(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y == 0) {
            (_, true) => Rgb([0, 255, 0]),
            (true, _) => Rgb([255, 0, 0]),
            (false, _) => Rgb([0, 0, 255]),
        })
    }

    fn saved(dir: &tempfile::TempDir, name: &str, image: &RgbImage) -> PathBuf {
        let path = dir.path().join(name);
        image.save(&path).unwrap();
        path
    }

    #[test]
    fn an_image_of_the_right_size_is_kept_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let got = load_image(&saved(&dir, "a.png", &flag(4, 2)), [2, 4]).unwrap();
        assert_eq!(got[..8], [0, 0, 0, 0, 255, 255, 0, 0]);
        assert_eq!(got[8..16], [255, 255, 255, 255, 0, 0, 0, 0]);
        assert_eq!(got[16..], [0, 0, 0, 0, 0, 0, 255, 255]);
    }

    #[test]
    fn the_shorter_side_fits_and_the_centre_stays() {
        let dir = tempfile::tempdir().unwrap();
        for (name, width, height) in [
            ("wide.png", 80, 20),
            ("tall.png", 20, 80),
            ("small.jpg", 6, 5),
            ("strip.png", 9000, 2),
        ] {
            let image = RgbImage::from_fn(width, height, |x, y| {
                let far = x.abs_diff(width / 2) > height || y.abs_diff(height / 2) > width;
                if far { Rgb([255, 0, 0]) } else { Rgb([0, 0, 200]) }
            });
            let got = load_image(&saved(&dir, name, &image), [16, 16]).unwrap();
            assert_eq!(got.len(), 3 * 256);
            assert!(got[..256].iter().all(|v| *v < 60), "{name}: the far ends are seen");
            assert!(got[512..].iter().all(|v| *v > 140), "{name}");
        }
        // The halves keep their sides and shares.
        let got = load_image(&saved(&dir, "flag.png", &flag(64, 64)), [8, 8]).unwrap();
        assert!(got[8 * 4] > 200 && got[8 * 4 + 7] < 50);
    }

    #[test]
    fn grey_and_transparent_images_become_rgb() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.png");
        image::GrayImage::from_pixel(3, 3, image::Luma([77])).save(&path).unwrap();
        assert_eq!(load_image(&path, [3, 3]).unwrap(), [77; 27]);
        image::RgbaImage::from_pixel(3, 3, image::Rgba([9, 9, 9, 128])).save(&path).unwrap();
        assert_eq!(load_image(&path, [3, 3]).unwrap(), [9; 27]);
    }

    #[test]
    fn a_turned_photo_is_turned_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("turned.jpg");
        let mut bytes = std::io::Cursor::new(Vec::new());
        let half =
            RgbImage::from_fn(16, 16, |_, y| if y < 8 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        half.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        // An EXIF segment with the one entry Orientation = 3, upside down, behind the start marker.
        let mut exif = b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
        exif.extend(b"\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0");
        let mut file = bytes.into_inner();
        file.splice(2..2, exif);
        std::fs::write(&path, file).unwrap();
        let got = load_image(&path, [16, 16]).unwrap();
        assert!(got[8] > 240 && got[15 * 16 + 8] < 15);
    }

    #[test]
    fn what_is_no_image_is_refused_with_its_name_and_why() {
        let dir = tempfile::tempdir().unwrap();
        let fails = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let text = load_image(&path, [8, 8]).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
            text
        };
        assert!(fails("empty.jpg", b"").contains("empty"));
        assert!(fails("text.jpg", b"hello, world").contains("neither"));
        assert!(fails("other.png", b"GIF89a\x01\0\x01\0\0\0\0;").contains("only JPEG and PNG"));
        for name in ["cut.jpg", "cut.png"] {
            let path = saved(&dir, name, &flag(40, 40));
            let whole = std::fs::read(&path).unwrap();
            for part in [3, 10, whole.len() / 3, whole.len() / 2, whole.len() * 3 / 4] {
                fails(name, &whole[..part]);
            }
        }
        assert!(load_image(&dir.path().join("none.png"), [8, 8]).is_err());
    }
}
