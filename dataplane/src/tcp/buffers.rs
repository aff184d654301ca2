//! What all connections of a worker move bytes with: one scratch buffer, and pipes that are not
//! in use. A connection in which nothing moves holds neither.

use std::cell::{RefCell, RefMut};
use std::io;

use crate::sys::pipe::Pipe;

/// Bytes moved by one read: what is more goes through a pipe from then on.
pub const SCRATCH_BYTES: usize = 64 * 1024;
/// Most pipes kept for later.
const SPARE_PIPES_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Buffers {
    scratch: RefCell<Box<[u8]>>,
    spare: RefCell<Vec<Pipe>>,
}

impl Default for Buffers {
    fn default() -> Self {
        let scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        Self { scratch: RefCell::new(scratch), spare: RefCell::default() }
    }
}

impl Buffers {
    /// The scratch buffer. Not to be held over an `await`.
    pub fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// An empty pipe.
    ///
    /// # Errors
    /// No descriptors or memory.
    pub fn pipe(&self) -> io::Result<Pipe> {
        let spare = self.spare.borrow_mut().pop();
        spare.map_or_else(Pipe::new, Ok)
    }

    /// Takes a pipe back; one that still holds bytes is closed.
    pub fn give_back(&self, pipe: Pipe) {
        let mut spare = self.spare.borrow_mut();
        if pipe.held() == 0 && spare.len() < SPARE_PIPES_MAX {
            spare.push(pipe);
        }
    }
}
