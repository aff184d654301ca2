//! Words of memory that several processes share: a sealed `memfd`, mapped by each.
//!
//! Only whole words are read and written, each by one atomic operation, so that a process that
//! ends at any moment leaves no word half written.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// What `/proc/PID/maps` shows.
const NAME: &CStr = c"fairway-region";
/// How often the lock is asked for, and how long is waited in between: 50 ms in all. It is held
/// for microseconds, unless its holder is stopped.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(1);

/// Words that start as zero.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<AtomicU64>,
    count: usize,
    /// `None` if this process is alone with them.
    file: Option<OwnedFd>,
}

// SAFETY: the mapping lives until the value is dropped, wherever that happens, and is reached
// only as a slice of atomics.
unsafe impl Send for Memory {}
// SAFETY: as above; atomics may be used from several threads.
unsafe impl Sync for Memory {}

/// Held by one process at a time; the kernel takes it back from one that ends.
#[derive(Debug)]
pub struct Lock<'a>(Option<&'a OwnedFd>);

impl Memory {
    /// New words, to be shared by handing [`Self::share`] to other processes. Pages that nobody
    /// touches cost nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(words: NonZeroUsize) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(NAME, flags)?);
        file.set_len((words.get() * size_of::<AtomicU64>()) as u64)?;
        // Whoever maps it may rely on its size.
        let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Self::open(file.into())
    }

    /// The words behind a descriptor that [`Self::share`] returned, here or elsewhere.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` for a file that is none or whose size could change.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        let seals = SealFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GET_SEALS)?);
        let file = File::from(fd);
        let count = usize::try_from(file.metadata()?.len()).unwrap_or(0) / size_of::<AtomicU64>();
        let bytes = NonZeroUsize::new(count * size_of::<AtomicU64>());
        let Some(bytes) = bytes.filter(|_| seals.contains(SealFlag::F_SEAL_SHRINK)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other; the file
        // cannot shrink below it.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, file.as_fd(), 0) };
        Ok(Self { start: start?.cast(), count, file: Some(file.into()) })
    }

    /// Words of this process alone.
    ///
    /// # Errors
    /// The kernel's, if there is no memory.
    pub fn private(words: NonZeroUsize) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(words.get().saturating_mul(size_of::<AtomicU64>()));
        let bytes = bytes.ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = unsafe { mmap_anonymous(None, bytes, protection, MapFlags::MAP_PRIVATE) };
        Ok(Self { start: start?.cast(), count: words.get(), file: None })
    }

    /// A descriptor for another process.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` for private words.
    pub fn share(&self) -> io::Result<OwnedFd> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        file.try_clone()
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is aligned to a page, has room for `count` words, is never written
        // but through atomics, and lives as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }

    /// Keeps other processes from taking the lock for as long as the value lives. `None` if
    /// another process holds it for longer than it should.
    pub fn lock(&self) -> Option<Lock<'_>> {
        let Some(file) = &self.file else { return Some(Lock(None)) };
        for _ in 0..LOCK_TRIES {
            match fcntl(file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
                Ok(_) => return Some(Lock(Some(file))),
                Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => thread::sleep(LOCK_WAIT),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: nothing that was borrowed from the mapping outlives `self`. The only failure is
        // a mapping that is none.
        let _ = unsafe { munmap(self.start.cast(), self.count * size_of::<AtomicU64>()) };
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // The kernel unlocks what is locked.
            let _ = fcntl(file, FcntlArg::F_SETLK(&whole(libc::F_UNLCK)));
        }
    }
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    const WORDS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let ours = Memory::create(WORDS).unwrap();
        let theirs = Memory::open(ours.share().unwrap()).unwrap();
        assert_eq!((ours.words().len(), theirs.words().len()), (1_000, 1_000));
        ours.words()[999].store(7, Relaxed);
        drop(ours);
        assert_eq!(theirs.words()[999].load(Relaxed), 7);
    }

    #[test]
    fn a_file_that_could_shrink_is_refused() {
        let loose = memfd_create(c"loose", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        File::from(loose.try_clone().unwrap()).set_len(8_000).unwrap();
        assert_eq!(Memory::open(loose).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Memory::open(socket.into()).is_err());
    }

    #[test]
    fn private_words_are_words_and_cannot_be_shared() {
        let memory = Memory::private(WORDS).unwrap();
        memory.words()[0].fetch_add(3, Relaxed);
        assert_eq!(memory.words()[0].load(Relaxed), 3);
        assert!(memory.share().is_err() && memory.lock().is_some());
    }

    #[test]
    fn the_lock_can_be_taken_again_once_it_is_given_back() {
        let memory = Memory::create(WORDS).unwrap();
        drop(memory.lock().unwrap());
        assert!(memory.lock().is_some());
    }
}
