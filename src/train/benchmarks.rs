//! The benchmarks of the field that `evenkeel reproduce` knows: which files each has and where they are
//! expected, how many images, and the recipes of its table.
//!
//! A name and a place → [`Benchmark::find`]: files looked for, images counted → the flags that point recipes to
//! them, or an error that says what is expected where.

use super::config::Config;
use super::recipes;
use crate::data::audit::{Listed, listed};
use crate::data::{self, DataSpec};
use crate::error::{Error, Result, unknown};
use std::path::{Path, PathBuf};

/// A benchmark.
#[derive(Debug)]
pub struct Benchmark {
    /// The name, which is also its recipes' folder.
    pub name: &'static str,
    /// For headings.
    pub title: &'static str,
    /// Its files, relative to its place, with what they are.
    files: &'static [(&'static str, &'static str)],
    /// Classes, training and test images.
    size: [usize; 3],
    /// Recipes of its table.
    methods: &'static [&'static str],
}

/// A benchmark's files, as they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What `--dataset` calls them.
    pub dataset: String,
    /// What `--data` is given.
    pub data: PathBuf,
    /// Classes, training and test images.
    pub size: [usize; 3],
    /// In words, if they are not all of the benchmark's.
    pub differs: Option<String>,
}

const CIFAR: &[(&str, &str)] = &[
    ("data_batch_1.bin", "training images; also 2 to 5"),
    ("test_batch.bin", "test images"),
    ("batches.meta.txt", "class names, which may be left out"),
];

static BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "cifar10-lt",
        title: "CIFAR-10-LT, imbalance 100",
        files: CIFAR,
        size: [10, 12_406, 10_000],
        methods: &["ce", "balanced-softmax", "ldam-drw", "nbn", "nbn-lr"],
    },
    Benchmark {
        name: "cifar100-lt",
        title: "CIFAR-100-LT, imbalance 100",
        files: &[("train.bin", "training images"), ("test.bin", "test images")],
        size: [100, 10_847, 10_000],
        methods: &["ce", "balanced-softmax", "ldam-drw", "nbn", "nbn-lr"],
    },
    Benchmark {
        name: "imagenet-lt",
        title: "ImageNet-LT",
        files: &[
            ("ImageNet_LT_train.txt", "the list of training images"),
            ("ImageNet_LT_test.txt", "the list of test images"),
            ("train", "ILSVRC 2012's training images, n01440764/n01440764_762.JPEG and so on"),
            ("val", "its validation images in class folders, the benchmark's test images"),
        ],
        size: [1000, 115_846, 50_000],
        methods: &["ce", "nbn"],
    },
    Benchmark {
        name: "inaturalist2018",
        title: "iNaturalist 2018",
        files: &[
            ("iNaturalist18_train.txt", "the list of training images"),
            ("iNaturalist18_val.txt", "the list of validation images, which it is tested on"),
            ("train_val2018", "the images of the 2018 competition"),
        ],
        size: [8142, 437_513, 24_426],
        methods: &["ce", "nbn"],
    },
    Benchmark {
        name: "places-lt",
        title: "Places-LT",
        files: &[
            ("Places_LT_train.txt", "the list of training images"),
            ("Places_LT_test.txt", "the list of test images"),
            ("train", "Places365-Standard's training images, airfield/00004851.jpg and so on"),
            ("val", "its validation images, the benchmark's test images"),
        ],
        size: [365, 62_500, 36_500],
        methods: &["ce", "nbn"],
    },
];

/// The benchmark of that name.
///
/// # Errors
/// None, with the nearest name.
pub fn named(name: &str) -> Result<&'static Benchmark> {
    BENCHMARKS.iter().find(|b| b.name == name).ok_or_else(|| {
        let names: Vec<&str> = BENCHMARKS.iter().map(|b| b.name).collect();
        unknown("benchmark", name, &names)
    })
}

impl Benchmark {
    /// The recipes of `methods` (`all`: each that there is), or without any those of the usual table.
    ///
    /// # Errors
    /// A method without a recipe for this benchmark.
    pub fn recipes(&self, methods: &[String]) -> Result<Vec<String>> {
        let folder = format!("{}/", self.name);
        let known: Vec<&str> =
            recipes::all().iter().filter_map(|(name, _)| name.strip_prefix(&folder)).collect();
        let chosen: Vec<&str> = match methods {
            [] => self.methods.to_vec(),
            [all] if all == "all" => known.clone(),
            some => some.iter().map(String::as_str).collect(),
        };
        for method in &chosen {
            if !known.contains(method) {
                return Err(unknown("method", method, &known));
            }
        }
        Ok(chosen.into_iter().map(|method| format!("{folder}{method}")).collect())
    }

    /// What is expected at `place`, a line each.
    fn expected(&self, place: &Path) -> String {
        let line =
            |(name, what): &(&str, &str)| format!("\n  {}: {what}", place.join(name).display());
        self.files.iter().map(line).collect()
    }

    /// What is said without a place.
    pub fn needed(&self) -> Error {
        Error::usage(format!(
            "{} needs its files: give their folder with --data PATH, which holds{}",
            self.title,
            self.expected(Path::new("PATH"))
        ))
    }

    /// Looks for the benchmark's files at `place`: its folder, or one that `evenkeel data pack` made of it. With
    /// `partial`, fewer images than the benchmark has are taken as they are.
    ///
    /// # Errors
    /// Missing files or images, or other numbers of them: what is expected where.
    pub fn find(&self, place: &Path, partial: bool) -> Result<Found> {
        if !place.exists() {
            return Err(Error::usage(format!(
                "{}: no such folder; {} has{}",
                place.display(),
                self.title,
                self.expected(place)
            )));
        }
        let (dataset, data, size) = match self.name.starts_with("cifar") {
            true => self.binaries(place, partial)?,
            false => self.images(place, partial)?,
        };
        let differs = (size != self.size).then(|| {
            let [classes, train, test] = size;
            let [all_classes, all_train, all_test] = self.size;
            format!(
                "{classes} of {all_classes} classes, {train} of {all_train} training images, {test} of {all_test} test images"
            )
        });
        if let Some(differs) = differs.as_ref().filter(|_| !partial) {
            return Err(Error::data(
                place,
                format!(
                    "{differs}: these are not all of {} (--partial trains on what is there). It has{}",
                    self.title,
                    self.expected(place)
                ),
            ));
        }
        Ok(Found { dataset, data, size, differs })
    }

    /// CIFAR's binaries, with the long-tailed choice made.
    fn binaries(&self, place: &Path, partial: bool) -> Result<(String, PathBuf, [usize; 3])> {
        let Config { data: spec, .. } = recipes::load(&format!("{}/ce", self.name))?;
        let dataset = spec.dataset.clone();
        // Of a part no class need be as large as the choice wants.
        let imbalance = if partial { 1.0 } else { spec.imbalance };
        let spec = DataSpec { data: Some(place.to_path_buf()), imbalance, ..spec };
        let splits = data::load(&spec).map_err(|e| match e {
            Error::Usage(text) => Error::usage(format!("{text}; expected{}", self.expected(place))),
            other => other,
        })?;
        let size = [splits.counts.len(), splits.train.len(), splits.test.len()];
        Ok((dataset, place.to_path_buf(), size))
    }

    /// List files with their images, or shards of them.
    fn images(&self, place: &Path, partial: bool) -> Result<(String, PathBuf, [usize; 3])> {
        let data = match data::is_packed(place) || place.is_file() {
            true => place.to_path_buf(),
            false => {
                let lists = self.files.iter().filter(|(name, _)| name.ends_with(".txt"));
                let missing: Vec<&str> =
                    lists.map(|(name, _)| *name).filter(|n| !place.join(n).is_file()).collect();
                if !missing.is_empty() {
                    return Err(Error::usage(format!(
                        "{}: there is no {}; {} has{}",
                        place.display(),
                        missing.join(", no "),
                        self.title,
                        self.expected(place)
                    )));
                }
                place.join(self.files[0].0)
            }
        };
        let Listed { kind, size, missing } = listed(&data, 0)?;
        if !missing.is_empty() && !partial {
            let some = missing.iter().take(3).map(|m| format!("\n  {m}")).collect::<String>();
            return Err(Error::data(
                place,
                format!(
                    "{} of the images of {} are missing, the first:{some}\nIt has{}",
                    missing.len(),
                    self.title,
                    self.expected(place)
                ),
            ));
        }
        Ok((kind.to_string(), data, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_has_its_recipes() {
        for benchmark in BENCHMARKS {
            let usual = benchmark.recipes(&[]).unwrap();
            assert_eq!(usual[0], format!("{}/ce", benchmark.name));
            for name in &usual {
                recipes::load(name).unwrap();
            }
            assert!(benchmark.recipes(&["all".into()]).unwrap().len() >= usual.len());
            let e = benchmark.recipes(&["nbm".into()]).unwrap_err().to_string();
            assert!(e.contains("did you mean `nbn`?"), "{e}");
        }
        assert!(named("imagenet-tl").unwrap_err().to_string().contains("`imagenet-lt`"));
    }
}
