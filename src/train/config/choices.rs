//! Settings that are one of a few names.

use serde::{Deserialize, Serialize};

/// A closed set of names: an enum, its spelling in recipes, and the list of spellings.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// The spellings used in recipes and flags.
            pub const NAMES: &[&str] = &[$($text),+];
            /// The value of a spelling.
            pub fn parse(text: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|v| v.name() == text)
            }
            /// This value's spelling.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

choice! {
    /// The normalisation of the network.
    Norm {
        /// Batch norm everywhere.
        Bn = "bn",
        /// Normalized batch norm in the layers that `nbn_layers` names, batch norm elsewhere.
        Nbn = "nbn",
        /// Statistics of its own for each half of a paired batch (TransNorm).
        TransNorm = "transnorm"
    }
}
choice! {
    /// Which weights are a learned length times a unit vector.
    WeightNorm {
        /// None.
        None = "none",
        /// The classifier's.
        Head = "head",
        /// The classifier's and every convolution's.
        All = "all"
    }
}
choice! {
    /// Where the bias vector of a normalized batch norm starts.
    BiasStart {
        /// At zero, as the reference does: the first step's gradient is 10⁶ times too long, and
        /// the direction it gives stays frozen for thousands of steps.
        Zero = "zero",
        /// At a small random vector, which avoids the frozen direction.
        Random = "random"
    }
}
choice! {
    /// The classifier on top of the features.
    Head {
        /// A linear layer.
        Linear = "linear",
        /// Logit rectification: a linear layer, then batch norm without affine over the logits.
        Lr = "lr",
        /// s times the cosine between features and each class's weight (NormedLinear).
        Cosine = "cosine",
        /// A linear layer whose logits have a learned factor for each class (LWS).
        Lws = "lws",
        /// A linear layer whose logits are calibrated by class and sample (DisAlign).
        DisAlign = "disalign",
        /// Cosines of features that are enriched from a memory of centroids (OLTR).
        Memory = "memory"
    }
}
choice! {
    /// Per-class weights of the loss.
    ClassWeights {
        /// Every sample counts the same.
        None = "none",
        /// Inverse to the class's training count, scaled to a mean of one over the classes.
        Inverse = "inverse",
        /// Inverse to the count's square root.
        Sqrt = "sqrt",
        /// By the effective number of samples, (1 - beta)/(1 - beta^n) (Cui et al., 2019).
        Effective = "effective"
    }
}
choice! {
    /// A branch that compares features of several views of an image.
    ContrastKind {
        /// None.
        None = "none",
        /// Balanced contrastive learning: three views, prototypes, classes averaged (Zhu et al., 2022).
        Bcl = "bcl",
        /// Parametric contrastive learning: a momentum encoder, a queue, learned centres (Cui et al., 2021).
        Paco = "paco"
    }
}
choice! {
    /// How the learning rate follows the epochs.
    ScheduleKind {
        /// The same rate throughout.
        Constant = "constant",
        /// Linear warm-up, then a factor from each milestone on.
        WarmupSteps = "warmup-steps",
        /// Half a cosine from the base rate to zero.
        Cosine = "cosine"
    }
}
choice! {
    /// Random changes to training images.
    Augment {
        /// None: images are only normalised.
        None = "none",
        /// Pad by 4, crop at a random place, flip half of them.
        Standard = "standard",
        /// Crop files at a random place, area and ratio as they are read, flip half of them (streamed sets).
        ResizedCrop = "resized-crop"
    }
}
choice! {
    /// Which images an epoch draws.
    Sampler {
        /// Every image once.
        Instance = "instance",
        /// Every class as often, with replacement.
        ClassBalanced = "class-balanced",
        /// Classes by the square root of their counts, with replacement.
        Sqrt = "sqrt",
        /// From instance to class-balanced over the epochs.
        Progressive = "progressive",
        /// Images by (1 - beta)/(1 - beta^n) of their class, with replacement.
        Effective = "effective",
        /// A shuffled ring of classes, each with a shuffled ring of its images, a few of each at a time.
        ClassAware = "class-aware",
        /// As many images of each class as the smallest has.
        Under = "under",
        /// As many of each class as the largest has, by repeating.
        Over = "over",
        /// One-sided selection: the smallest class, and what lies by it of the others (Kubat and Matwin, 1997).
        OneSided = "one-sided",
        /// As many features of each class as the largest has, by drawing images towards neighbours (SMOTE).
        Smote = "smote",
        /// Batches of pairs: an image in instance-balanced order, one class-balanced.
        Paired = "paired"
    }
}
choice! {
    /// How two images of a batch become one.
    MixKind {
        /// They do not.
        None = "none",
        /// A blend (Zhang et al., 2018).
        Mixup = "mixup",
        /// A box of the other (Yun et al., 2019).
        CutMix = "cutmix",
        /// A box of an image drawn inversely to its class's count (CMO, Park et al., 2022).
        Cmo = "cmo"
    }
}
choice! {
    /// Which parameters learn.
    Trained {
        /// All.
        All = "all",
        /// The classifier.
        Head = "head",
        /// The classifier's factors on logits only (LWS, DisAlign).
        Scale = "scale"
    }
}
choice! {
    /// What batch norms do below a classifier that learns alone.
    FrozenNorms {
        /// Normalise by the running statistics.
        Eval = "eval",
        /// Normalise by the batch, and go on updating the running statistics (MiSLAS).
        Shift = "shift"
    }
}
choice! {
    /// Where the classifier starts when the other parameters come from a checkpoint.
    StartHead {
        /// From the checkpoint too; what it lacks, from the seed.
        Keep = "keep",
        /// From the seed.
        Fresh = "fresh"
    }
}
choice! {
    /// As what activations wait for the backward pass.
    Activations {
        /// As they are.
        F32 = "f32",
        /// As halves: in half the memory, rounded to 11 bits.
        F16 = "f16"
    }
}
choice! {
    /// In which numbers a training step is computed.
    Precision {
        /// In floats.
        F32 = "f32",
        /// Activations wait as halves, convolutions multiply halves where the device gains by it, their sums and all
        /// else are floats, and the loss is scaled.
        Mixed = "mixed"
    }
}
choice! {
    /// A change to the classifier after training.
    Post {
        /// None.
        None = "none",
        /// W_j / |W_j|^tau, the bias dropped (Kang et al., 2020).
        TauNorm = "tau-norm",
        /// tau log pi_j is taken from the bias (Menon et al., 2021).
        LogitAdjustment = "logit-adjustment",
        /// The nearest mean of a class's features.
        Ncm = "ncm",
        /// Running statistics taken anew over class-balanced images (Li et al., 2016).
        AdaBn = "adabn"
    }
}
choice! {
    /// A policy of image operations.
    PolicyKind {
        /// None.
        None = "none",
        /// AutoAugment's policy for CIFAR-10.
        AutoAugment = "autoaugment",
        /// Operations drawn at random, all of one magnitude.
        RandAugment = "randaugment",
        /// A random rotation.
        Rotation = "rotation",
        /// Random brightness, contrast and saturation.
        Jitter = "jitter"
    }
}
choice! {
    /// What is learned from a teacher's logits.
    Distill {
        /// Nothing.
        None = "none",
        /// Their distribution at a temperature, beside the loss (Hinton et al., 2015).
        Kd = "kd",
        /// Their distribution freed of the class shares, for samples that it explains worse (xERM, Zhu et al., 2022).
        Xerm = "xerm"
    }
}
choice! {
    /// What each of several experts has of its own.
    Branches {
        /// The later two stages, at three quarters of their width (RIDE).
        Late = "late",
        /// All stages, at full width (TLC).
        Whole = "whole"
    }
}
choice! {
    /// How several experts' logits become one.
    Combine {
        /// Their mean.
        Mean = "mean",
        /// Weighted by the evidence of the experts before (TLC).
        Evidence = "evidence",
        /// Each class's by the experts that answer for it (ACE).
        Groups = "groups"
    }
}
