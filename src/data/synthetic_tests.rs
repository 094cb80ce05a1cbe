//! The synthetic set: counts, sameness, variety.

use super::*;

fn small() -> DataSpec {
    DataSpec {
        train_per_class: Some(20),
        test_per_class: Some(3),
        imbalance: 10.0,
        ..DataSpec::default()
    }
}

#[test]
fn the_default_is_long_tailed_with_a_balanced_test_set() {
    let got = load(&DataSpec::default()).unwrap();
    assert_eq!(got.counts, longtail::counts(TRAIN_PER_CLASS, 10, 100.0, longtail::Profile::Exp));
    assert_eq!(got.test.class_counts(), [TEST_PER_CLASS; 10]);
    assert_eq!((got.train.shape, got.train.classes.len()), ([3, 32, 32], 10));
    assert_eq!(got.indices.len(), got.train.len());
    // The stated mean and standard deviation are the measured ones.
    for c in 0..3 {
        let plane = |i: usize| &got.train.image(i)[c * 1024..(c + 1) * 1024];
        let values = || (0..got.train.len()).flat_map(plane).map(|v| f64::from(*v) / 255.0);
        let n = values().count() as f64;
        let mean = values().sum::<f64>() / n;
        let std = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!((mean - f64::from(MEAN[c])).abs() < 0.005, "mean {c}: {mean}");
        assert!((std - f64::from(STD[c])).abs() < 0.002, "std {c}: {std}");
    }
}

#[test]
fn sine_is_a_sine() {
    for i in -200..200 {
        let turns = i as f32 / 100.0;
        let exact = (f64::from(turns) * std::f64::consts::TAU).sin();
        assert!((f64::from(sine(turns)) - exact).abs() < 2e-3, "{turns}");
    }
    assert!((cosine(0.0) - 1.0).abs() < 1e-3);
}

#[test]
fn a_seed_decides_every_byte() {
    let first = load(&small()).unwrap();
    let again = load(&small()).unwrap();
    assert!(first.train.pixels == again.train.pixels && first.test.pixels == again.test.pixels);
    let other = load(&DataSpec { seed: 1, ..small() }).unwrap();
    assert!(first.train.pixels != other.train.pixels);
    assert_ne!(first.train.image(0), first.train.image(1));
}

#[test]
fn classes_and_size_are_a_choice() {
    let spec = DataSpec { classes: Some(7), image_size: Some(16), ..small() };
    let got = load(&spec).unwrap();
    assert_eq!((got.train.classes.len(), got.train.shape), (7, [3, 16, 16]));
}
