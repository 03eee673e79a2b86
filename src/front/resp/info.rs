//! INFO: what clients and their tools read of a server.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::door::Door;
use super::session::REDIS_VERSION;
use crate::model::stream::DATABASES;

/// The sections that were asked for; all of them unless some were named.
pub fn text(door: &Door, sections: &[Bytes]) -> String {
    let wanted = |name: &str| {
        sections.is_empty()
            || sections.iter().any(|section| {
                let section = section.to_ascii_lowercase();
                section == name.as_bytes()
                    || [&b"all"[..], b"default", b"everything"].contains(&&section[..])
            })
    };
    let mut out = String::new();
    for (name, section) in SECTIONS {
        if wanted(name) {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            section(door, &mut out);
        }
    }
    out
}

type Section = fn(&Door, &mut String);

const SECTIONS: &[(&str, Section)] = &[
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("persistence", persistence),
    ("stats", stats),
    ("replication", replication),
    ("cluster", cluster),
    ("keyspace", keyspace),
];

fn line(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = write!(out, "{name}:{value}\r\n");
}

fn server(door: &Door, out: &mut String) {
    let up = door.now().since(door.started_at).0 / 1_000;
    out.push_str("# Server\r\n");
    line(out, "redis_version", REDIS_VERSION);
    line(out, "redis_mode", "standalone");
    line(out, "tidegate_version", env!("CARGO_PKG_VERSION"));
    line(out, "os", std::env::consts::OS);
    line(out, "arch_bits", usize::BITS);
    line(out, "process_id", std::process::id());
    line(out, "run_id", &door.run_id);
    line(out, "tcp_port", door.port);
    line(out, "uptime_in_seconds", up);
    line(out, "uptime_in_days", up / 86_400);
}

fn clients(door: &Door, out: &mut String) {
    out.push_str("# Clients\r\n");
    line(out, "connected_clients", door.connected());
    line(out, "maxclients", door.settings.connections_max);
    let parked = door.appliance().map_or(0, |appliance| appliance.writer_figures().parked);
    line(out, "blocked_clients", parked);
}

fn memory(_: &Door, out: &mut String) {
    let used = crate::base::memory::resident_bytes().unwrap_or(0);
    out.push_str("# Memory\r\n");
    line(out, "used_memory", used);
    line(out, "used_memory_human", format!("{:.2}M", used as f64 / f64::from(1 << 20)));
    line(out, "used_memory_rss", used);
    line(out, "maxmemory", 0);
    line(out, "maxmemory_policy", "noeviction");
}

fn persistence(door: &Door, out: &mut String) {
    let read_only = door.appliance().is_some_and(|appliance| appliance.writer_figures().read_only);
    out.push_str("# Persistence\r\n");
    line(out, "loading", u8::from(door.appliance().is_none()));
    line(out, "rdb_changes_since_last_save", 0);
    line(out, "aof_enabled", 1);
    line(out, "aof_last_write_status", if read_only { "err" } else { "ok" });
}

fn stats(door: &Door, out: &mut String) {
    out.push_str("# Stats\r\n");
    line(out, "total_connections_received", door.taken());
    line(out, "total_commands_processed", door.requests.load(Ordering::Relaxed));
    line(out, "instantaneous_ops_per_sec", door.per_second());
    line(out, "evicted_keys", 0);
}

fn replication(_: &Door, out: &mut String) {
    out.push_str("# Replication\r\n");
    line(out, "role", "master");
    line(out, "connected_slaves", 0);
}

fn cluster(_: &Door, out: &mut String) {
    out.push_str("# Cluster\r\n");
    line(out, "cluster_enabled", 0);
}

fn keyspace(door: &Door, out: &mut String) {
    out.push_str("# Keyspace\r\n");
    for db in 0..DATABASES {
        let keys = door.appliance().and_then(|appliance| appliance.key_count(db).ok()).unwrap_or(0);
        if keys > 0 {
            line(out, &format!("db{db}"), format!("keys={keys},expires=0,avg_ttl=0"));
        }
    }
}
