//! Loading as a job does it, from specification to splits.

use super::*;

#[test]
fn sets_count_and_select() {
    let set = Dataset {
        name: "t".into(),
        classes: vec!["a".into(), "b".into(), "c".into()],
        shape: [3, 1, 2],
        pixels: (0..24).collect(),
        labels: vec![0, 1, 1, 0],
        files: None,
        mean: CIFAR_MEAN,
        std: CIFAR_STD,
    };
    assert_eq!((set.len(), set.image_bytes(), set.is_empty()), (4, 6, false));
    assert_eq!(set.class_counts(), [2, 2, 0]);
    let some = set.select(&[2, 0]);
    assert_eq!(some.labels, [1, 0]);
    assert_eq!(some.pixels, [12, 13, 14, 15, 16, 17, 0, 1, 2, 3, 4, 5]);
    assert_eq!(some.image(1), set.image(0));
    assert_eq!(first_per_class(&set.labels, 3, Some(1)), [0, 1]);
    assert_eq!(first_per_class(&set.labels, 3, None), [0, 1, 2, 3]);
}

#[test]
fn wrong_requests_say_what_is_allowed() {
    let fails = |change: &dyn Fn(&mut DataSpec), words: &[&str]| {
        let mut spec = DataSpec::default();
        change(&mut spec);
        let e = load(&spec).unwrap_err();
        assert_eq!(e.exit_code(), 2, "{e}");
        assert!(words.iter().all(|w| e.to_string().contains(w)), "{e}");
    };
    fails(&|s| s.dataset = "cifar".into(), &["`cifar`", "did you mean `cifar10`", "synthetic"]);
    fails(&|s| s.dataset = "cifar10".into(), &["cifar10 needs its files", "--data"]);
    for imbalance in [0.5, 0.0, -1.0, f64::NAN, f64::INFINITY] {
        fails(&|s| s.imbalance = imbalance, &["imbalance", "at least 1"]);
    }
    fails(&|s| s.classes = Some(1), &["classes is 1", "between 2"]);
    fails(&|s| s.image_size = Some(0), &["image_size is 0", "between 8"]);
    fails(&|s| s.train_per_class = Some(0), &["train_per_class is 0"]);
    fails(&|s| s.train_per_class = Some(50), &["imbalance 100", "at most --imbalance 50"]);
    fails(
        &|s| (s.classes, s.train_per_class) = (Some(1_000_000), Some(1000)),
        &["1000000 classes", "100000000"],
    );
    fails(
        &|s| (s.dataset, s.data, s.classes) = ("folder".into(), Some(".".into()), Some(3)),
        &["synthetic set only"],
    );
    fails(
        &|s| (s.dataset, s.data, s.image_size) = ("cifar10".into(), Some(".".into()), Some(64)),
        &["32 × 32"],
    );
}

#[test]
fn memory_is_asked_for_not_taken() {
    let e = buffer(usize::MAX / 2, 3072).unwrap_err().to_string();
    assert!(e.contains("not enough memory"), "{e}");
    assert_eq!(buffer(2, 3).unwrap(), [0; 6]);
}

/// `classes` folders of `count` images whose colour is (class, number, 0).
fn images(dir: &Path, classes: u8, count: u8) {
    for class in 0..classes {
        let folder = dir.join(format!("class{class}"));
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..count {
            let colour = image::Rgb([class * 50, i, 0]);
            image::RgbImage::from_pixel(10, 9, colour)
                .save(folder.join(format!("{i:02}.png")))
                .unwrap();
        }
    }
}

#[test]
fn a_folder_becomes_a_long_tailed_job() {
    let dir = tempfile::tempdir().unwrap();
    images(dir.path(), 3, 15);
    let mut spec = DataSpec {
        dataset: "folder".into(),
        data: Some(dir.path().into()),
        imbalance: 4.0,
        image_size: Some(8),
        ..DataSpec::default()
    };
    let got = load(&spec).unwrap();
    assert_eq!((&got.counts, got.test.class_counts()), (&vec![12, 6, 3], vec![3; 3]));
    assert_eq!(got.train.shape, [3, 8, 8]);
    // Index k of the source is an image of class k / 12; its pixels show the class.
    for (i, index) in got.indices.iter().enumerate() {
        let class = index / 12;
        assert_eq!((got.train.labels[i], u32::from(got.train.image(i)[0])), (class, class * 50));
    }
    assert_eq!(got, load(&spec).unwrap());
    spec.subset_seed = 1;
    assert_ne!(got.indices, load(&spec).unwrap().indices);
    spec.subset = SubsetRule::First;
    assert_eq!(load(&spec).unwrap().indices[10..15], [10, 11, 12, 13, 14]);
    (spec.imbalance, spec.test_per_class) = (1.0, Some(2));
    let whole = load(&spec).unwrap();
    assert_eq!((whole.counts, whole.test.class_counts()), (vec![12; 3], vec![2; 3]));
}

#[test]
fn one_image_a_class_cannot_be_tested() {
    let dir = tempfile::tempdir().unwrap();
    images(dir.path(), 2, 1);
    let spec = DataSpec {
        dataset: "folder".into(),
        data: Some(dir.path().into()),
        imbalance: 1.0,
        ..DataSpec::default()
    };
    assert!(load(&spec).unwrap_err().to_string().contains("no test images"));
}

#[test]
fn a_specification_survives_being_written() {
    let spec = DataSpec { data: Some("a/b".into()), profile: Profile::Step, ..DataSpec::default() };
    let text = serde_json::to_string(&spec).unwrap();
    assert!(text.contains("\"step\"") && text.contains("\"shuffled\""), "{text}");
    assert_eq!(serde_json::from_str::<DataSpec>(&text).unwrap(), spec);
}
