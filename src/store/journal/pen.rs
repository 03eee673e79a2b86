//! Who writes the records of the journal, and when.
//!
//! The sync of a record and redb's part of the same batch each take about as long: a thread beside
//! the writer makes them one. The simulator needs one order of all operations on its disk: there
//! the writer does both, in either order.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use redb::StorageBackend;

use crate::store::disk::io_fault;
use crate::store::fault::Fault;

/// When a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pen {
    /// By a thread of its own, while the writer goes on.
    Beside,
    /// By the writer, when it starts the record.
    First,
    /// By the writer, when it finishes the record.
    Last,
}

/// Bytes of a record from which the thread is asked: to wake it, and to be woken by it, takes as
/// long as redb takes for fewer.
const BESIDE_BYTES_MIN: usize = 16 << 10;

/// Bytes and where they go.
pub(super) struct Page {
    pub position: u64,
    pub bytes: Vec<u8>,
}

/// Writes one page at a time.
pub(super) struct Hand {
    file: Arc<dyn StorageBackend>,
    pen: Pen,
    /// Of [`Pen::Beside`] only.
    beside: Option<Beside>,
    under_way: Option<UnderWay>,
}

enum UnderWay {
    Beside,
    Written(Page),
    ToWrite(Page),
}

impl Hand {
    pub fn new(pen: Pen, file: Arc<dyn StorageBackend>) -> Result<Hand, Fault> {
        let beside = match pen {
            Pen::Beside => Some(Beside::start(file.clone())?),
            Pen::First | Pen::Last => None,
        };
        Ok(Hand { file, pen, beside, under_way: None })
    }

    pub fn start(&mut self, page: Page) -> Result<(), Fault> {
        let beside = self.beside.as_ref().filter(|_| page.bytes.len() >= BESIDE_BYTES_MIN);
        self.under_way = Some(match (beside, self.pen) {
            (Some(beside), _) => {
                beside.send(page)?;
                UnderWay::Beside
            }
            (None, Pen::Last) => UnderWay::ToWrite(page),
            (None, Pen::First | Pen::Beside) => {
                write(&*self.file, &page).map_err(|error| io_fault(&error))?;
                UnderWay::Written(page)
            }
        });
        Ok(())
    }

    /// The bytes of the page that was started, once they are durable.
    pub fn finish(&mut self) -> Result<Vec<u8>, Fault> {
        let (page, outcome) = match (self.under_way.take(), &self.beside) {
            (Some(UnderWay::Beside), Some(beside)) => beside.written.recv().map_err(|_| gone())?,
            (Some(UnderWay::Written(page)), _) => (page, Ok(())),
            (Some(UnderWay::ToWrite(page)), _) => {
                let outcome = write(&*self.file, &page);
                (page, outcome)
            }
            (Some(UnderWay::Beside) | None, _) => return Ok(Vec::new()),
        };
        outcome.map(|()| page.bytes).map_err(|error| io_fault(&error))
    }
}

fn write(file: &dyn StorageBackend, page: &Page) -> io::Result<()> {
    file.write(page.position, &page.bytes)?;
    file.sync_data()
}

fn gone() -> Fault {
    Fault::Io("the thread that writes the journal is gone".to_owned())
}

/// The thread that writes; it ends with this value, and not before its page is written.
pub(super) struct Beside {
    /// `None` only while it ends.
    pages: Option<Sender<Page>>,
    written: Receiver<(Page, io::Result<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, with room for its answer")]
    fn start(file: Arc<dyn StorageBackend>) -> Result<Beside, Fault> {
        let (pages, to_write) = bounded::<Page>(1);
        let (tell, written) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                for page in to_write {
                    let outcome = write(&*file, &page);
                    if tell.send((page, outcome)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| io_fault(&error))?;
        Ok(Beside { pages: Some(pages), written, thread: Some(thread) })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "called by the writer, whose page before is done"
    )]
    fn send(&self, page: Page) -> Result<(), Fault> {
        let sent = self.pages.as_ref().is_some_and(|pages| pages.send(page).is_ok());
        sent.then_some(()).ok_or_else(gone)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.pages.take());
        if let Some(thread) = self.thread.take() {
            // It panics only if a file does, and then there is nobody left to tell.
            let _ = thread.join();
        }
    }
}
