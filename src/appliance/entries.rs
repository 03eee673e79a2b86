//! Streams as the API asks for them: pages, and changes that are done together or not at all.

use bytes::Bytes;

use crate::ledger::streams::{handover, page};
use crate::model::refusal::Refusal;
use crate::model::stream::{Fields, KeyName, StreamId};

use super::{Appliance, stop_to_refusal, unreadable};

pub use crate::ledger::streams::handover::{HandOver, HandedOver};
pub use crate::ledger::streams::page::{GroupLine, StreamPage, StreamsPage};

impl Appliance {
    /// Streams of the first database by name, those behind `after`.
    pub fn streams_page(&self, after: Option<&[u8]>, limit: usize) -> Result<StreamsPage, Refusal> {
        page::streams(&self.snapshot()?, self.now(), 0, after, limit).map_err(unreadable)
    }

    /// A stream with its groups and a page of its entries.
    pub fn stream_page(
        &self,
        stream: &KeyName,
        range: (StreamId, StreamId),
        limit: usize,
    ) -> Result<StreamPage, Refusal> {
        page::stream(&self.snapshot()?, self.now(), stream, range, limit).map_err(stop_to_refusal)
    }

    /// One group of a stream.
    pub fn group_line(
        &self,
        stream: &KeyName,
        group: &Bytes,
    ) -> Result<Option<GroupLine>, Refusal> {
        page::group(&self.snapshot()?, self.now(), stream, group).map_err(stop_to_refusal)
    }

    /// Adds entries in one commit, all or none.
    pub async fn add_entries(
        &self,
        stream: KeyName,
        all: Vec<Fields>,
    ) -> Result<Vec<StreamId>, Refusal> {
        let bytes = all.iter().map(Fields::bytes).sum();
        self.call_sized(bytes, move |tx| handover::add_all(tx, &stream, all)).await
    }

    /// Acknowledges, deletes and adds what comes next in one commit.
    pub async fn hand_over(&self, command: HandOver) -> Result<HandedOver, Refusal> {
        let bytes = command.next.as_ref().map_or(0, |(_, fields)| fields.bytes());
        self.call_sized(bytes, move |tx| handover::hand_over(tx, command)).await
    }
}
