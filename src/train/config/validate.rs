//! The check of a whole recipe: every value, then the values against each other.

use super::{
    Augment, Branches, ClassWeights, Combine, Config, Distill, FrozenNorms, Head, KEYS, MixKind,
    NbnLayers, Norm, PolicyKind, Post, Sampler, StartHead, Trained,
};
use crate::data::Streaming;
use crate::data::sampler::Shuffle;
use crate::error::{Error, Result};
use crate::loss::{self, Form};

mod features;
mod norms;

impl Config {
    /// Checks every value, and the values against each other.
    ///
    /// # Errors
    /// The first value that is out of range, names nothing, or contradicts another one, with what
    /// is allowed.
    pub fn validate(&self) -> Result<()> {
        let tables = self.tables()?;
        for key in KEYS {
            if let Some(value) = tables.get(key.group).and_then(|t| t.get(key.name)) {
                key.check(&format!("[{}] {}", key.section, key.name), value)?;
            }
        }
        NbnLayers::parse(&self.model.nbn_layers)?;
        self.validate_data()?;
        self.validate_training()?;
        self.validate_loss()?;
        self.validate_sampling()?;
        self.validate_stages()?;
        self.validate_norms()?;
        self.validate_features()?;
        self.validate_teacher()?;
        self.schedule.validate(self.train.epochs)
    }

    fn validate_data(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let set = &self.data.dataset;
        match &self.data.data {
            Some(path) if set == "synthetic" => wrong(format!(
                "the synthetic data set reads no files, but data is {}; choose another --dataset or leave --data out",
                path.display()
            )),
            None if set != "synthetic" => {
                wrong(format!("data set {set} needs its files: give their place with --data PATH"))
            }
            Some(path) if !path.exists() => wrong(format!(
                "{}: no such file or folder (--data, data set {set})",
                path.display()
            )),
            _ => self.validate_stream(),
        }
    }

    /// Random crops are of files' own pixels, of which a loaded set keeps the centre alone.
    fn validate_stream(&self) -> Result<()> {
        let always = self.data.stream == Streaming::Always;
        if self.input.augment == Augment::ResizedCrop && !always {
            return Err(Error::usage(
                "augment resized-crop crops image files as they are read: give --stream always",
            ));
        }
        if self.input.sampler == Sampler::OneSided && always {
            return Err(Error::usage(
                "sampler one-sided compares the pixels of all images, which a streamed set doesn't keep: give --stream never",
            ));
        }
        Ok(())
    }

    fn validate_training(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        if self.optim.nesterov && self.optim.momentum == 0.0 {
            return wrong(
                "nesterov needs a momentum above 0; give --momentum 0.9 or leave --nesterov out"
                    .into(),
            );
        }
        if self.model.head == Head::Lr && self.train.batch_size < 2 {
            return wrong(
                "head lr normalises over the batch: batch_size must be at least 2".into(),
            );
        }
        if self.train.sync_bn && self.model.norm == Norm::TransNorm {
            return wrong(
                "sync_bn is about bn and nbn: a transferable norm's domains are parts of each rank's batch".into(),
            );
        }
        match &self.train.init {
            Some(path) if !path.is_file() => {
                wrong(format!("{}: no such checkpoint (--init)", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn validate_loss(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let cfg = &self.loss;
        let definition = loss::find(&cfg.loss)?;
        definition.values(&cfg.loss_options)?;
        let name = definition.name;
        if definition.cosine && self.model.head != Head::Cosine {
            return wrong(format!(
                "loss {name} is defined on cosines: give --head cosine, not {}",
                self.model.head.name()
            ));
        }
        if matches!(definition.form, Form::Rows(_)) {
            for (key, on) in
                [("label_smoothing", cfg.label_smoothing), ("logit_adjust", cfg.logit_adjust)]
            {
                if on != 0.0 {
                    return wrong(format!(
                        "{key} belongs to losses that are a cross-entropy of changed logits, which {name} is not"
                    ));
                }
            }
        }
        let adjusts = ["balanced-softmax", "logit-adjustment"].contains(&name);
        if adjusts && cfg.logit_adjust != 0.0 {
            return wrong(format!(
                "loss {name} adjusts logits by the class counts already; leave logit_adjust out"
            ));
        }
        let alone = self.model.experts == 1;
        if alone && (cfg.diversity != 0.0 || cfg.diversity_spread != 0.0) {
            return wrong("diversity is about several experts: give --experts".into());
        }
        if cfg.diversity_spread != 0.0 && cfg.diversity == 0.0 {
            return wrong("diversity_spread is about temperatures of a diversity that is 0".into());
        }
        let edits = !matches!(self.model.post, Post::None | Post::AdaBn);
        if !alone && (edits || self.optim.max_norm.is_some()) {
            return wrong("post and max_norm know one classifier: leave --experts out".into());
        }
        if alone && (self.model.branches != Branches::Late || self.model.combine != Combine::Mean) {
            return wrong("branches and combine are about several experts: give --experts".into());
        }
        self.validate_evidence()?;
        let deferred = cfg.class_weights == ClassWeights::None && cfg.diversity_spread == 0.0;
        if cfg.reweight_from > 0.0 && deferred {
            return wrong(
                "reweight_from defers class weights, but there are none: give --class-weights"
                    .into(),
            );
        }
        Ok(())
    }

    /// Evidence is e^z: of a cosine head's bounded logits.
    fn validate_evidence(&self) -> Result<()> {
        let wrong = |text: &str| Err(Error::usage(text));
        let (model, loss) = (&self.model, &self.loss);
        let evidence = model.combine == Combine::Evidence;
        if evidence && (model.head != Head::Cosine || model.head_scale > 60.0) {
            return wrong(
                "combine evidence takes logits as exponents: give --head cosine, --head-scale 60 at most",
            );
        }
        if !evidence && (loss.evidence != 0.0 || loss.engage != 0.0) {
            return wrong(
                "evidence and engage need the experts' evidence: give --combine evidence",
            );
        }
        let groups = model.combine == Combine::Groups;
        if !groups && loss.suppress != 0.0 {
            return wrong("suppress is about experts for groups of classes: give --combine groups");
        }
        if groups && loss.diversity != 0.0 {
            return wrong("experts for groups of classes differ by them: leave diversity out");
        }
        if groups && (self.input.mix != MixKind::None || loss.label_smoothing != 0.0) {
            return wrong(
                "combine groups knows one label a sample: leave mix and label_smoothing out",
            );
        }
        if evidence && (self.input.mix != MixKind::None || loss.label_smoothing != 0.0) {
            return wrong(
                "combine evidence knows one label a sample: leave mix and label_smoothing out",
            );
        }
        Ok(())
    }

    fn validate_sampling(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let input = &self.input;
        if input.sampler != Sampler::Instance && input.shuffle == Shuffle::None {
            return wrong(format!(
                "sampler {} draws at random, which contradicts shuffle = \"none\"",
                input.sampler.name()
            ));
        }
        if input.sampler == Sampler::Instance && input.sampler_from > 0.0 {
            return wrong(
                "sampler_from defers a sampler, but there is none: give --sampler".into(),
            );
        }
        if input.policy_magnitude.is_some()
            && matches!(input.policy, PolicyKind::None | PolicyKind::AutoAugment)
        {
            return wrong(format!(
                "policy_magnitude is for policies randaugment, rotation and jitter, not {}",
                input.policy.name()
            ));
        }
        let most = match input.policy {
            PolicyKind::RandAugment => 30.0,
            PolicyKind::Jitter => 1.0,
            _ => f64::INFINITY,
        };
        if let Some(m) = input.policy_magnitude.filter(|m| *m > most) {
            return wrong(format!(
                "policy_magnitude is {m}; policy {} takes at most {most}",
                input.policy.name()
            ));
        }
        if input.mix == MixKind::None && input.mix_prob < 1.0 {
            return wrong("mix_prob is the probability of mixing: give --mix".into());
        }
        if input.mix != MixKind::None && self.train.batch_size < 2 {
            return wrong("mixing needs a batch_size of at least 2".into());
        }
        Ok(())
    }

    fn validate_stages(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let (head, learning) = (self.model.head, self.optim.train_only);
        let begins = self.train.init.is_some() || self.train.after.is_some();
        if learning != Trained::All && !begins {
            return wrong(format!(
                "train_only = \"{}\" leaves the other parameters as they start: give --init CHECKPOINT or --after RECIPE",
                learning.name()
            ));
        }
        if learning == Trained::Scale && !matches!(head, Head::Lws | Head::DisAlign) {
            return wrong(format!(
                "train_only = \"scale\" trains the factors of head lws or disalign, but head is {}",
                head.name()
            ));
        }
        let frozen = learning != Trained::All && self.optim.frozen_norms == FrozenNorms::Eval;
        if head == Head::Lr && frozen {
            return wrong(
                "head lr keeps statistics of its own: with train_only give --frozen-norms shift"
                    .into(),
            );
        }
        if learning == Trained::All && self.optim.frozen_norms != FrozenNorms::Eval {
            return wrong(
                "frozen_norms is about a classifier that learns alone: give --train-only".into(),
            );
        }
        if self.train.start_head == StartHead::Fresh && !begins {
            return wrong("start_head = \"fresh\" belongs beside --init or --after".into());
        }
        if self.optim.max_norm.is_some() && (!begins || self.train.start_head == StartHead::Fresh) {
            return wrong(
                "max_norm holds rows to their lengths in a trained classifier: give --init or --after, and keep the head"
                    .into(),
            );
        }
        if self.optim.max_norm.is_some() && head == Head::Cosine {
            return wrong("max_norm holds lengths that head cosine does not use".into());
        }
        if self.train.after_epochs.is_some() && self.train.after.is_none() {
            return wrong("after_epochs is about the recipe that --after names".into());
        }
        let edits = !matches!(self.model.post, Post::None | Post::AdaBn);
        if edits && head != Head::Linear {
            return wrong(format!(
                "post {} edits a linear head's weight and bias, but head is {}",
                self.model.post.name(),
                head.name()
            ));
        }
        Ok(())
    }

    fn validate_teacher(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let cfg = &self.teacher;
        let learns = cfg.distill != Distill::None || cfg.attention > 0.0;
        let there = cfg.teacher.is_some() || cfg.teacher_from.is_some();
        if learns && !there {
            return wrong(
                "distill and attention learn from a teacher: give --teacher RECIPE or --teacher-from CHECKPOINT"
                    .into(),
            );
        }
        if there && !learns {
            return wrong(
                "a teacher is given, but nothing is learned from it: give --distill or --attention"
                    .into(),
            );
        }
        for (key, set) in [
            ("teacher_epochs", cfg.teacher_epochs.is_some()),
            ("teacher_model", cfg.teacher_model.is_some()),
        ] {
            if set && cfg.teacher.is_none() {
                return wrong(format!("{key} is about the recipe that --teacher names"));
            }
        }
        if let Some(path) = cfg.teacher_from.as_ref().filter(|p| !p.is_file()) {
            return wrong(format!("{}: no such checkpoint (--teacher-from)", path.display()));
        }
        if cfg.attention > 0.0 && self.model.experts > 1 {
            return wrong("attention compares one network's maps: leave --experts out".into());
        }
        if learns && self.optim.train_only != Trained::All {
            return wrong(
                "a teacher is for a network that learns as a whole: leave --train-only out".into(),
            );
        }
        if cfg.distill == Distill::Xerm {
            return self.validate_xerm();
        }
        Ok(())
    }

    /// xERM's loss is a cross-entropy of its own, which knows one label a sample.
    fn validate_xerm(&self) -> Result<()> {
        let loss = &self.loss;
        let others = [
            ("loss", loss.loss != "ce"),
            ("label_smoothing", loss.label_smoothing != 0.0),
            ("class_weights", loss.class_weights != ClassWeights::None),
            ("logit_adjust", loss.logit_adjust != 0.0),
            ("diversity", loss.diversity != 0.0),
            ("mix", self.input.mix != MixKind::None),
        ];
        match others.iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(Error::usage(format!(
                "distill xerm replaces the loss by a cross-entropy against the label and the teacher: leave {key} out"
            ))),
            None => Ok(()),
        }
    }
}
