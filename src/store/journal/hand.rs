//! Who writes the records of the journal: the writer, or, while it puts the rows of a large one where
//! readers find them, a thread beside it. The simulator needs one order of all operations on its
//! disk: there the writer does it all.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use redb::StorageBackend;

use crate::store::disk::io_fault;
use crate::store::fault::Fault;

/// Bytes of a record from which the thread is asked: to wake it, and to be woken by it, takes as
/// long as the rows of fewer take.
const BESIDE_BYTES_MIN: usize = 16 << 10;

/// Bytes and where they go.
pub(super) struct Page {
    pub position: u64,
    pub bytes: Vec<u8>,
}

/// Writes one page at a time.
pub(super) struct Hand {
    file: Arc<dyn StorageBackend>,
    beside: Option<Beside>,
    under_way: Option<UnderWay>,
}

enum UnderWay {
    Beside,
    Written(Page),
}

impl Hand {
    pub fn new(beside: bool, file: Arc<dyn StorageBackend>) -> Result<Hand, Fault> {
        let beside = beside.then(|| Beside::start(file.clone())).transpose()?;
        Ok(Hand { file, beside, under_way: None })
    }

    pub fn start(&mut self, page: Page) -> Result<(), Fault> {
        let beside = self.beside.as_ref().filter(|_| page.bytes.len() >= BESIDE_BYTES_MIN);
        self.under_way = Some(match beside {
            Some(beside) => {
                beside.send(page)?;
                UnderWay::Beside
            }
            None => {
                write(&*self.file, &page).map_err(|error| io_fault(&error))?;
                UnderWay::Written(page)
            }
        });
        Ok(())
    }

    /// The bytes of the page that was started, once they are durable.
    pub fn finish(&mut self) -> Result<Vec<u8>, Fault> {
        match (self.under_way.take(), &self.beside) {
            (Some(UnderWay::Beside), Some(beside)) => {
                let (page, outcome) = beside.written.recv().map_err(|_| gone())?;
                outcome.map(|()| page.bytes).map_err(|error| io_fault(&error))
            }
            (Some(UnderWay::Written(page)), _) => Ok(page.bytes),
            (Some(UnderWay::Beside) | None, _) => Ok(Vec::new()),
        }
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
