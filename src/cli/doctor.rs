//! `tidegate doctor`: whether this machine is fit to run it, and what to do where it is not.
//!
//! Each question is asked by itself and answers `ok`, `warn` or `bad`; only the last one makes the
//! verb fail. Nothing is changed but a file of a few bytes that is written to time the disk, and
//! nothing is sent: agents and alert channels are only connected to.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::beside::Place;
use super::exit;
use super::running::Running;
use crate::appliance::backups::BackupSettings;
use crate::base::files::open_files_max;
use crate::base::time::{Clock, Stopwatch, SystemClock, Time};
use crate::config::settings::Settings;
use crate::store::backup::free_bytes;
use crate::work::alerts::channels;

/// Room below which the disk is soon full, and below which there is no room for the journal.
const ROOM_WARN: u64 = 1 << 30;
const ROOM_BAD: u64 = 32 << 20;
/// Open files and sockets below which connections are refused early.
const FILES_MIN: u64 = 4_096;
/// Times that the disk is synced; the middle one counts.
const SYNCS: usize = 15;
const SYNC_WARN: Duration = Duration::from_millis(20);
/// Before this the clock is certainly wrong: 2025-01-01.
const CLOCK_MIN: Time = Time(1_735_689_600_000);
/// Sections of the settings, as the environment would name them.
const SECTIONS: &[&str] =
    &["SERVER", "TLS", "STORE", "PUSH", "STREAMS", "BUFFER", "RETENTION", "ALERTS", "BACKUP"];
/// Variables that are named at most.
const NAMES_MAX: usize = 5;
/// Agents that are tried, and how long each may take.
const AGENTS_MAX: usize = 20;
const AGENT_TIMEOUT: Duration = Duration::from_secs(3);

/// Check this machine, the directory, the agents and the alert channels.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate doctor --config /etc/tidegate/tidegate.toml")]
pub struct Doctor {
    #[command(flatten)]
    place: Place,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Bad,
}

impl Grade {
    fn as_str(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Bad => "bad",
        }
    }
}

struct Finding {
    what: String,
    grade: Grade,
    said: String,
}

fn finding(what: impl Into<String>, grade: Grade, said: impl Into<String>) -> Finding {
    Finding { what: what.into(), grade, said: said.into() }
}

impl Doctor {
    pub fn run(self) -> i32 {
        let settings = match self.place.settings() {
            Ok(settings) => settings,
            Err(failure) => return failure.tell(self.json),
        };
        let running = Running::of(&settings.data_dir);
        let status = running.get("/v1/status").ok();
        let running = Some(running).filter(|_| status.is_some());
        // The one that runs has a limit of its own, most often that of its unit.
        let files_max = match &status {
            Some(status) => status["open_files_max"].as_u64(),
            None => open_files_max(),
        };
        let mut findings = vec![clock(SystemClock.now()), files(files_max)];
        findings.extend(environment(std::env::vars().map(|(name, _)| name)));
        findings.extend(directory(&settings.data_dir));
        findings.extend(doors(&settings, running.as_ref()));
        findings.extend(agents(&settings, running.as_ref()));
        findings.extend(channels(&settings.alerts.channels));
        findings.push(backups(&settings.backup));
        let is_bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
        if self.json {
            let told: Vec<_> = findings
                .iter()
                .map(|f| json!({ "check": f.what, "result": f.grade.as_str(), "message": f.said }))
                .collect();
            say!("{}", json!({ "ok": !is_bad, "checks": told }));
        } else {
            for Finding { what, grade, said } in &findings {
                say!("{:<5} {what:<16} {said}", grade.as_str());
            }
        }
        if is_bad { exit::FAILED } else { exit::DONE }
    }
}

fn clock(now: Time) -> Finding {
    match now < CLOCK_MIN {
        true => finding("clock", Grade::Bad, format!("it says {}: set it", now.to_rfc3339())),
        false => finding("clock", Grade::Ok, now.to_rfc3339()),
    }
}

fn files(most: Option<u64>) -> Finding {
    match most {
        Some(most) if most < FILES_MIN => {
            let said = format!("{most} open files at most: raise `LimitNOFILE` to 65536");
            finding("open files", Grade::Warn, said)
        }
        Some(most) => finding("open files", Grade::Ok, format!("{most} at most")),
        None => finding("open files", Grade::Ok, "no limit"),
    }
}

/// Variables that were meant as settings and are none.
fn environment(names: impl Iterator<Item = String>) -> Option<Finding> {
    let is_meant = |name: &String| {
        SECTIONS.iter().any(|section| name.starts_with(&format!("TIDEGATE_{section}_")))
            && !name.contains("__")
    };
    let meant: Vec<String> = names.filter(is_meant).take(NAMES_MAX).collect();
    let first = meant.first()?;
    let key = first.strip_prefix("TIDEGATE_")?.replacen('_', "__", 1);
    let said = format!(
        "`{}` is not read: two underscores end the section, as in `TIDEGATE_{key}`",
        meant.join("`, `")
    );
    Some(finding("environment", Grade::Warn, said))
}

fn directory(dir: &Path) -> Vec<Finding> {
    let there = dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let mut findings = vec![permissions(dir), file_system(there), room(there)];
    findings.push(sync_time(there));
    findings
}

fn permissions(dir: &Path) -> Finding {
    let about = match fs::metadata(dir) {
        Ok(about) => about,
        Err(error) => {
            let said = format!("`{}` is not there yet: {error}", dir.display());
            return finding("directory", Grade::Warn, said);
        }
    };
    let (mode, owner) = (about.mode() & 0o777, about.uid());
    let mine = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 {
        let said = format!("`{}` has mode {mode:o}: others can look in; chmod 700", dir.display());
        finding("directory", Grade::Warn, said)
    } else if mine == 0 && owner != 0 {
        // What root makes there is handed over.
        let said = format!("{}, of user {owner}", dir.display());
        finding("directory", Grade::Ok, said)
    } else if owner != mine {
        let said = format!("`{}` belongs to user {owner}, this is user {mine}", dir.display());
        finding("directory", Grade::Warn, said)
    } else {
        finding("directory", Grade::Ok, dir.display().to_string())
    }
}

/// By the numbers that the kernel gives to kinds of file systems.
fn file_system(dir: &Path) -> Finding {
    let kind = match rustix::fs::statfs(dir) {
        Ok(about) => about.f_type as u32,
        Err(error) => return finding("file system", Grade::Bad, error.to_string()),
    };
    let network = match kind {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x00c3_6400 => Some("Ceph"),
        0x0102_1997 => Some("9p"),
        0x6573_5546 => Some("FUSE, which may be a network"),
        _ => None,
    };
    match network {
        Some(name) => {
            let said =
                format!("{name}: locks and syncs there cannot be relied on; use a local disk");
            finding("file system", Grade::Bad, said)
        }
        None if kind == 0x0102_1994 => {
            finding("file system", Grade::Warn, "memory: nothing is left after a restart")
        }
        None => finding("file system", Grade::Ok, "local"),
    }
}

fn room(dir: &Path) -> Finding {
    let mib = |bytes: u64| bytes >> 20;
    match free_bytes(dir) {
        Err(error) => finding("room", Grade::Bad, error.to_string()),
        Ok(free) if free < ROOM_BAD => {
            finding("room", Grade::Bad, format!("{} MiB are free: make room", mib(free)))
        }
        Ok(free) if free < ROOM_WARN => {
            finding("room", Grade::Warn, format!("{} MiB are free", mib(free)))
        }
        Ok(free) => finding("room", Grade::Ok, format!("{} MiB are free", mib(free))),
    }
}

/// How long one commit waits for this disk at least.
fn sync_time(dir: &Path) -> Finding {
    let path = dir.join(format!("tidegate-doctor-{}.tmp", std::process::id()));
    let measure = || -> std::io::Result<Duration> {
        let mut file = File::create(&path)?;
        let mut times = Vec::new();
        for _ in 0..SYNCS {
            let watch = Stopwatch::start();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            times.push(watch.elapsed());
        }
        times.sort();
        Ok(times[SYNCS / 2])
    };
    let measured = measure();
    let _ = fs::remove_file(&path);
    match measured {
        Err(error) => finding("sync", Grade::Bad, format!("cannot write: {error}")),
        Ok(time) if time > SYNC_WARN => {
            finding("sync", Grade::Warn, format!("{time:.1?}: every commit waits so long"))
        }
        Ok(time) => finding("sync", Grade::Ok, format!("{time:.1?}")),
    }
}

fn doors(settings: &Settings, running: Option<&Running>) -> Vec<Finding> {
    let door = |what: &str, address: SocketAddr| match (running, TcpListener::bind(address)) {
        (Some(_), _) => finding(what, Grade::Ok, "the appliance is running"),
        (None, Ok(_)) => finding(what, Grade::Ok, format!("{address} is free")),
        (None, Err(error)) => {
            finding(what, Grade::Bad, format!("{address} cannot be bound: {error}"))
        }
    };
    vec![door("http", settings.http), door("redis", settings.redis)]
}

/// Agents of the configuration, and of the appliance if it runs.
fn agents(settings: &Settings, running: Option<&Running>) -> Vec<Finding> {
    let of_file = settings.tasks.iter().filter_map(|task| task.push());
    let mut urls: Vec<String> = of_file.map(|push| push.url.clone()).collect();
    if let Some(Ok(page)) = running.map(|running| running.get("/v1/tasks")) {
        let tasks = page["tasks"].as_array().into_iter().flatten();
        let found = tasks.filter_map(|task| task.pointer("/delivery/push/url")?.as_str());
        urls.extend(found.map(str::to_owned));
    }
    let mut hosts: Vec<(String, u16)> = urls.iter().filter_map(|url| host_of(url)).collect();
    hosts.sort();
    hosts.dedup();
    hosts.into_iter().take(AGENTS_MAX).map(|(host, port)| reach("agent", &host, port)).collect()
}

fn host_of(url: &str) -> Option<(String, u16)> {
    let url = url::Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// The ways to people that are configured. Of their URLs only the host is told.
fn channels(settings: &channels::Settings) -> Vec<Finding> {
    let slack = settings.slack.as_ref().and_then(|url| host_of(url.reveal()));
    let webhook = settings.webhook.as_ref().and_then(|webhook| host_of(webhook.url.reveal()));
    let mail = settings.mail.as_ref().map(|mail| (mail.host.clone(), mail.port));
    let ways = [("slack", slack), ("mail", mail), ("webhook", webhook)];
    let found: Vec<Finding> = ways
        .into_iter()
        .filter_map(|(what, way)| way.map(|(host, port)| reach(what, &host, port)))
        .collect();
    match found.is_empty() {
        true => vec![finding("alerts", Grade::Warn, "nobody is told: `[alerts]` has no channel")],
        false => found,
    }
}

/// Whether backups are made by themselves, and have room.
fn backups(settings: &BackupSettings) -> Finding {
    let Some(every) = settings.every else {
        let said = "none is made by itself: set `backup.every`, for example to `24h`";
        return finding("backups", Grade::Warn, said);
    };
    let dir = &settings.dir;
    let there = dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let found = room(there);
    let said = format!("every {every} into `{}`: {}", dir.display(), found.said);
    finding("backups", found.grade, said)
}

fn reach(what: &str, host: &str, port: u16) -> Finding {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let reached = (name, port).to_socket_addrs().and_then(|mut found| {
        let address = found.next().ok_or_else(|| std::io::Error::other("it has no address"))?;
        TcpStream::connect_timeout(&address, AGENT_TIMEOUT).map(|_| address)
    });
    match reached {
        Ok(address) => finding(what, Grade::Ok, format!("{host}:{port} answers at {address}")),
        Err(error) => finding(what, Grade::Warn, format!("{host}:{port} is not reached: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hidden::Hidden;

    #[test]
    fn clock_of_another_age_is_bad() {
        assert_eq!(clock(Time::ZERO).grade, Grade::Bad);
        assert_eq!(clock(SystemClock.now()).grade, Grade::Ok);
    }

    #[test]
    fn few_open_files_are_told() {
        for (most, grade) in
            [(Some(1_024), Grade::Warn), (Some(65_536), Grade::Ok), (None, Grade::Ok)]
        {
            assert_eq!(files(most).grade, grade, "{most:?}");
        }
    }

    #[test]
    fn variables_with_one_underscore_are_told() {
        let of = |names: &[&str]| environment(names.iter().map(|name| (*name).to_owned()));
        assert!(of(&["TIDEGATE_SERVER__HTTP", "TIDEGATE_LOG", "TIDEGATE_PORT", "PATH"]).is_none());
        let found = of(&["TIDEGATE_SERVER_DATA_DIR"]).unwrap();
        assert!(found.said.contains("TIDEGATE_SERVER__DATA_DIR"), "{}", found.said);
    }

    #[test]
    fn directory_that_others_read_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (mode, grade) in [(0o700, Grade::Ok), (0o755, Grade::Warn)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(permissions(dir.path()).grade, grade);
        }
        assert_eq!(permissions(&dir.path().join("absent")).grade, Grade::Warn);
        assert_eq!(sync_time(&dir.path().join("absent")).grade, Grade::Bad);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_listens_is_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(reach("agent", "127.0.0.1", port).grade, Grade::Ok);
        drop(listener);
        assert_eq!(reach("agent", "127.0.0.1", port).grade, Grade::Warn);
    }

    #[test]
    fn channels_are_tried_and_their_secrets_are_not_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = channels::Settings {
            slack: Some(Hidden::new(format!("http://{address}/T0/secret"))),
            ..channels::Settings::default()
        };
        let found = channels(&settings);
        assert_eq!((found.len(), found[0].grade), (1, Grade::Ok), "{}", found[0].said);
        assert!(found[0].said.contains(&address.to_string()) && !found[0].said.contains("secret"));
        assert_eq!(channels(&channels::Settings::default())[0].grade, Grade::Warn);
        let mut accepted = listener.accept().unwrap().0;
        let mut sent = Vec::new();
        std::io::Read::read_to_end(&mut accepted, &mut sent).unwrap();
        assert_eq!(sent, b"", "nothing is sent");
    }
}
