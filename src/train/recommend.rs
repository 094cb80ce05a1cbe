//! A recipe for a folder of images, with the reason for each choice.
//!
//! [`Survey`] (sizes, counts, imbalance) and the kind of device → [`recommend`] sets what no flag
//! has set in a [`Config`] → [`Advice`] lines for people. Rules of thumb, not measurements of this
//! folder; the numbers they are made of stand here.
//!
//! Cost is counted in multiply-adds. With n blocks a stage and w channels in the first, a CIFAR
//! ResNet at size s does 9s²(3w + w²(6n − 1)) of them forward (three times that with the gradient),
//! and a feature of its last layer sees 28n − 3 pixels across.

use super::config::Config;
use crate::data::survey::Survey;
use crate::nn::MODELS;

/// Image sizes to choose from, for photos of at least the smallest.
const SIZES: [usize; 5] = [32, 48, 64, 96, 128];
/// Work of `evenkeel train` without arguments, in multiply-adds: 2,850 images, 16 epochs, `small`.
const BUILT_IN: f64 = 2850.0 * 16.0 * 3.0 * 3.17e6;
/// The most work a recipe asks for, in units of [`BUILT_IN`]: on a software device, on another.
const MOST_WORK: [f64; 2] = [25.0, 2500.0];
/// The most bytes all images may take, decoded.
const MOST_BYTES: usize = 2 << 30;
/// Steps wanted in a run, and the epochs that stay reasonable for them.
const STEPS: usize = 6000;
const EPOCHS: (usize, usize) = (30, 200);
const FEWEST_EPOCHS: usize = 10;
/// From this ratio of the largest class to the smallest the loss makes up for frequency.
const UNEVEN: f64 = 2.0;
/// With as many training images a tenth is held out to calibrate on.
const HOLDABLE: usize = 500;
const HOLDOUT: f64 = 0.1;

/// One choice: `name value — why`.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The setting, as recipes and flags name it.
    pub setting: &'static str,
    /// What it was set to.
    pub value: String,
    /// Why.
    pub why: String,
}

/// Sets in `config` what is not among the settings `given`, and says why.
pub fn recommend(
    config: &mut Config,
    given: &[&str],
    survey: &Survey,
    software: bool,
) -> Vec<Advice> {
    let mut made = Choices { given, made: Vec::new() };
    let images = survey.images();
    let all = images + survey.test.iter().sum::<usize>() + survey.val;
    let most = MOST_WORK[usize::from(!software)] * BUILT_IN;

    let model = match (software, images) {
        (true, _) => ("small", "the device is a software one: the smallest network".to_string()),
        (_, 0..5000) => ("resnet20", format!("{images} training images: a small residual network")),
        _ => ("resnet32", format!("{images} training images: the usual network of the field")),
    };
    made.choose("model", &mut config.model.model, model.0.into(), model.1);
    let network = Network::of(&config.model.model);

    let batch = [64, 32, 16].into_iter().find(|b| images / b >= 10).unwrap_or(8);
    let why = format!("{} steps an epoch", images.div_ceil(batch));
    made.choose("batch_size", &mut config.train.batch_size, batch, why);

    let steps = images.div_ceil(config.train.batch_size).max(1);
    let wanted = STEPS.div_ceil(steps).clamp(EPOCHS.0, EPOCHS.1);
    let smallest = network.work(images, SIZES[0]);
    let affordable = ((most / smallest) as usize).max(FEWEST_EPOCHS);
    let (epochs, why) = if affordable < wanted {
        (affordable, "as many as the device does in reasonable time".to_string())
    } else {
        (wanted, format!("about {} steps in all", wanted * steps))
    };
    made.choose("epochs", &mut config.train.epochs, epochs, why);

    let (size, why) = image_size(survey, &network, config.train.epochs, most, all);
    let mut chosen = config.data.image_size.unwrap_or(size);
    made.choose("image_size", &mut chosen, size, why);
    config.data.image_size = Some(chosen);

    let lr = 0.1 * config.train.batch_size.min(64) as f64 / 64.0;
    made.choose("lr", &mut config.optim.lr, lr, "in proportion to the batch, 0.1 for 64".into());

    let ratio = survey.ratio();
    // `logit_adjust` does the same to cross-entropy.
    let (loss, why) = match ratio >= UNEVEN && !given.contains(&"logit_adjust") {
        true => (
            "balanced-softmax",
            format!("imbalance {ratio:.1}: each class's logit is offset by the log of its count"),
        ),
        false => ("ce", format!("imbalance {ratio:.1}: plain cross-entropy")),
    };
    made.choose("loss", &mut config.loss.loss, loss.into(), why);

    let (share, why) = match (survey.val, images) {
        (1.., _) => (0.0, format!("probabilities are calibrated on val/, {} images", survey.val)),
        (_, HOLDABLE..) => (HOLDOUT, "of each class, to calibrate probabilities on".to_string()),
        _ => (
            0.0,
            format!(
                "fewer than {HOLDABLE} training images: none are spared; probabilities are calibrated on the test images"
            ),
        ),
    };
    made.choose("holdout", &mut config.data.holdout, share, why);
    let why = "padded, cropped and mirrored at random; none, if left and right tell classes apart";
    let augment = config.input.augment;
    made.made.push(Advice {
        setting: "augment",
        value: augment.name().into(),
        why: if given.contains(&"augment") { GIVEN.into() } else { why.into() },
    });
    made.made
}

/// How much work a run is, in units of `evenkeel train` without arguments.
pub fn work(config: &Config, images: usize) -> f64 {
    let size = config.data.image_size.unwrap_or(SIZES[0]);
    let network = Network::of(&config.model.model);
    network.work(images, size) * config.train.epochs as f64 / BUILT_IN
}

const GIVEN: &str = "as asked for";

struct Choices<'a> {
    given: &'a [&'a str],
    made: Vec<Advice>,
}

impl Choices<'_> {
    fn choose<T: std::fmt::Display>(
        &mut self,
        setting: &'static str,
        place: &mut T,
        value: T,
        why: String,
    ) {
        let why = if self.given.contains(&setting) {
            GIVEN.into()
        } else {
            *place = value;
            why
        };
        self.made.push(Advice { setting, value: place.to_string(), why });
    }
}

/// Blocks in a stage and channels of the first.
struct Network {
    blocks: f64,
    width: f64,
}

impl Network {
    /// Of a model by name; an unknown one, which the recipe's check refuses, counts as the first.
    fn of(model: &str) -> Self {
        let found = MODELS.iter().find(|arch| arch.name == model).unwrap_or(&MODELS[0]);
        Network { blocks: found.blocks[0] as f64, width: found.width as f64 }
    }

    /// Multiply-adds of an epoch.
    fn work(&self, images: usize, size: usize) -> f64 {
        let Network { blocks, width } = self;
        let forward = 9.0 * (size * size) as f64 * width * (3.0 + width * (6.0 * blocks - 1.0));
        3.0 * forward * images as f64
    }

    /// Pixels across that a feature of the last layer sees.
    fn sees(&self) -> usize {
        (28.0 * self.blocks - 3.0) as usize
    }
}

/// The largest size that the photos have, that the network overlooks, and that work and memory allow.
fn image_size(
    survey: &Survey,
    network: &Network,
    epochs: usize,
    most: f64,
    all: usize,
) -> (usize, String) {
    let Some([_, median, _]) = survey.sides else {
        return (SIZES[0], "no image's size could be read".into());
    };
    if median < SIZES[0] {
        let size = (median / 4 * 4).max(8);
        return (
            size,
            format!("half of the images are at most {median} pixels on the shorter side"),
        );
    }
    let sees = network.sees();
    let largest = |fine: &dyn Fn(usize) -> bool| {
        SIZES.into_iter().rev().find(|s| fine(*s)).unwrap_or(SIZES[0])
    };
    let limits = [
        (largest(&|s| s <= median), format!("the median shorter side is {median} pixels")),
        (
            largest(&|s| s <= 2 * sees),
            format!("at most twice the {sees} pixels across that a feature of the network sees"),
        ),
        (
            largest(&|s| network.work(all, s) * epochs as f64 <= most),
            "as large as the device does in reasonable time".into(),
        ),
        (
            largest(&|s| all.saturating_mul(3 * s * s) <= MOST_BYTES),
            "as large as memory holds all images".into(),
        ),
    ];
    limits.into_iter().min_by_key(|(size, _)| *size).unwrap_or((SIZES[0], String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::survey::TestFrom;

    fn survey(train: &[usize], median: usize) -> Survey {
        Survey {
            name: "t".into(),
            classes: train.iter().enumerate().map(|(i, _)| format!("c{i}")).collect(),
            train: train.to_vec(),
            test: train.iter().map(|n| n / 4).collect(),
            val: 0,
            test_from: TestFrom::Chosen,
            sides: Some([median, median, median]),
            skipped: Vec::new(),
        }
    }

    fn made(survey: &Survey, software: bool) -> Config {
        let mut config = Config::default();
        let advice = recommend(&mut config, &[], survey, software);
        assert!(advice.iter().all(|a| !a.why.is_empty() && !a.value.is_empty()), "{advice:?}");
        config
    }

    #[test]
    fn cost_and_view_are_the_networks() {
        // small: 3·8 channels of the stem, then 8·8, 8·8; 8·16/4, 16·16/4; 16·32/16, 32·32/16.
        let by_hand = 9.0 * 1024.0 * (24.0 + 128.0 + 32.0 + 64.0 + 32.0 + 64.0);
        assert_eq!(Network::of("small").work(1, 32), 3.0 * by_hand);
        assert!((by_hand - 3.17e6).abs() < 1e4);
        assert_eq!(Network::of("small").work(2, 64), 8.0 * 3.0 * by_hand);
        // 3, 5, 7; stride 2: 9, then 2 apart: 13; stride 2: 17, then 4 apart: 25.
        assert_eq!(Network::of("small").sees(), 25);
        let default = Config::default();
        assert!((work(&default, 2850) - 1.0).abs() < 0.01);
        let counts = crate::data::longtail::counts(1150, 10, 100.0, default.data.profile);
        assert_eq!(counts.iter().sum::<usize>(), 2850);
    }

    #[test]
    fn size_follows_photos_network_and_work() {
        let size = |images: usize, median, software| {
            made(&survey(&[images, images], median), software).data.image_size
        };
        assert_eq!(size(400, 28, true), Some(28));
        assert_eq!(size(400, 6, true), Some(8));
        assert_eq!(size(400, 40, true), Some(32));
        // `small` sees 25 pixels across.
        assert_eq!(size(400, 3000, true), Some(48));
        assert_eq!(size(400, 3000, false), Some(128));
        assert_eq!(size(400, 100, false), Some(96));
        assert_eq!(size(50_000, 3000, true), Some(32));
        assert_eq!(size(100_000, 3000, false), Some(32));
        // In one epoch there is time for more, but 250,000 images of 64 × 64 don't fit.
        let mut config = Config::default();
        config.train.epochs = 1;
        recommend(&mut config, &["epochs"], &survey(&[100_000, 100_000], 3000), false);
        assert_eq!(config.data.image_size, Some(48));
        let unread = Survey { sides: None, ..survey(&[400, 400], 0) };
        assert_eq!(made(&unread, true).data.image_size, Some(32));
    }

    #[test]
    fn recipes_follow_the_counts() {
        let few = made(&survey(&[60, 20], 100), true);
        assert_eq!((few.train.batch_size, few.optim.lr), (8, 0.0125));
        assert_eq!((few.train.epochs, few.data.holdout), (200, 0.0));
        assert_eq!(few.loss.loss, "balanced-softmax");
        let many = made(&survey(&[4000, 3900], 100), false);
        assert_eq!((many.train.batch_size, many.optim.lr), (64, 0.1));
        assert_eq!((many.model.model.as_str(), many.data.holdout), ("resnet32", 0.1));
        assert_eq!((many.train.epochs, many.loss.loss.as_str()), (49, "ce"));
        let slow = made(&survey(&[100_000, 100_000], 100), true);
        assert_eq!(slow.train.epochs, FEWEST_EPOCHS);
        let own = Survey { val: 90, ..survey(&[4000, 3900], 100) };
        assert_eq!(made(&own, false).data.holdout, 0.0);
        for mut config in [few, many, slow] {
            config.data.dataset = "synthetic".into();
            config.validate().unwrap();
        }
    }

    #[test]
    fn what_is_given_stays_and_the_rest_follows_it() {
        let mut config = Config::default();
        config.model.model = "resnet20".into();
        config.train.batch_size = 16;
        config.data.image_size = Some(40);
        let given = ["model", "batch_size", "image_size", "augment"];
        let advice = recommend(&mut config, &given, &survey(&[400, 300], 500), true);
        assert_eq!(config.model.model, "resnet20");
        assert_eq!((config.train.batch_size, config.data.image_size), (16, Some(40)));
        assert_eq!(config.optim.lr, 0.025);
        let asked: Vec<_> = advice.iter().filter(|a| a.why == GIVEN).map(|a| a.setting).collect();
        assert_eq!(asked, given);
    }
}
