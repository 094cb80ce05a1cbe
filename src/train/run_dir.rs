//! The folder of one run: config.toml, metrics.jsonl, event files and checkpoints.
//!
//! One process at a time holds a run's folder, by a lock that the system drops when the process
//! ends, however it ends. Every file is whole at any moment, or (metrics.jsonl) has at most its
//! last line cut off, which is ignored.
//!
//! An epoch ends in this order: metrics line, then checkpoint. Killed between the two, a resumed
//! run goes on from the checkpoint before and [`RunDir::truncate_metrics`] drops the line.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::train::atomic::{Staged, sync_folder, write_atomic};
use crate::train::checkpoint::Checkpoint;
use crate::train::config::Config;

/// Files that show that a folder holds a run.
const MARKS: [&str; 3] = [CONFIG, METRICS, "checkpoint"];
const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";
/// Prefix of the tensors that are kept apart, and where a checkpoint names their file.
const OPTIMIZER: &str = "optimizer.";
const OPTIMIZER_FILE: &str = "optimizer";

/// A run's folder, locked for this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held open: closing it gives the lock back. None where another process holds the folder, of the same run,
    /// and this one writes nothing.
    lock: Option<File>,
    /// Whether `last.safetensors` may become `previous.safetensors`; not if it is damaged.
    last_is_good: bool,
    /// Name of the optimizer file that belongs to the last good checkpoint.
    optimizer: Option<String>,
}

/// A checkpoint to go on from.
#[derive(Debug)]
pub struct Latest {
    /// Its content.
    pub checkpoint: Checkpoint,
    /// The file it was read from.
    pub path: PathBuf,
    /// Why a newer file was not used.
    pub rejected: Option<String>,
}

impl RunDir {
    /// Makes the folder of a new run, locks it and writes its `config.toml`. Without `out`, it is
    /// `runs/<dataset>-<model>-<norm>-<n>` in the current folder, with the first free n.
    ///
    /// # Errors
    /// A folder that holds a run already, is in use, or cannot be made.
    pub fn create(out: Option<&Path>, config: &Config) -> Result<Self> {
        let path = match out {
            Some(path) => {
                fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
                path.to_path_buf()
            }
            None => Self::new_folder(config)?,
        };
        let run = Self::locked(path)?;
        if let Some(mark) = MARKS.iter().find(|mark| run.path.join(mark).exists()) {
            let advice = if *mark == CONFIG { "continue it with --resume, or " } else { "" };
            return Err(Error::usage(format!(
                "{}: holds a run already (it has {mark}); {advice}choose another folder with --out",
                run.path.display()
            )));
        }
        // First of all: from here on, the folder can be resumed.
        write_atomic(&run.path.join(CONFIG), config.to_toml()?.as_bytes())?;
        run.make_checkpoint_folder()?;
        Ok(run)
    }

    /// Makes the first free folder `runs/<dataset>-<model>-<norm>-<n>` of the current one.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn new_folder(config: &Config) -> Result<PathBuf> {
        new_folder(Path::new("runs"), config)
    }

    /// Opens and locks the folder of an earlier run.
    ///
    /// # Errors
    /// A folder that holds no run, or is in use.
    pub fn resume(path: &Path) -> Result<Self> {
        holds_run(path)?;
        let run = Self::locked(path.to_path_buf())?;
        run.make_checkpoint_folder()?;
        Ok(run)
    }

    /// Takes back a folder just made by [`RunDir::create`] for a run that could not begin, so that
    /// the same `--out` can be given again; what others put there stays.
    pub fn abandon(self) {
        let _ = fs::remove_file(self.path.join(CONFIG));
        let _ = fs::remove_dir(self.path.join("checkpoint"));
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("events.out.tfevents.") {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_file(self.path.join(LOCK));
        let _ = fs::remove_dir(&self.path);
    }

    fn make_checkpoint_folder(&self) -> Result<()> {
        let path = self.path.join("checkpoint");
        fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))
    }

    fn locked(path: PathBuf) -> Result<Self> {
        let file = path.join(LOCK);
        let failed = |e| Error::io("lock", &file, e);
        // Not truncated: until the lock is ours, the number in it is another process's.
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file);
        let mut lock = options.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, &mut lock)),
            // A file system without locks: better to train without one than not at all.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let owner = std::process::id().to_string();
        lock.set_len(0).and_then(|()| lock.write_all(owner.as_bytes())).map_err(failed)?;
        Ok(Self { path, lock: Some(lock), last_is_good: true, optimizer: None })
    }

    /// A folder that another process of the same run holds: nothing is written through this.
    pub fn follow(path: &Path) -> Self {
        RunDir { path: path.to_path_buf(), lock: None, last_is_good: true, optimizer: None }
    }

    /// Nothing is to be written.
    fn follows(&self) -> bool {
        self.lock.is_none()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recipe that the run in `path` was started with.
    ///
    /// # Errors
    /// A folder without a run; a `config.toml` that cannot be read or was spoilt.
    pub fn peek_config(path: &Path) -> Result<Config> {
        holds_run(path)?;
        Config::from_toml_file(&path.join(CONFIG))
    }

    /// The checkpoint of the last finished epoch.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoint/last.safetensors")
    }

    /// The good checkpoint before the last one.
    pub fn previous(&self) -> PathBuf {
        self.path.join("checkpoint/previous.safetensors")
    }

    /// The checkpoint of the best epoch.
    pub fn best(&self) -> PathBuf {
        self.path.join("checkpoint/best.safetensors")
    }

    /// Saves the checkpoint of an epoch as the last one; the one before becomes the previous one.
    /// At any moment, one of the two is whole. Tensors named `optimizer.…` go to a file of their own,
    /// written first and named in the checkpoint, so that the checkpoint holds the network alone and
    /// PyTorch loads it with `strict=True`.
    ///
    /// # Errors
    /// A file that cannot be written; what was there stays.
    pub fn save_last(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if self.follows() {
            return Ok(());
        }
        let (last, previous) = (self.last(), self.previous());
        let (mut network, state) = checkpoint.split(OPTIMIZER);
        let name = if state.tensors.is_empty() {
            None
        } else {
            let bytes = state.to_bytes()?;
            let name = format!("{:08x}.optimizer", crc32fast::hash(&bytes));
            write_atomic(&self.path.join("checkpoint").join(&name), &bytes)?;
            network.meta.insert(OPTIMIZER_FILE.into(), name.clone());
            Some(name)
        };
        let staged = Staged::write(&last, &network.to_bytes()?)?;
        if self.last_is_good {
            match fs::rename(&last, &previous) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("replace", &previous, e));
                }
                _ => {}
            }
        }
        staged.commit()?;
        self.last_is_good = true;
        let before = std::mem::replace(&mut self.optimizer, name);
        self.drop_optimizers_but([&self.optimizer, &before]);
        Ok(())
    }

    /// Removes optimizer files that no kept checkpoint names; one that stays only takes room.
    fn drop_optimizers_but(&self, kept: [&Option<String>; 2]) {
        let Ok(entries) = fs::read_dir(self.path.join("checkpoint")) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.file_name().and_then(|n| n.to_str()).map(str::to_string);
            if path.extension().is_some_and(|e| e == "optimizer") && !kept.contains(&&name) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// A checkpoint with the optimizer file it names.
    fn load_whole(&self, path: &Path) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::load_own(path)?;
        if let Some(name) = checkpoint.meta.get(OPTIMIZER_FILE) {
            let name = Path::new(name).file_name().unwrap_or_default();
            let state = Checkpoint::load_own(&self.path.join("checkpoint").join(name))?;
            checkpoint.tensors.extend(state.tensors);
        }
        Ok(checkpoint)
    }

    /// Saves the checkpoint of the best epoch so far.
    ///
    /// # Errors
    /// A file that cannot be written; the old one stays.
    pub fn save_best(&self, checkpoint: &Checkpoint) -> Result<()> {
        if self.follows() {
            return Ok(());
        }
        checkpoint.save(&self.best())
    }

    /// The newest checkpoint that is whole: the last one, else the previous one. `None` if the
    /// run ended before its first checkpoint.
    ///
    /// # Errors
    /// Checkpoints that exist but cannot be used, with the reason for each.
    pub fn load_latest(&mut self) -> Result<Option<Latest>> {
        let mut reasons = Vec::new();
        for path in [self.last(), self.previous()] {
            match self.load_whole(&path) {
                Ok(checkpoint) => {
                    self.last_is_good = path == self.last();
                    self.optimizer = checkpoint.meta.get(OPTIMIZER_FILE).cloned();
                    let rejected = (!reasons.is_empty()).then(|| reasons.join("; "));
                    return Ok(Some(Latest { checkpoint, path, rejected }));
                }
                Err(_) if !path.exists() => {}
                Err(e) => reasons.push(e.to_string()),
            }
        }
        match reasons.is_empty() {
            true => Ok(None),
            false => Err(Error::Failure(format!("no usable checkpoint: {}", reasons.join("; ")))),
        }
    }

    /// Adds a line to `metrics.jsonl`. A row has a whole number `epoch`.
    ///
    /// # Errors
    /// A row that is no JSON; a file that cannot be written.
    pub fn append_metrics(&self, row: &impl Serialize) -> Result<()> {
        if self.follows() {
            return Ok(());
        }
        let path = self.path.join(METRICS);
        let mut line =
            serde_json::to_string(row).map_err(|e| Error::Failure(format!("metrics: {e}")))?;
        line.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // In one write, so that a reader sees whole lines.
        file.and_then(|mut f| f.write_all(line.as_bytes()).and_then(|()| f.sync_data()))
            .map_err(|e| Error::io("write", &path, e))
    }

    /// The rows of `metrics.jsonl`; a last line that was cut off is left out.
    ///
    /// # Errors
    /// A file that cannot be read; a broken line before the last one.
    pub fn metrics(&self) -> Result<Vec<Value>> {
        read_metrics(&self.path)
    }

    /// Keeps the rows of `metrics.jsonl` up to `epoch`, that one included; none for `None`.
    ///
    /// # Errors
    /// Those of [`RunDir::metrics`], and a file that cannot be replaced.
    pub fn truncate_metrics(&self, epoch: Option<u64>) -> Result<()> {
        if self.follows() {
            return Ok(());
        }
        let keep = |row: &Value| {
            row.get("epoch").and_then(Value::as_u64).is_some_and(|e| Some(e) <= epoch)
        };
        let mut text = String::new();
        for row in self.metrics()?.iter().filter(|row| keep(row)) {
            text += &format!("{row}\n");
        }
        write_atomic(&self.path.join(METRICS), text.as_bytes())
    }
}

fn holds_run(path: &Path) -> Result<()> {
    if path.join(CONFIG).is_file() {
        return Ok(());
    }
    Err(Error::usage(format!("{}: holds no run to resume (no {CONFIG})", path.display())))
}

/// The rows of the `metrics.jsonl` in `folder`, for reading a run that may be under way; a last
/// line that is not finished is left out, and a missing file has no rows.
///
/// # Errors
/// A file that cannot be read; a broken line before the last one.
pub fn read_metrics(folder: &Path) -> Result<Vec<Value>> {
    let path = folder.join(METRICS);
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", &path, e)),
    };
    let Some(end) = text.iter().rposition(|b| *b == b'\n') else { return Ok(Vec::new()) };
    let rows = text[..end].split(|b| *b == b'\n').enumerate();
    rows.filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(at, line)| {
            serde_json::from_slice(line)
                .map_err(|e| Error::data(&path, format!("line {}: {e}", at + 1)))
        })
        .collect()
}

/// Makes `<root>/<dataset>-<model>-<norm>-<n>` with the first free n.
fn new_folder(root: &Path, config: &Config) -> Result<PathBuf> {
    fs::create_dir_all(root).map_err(|e| Error::io("create", root, e))?;
    let stem =
        format!("{}-{}-{}", config.data.dataset, config.model.model, config.model.norm.name());
    for n in 1usize.. {
        let path = root.join(format!("{stem}-{n}"));
        // Making it is the test, so that two runs that start at once get two folders.
        match fs::create_dir(&path) {
            Ok(()) => {
                sync_folder(&path)?;
                return Ok(path);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create", &path, e)),
        }
    }
    Err(Error::Failure(format!("{}: no free name for a run", root.display())))
}

fn in_use(path: &Path, lock: &mut File) -> Error {
    let mut owner = String::new();
    // Some systems let nobody read a locked file; then the number is left out.
    let known = lock.read_to_string(&mut owner).is_ok() && !owner.is_empty();
    let who = if known { format!(" (process {owner})") } else { String::new() };
    let path = path.display();
    Error::usage(format!(
        "{path}: another run{who} is using this folder; wait for it, or choose another with --out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::checkpoint::TensorData;
    use serde_json::json;

    fn run() -> (tempfile::TempDir, RunDir) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(Some(&folder.path().join("a/run")), &Config::default()).unwrap();
        (folder, run)
    }

    fn checkpoint(epoch: i64) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.push("epoch", &[1], TensorData::I64(vec![epoch]));
        checkpoint
    }

    fn epoch(found: &Latest) -> i64 {
        match found.checkpoint.get("epoch") {
            Some((_, TensorData::I64(v))) => v[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_is_made_once_and_used_by_one() {
        let (_folder, run) = run();
        let path = run.path().to_path_buf();
        assert_eq!(RunDir::peek_config(run.path()).unwrap(), Config::default());
        let busy = RunDir::resume(&path).unwrap_err().to_string();
        assert!(busy.contains(&format!("process {}", std::process::id())), "{busy}");
        drop(run);
        let taken = RunDir::create(Some(&path), &Config::default()).unwrap_err();
        assert!(taken.to_string().contains("--resume") && taken.exit_code() == 2, "{taken}");
        RunDir::resume(&path).unwrap();
        let none = RunDir::resume(path.parent().unwrap()).unwrap_err();
        assert!(none.to_string().contains("no run to resume") && none.exit_code() == 2);
    }

    #[test]
    fn default_names_count_up() {
        let folder = tempfile::tempdir().unwrap();
        for n in 1..4 {
            let path = new_folder(&folder.path().join("runs"), &Config::default()).unwrap();
            assert!(path.ends_with(format!("runs/synthetic-small-nbn-{n}")), "{path:?}");
        }
    }

    #[test]
    fn the_newest_whole_checkpoint_is_used() {
        let (_folder, mut run) = run();
        assert!(run.load_latest().unwrap().is_none());
        for epoch in 0..3 {
            run.save_last(&checkpoint(epoch)).unwrap();
        }
        let found = run.load_latest().unwrap().unwrap();
        assert_eq!((epoch(&found), found.path, found.rejected.clone()), (2, run.last(), None));

        fs::write(run.last(), b"damaged").unwrap();
        let found = run.load_latest().unwrap().unwrap();
        assert_eq!(epoch(&found), 1);
        assert!(found.rejected.unwrap().contains("last.safetensors"));
        // The damaged file must not push the good one out.
        run.save_last(&checkpoint(5)).unwrap();
        assert_eq!(Checkpoint::load_own(&run.previous()).unwrap(), checkpoint(1));
        run.save_last(&checkpoint(6)).unwrap();
        assert_eq!(Checkpoint::load_own(&run.previous()).unwrap(), checkpoint(5));

        // Killed between the two renames: the last is missing.
        fs::remove_file(run.last()).unwrap();
        let found = run.load_latest().unwrap().unwrap();
        assert_eq!((epoch(&found), found.rejected), (5, None));
        fs::write(run.previous(), b"").unwrap();
        fs::write(run.last(), b"").unwrap();
        let error = run.load_latest().unwrap_err().to_string();
        assert!(
            error.contains("last.safetensors") && error.contains("previous.safetensors"),
            "{error}"
        );
    }

    #[test]
    fn the_optimizer_has_a_file_of_its_own() {
        let (_folder, mut run) = run();
        for epoch in 0..4 {
            let mut whole = checkpoint(epoch);
            whole.push("optimizer.momentum.w", &[1], TensorData::F32(vec![epoch as f32]));
            run.save_last(&whole).unwrap();
        }
        assert!(Checkpoint::load(&run.last()).unwrap().get("optimizer.momentum.w").is_none());
        let found = run.load_latest().unwrap().unwrap().checkpoint;
        let (_, momentum) = found.get("optimizer.momentum.w").unwrap();
        assert_eq!(*momentum, TensorData::F32(vec![3.0]));
        let files = || {
            let all = fs::read_dir(run.path().join("checkpoint")).unwrap().flatten();
            all.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "optimizer"))
        };
        assert_eq!(files().count(), 2);
        // Without its optimizer file the last checkpoint is no use: the one before is taken.
        let name = found.meta.get(OPTIMIZER_FILE).unwrap();
        fs::remove_file(run.path().join("checkpoint").join(name)).unwrap();
        let path = run.path().to_path_buf();
        drop(run);
        let latest = RunDir::resume(&path).unwrap().load_latest().unwrap().unwrap();
        assert_eq!(epoch(&latest), 2);
        assert!(latest.rejected.unwrap().contains(".optimizer"));
    }

    #[test]
    fn a_failed_save_keeps_the_last_checkpoint() {
        let (_folder, mut run) = run();
        run.save_last(&checkpoint(1)).unwrap();
        let mut wrong = checkpoint(2);
        wrong.push("epoch", &[0], TensorData::U8(vec![]));
        assert!(run.save_last(&wrong).is_err());
        assert_eq!(epoch(&run.load_latest().unwrap().unwrap()), 1);
        run.save_best(&checkpoint(7)).unwrap();
        assert_eq!(Checkpoint::load_own(&run.best()).unwrap(), checkpoint(7));
    }

    #[test]
    fn metrics_are_cut_to_the_resumed_epoch() {
        let (_folder, run) = run();
        assert!(run.metrics().unwrap().is_empty());
        for epoch in 0..4 {
            run.append_metrics(&json!({"epoch": epoch, "loss": 0.1})).unwrap();
        }
        let path = run.path().join(METRICS);
        let mut half = fs::read(&path).unwrap();
        half.extend(b"{\"epoch\": 4, \"lo");
        fs::write(&path, half).unwrap();
        assert_eq!(run.metrics().unwrap().len(), 4);
        run.truncate_metrics(Some(1)).unwrap();
        run.append_metrics(&json!({"epoch": 2})).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"epoch\":0,\"loss\":0.1}\n{\"epoch\":1,\"loss\":0.1}\n{\"epoch\":2}\n");
        run.truncate_metrics(None).unwrap();
        assert!(run.metrics().unwrap().is_empty());
        fs::write(&path, "{}\nnot json\n{}\n").unwrap();
        assert!(run.metrics().unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_follower_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::follow(folder.path());
        run.save_last(&checkpoint(1)).unwrap();
        run.save_best(&checkpoint(1)).unwrap();
        run.append_metrics(&json!({"epoch": 0})).unwrap();
        run.truncate_metrics(None).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = RunDir::create(Some(&file.join("run")), &Config::default()).unwrap_err();
        assert!(error.to_string().contains("file/run"), "{error}");
    }
}
