//! `GET /streams/{name}`: one stream with its groups, their consumers, and its entries.

use axum::extract::State;
use http::Uri;

use super::html;
use super::look::Look;
use super::streams::{added_per_s, figures, id_at, redis_cli};
use crate::appliance::streams::{
    ConsumerView, EntriesAsked, EntryBody, EntryView, GROUPS_MAX, GroupView, Part, StreamView,
};
use crate::base::time::Time;
use crate::front::dashboard::names::{of_path, shown, stream_href, untorn};
use crate::front::dashboard::parts::{Badge, Pager, RunLink, When};
use crate::front::dashboard::streams::{
    ConsumerRow, EntryRow, EntryRun, FieldRow, GroupRow, StreamPage,
};
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::state::Front;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{KeyName, NAME_BYTES_MAX, StreamId};

/// Entries of a page.
const ENTRIES: usize = 50;

/// Which part of the stream a page shows.
struct View {
    oldest_first: bool,
    from: Option<StreamId>,
}

impl View {
    fn read(mut query: Query) -> Result<View, Refusal> {
        let bad = |message: &str| Refusal::new(Code::InvalidQuery, message);
        let oldest_first = match query.text("order").as_deref() {
            None | Some("newest") => false,
            Some("oldest") => true,
            Some(_) => return Err(bad("`order`: expected `newest` or `oldest`")),
        };
        let from = query.text("from");
        let from = from.map(|text| read_id(&text).ok_or_else(|| bad("`from`: expected an id")));
        let view = View { oldest_first, from: from.transpose()? };
        query.end()?;
        Ok(view)
    }

    fn href(&self, path: &str, from: Option<StreamId>) -> String {
        let order = if self.oldest_first { "oldest" } else { "" };
        let from = from.map_or(String::new(), |id| id.to_string());
        text::link(path, &[("order", order), ("from", &from)])
    }
}

fn read_id(text: &str) -> Option<StreamId> {
    let (ms, seq) = text.split_once('-')?;
    Some(StreamId::new(ms.parse().ok()?, seq.parse().ok()?))
}

pub async fn show(State(front): State<Front>, uri: Uri, query: Query) -> Answer {
    let view = View::read(query)?;
    let name = of_path(uri.path().strip_prefix("/streams/").unwrap_or_default());
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::new(Code::StreamNotFound, "no stream has a name this long").into());
    }
    Ok(html(200, &page(&front, &KeyName::new(0, name), &view)?))
}

fn page(front: &Front, name: &KeyName, view: &View) -> Result<StreamPage, Refusal> {
    let asked = EntriesAsked { newest_first: !view.oldest_first, from: view.from, limit: ENTRIES };
    let found = match front.appliance.stream(name, asked) {
        Err(refusal) if refusal.code == Code::WrongType => {
            let message = format!("`{}` is a key, but no stream", name.text());
            return Err(Refusal::new(Code::StreamNotFound, message));
        }
        found => found?,
    };
    let look = Look::take(front)?;
    let now = look.now;
    let (path, title) = (stream_href(&name.name), shown(&name.name));
    let mut shell = look.shell(front, &title, "/streams", view.href(&path, view.from));
    shell.live = view.from.is_none();
    let StreamView { stream, .. } = &found;
    Ok(StreamPage {
        shell,
        length: stream.length,
        runs: stream.runs,
        added: stream.added,
        added_per_s: added_per_s(front, stream.number, now),
        first_id: stream.first().map_or(String::new(), |id| id.to_string()),
        first_at: stream.first().map_or(When::default(), |id| id_at(id, now)),
        last_id: stream.last.to_string(),
        last_at: id_at(stream.last, now),
        max_deleted: match stream.max_deleted {
            StreamId::MIN => String::new(),
            id => id.to_string(),
        },
        expires: When::maybe(found.expires_at, now),
        groups: found.groups.iter().map(|group| group_row(group, now)).collect(),
        groups_more: stream.groups as usize > GROUPS_MAX,
        entries: found.entries.iter().map(|entry| entry_row(entry, now)).collect(),
        oldest_first: view.oldest_first,
        pager: Pager {
            newest: view.from.map(|_| view.href(&path, None)),
            older: found.next.map(|next| view.href(&path, Some(next))),
            partial: None,
        },
        group_command: group_command(front, name),
        name: title,
        href: path,
    })
}

/// Only for names that a shell takes as they are shown.
fn group_command(front: &Front, name: &KeyName) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:@%+".contains(byte);
    let stream = match name.name.iter().all(plain) {
        true => name.text(),
        false => "STREAM".to_owned(),
    };
    format!("{} XGROUP CREATE {stream} workers 0", redis_cli(front))
}

fn group_row(view: &GroupView, now: Time) -> GroupRow {
    let group = &view.line.group;
    GroupRow {
        figures: figures(&view.line, now),
        position: group.last.to_string(),
        position_at: id_at(group.last, now),
        read: group.entries_read,
        consumer_count: u64::from(group.consumers),
        consumers: view.consumers.iter().map(|consumer| consumer_row(consumer, now)).collect(),
    }
}

fn consumer_row(view: &ConsumerView, now: Time) -> ConsumerRow {
    ConsumerRow {
        name: shown(&view.name),
        connection: ConsumerRow::connection(view.connected),
        pending: view.pending,
        seen: When::at(view.seen_at, now),
        active: When::maybe(view.active_at, now),
    }
}

fn entry_row(entry: &EntryView, now: Time) -> EntryRow {
    let row =
        EntryRow { id: entry.id.to_string(), at: id_at(entry.id, now), ..EntryRow::default() };
    match &entry.body {
        EntryBody::Run { id, of } => {
            let (task, state) = match of {
                Some((task, status)) => (task.clone(), Badge::run(status.as_str())),
                None => Default::default(),
            };
            EntryRow {
                run: Some(EntryRun { run: RunLink::to(id.to_string()), task, state }),
                ..row
            }
        }
        EntryBody::Fields { parts, left_out } => {
            EntryRow { fields: fields(parts), fields_more: *left_out as u64, ..row }
        }
    }
}

fn fields(parts: &[Part]) -> Vec<FieldRow> {
    let whole = |part: &Part| part.len == part.bytes.len();
    let beginning = |part: &Part| match whole(part) {
        true => shown(&part.bytes),
        false => shown(untorn(&part.bytes)),
    };
    parts
        .chunks(2)
        .map(|pair| FieldRow {
            name: beginning(&pair[0]),
            value: pair.get(1).map_or(String::new(), beginning),
            cut_from: pair.get(1).filter(|part| !whole(part)).map(|part| part.len as u64),
        })
        .collect()
}
