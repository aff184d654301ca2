//! Powers that a worker does not need, given up for good.

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;

/// Version 3 of the capability calls: two words of 32 bits for each set (capget(2)).
const VERSION_3: u32 = 0x2008_0522;
/// No kernel knows more capabilities than fit two words.
const CAPABILITIES_MAX: libc::c_ulong = 64;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability and the way to get one back by executing something. For the calling
/// thread and those that it will start: call it before there are others.
///
/// # Errors
/// The kernel's; then the process may still hold what it had.
pub fn shed() -> io::Result<()> {
    prctl::set_no_new_privs()?;
    for capability in 0..CAPABILITIES_MAX {
        // SAFETY: takes numbers only. Without CAP_SETPCAP, or for a number beyond the kernel's, it
        // fails, and then there is nothing to drop or `no_new_privs` stands in for it.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    // Without permitted ones there can be no ambient ones either.
    let header = Header { version: VERSION_3, pid: 0 };
    let none = [Sets::default(), Sets::default()];
    // SAFETY: both point to values of the layout that version 3 has, alive over the call, which
    // only reads them.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    Errno::result(outcome)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::net::TcpListener;
    use std::thread;

    fn field(status: &str, name: &str) -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    }

    #[test]
    fn a_thread_that_has_shed_its_powers_has_none_and_cannot_bind_a_low_port() {
        let seen = thread::spawn(|| {
            shed().unwrap();
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            (status, TcpListener::bind("127.0.0.1:80").map_err(|error| error.kind()))
        });
        let (status, bound) = seen.join().unwrap();
        for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(&status, name), "0000000000000000", "{name}");
        }
        assert_eq!(field(&status, "NoNewPrivs:"), "1");
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
        if first.trim().parse::<u16>().unwrap() > 80 {
            assert_eq!(bound.unwrap_err(), io::ErrorKind::PermissionDenied);
        }
    }
}
