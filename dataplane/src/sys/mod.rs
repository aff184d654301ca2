//! Everything that needs a syscall by name: descriptors over sockets, listening sockets, CPUs,
//! processes, signals and shared memory. The only place in the workspace where `unsafe` may be
//! written; what it hands out is safe to use, and every descriptor is owned or borrowed from birth.

#![allow(unsafe_code)]

pub mod affinity;
pub mod fd_pass;
pub mod memory;
pub mod pipe;
pub mod privileges;
pub mod process;
pub mod shared_words;
pub mod signal;
pub mod socket;
