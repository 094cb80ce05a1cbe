//! `--record DIR`: the tape holds all that another implementation needs, and what it says is so.

#[path = "common/command.rs"]
mod command;

use command::evenkeel;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

fn events(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("tape.jsonl")).expect("a tape");
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

/// A slice's bytes of what a buffer holds.
fn range(slice: &Value) -> (u64, std::ops::Range<usize>) {
    let number = |name: &str| slice[name].as_u64().expect("a number");
    let (start, words) = (number("start") as usize * 4, number("words") as usize * 4);
    (number("buffer"), start..start + words)
}

#[test]
fn a_tape_replayed_by_what_launches_left_gives_what_was_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("tape");
    let path = dir.to_str().expect("a path");
    evenkeel(&["check", "--op", "shortcut_a", "--record", path]).fine();
    let data = std::fs::read(dir.join("data.bin")).expect("the data");
    let at = |at: &Value, bytes: usize| {
        let at = at.as_u64().expect("an offset") as usize;
        &data[at..at + bytes]
    };
    // What a buffer holds, where that is known: a launch like one before it doesn't tell what it leaves.
    let mut buffers: HashMap<u64, Option<Vec<u8>>> = HashMap::new();
    let (mut launched, mut read, mut texts) = (0, 0, 0);
    for event in events(&dir) {
        if let Some(id) = event["alloc"].as_u64() {
            let size = event["bytes"].as_u64().expect("a size") as usize;
            buffers.insert(id, Some(vec![0; size]));
        } else if let Some(id) = event["free"].as_u64() {
            assert!(buffers.remove(&id).is_some(), "{event}");
        } else if event["shader"].is_u64() {
            let text = std::fs::read_to_string(dir.join(format!("{}.wgsl", event["shader"])));
            let text = text.expect("a text");
            assert!(text.contains(&format!("fn {}(", event["entry"].as_str().expect("a name"))));
            texts += 1;
        } else if event["write"].is_object() {
            let (id, range) = range(&event["write"]);
            if let Some(buffer) = buffers.get_mut(&id).expect("a buffer") {
                let bytes = at(&event["at"], range.len());
                buffer[range].copy_from_slice(bytes);
            }
        } else if event["launch"].is_u64() {
            for (i, arg) in event["args"].as_array().expect("arguments").iter().enumerate() {
                let (id, range) = range(&arg["slice"]);
                let held = buffers.get_mut(&id).expect("a buffer");
                let writes = arg["kind"] == "write";
                if event["before"].is_null() {
                    if writes {
                        *held = None;
                    }
                    continue;
                }
                let Some(buffer) = held else { continue };
                assert_eq!(&buffer[range.clone()], at(&event["before"][i], range.len()), "{event}");
                if writes {
                    let after = at(&event["after"][i], range.len());
                    buffer[range].copy_from_slice(after);
                }
            }
            launched += 1;
        } else if event["read"].is_object() {
            let (id, range) = range(&event["read"]);
            if let Some(buffer) = buffers.get(&id).expect("a buffer") {
                assert_eq!(&buffer[range.clone()], at(&event["at"], range.len()), "{event}");
                read += 1;
            }
        } else {
            panic!("an event that the page doesn't tell: {event}");
        }
    }
    assert!(launched > 10 && read > 10 && texts > 5, "{launched} {read} {texts}");

    // A second recording doesn't go over the first.
    let again = evenkeel(&["check", "--op", "relu", "--record", path]);
    again.failed(1, &["tape.jsonl", "cannot create"]);
}
