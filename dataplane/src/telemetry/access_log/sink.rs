//! Lines on their way to the helper thread: one buffer per file, handed over when it is full or a
//! moment old. Never waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::writer::{Batch, Writer};

/// A buffer this full is handed over at once, in bytes.
const BATCH_BYTES: usize = 16 * 1024;
/// How old a line may get before it is handed over.
const LINGER: Duration = Duration::from_millis(25);

/// Every access log of one worker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LogOutput(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    sinks: RefCell<BTreeMap<String, Rc<Sink>>>,
    /// Started with the first sink: a gateway without access logs has no thread for them.
    writer: RefCell<Option<Writer>>,
    dropped: Cell<u64>,
    wake: Rc<Notify>,
}

/// The lines of one file.
#[derive(Debug)]
pub struct Sink {
    file: Arc<str>,
    shared: std::rc::Weak<Shared>,
    buffer: RefCell<Buffer>,
    wake: Rc<Notify>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u32,
    scratch: Vec<u8>,
}

impl LogOutput {
    /// The sink of a file. The first starts the helper thread; must run inside a local task set.
    pub fn sink(&self, file: &str) -> Rc<Sink> {
        if self.0.writer.borrow().is_none() {
            *self.0.writer.borrow_mut() = Writer::start();
            tokio::task::spawn_local(hand_over_in_time(Rc::downgrade(&self.0)));
        }
        let mut sinks = self.0.sinks.borrow_mut();
        let sink = sinks.entry(file.to_owned()).or_insert_with(|| {
            Rc::new(Sink {
                file: file.into(),
                shared: Rc::downgrade(&self.0),
                buffer: RefCell::default(),
                wake: Rc::clone(&self.0.wake),
            })
        });
        Rc::clone(sink)
    }

    /// Lines lost since the worker started.
    pub fn dropped(&self) -> u64 {
        let failed = self.0.writer.borrow().as_ref().map_or(0, Writer::failed);
        self.0.dropped.get().saturating_add(failed)
    }

    /// Opens every file anew before the next line is written.
    pub fn reopen(&self) {
        if let Some(writer) = &*self.0.writer.borrow() {
            writer.reopen();
        }
    }

    /// Hands over what is left and waits, but not for ever, until it is written.
    pub fn close(&self) {
        self.0.hand_over_all();
        if let Some(writer) = self.0.writer.borrow_mut().take() {
            writer.close();
        }
    }
}

impl Shared {
    fn hand_over_all(&self) {
        self.sinks.borrow().values().for_each(|sink| sink.hand_over(self));
    }
}

impl Sink {
    /// Appends a line, for which `write` has a scratch buffer and the lines so far.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) {
        let is_full = {
            let mut buffer = self.buffer.borrow_mut();
            let Buffer { bytes, lines, scratch } = &mut *buffer;
            if bytes.is_empty() {
                self.wake.notify_one();
            }
            write(scratch, bytes);
            *lines += 1;
            bytes.len() >= BATCH_BYTES
        };
        if is_full && let Some(shared) = self.shared.upgrade() {
            self.hand_over(&shared);
        }
    }

    /// The helper thread takes the lines, or they are lost and counted.
    fn hand_over(&self, shared: &Shared) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.bytes.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut buffer.lines);
        let writer = shared.writer.borrow();
        let taken = writer.as_ref().is_some_and(|writer| {
            let next = writer.spare_buffer();
            let bytes = std::mem::replace(&mut buffer.bytes, next);
            writer.write(Batch { file: Arc::clone(&self.file), bytes, lines })
        });
        if !taken {
            buffer.bytes.clear();
            shared.dropped.set(shared.dropped.get().saturating_add(lines.into()));
        }
    }
}

/// Ends with the output.
async fn hand_over_in_time(shared: std::rc::Weak<Shared>) {
    loop {
        let Some(wake) = shared.upgrade().map(|shared| Rc::clone(&shared.wake)) else { return };
        wake.notified().await;
        tokio::time::sleep(LINGER).await;
        if let Some(shared) = shared.upgrade() {
            shared.hand_over_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tokio::task::LocalSet;

    fn line(sink: &Sink, text: &str) {
        sink.line(|_, out| out.extend_from_slice(text.as_bytes()));
    }

    async fn read(path: &std::path::Path, expected: &str) {
        for _ in 0..1000 {
            if fs::read_to_string(path).is_ok_and(|text| text == expected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}, not {expected:?}", fs::read_to_string(path));
    }

    #[tokio::test]
    async fn lines_arrive_in_order_and_follow_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        let local = LocalSet::new();
        local
            .run_until(async {
                let output = LogOutput::default();
                let sink = output.sink(path.to_str().unwrap());
                line(&sink, "1\n");
                line(&sink, "2\n");
                read(&path, "1\n2\n").await;
                fs::rename(&path, &old).unwrap();
                line(&sink, "3\n");
                read(&old, "1\n2\n3\n").await;
                output.reopen();
                line(&sink, "4\n");
                output.close();
                assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
                assert_eq!(output.dropped(), 0);
                line(&sink, "5\n");
                output.close();
                assert_eq!(output.dropped(), 1);
            })
            .await;
    }

    #[tokio::test]
    async fn lines_for_a_file_that_cannot_be_written_are_counted() {
        let local = LocalSet::new();
        local
            .run_until(async {
                let output = LogOutput::default();
                let sink = output.sink("/nonexistent/log");
                line(&sink, "1\n");
                line(&sink, "2\n");
                for _ in 0..1000 {
                    if output.dropped() == 2 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                panic!("{} lines counted", output.dropped());
            })
            .await;
    }
}
