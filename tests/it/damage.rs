//! Bits that turn and ends that are cut, at many places of the files of a store and of a backup.
//!
//! What every case must keep: it is told with its own exit code and the name of what is damaged, or
//! nothing that was acknowledged is missing; never in the words of a panic. One thing no checksum can
//! tell: whether the last record of the journal was torn by a power cut (and so never acknowledged) or
//! was damaged later. So damage that reaches into that one may lose what it held.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tidegate::base::entropy::Entropy;
use tidegate::cli::exit;

use crate::process::Process;
use crate::world::{Client, id_of};

/// Damages of each file; more with `TIDEGATE_DAMAGES`.
const DAMAGES: usize = 24;
const FILES: [&str; 2] = ["tidegate.redb", "tidegate.journal"];

fn damages() -> usize {
    let more = std::env::var("TIDEGATE_DAMAGES").ok().and_then(|text| text.parse().ok());
    more.unwrap_or(DAMAGES)
}

/// A store as a kill left it, a backup of it, and the runs that were acknowledged.
struct Left {
    dir: tempfile::TempDir,
    files: [Vec<u8>; 2],
    backup: PathBuf,
    ids: Vec<String>,
    /// Rows of each table.
    tables: Value,
}

async fn left() -> Left {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let process = tokio::task::block_in_place(|| Process::start(&data)).expect("it starts");
    let client = Client::new(process.url.clone());
    let task = json!({ "delivery": { "pull": { "stream": "s" } } });
    client.put("/v1/tasks/p", task).await.is(201);
    let mut noise = Entropy::from_seed(7);
    let mut ids = Vec::new();
    let mut fill = async |ids: &mut Vec<String>| {
        for _ in 0..60 {
            let body = json!({ "task": "p", "payload": noise.hex(4_000) });
            ids.push(id_of(&client.create(body).await));
        }
    };
    fill(&mut ids).await;
    client.post("/v1/admin/backup", json!({ "name": "b" })).await.is(202);
    let made = client.until("/v1/admin/backups", |page| page["backups"][0]["state"] == "done");
    let made = made.await["backups"][0].clone();
    let backup = PathBuf::from(made["path"].as_str().expect("a path"));
    fill(&mut ids).await;
    process.kill();
    let files = FILES.map(|name| std::fs::read(data.join(name)).unwrap());
    let kept = dir.path().join("b.tidegate");
    std::fs::rename(backup, &kept).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    let mut left = Left { dir, files, backup: kept, ids, tables: Value::Null };
    let (code, told, said) = verify(&left.lay([0, 1].map(|file| left.files[file].as_slice())));
    assert_eq!(code, exit::DONE, "{said}");
    left.tables = told["tables"].clone();
    left
}

impl Left {
    /// A directory with these files and no others.
    fn lay(&self, files: [&[u8]; 2]) -> PathBuf {
        let data = self.dir.path().join("data");
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir(&data).unwrap();
        for (name, bytes) in FILES.iter().zip(files) {
            std::fs::write(data.join(name), bytes).unwrap();
        }
        data
    }

    fn lay_damaged(&self, file: usize, bytes: &[u8]) -> PathBuf {
        let mut files = [0, 1].map(|file| self.files[file].as_slice());
        files[file] = bytes;
        self.lay(files)
    }
}

/// A copy with one kind of damage.
struct Damaged {
    bytes: Vec<u8>,
    /// What was done, for messages.
    how: String,
    /// It reached into the last record of a journal.
    of_last: bool,
}

/// With any damage but one: a journal that ends at a step of its growth is no shorter than others.
fn damaged(whole: &[u8], chance: &mut Entropy) -> Damaged {
    let mut bytes = whole.to_vec();
    let mut place = chance.below(bytes.len() as u64) as usize;
    let (end, how) = match chance.below(8) {
        0 => {
            bytes.truncate(place);
            (place, format!("cut at {place}"))
        }
        1 => {
            let end = (place + 512).min(bytes.len());
            bytes[place..end].fill(0);
            (end, format!("512 zeros at {place}"))
        }
        _ => {
            // Where something stands: most of both files is room.
            while bytes[place] == 0 {
                place = chance.below(bytes.len() as u64) as usize;
            }
            let bit = chance.below(8);
            bytes[place] ^= 1 << bit;
            (place + 1, format!("bit {bit} of {place} turned"))
        }
    };
    let of_last = last_record(whole).is_some_and(|last| place < last.end && end > last.start);
    Damaged { bytes, how, of_last }
}

/// Where the record of the highest sequence lies; see `store::journal` for its form.
fn last_record(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let number = |at: usize, length: usize| {
        let bytes = bytes.get(at..at + length).unwrap_or_default();
        bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let marks = bytes.windows(4).enumerate().filter(|(_, window)| window == b"tgj:");
    let last = marks.map(|(at, _)| at).max_by_key(|at| number(at + 8, 8))?;
    Some(last..last + 20 + number(last + 4, 4) as usize)
}

/// `tidegate verify`: exit code, what it told, what it said besides.
fn verify(what: &Path) -> (i32, Value, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["verify", "--json"])
        .arg(what)
        .env("TIDEGATE_LOG", "warn")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let told = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code().unwrap_or(-1), told, said)
}

fn assert_no_panic(how: &str, said: &str) {
    for word in ["panicked", "RUST_BACKTRACE", "src/"] {
        assert!(!said.contains(word), "{how}: {said}");
    }
}

/// Told as damage, or nothing is missing.
fn assert_honest(name: &str, damaged: &Damaged, what: &Path, whole: &Value) {
    let how = format!("{name}: {}", damaged.how);
    let (code, told, said) = verify(what);
    assert_no_panic(&how, &said);
    match code {
        exit::DONE if damaged.of_last => {}
        exit::DONE => assert_eq!(&told["tables"], whole, "{how}: rows are missing"),
        exit::VERIFICATION_FAILED => {
            let what = what.display().to_string();
            let named = said.contains(&what) || told["path"] == what.as_str();
            assert!(named && told["ok"] == false, "{how}: {said}");
        }
        // A format number of the future, or a file that is no store at all, are told as that.
        exit::NEWER_DATA => {}
        other => panic!("{how}: exit code {other}: {said}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_a_store_is_told_or_harmless() {
    let left = left().await;
    let mut chance = Entropy::from_seed(11);
    for (file, name) in FILES.iter().enumerate() {
        for _ in 0..damages() {
            let damaged = damaged(&left.files[file], &mut chance);
            let data = left.lay_damaged(file, &damaged.bytes);
            assert_honest(name, &damaged, &data, &left.tables);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_a_backup_is_told() {
    let left = left().await;
    let whole = std::fs::read(&left.backup).unwrap();
    let (code, told, said) = verify(&left.backup);
    assert_eq!(code, exit::DONE, "{said}");
    let mut chance = Entropy::from_seed(12);
    for _ in 0..2 * damages() {
        let damaged = damaged(&whole, &mut chance);
        std::fs::write(&left.backup, &damaged.bytes).unwrap();
        assert_honest("the backup", &damaged, &left.backup, &told["tables"]);
        let what = damaged.how;
        // Nothing of it is taken over either.
        let into = left.dir.path().join("restored");
        let done = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("restore")
            .arg(&left.backup)
            .arg("--data-dir")
            .arg(&into)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_no_panic(&what, &said);
        let code = done.status.code();
        assert_eq!(code, Some(exit::VERIFICATION_FAILED), "{what}: {said}");
        assert!(said.contains(&left.backup.display().to_string()), "{what}: {said}");
        assert!(!into.join(FILES[0]).exists(), "{what}");
    }
}

/// The start looks at less than `verify` does; whatever it finds later is told as well.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_store_is_refused_or_serves_what_it_has() {
    let left = left().await;
    let mut chance = Entropy::from_seed(13);
    for round in 0..damages() {
        let file = round % FILES.len();
        let Damaged { bytes, how, of_last } = damaged(&left.files[file], &mut chance);
        let what = format!("{}: {how}", FILES[file]);
        let is_whole = verify(&left.lay_damaged(file, &bytes)).0 == exit::DONE && !of_last;
        let data = left.lay_damaged(file, &bytes);
        match tokio::task::block_in_place(|| Process::start(&data)) {
            Err((code, said)) => {
                assert_no_panic(&what, &said);
                let codes = [exit::VERIFICATION_FAILED, exit::NEWER_DATA, exit::STORE_FAULT];
                assert!(codes.contains(&code), "{what}: {code}: {said}");
                assert!(said.contains("data`"), "{what}: {said}");
                assert!(!is_whole, "{what}: {said}");
            }
            Ok(process) => {
                let client = Client::new(process.url.clone());
                for id in &left.ids {
                    let Ok(answer) = client.call("GET", &format!("/v1/runs/{id}")).try_send().await
                    else {
                        break;
                    };
                    let fine = answer.status == 200 || !is_whole && answer.status == 500;
                    assert!(fine, "{what}: {answer:?}");
                }
                let code = tokio::task::block_in_place(|| {
                    let lines = process.logged("panicked");
                    assert_eq!(lines, 0, "{what}");
                    process.terminate()
                });
                assert!(
                    code == exit::DONE || !is_whole && code == exit::STORE_FAULT,
                    "{what}: {code}"
                );
            }
        }
    }
}
