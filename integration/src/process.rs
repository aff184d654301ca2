//! What the kernel knows of a process and its sockets, read from `/proc`.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal.
///
/// # Panics
/// If there is no such process.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid"));
    kill(pid, signal).unwrap_or_else(|errno| panic!("{signal} to {pid}: {errno}"));
}

/// Sends a signal to a process that may have ended this moment.
pub fn signal_if_there(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // The only other failure is that it is not ours, which no test does.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Memory of a process that is not on disk, in bytes.
///
/// # Panics
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().strip_suffix(" kB")).expect("VmRSS is in kB");
    kib.trim().parse::<u64>().expect("a number") * 1024
}

/// The process runs; one that waits to be reaped does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.trim().chars().next(), None | Some('Z' | 'X')))
}

/// The ports of clients whose connections to local port `listener` this process holds (IPv4).
pub fn client_ports(pid: u32, listener: u16) -> BTreeSet<u16> {
    let held = socket_inodes(pid);
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    table.lines().skip(1).filter_map(|line| client_port(line, listener, &held)).collect()
}

/// A line of `/proc/net/tcp`: number, local, remote, state, five more, inode (proc_net_tcp).
fn client_port(line: &str, listener: u16, held: &BTreeSet<u64>) -> Option<u16> {
    const ESTABLISHED: &str = "01";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    let [_, local, remote, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let is_wanted = state == ESTABLISHED
        && port(local) == Some(listener)
        && held.contains(&inode.parse().ok()?);
    if is_wanted { port(remote) } else { None }
}

fn socket_inodes(pid: u32) -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_found_by_the_clients_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = std::process::id();
        assert!(client_ports(me, port).is_empty());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        let expected = BTreeSet::from([client.local_addr().unwrap().port()]);
        assert_eq!(client_ports(me, port), expected);
        assert_eq!(client_ports(1, port), BTreeSet::new(), "held by this process only");
        drop((client, served));
    }

    #[test]
    fn a_process_that_waits_to_be_reaped_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        assert!(is_alive(std::process::id()));
        let started = std::time::Instant::now();
        while is_alive(pid) {
            assert!(started.elapsed() < crate::wait::PATIENCE);
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }
}
