//! The parts that recipes are made of besides losses (which describe themselves, `crate::loss`): class
//! weights, samplers, mixing, heads, norms, stages, changes after training; and what is not there yet.

use crate::loss::LOSSES;
use serde::Serialize;

/// A part of recipes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What it is: `loss`, `sampler`, …
    pub kind: &'static str,
    /// How a recipe asks for it.
    pub setting: String,
    /// The paper.
    pub paper: &'static str,
    /// Its year.
    pub year: Option<u16>,
    /// What it computes.
    pub equation: &'static str,
    /// What differs from the paper, or is not known of it.
    pub note: &'static str,
    /// It works; else it is not built.
    pub works: bool,
}

type Row = (&'static str, &'static str, &'static str, u16, &'static str);

const KANG: &str = "Kang et al., Decoupling Representation and Classifier, ICLR";
const CUI: &str = "Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR";
const OLTR: &str = "Liu et al., Large-Scale Long-Tailed Recognition in an Open World, CVPR";
const LI: &str = "Li et al., Trustworthy Long-Tailed Classification (TLC), CVPR";
const ACE: &str = "Cai et al., Ally Complementary Experts (ACE), ICCV";
const CAO: &str = "Cao et al., LDAM, NeurIPS";

/// kind, setting, paper, year (0: none), equation
const ROWS: &[Row] = &[
    ("weights", "class_weights = \"inverse\"", "", 0, "v_j = 1/n_j, mean 1"),
    ("weights", "class_weights = \"sqrt\"", "", 0, "v_j = 1/sqrt(n_j), mean 1"),
    (
        "weights",
        "class_weights = \"effective\"",
        CUI,
        2019,
        "v_j = (1 - beta)/(1 - beta^n_j), mean 1",
    ),
    ("weights", "reweight_from = 0.8", CAO, 2019, "DRW: weights from this share of the epochs on"),
    ("loss", "label_smoothing = 0.1", "Szegedy et al., CVPR", 2016, "target (1 - s) e_y + s/C"),
    ("loss", "logit_adjust = 1", "Menon et al., ICLR", 2021, "z + tau log pi in any cross-entropy"),
    ("sampler", "sampler = \"instance\"", "", 0, "every image once"),
    ("sampler", "sampler = \"class-balanced\"", KANG, 2020, "p_j = 1/C"),
    ("sampler", "sampler = \"sqrt\"", KANG, 2020, "p_j ~ sqrt(n_j)"),
    (
        "sampler",
        "sampler = \"progressive\"",
        KANG,
        2020,
        "p_j = (1 - t) n_j/N + t/C, t from 0 to 1",
    ),
    (
        "sampler",
        "sampler = \"effective\"",
        CUI,
        2019,
        "an image's weight (1 - beta)/(1 - beta^n_y)",
    ),
    (
        "sampler",
        "sampler = \"class-aware\"",
        "Shen et al., ECCV",
        2016,
        "rings of classes and of their images",
    ),
    ("sampler", "sampler = \"under\"", "", 0, "n_min images of each class"),
    ("sampler", "sampler = \"over\"", "", 0, "n_max images of each class"),
    (
        "sampler",
        "sampler = \"one-sided\"",
        "Kubat and Matwin, ICML",
        1997,
        "the smallest class; of others what a nearest neighbour mistakes for it, without Tomek links",
    ),
    (
        "sampler",
        "sampler = \"smote\"",
        "Chawla et al., SMOTE, JAIR",
        2002,
        "f_i + d (f_n - f_i) of fixed features, n of i's nearest of its class, to n_max of each",
    ),
    (
        "sampler",
        "sampler = \"paired\"",
        "",
        0,
        "half of a batch instance-, half class-balanced (for transnorm)",
    ),
    (
        "sampler",
        "sampler_from = 0.8",
        CAO,
        2019,
        "DRS: the sampler from this share of the epochs on",
    ),
    ("images", "augment = \"standard\"", "He et al., CVPR", 2016, "pad 4, random crop, flip"),
    (
        "images",
        "cutout = 16",
        "DeVries and Taylor, arXiv",
        2017,
        "a black square at a random place",
    ),
    (
        "images",
        "mix = \"mixup\"",
        "Zhang et al., ICLR",
        2018,
        "x = l x_i + (1-l) x_j, L = l L(y_i) + (1-l) L(y_j)",
    ),
    (
        "images",
        "mix = \"cutmix\"",
        "Yun et al., ICCV",
        2019,
        "a box of x_j in x_i, l = the share of x_i",
    ),
    (
        "images",
        "mix = \"cmo\"",
        "Park et al., CVPR",
        2022,
        "CutMix whose x_j are drawn with p_j = 1/C",
    ),
    (
        "images",
        "policy = \"autoaugment\"",
        "Cubuk et al., CVPR",
        2019,
        "one of 25 pairs of operations (CIFAR-10's)",
    ),
    (
        "images",
        "policy = \"randaugment\"",
        "Cubuk et al., NeurIPS",
        2020,
        "policy_ops of 14 operations at policy_magnitude",
    ),
    ("images", "policy = \"rotation\"", "", 0, "by up to policy_magnitude degrees"),
    (
        "images",
        "policy = \"jitter\"",
        "",
        0,
        "brightness, contrast, saturation by up to policy_magnitude",
    ),
    ("head", "head = \"linear\"", "", 0, "z = W f + b"),
    ("head", "head = \"cosine\"", CAO, 2019, "z_j = s cos(f, W_j)"),
    (
        "head",
        "head = \"lr\"",
        "Bao et al., NBN, IEEE TIP",
        2024,
        "z = BN without affine map (W f + b)",
    ),
    ("head", "head = \"lws\"", KANG, 2020, "z_j = s_j (W f + b)_j"),
    (
        "head",
        "head = \"disalign\"",
        "Zhang et al., DisAlign, CVPR",
        2021,
        "z' = (1 + c a_j) z_j + c b_j, c = sigmoid(v f + d)",
    ),
    (
        "head",
        "head = \"memory\"",
        OLTR,
        2019,
        "z_j = 16 |v|/(1+|v|) cos(v, W_j), v = 10/min_k |f - M_k| (f + tanh(U f) softmax(V f) M)",
    ),
    (
        "head",
        "centroids = 0.01",
        OLTR,
        2019,
        "+ w (mean |f - M_y|^2/2 + 0.01 max(0, 10 - mean of others' |f - M_k|^2))",
    ),
    ("norm", "norm = \"bn\"", "Ioffe and Szegedy, ICML", 2015, "w (x - mean)/sqrt(var + eps) + b"),
    (
        "norm",
        "norm = \"nbn\"",
        "Bao et al., NBN, IEEE TIP",
        2024,
        "w = a g/(|g| + e), b = a h/(|h| + e)",
    ),
    (
        "norm",
        "norm = \"transnorm\"",
        "Wang et al., Transferable Normalization, NeurIPS",
        2019,
        "(1 + a_k)(w x' + b), x' by half of the batch, a_k ~ 1/(1 + |difference of mean/sd|)",
    ),
    (
        "norm",
        "weight_norm = \"all\"",
        "Salimans and Kingma, Weight Normalization, NeurIPS",
        2016,
        "w_o = g_o v_o/|v_o| of classifier and convolutions",
    ),
    (
        "experts",
        "experts = 3",
        "Wang et al., RIDE, ICLR",
        2021,
        "z = mean_e z_e; branches share stem and first stage",
    ),
    (
        "experts",
        "diversity = -0.45",
        "Wang et al., RIDE, ICLR",
        2021,
        "L = sum_e L_e + k t^2 KL(mean p || p_e)",
    ),
    (
        "contrastive",
        "contrast = \"bcl\"",
        "Zhu et al., Balanced Contrastive Learning, CVPR",
        2022,
        "- mean_p z.z_p/t + log sum_j mean_{k of class j} exp(z.z_k/t), with a prototype of each class",
    ),
    (
        "contrastive",
        "contrast = \"paco\"",
        "Cui et al., Parametric Contrastive Learning, ICCV",
        2021,
        "log(sum_j pi_j e^z_j + sum_o e^s_o) - (b (z_y + log pi_y) + a sum_p s_p)/(b + a |P|), s = q.k/t, keys and queue by an averaged network",
    ),
    ("stage", "after = \"RECIPE\"", KANG, 2020, "start from that recipe's result"),
    ("stage", "start_head = \"fresh\"", KANG, 2020, "cRT: the classifier starts anew"),
    ("stage", "train_only = \"head\"", KANG, 2020, "everything below the classifier is frozen"),
    ("stage", "train_only = \"scale\"", KANG, 2020, "only the factors of lws or disalign learn"),
    (
        "stage",
        "frozen_norms = \"shift\"",
        "Zhong et al., MiSLAS, CVPR",
        2021,
        "running statistics go on under the new sampler",
    ),
    (
        "stage",
        "max_norm = 0.1",
        "Alshammari et al., CVPR",
        2022,
        "weight balancing: |W_j| <= min + t (max - min) of the start",
    ),
    (
        "experts",
        "branches = \"whole\"",
        LI,
        2022,
        "every stage is an expert's own, at full width; the stem is shared",
    ),
    (
        "experts",
        "combine = \"evidence\"",
        LI,
        2022,
        "z = sum_e z_e softmax_e(w_e/0.2), w_{e+1} = w_e u_e/(1 - conflict), u = C/sum(e^z + 1)",
    ),
    (
        "experts",
        "evidence = 0.015",
        LI,
        2022,
        "+ l t KL(Dir(a) || Dir(1)), a_j = e^z_j + 1 but 1 at the label, t the share of the run",
    ),
    (
        "experts",
        "combine = \"groups\"",
        ACE,
        2021,
        "expert e knows the rarest (E-e+1)/E of the classes; z_j a mean of |W_1|^2/|W_e|^2 z_ej (in part recalled)",
    ),
    (
        "experts",
        "suppress = 1.0",
        ACE,
        2021,
        "+ l mean z_ej^2 over classes j that expert e does not know (in part recalled)",
    ),
    ("experts", "engage = 0.54", LI, 2022, "expert e learns from samples with w_e > tau max w_e"),
    (
        "teacher",
        "teacher = \"RECIPE\"",
        "",
        0,
        "that recipe's network, frozen, sees the same images",
    ),
    (
        "teacher",
        "distill = \"kd\"",
        "Hinton et al., arXiv",
        2015,
        "L + w T^2 KL(softmax(t/T) || softmax(z/T)), t the teacher's logits",
    ),
    (
        "teacher",
        "distill = \"xerm\"",
        "Zhu et al., AAAI",
        2022,
        "w H(softmax b, p) + (1-w) CE, b = t - log pi, w = CE(b)^g/(CE(t)^g + CE(b)^g)",
    ),
    (
        "teacher",
        "attention = 1000.0",
        "Zagoruyko and Komodakis, ICLR",
        2017,
        "+ a sum over stages of mean (Q_z - Q_t)^2, Q = mean_c A^2 scaled to length 1",
    ),
    ("post", "post = \"tau-norm\"", KANG, 2020, "W_j / |W_j|^tau, b = 0"),
    ("post", "post = \"ncm\"", KANG, 2020, "the nearest class mean of features"),
    (
        "post",
        "post = \"adabn\"",
        "Li et al., Revisiting Batch Normalization, arXiv",
        2016,
        "running mean and variance anew, over class-balanced images",
    ),
    ("post", "post = \"logit-adjustment\"", "Menon et al., ICLR", 2021, "b_j - tau log pi_j"),
];

/// Methods that are not built, and why.
const OPEN: &[Row] = &[
    (
        "sampler",
        "meta sampler (BALMS)",
        "Ren et al., NeurIPS",
        2020,
        "needs a gradient through an update",
    ),
    (
        "sampler",
        "deep over-sampling",
        "Ando and Huang, ECML PKDD",
        2017,
        "its form is recalled only",
    ),
    (
        "images",
        "MetaSAug",
        "Li et al., CVPR",
        2021,
        "needs covariances by class and a gradient through an update",
    ),
    ("norm", "compound BN", "", 0, "its constants were not found"),
    ("experts", "RIDE's router", "Wang et al., ICLR", 2021, "its second stage is not built"),
];

/// Every part: the losses first, what is not built last.
pub fn parts() -> Vec<Part> {
    let loss = |d: &&'static crate::loss::Definition| Part {
        kind: "loss",
        setting: format!("loss = \"{}\"", d.name),
        paper: d.paper.cite,
        year: Some(d.paper.year),
        equation: d.equation,
        note: d.note,
        works: true,
    };
    let row = |works: bool| {
        move |(kind, setting, paper, year, text): &Row| Part {
            kind,
            setting: (*setting).into(),
            paper,
            year: (*year != 0).then_some(*year),
            equation: if works { text } else { "" },
            note: if works { "" } else { text },
            works,
        }
    };
    LOSSES
        .iter()
        .map(loss)
        .chain(ROWS.iter().map(row(true)))
        .chain(OPEN.iter().map(row(false)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::Config;

    /// A setting that a recipe could not have would be found here: each stands in a recipe's text.
    #[test]
    fn every_working_part_is_a_setting_of_recipes() {
        for part in parts().iter().filter(|p| p.works) {
            let (key, _) = part.setting.split_once(" = ").expect("a setting");
            let section = crate::train::config::KEYS
                .iter()
                .find(|k| k.name == key)
                .map(|k| k.section)
                .unwrap_or_else(|| panic!("{key} is no setting"));
            let text = format!("[{section}]\n{}\n", part.setting);
            Config::from_toml_str(&text).unwrap_or_else(|e| panic!("{}: {e}", part.setting));
        }
    }

    #[test]
    fn every_choice_of_a_part_is_listed() {
        let all = parts();
        for (key, names) in [
            ("sampler", crate::train::config::Sampler::NAMES),
            ("head", crate::train::config::Head::NAMES),
            ("norm", crate::train::config::Norm::NAMES),
        ] {
            for name in names {
                let setting = format!("{key} = \"{name}\"");
                assert!(all.iter().any(|p| p.setting == setting), "{setting} is not listed");
            }
        }
    }
}
