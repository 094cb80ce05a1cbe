//! The check of a whole recipe: every value, then the values against each other.

use super::{Config, Head, KEYS, NbnLayers};
use crate::error::{Error, Result};

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
            _ => Ok(()),
        }
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
        match &self.train.init {
            Some(path) if !path.is_file() => {
                wrong(format!("{}: no such checkpoint (--init)", path.display()))
            }
            _ => Ok(()),
        }
    }
}
