//! Memory that a worker writes and its supervisor reads, also after the worker's end, and the
//! clock that both read alike.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::slice;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::time::{ClockId, clock_gettime};

/// Zeroed memory of that many words, close-on-exec. It lives as long as any descriptor or mapping.
///
/// # Errors
/// The kernel's, as when descriptors or memory run out.
pub fn create(words: usize) -> io::Result<File> {
    let file = File::from(memfd_create(c"fairway-black-box", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(bytes(words)? as u64)?;
    Ok(file)
}

/// Maps it for reading and writing, to the end of this process. Words rather than bytes, and
/// atomic ones, so that no thread and no other process can make a torn access undefined.
///
/// # Errors
/// The kernel's, or the file is shorter: touching what it does not have would kill the process.
pub fn map(file: &File, words: usize) -> io::Result<&'static [AtomicU64]> {
    let length = bytes(words)?;
    if file.metadata()?.len() < length as u64 {
        return Err(Errno::EINVAL.into());
    }
    let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing of ours.
    let start = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, file.as_fd(), 0) }?;
    // SAFETY: the mapping is `words` aligned words long (a page is aligned for any type), any bit
    // pattern is a valid `AtomicU64`, it is never unmapped, and whoever else maps it, in this
    // process or another, gets to it through atomics or through reads of the file only.
    Ok(unsafe { slice::from_raw_parts(start.as_ptr().cast(), words) })
}

/// Milliseconds of the clock that never steps, the same in all processes of this host.
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok();
    now.and_then(|now| {
        let (seconds, nanos) = (u64::try_from(now.tv_sec()).ok()?, now.tv_nsec());
        Some(seconds * 1_000 + u64::try_from(nanos).ok()? / 1_000_000)
    })
    .unwrap_or(0)
}

fn bytes(words: usize) -> io::Result<usize> {
    words.checked_mul(size_of::<u64>()).ok_or_else(|| Errno::EOVERFLOW.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::Ordering;

    #[test]
    fn what_is_stored_in_words_is_read_from_the_file_and_the_other_way_round() {
        let file = create(4).unwrap();
        let words = map(&file, 4).unwrap();
        words[2].store(0x0102_0304, Ordering::Relaxed);
        let mut read = [0; 8];
        file.read_exact_at(&mut read, 16).unwrap();
        assert_eq!(u64::from_ne_bytes(read), 0x0102_0304);
        file.write_all_at(&7_u64.to_ne_bytes(), 24).unwrap();
        assert_eq!(words[3].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_file_that_is_too_short_is_not_mapped() {
        let file = create(1).unwrap();
        assert!(map(&file, 2).is_err());
        assert!(map(&file, 0).is_err());
    }

    #[test]
    fn the_clock_rises() {
        let before = monotonic_ms();
        assert!(before > 0 && monotonic_ms() >= before);
    }
}
