//! Input as nobody means it, made of what is right: for the tests of all that reads bytes from
//! outside. A few seconds each, or as long as `ALINA_FUZZ_SECONDS` says.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// What it takes in a run of all tests.
const SECONDS: u64 = 2;
/// The longest input.
const MOST: usize = 64 << 10;

/// Calls `read` with one input after another, made of `seeds`. The input at a panic is printed.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], mut read: impl FnMut(&[u8])) {
    let seconds = std::env::var("ALINA_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rounds = 0_u64;
    while Instant::now() < until {
        for _ in 0..64 {
            let input = spoil(seeds, &mut rng);
            let shown = Shown { name, input: &input };
            read(&input);
            std::mem::forget(shown);
        }
        rounds += 64;
    }
    println!("{name}: {rounds} inputs, seed {seed}");
}

/// Says what the input was when it is dropped, which only a panic does.
struct Shown<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        println!("{} failed with {:?}", self.name, String::from_utf8_lossy(self.input));
        println!("{:02x?}", self.input);
    }
}

/// One of the seeds, changed in a few places.
fn spoil(seeds: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=input.len());
        let end = rng.random_range(at..=input.len().min(at + 24));
        match rng.random_range(0..8) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 => {
                let some: Vec<u8> = input[at..end].repeat(rng.random_range(1..64));
                input.splice(at..at, some);
            }
            3 => {
                // A piece of another seed.
                let other = &seeds[rng.random_range(0..seeds.len())];
                let from = rng.random_range(0..=other.len());
                let to = rng.random_range(from..=other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                const TELLING: [&[u8]; 16] = [
                    b"\0",
                    b"\xff\xff\xff\xff\xff\xff\xff\xff",
                    b"\"",
                    b"{",
                    b"[",
                    b"null",
                    b"-1",
                    b"1e999",
                    b"18446744073709551616",
                    b"\\ud800",
                    b"\xed\xa0\x80",
                    b"\n",
                    b"[[[[[[[[[[[[[[[[",
                    b"\xc3",
                    b"0.1",
                    b"\r\n\r\n",
                ];
                let some = TELLING[rng.random_range(0..TELLING.len())];
                input.splice(at..end, some.iter().copied());
            }
            _ => {
                for byte in &mut input[at..end] {
                    if rng.random_bool(0.3) {
                        *byte = match rng.random_range(0..3) {
                            0 => rng.random(),
                            1 => *byte ^ (1 << rng.random_range(0..8)),
                            _ => byte.wrapping_add(1),
                        };
                    }
                }
            }
        }
        input.truncate(MOST);
    }
    input
}
