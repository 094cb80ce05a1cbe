//! TensorBoard event files: (tag, step, value) → protobuf message → framed record.
//!
//! A record is: length (u64), masked CRC-32C of the length, the message, masked CRC-32C of the
//! message; all little-endian. The messages are the few fields of TensorFlow's `event.proto` and
//! `summary.proto` that scalars need. Every start of a run writes a file of its own, and
//! TensorBoard reads a folder's files as one.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::error::{Error, Result};

/// `tensorflow.Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

/// The content of an [`Event`].
#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    // Optional, so that a value of zero is written too.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// `tensorflow.SessionLog`.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionLog.SessionStatus.START`.
const SESSION_START: i32 = 1;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    /// None for a process whose events another one writes.
    file: Option<BufWriter<File>>,
}

impl EventWriter {
    /// Starts `events.out.tfevents.<seconds>.<host>` in `folder`. With `resumed_at`, TensorBoard
    /// drops what earlier files say about that step and later ones.
    ///
    /// # Errors
    /// A file that cannot be created.
    pub fn create(folder: &Path, resumed_at: Option<u64>) -> Result<Self> {
        let host = host();
        let mut seconds = now().as_secs();
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.{host}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, BufWriter::new(file)),
                // A second start within one second: the next name sorts after the first.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => seconds += 1,
                Err(e) => return Err(Error::io("create", &path, e)),
            }
        };
        let mut writer = Self { path, file: Some(file) };
        writer.event(0, What::FileVersion("brain.Event:2".into()))?;
        if let Some(step) = resumed_at {
            writer.event(step, What::SessionLog(SessionLog { status: SESSION_START }))?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Writes nothing, where another process writes the events of the run.
    pub fn silent() -> Self {
        Self { path: PathBuf::new(), file: None }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the value of `tag` (such as `train/loss`) at `step`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.scalars(step, &[(tag, value)])
    }

    /// Adds the values of several tags at `step`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let value = |&(tag, value): &(&str, f64)| Value {
            tag: tag.to_string(),
            simple_value: Some(value as f32),
        };
        self.event(step, What::Summary(Summary { value: values.iter().map(value).collect() }))
    }

    /// Hands everything to the system, so that TensorBoard sees it; called once per epoch.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().map_err(|e| Error::io("write", &self.path, e))
    }

    fn event(&mut self, step: u64, what: What) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let event = Event { wall_time: now().as_secs_f64(), step, what: Some(what) };
        let record = record(&event.encode_to_vec());
        file.write_all(&record).map_err(|e| Error::io("write", &self.path, e))
    }
}

/// The frame of one message.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let checks = [masked_crc(&length).to_le_bytes(), masked_crc(message).to_le_bytes()];
    [&length, &checks[0][..], message, &checks[1]].concat()
}

/// CRC-32C, rotated and shifted, so that a CRC over data that holds CRCs stays a good check.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// This machine's name, in characters that any file system takes.
fn host() -> String {
    let from_env = ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = from_env.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let name = name.unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
    let name: String = name.trim().chars().filter(plain).take(64).collect();
    if name.is_empty() { "localhost".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file back, checking each frame.
    fn events(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let message = &rest[12..12 + length];
            assert_eq!(rest[..16 + length], record(message)[..]);
            events.push(Event::decode(message).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    #[test]
    fn crc_of_a_known_string() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(
            masked_crc(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn scalars_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), None).unwrap();
        writer.scalar("train/loss", 3, 0.5).unwrap();
        writer.scalars(4, &[("zero", 0.0), ("ü", f64::NAN)]).unwrap();
        writer.flush().unwrap();
        let events = events(writer.path());
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
        let loss = Value { tag: "train/loss".into(), simple_value: Some(0.5) };
        assert_eq!(
            (events[1].step, &events[1].what),
            (3, &Some(What::Summary(Summary { value: vec![loss] })))
        );
        let Some(What::Summary(two)) = &events[2].what else { panic!("no summary") };
        assert_eq!((two.value[0].simple_value, two.value[1].tag.as_str()), (Some(0.0), "ü"));
        assert!(two.value[1].simple_value.unwrap().is_nan());
    }

    #[test]
    fn each_start_has_its_own_file_and_a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path(), None).unwrap();
        let second = EventWriter::create(folder.path(), Some(7)).unwrap();
        assert!(first.path() < second.path());
        assert_eq!(events(second.path())[1].step, 7);
        let error = EventWriter::create(Path::new("/no/such"), None).unwrap_err();
        assert!(error.to_string().contains("/no/such/events.out.tfevents."), "{error}");
    }
}
