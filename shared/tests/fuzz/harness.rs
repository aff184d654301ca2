//! Fuzzing on the stable toolchain: inputs that are almost right, made by changing seeds at random,
//! given to a check that must not panic. Included by the tests of every crate that decodes anything.
//!
//! `FAIRWAY_FUZZ_SECONDS` says for how long each target runs (default 0.3), `FAIRWAY_FUZZ_SEED` with
//! which chance (default: the clock's). Who panics has its input and the seed printed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, thread};

/// Longest input; longer ones find little and take long.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Values at which decoders change their mind.
const EDGES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xff, b'\r', b'\n', b'/', b'%'];

/// Runs `check` on changed seeds until the time is up; how many it saw.
///
/// # Panics
/// If `check` does.
pub fn run(name: &str, seeds: &[Vec<u8>], check: impl Fn(&[u8])) -> u64 {
    let seconds = env::var("FAIRWAY_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(0.3));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let seed = env::var("FAIRWAY_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    let (mut chance, begun, mut count) = (Chance(seed | 1), Instant::now(), 0);
    while begun.elapsed() < time {
        let mut input = seeds[chance.below(seeds.len())].clone();
        for _ in 0..=chance.below(6) {
            chance.change(&mut input, seeds);
        }
        input.truncate(INPUT_BYTES_MAX);
        let report = Report { name, seed, input: &input };
        check(&input);
        drop(report);
        count += 1;
    }
    println!("{name}: {count} inputs");
    count
}

/// Tells the input when its check panics.
struct Report<'a> {
    name: &'a str,
    seed: u64,
    input: &'a [u8],
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let input = self.input.escape_ascii();
            eprintln!("{} with FAIRWAY_FUZZ_SEED={}: \"{input}\"", self.name, self.seed);
        }
    }
}

/// Xorshift: good enough to choose what to break, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(16)).min(input.len());
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = EDGES[self.below(EDGES.len())],
            2 => input.insert(at, EDGES[self.below(EDGES.len())]),
            3 if at < end => drop(input.drain(at..end)),
            4 if at < end => {
                let again = input[at..end].repeat(1 + self.below(40));
                input.splice(at..at, again);
            }
            5 => input.truncate(at),
            6 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.insert(at, self.below(256) as u8),
        }
    }
}
