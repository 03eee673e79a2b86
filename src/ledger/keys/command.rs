//! What a client of the Redis protocol may ask of keys, strings and streams, and the answers:
//! plain values, already valid. How they look on a wire is the door's to say.

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::model::stream::{
    Entry, Fields, Group, GroupStart, KeyName, NewId, Start, Stream, StreamId,
};

/// Cuts a stream at its old end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub by: TrimBy,
    /// `~`: may leave some more than asked for.
    pub roughly: bool,
    /// At most this many entries are looked at; only with `roughly`.
    pub limit: Option<u64>,
    pub refs: Refs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimBy {
    /// Keep this many.
    Length(u64),
    /// Keep what is not below this id.
    MinId(StreamId),
}

/// What happens to the pending rows of an entry that is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refs {
    /// They stay.
    #[default]
    Keep,
    /// They go, in every group.
    Delete,
    /// The entry is deleted only when every group has read and acknowledged it.
    Acked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    pub key: KeyName,
    /// Without it nothing is added to a stream that is not there.
    pub create: bool,
    pub trim: Option<Trim>,
    pub id: NewId,
    pub fields: Fields,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadGroup {
    pub group: Bytes,
    pub consumer: Bytes,
    pub keys: Vec<(KeyName, GroupStart)>,
    /// For each key.
    pub count: Option<u64>,
    /// Delivered is acknowledged.
    pub no_ack: bool,
    /// Takes over pending entries that are idle for this long before it takes new ones.
    pub claim: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub key: KeyName,
    pub group: Bytes,
    pub consumer: Bytes,
    pub min_idle: Span,
    pub ids: Vec<StreamId>,
    /// What the delivery time becomes; now unless set.
    pub delivered_at: Option<Time>,
    pub deliveries: Option<u64>,
    /// Also ids that are not pending, if their entries are there.
    pub force: bool,
    /// Answers ids, and counts no delivery.
    pub just_ids: bool,
    pub last_id: Option<StreamId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoClaim {
    pub key: KeyName,
    pub group: Bytes,
    pub consumer: Bytes,
    pub min_idle: Span,
    pub start: StreamId,
    pub count: u64,
    pub just_ids: bool,
}

/// Pending entries one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRange {
    pub key: KeyName,
    pub group: Bytes,
    pub min_idle: Span,
    pub from: StreamId,
    pub to: StreamId,
    pub count: u64,
    pub consumer: Option<Bytes>,
}

/// When a SET is done at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetIf {
    #[default]
    Always,
    Exists,
    Missing,
}

/// What a write does to the expiry of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    #[default]
    None,
    Keep,
    At(Time),
}

/// When an EXPIRE is done at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireIf {
    /// Only when there is no expiry.
    pub none: bool,
    /// Only when there is one.
    pub some: bool,
    /// Only when the new one is later; no expiry counts as for ever.
    pub later: bool,
    /// Only when the new one is earlier.
    pub earlier: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Add(Add),
    Delete {
        key: KeyName,
        ids: Vec<StreamId>,
    },
    /// XDELEX.
    DeleteWith {
        key: KeyName,
        refs: Refs,
        ids: Vec<StreamId>,
    },
    Length {
        key: KeyName,
    },
    Range {
        key: KeyName,
        from: StreamId,
        to: StreamId,
        newest_first: bool,
        count: Option<u64>,
    },
    Trim {
        key: KeyName,
        trim: Trim,
    },
    SetId {
        key: KeyName,
        last: StreamId,
        added: Option<u64>,
        max_deleted: Option<StreamId>,
    },
    Read {
        keys: Vec<(KeyName, Start)>,
        count: Option<u64>,
    },
    ReadGroup(ReadGroup),
    Ack {
        key: KeyName,
        group: Bytes,
        ids: Vec<StreamId>,
    },
    /// XACKDEL.
    AckDelete {
        key: KeyName,
        group: Bytes,
        refs: Refs,
        ids: Vec<StreamId>,
    },
    /// Gives entries back before they are done: delivered again after `delay`.
    Nack {
        key: KeyName,
        group: Bytes,
        ids: Vec<StreamId>,
        delay: Span,
    },
    Claim(Claim),
    AutoClaim(AutoClaim),
    PendingSummary {
        key: KeyName,
        group: Bytes,
    },
    PendingRange(PendingRange),
    GroupCreate {
        key: KeyName,
        group: Bytes,
        start: Start,
        create_stream: bool,
        entries_read: Option<u64>,
    },
    GroupSetId {
        key: KeyName,
        group: Bytes,
        start: Start,
        entries_read: Option<u64>,
    },
    GroupDestroy {
        key: KeyName,
        group: Bytes,
    },
    ConsumerCreate {
        key: KeyName,
        group: Bytes,
        consumer: Bytes,
    },
    ConsumerDelete {
        key: KeyName,
        group: Bytes,
        consumer: Bytes,
    },
    /// Whether each of the streams is there and has the group.
    HasGroup {
        keys: Vec<KeyName>,
        group: Bytes,
    },
    StreamInfo {
        key: KeyName,
    },
    /// `count` 0 means all.
    StreamFull {
        key: KeyName,
        count: u64,
    },
    GroupsInfo {
        key: KeyName,
    },
    ConsumersInfo {
        key: KeyName,
        group: Bytes,
    },

    Remove {
        keys: Vec<KeyName>,
    },
    Exists {
        keys: Vec<KeyName>,
    },
    Type {
        key: KeyName,
    },
    /// `at` in the past removes the key.
    Expire {
        key: KeyName,
        at: Time,
        when: ExpireIf,
    },
    Persist {
        key: KeyName,
    },
    /// Answers when the key expires.
    Expires {
        key: KeyName,
    },
    /// Keys in order of creation, those numbered above `after`, looking at `count` of them.
    Scan {
        db: u8,
        after: u64,
        count: u64,
    },
    /// Every key that fits a pattern.
    Keys {
        db: u8,
        pattern: Bytes,
    },
    Rename {
        from: KeyName,
        to: KeyName,
        only_if_missing: bool,
    },
    /// Removes at most `limit` keys of one database, or of all; answers how many.
    Flush {
        db: Option<u8>,
        limit: usize,
    },
    Size {
        db: u8,
    },

    Get {
        key: KeyName,
    },
    GetMany {
        keys: Vec<KeyName>,
    },
    /// Answers the value before when `get` is set.
    Set {
        key: KeyName,
        value: Bytes,
        when: SetIf,
        expiry: Expiry,
        get: bool,
    },
    SetMany {
        pairs: Vec<(KeyName, Bytes)>,
        only_if_all_missing: bool,
    },
    /// GETDEL.
    Take {
        key: KeyName,
    },
    /// GETEX.
    GetExpire {
        key: KeyName,
        expiry: Option<Expiry>,
    },
    Increase {
        key: KeyName,
        by: i64,
    },
    Append {
        key: KeyName,
        value: Bytes,
    },
    StringLength {
        key: KeyName,
    },
}

/// An entry of a read: without fields when it was deleted while it was pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub id: StreamId,
    pub fields: Option<Fields>,
    /// How long it was idle and how often it was delivered before, for those taken over.
    pub claimed: Option<(Span, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingItem {
    pub id: StreamId,
    /// Empty for one that was given back.
    pub consumer: Bytes,
    /// `None` for one that was given back.
    pub idle: Option<Span>,
    pub delivered_at: Time,
    pub first_delivered_at: Time,
    pub deliveries: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerItem {
    pub name: Bytes,
    pub pending: u64,
    pub seen_at: Time,
    pub active_at: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupItem {
    pub name: Bytes,
    pub group: Group,
    pub pending: u64,
    pub lag: Option<u64>,
}

/// A stream with its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamItem {
    pub stream: Stream,
    pub first: Option<Entry>,
    pub last: Option<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFull {
    pub item: GroupItem,
    pub pending: Vec<PendingItem>,
    /// With the pending entries of each.
    pub consumers: Vec<(ConsumerItem, Vec<PendingItem>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Not done, because a condition did not hold.
    NotDone,
    Count(i64),
    /// The id of the new entry.
    Added(Option<StreamId>),
    Entries(Vec<Entry>),
    /// By the place of the key in the command; only keys with something, for plain reads.
    Read(Vec<(usize, Vec<Delivered>)>),
    Claimed(Vec<Delivered>),
    AutoClaimed {
        next: StreamId,
        claimed: Vec<Delivered>,
        deleted: Vec<StreamId>,
    },
    /// For each id: 1 done, -1 not there, 2 kept.
    Each(Vec<i64>),
    PendingSummary {
        count: u64,
        ends: Option<(StreamId, StreamId)>,
        consumers: Vec<(Bytes, u64)>,
    },
    Pending(Vec<PendingItem>),
    Stream(Box<StreamItem>),
    StreamFull {
        item: Box<StreamItem>,
        entries: Vec<Entry>,
        groups: Vec<GroupFull>,
    },
    Groups(Vec<GroupItem>),
    Consumers(Vec<ConsumerItem>),
    Type(Option<&'static str>),
    /// `None`: no such key.
    Expires(Option<Option<Time>>),
    /// Number and name of each key, and what to go on after.
    Scanned {
        keys: Vec<(u64, KeyName, &'static str)>,
        next: Option<u64>,
    },
    Value(Option<Bytes>),
    Values(Vec<Option<Bytes>>),
}

impl Command {
    /// Changes nothing, so it can be answered from a snapshot.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Command::Length { .. }
                | Command::Range { .. }
                | Command::Read { .. }
                | Command::PendingSummary { .. }
                | Command::PendingRange(_)
                | Command::StreamInfo { .. }
                | Command::StreamFull { .. }
                | Command::GroupsInfo { .. }
                | Command::ConsumersInfo { .. }
                | Command::Exists { .. }
                | Command::Type { .. }
                | Command::Expires { .. }
                | Command::Scan { .. }
                | Command::Keys { .. }
                | Command::HasGroup { .. }
                | Command::Size { .. }
                | Command::Get { .. }
                | Command::GetMany { .. }
                | Command::StringLength { .. }
        )
    }

    /// What it brings along, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Command::Add(add) => add.fields.bytes(),
            Command::Set { value, .. } | Command::Append { value, .. } => value.len(),
            Command::SetMany { pairs, .. } => pairs.iter().map(|(_, value)| value.len()).sum(),
            _ => 0,
        }
    }
}
