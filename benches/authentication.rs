//! Tests whether the duration of authentication reveals anything about a token, and measures it for rings of several sizes:
//! `cargo bench --bench authentication`.
//!
//! Every sample is another token of its kind, and its header is built in the same place, so that neither the bytes of a
//! token nor their address are measured. The kinds alternate in a random order per round, so that other load affects
//! all equally. Rejected tokens are compared with unknown ones, and accepted tokens with those of the ring's first
//! keys: by the median, and by Welch's t over all samples except the slowest tenth, which is noise. Literature takes
//! |t| above 4.5 as a sign of a leak (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", 2017). Two
//! rows check the method itself: unknown tokens against others of their kind must not differ, and against others with
//! one more key to compare they must. Both forms of the ring are tested, the readable and the compact one.
//!
//! The rings of several sizes alternate too.

use std::{hint::black_box, time::Instant};

use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::auth::{
    BearerToken, KeyRing, TokenHash,
    compact::{self, CompactKey},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Clone, Copy)]
enum Form {
    Entries,
    Compact,
}

/// Each form with about as many keys as fit in a secret.
const FORMS: [(&str, Form, usize); 2] = [("entries", Form::Entries, 350), ("compact keys", Form::Compact, 1_200)];

/// The rings whose times are compared with that of a ring with one key.
const SIZES: [(&str, Form, usize); 5] = [
    ("1 entry", Form::Entries, 1),
    ("350 entries", Form::Entries, 350),
    ("1 compact key", Form::Compact, 1),
    ("1,200 compact keys", Form::Compact, 1_200),
    ("1,363 compact keys, a full secret", Form::Compact, 1_363),
];

const ROUNDS: usize = 200_000;
/// First rounds, which warm up the caches.
const WARM_UP: usize = 1_000;
/// Rounds of the comparison of sizes, and of parsing.
const SIZE_ROUNDS: usize = 20_000;
const PARSE_ROUNDS: usize = 1_000;

/// |t| above this means that two kinds take different times.
const LEAK: f64 = 4.5;

const TOKENS: usize = 40;

/// The first number of each kind. A token's number is the index of its key in the ring, if it has a key.
const UNKNOWN: usize = 10_000;
/// In the compact form, which leaves out revoked keys, these are unknown.
const REVOKED: usize = 60;
const EXPIRED: usize = 110;
/// Keys with the hashes of these tokens except for the last bits that are compared, because no token can be found whose
/// hash resembles a given one.
const LIKE_A_KEYS: usize = 240;
const ONE_MORE: &str = "unknown, one key more";
/// Index of the first kind that is accepted.
const VALID: usize = 6;

/// The kinds of tokens, with the number of the first of each.
fn kinds(keys: usize) -> [(&'static str, usize); 9] {
    [
        ("unknown", UNKNOWN),
        ("unknown, others", 2 * UNKNOWN),
        (ONE_MORE, 3 * UNKNOWN),
        ("unknown, all but the last 16 bits like a key's", LIKE_A_KEYS),
        ("revoked", REVOKED),
        ("expired", EXPIRED),
        ("valid, first of the ring", 0),
        ("valid, in the middle", 160),
        ("valid, last of the ring", keys - TOKENS),
    ]
}

fn token(number: usize) -> String {
    format!("mgp_{number:040x}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn is(kind: usize, number: usize) -> bool {
    (kind..kind + TOKENS).contains(&number)
}

/// The hash of a key, of whose bytes `compared` are compared.
fn hash(number: usize, compared: usize) -> [u8; 32] {
    let mut hash: [u8; 32] = Sha256::digest(token(number)).into();
    if is(LIKE_A_KEYS, number) {
        hash[compared - 1] ^= 1;
        hash[compared - 2] ^= 1;
    }
    hash
}

fn secret(form: Form, keys: usize) -> String {
    let user_id = |number: usize| Uuid::from_u128(number as u128 + 1);
    match form {
        Form::Entries => {
            let entry = |number| {
                json!({
                    "key_hash": hex(&hash(number, 32)),
                    "user_id": user_id(number),
                    "is_active": !is(REVOKED, number),
                    "expires_at": is(EXPIRED, number).then_some("2020-01-01T00:00:00Z"),
                })
            };
            json!({ "api_keys": (0..keys).map(entry).collect::<Vec<_>>() }).to_string()
        }
        Form::Compact => {
            let key = |number| CompactKey {
                hash: std::array::from_fn(|at| hash(number, compact::HASH_BYTES)[at]),
                user_id: user_id(number),
                expires_at: is(EXPIRED, number).then_some(0),
            };
            let keys: Vec<_> = (0..).filter(|number| !is(REVOKED, *number)).take(keys).map(key).collect();
            json!({ "compact": compact::encode(&keys) }).to_string()
        }
    }
}

fn ring(form: Form, keys: usize) -> KeyRing {
    KeyRing::parse(&secret(form, keys)).expect("a ring")
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a header")
}

fn main() {
    for (name, form, keys) in FORMS {
        compare_kinds(name, form, keys);
    }
    compare_sizes();
    println!("\n{:<40} {:>10}", "parsing a secret with", "median µs");
    for (name, form, keys) in SIZES {
        let secret = secret(form, keys);
        let parse = || drop(black_box(KeyRing::parse(black_box(&secret))));
        println!("{name:<40} {:>10.1}", median((0..PARSE_ROUNDS).map(|_| nanoseconds(parse)).collect()) / 1e3);
    }
}

fn nanoseconds(run: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    run();
    begin.elapsed().as_secs_f64() * 1e9
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Compares the times of rings of several sizes with that of one key.
fn compare_sizes() {
    let rings = SIZES.map(|(_, form, keys)| ring(form, keys));
    let now = Timestamp::now();
    let mut samples = SIZES.map(|_| Vec::with_capacity(SIZE_ROUNDS));
    for _ in 0..SIZE_ROUNDS {
        let hash = TokenHash::from_hex(&hex(&hash(UNKNOWN + fastrand::usize(..TOKENS), 32))).expect("a hash");
        for (ring, times) in rings.iter().zip(&mut samples) {
            times.push(nanoseconds(|| _ = black_box(ring.authenticate(&hash, black_box(now)).is_some())));
        }
    }
    println!("\n{:<40} {:>10} {:>10}", "searching a ring with", "median ns", "more");
    let medians = samples.map(median);
    for ((name, ..), time) in SIZES.iter().zip(medians) {
        println!("{name:<40} {time:>10.0} {:>+10.0}", time - medians[0]);
    }
}

fn compare_kinds(name: &str, form: Form, keys: usize) {
    let (none, one, ring, now) = (ring(form, 0), ring(form, 1), ring(form, keys), Timestamp::now());
    let kinds = kinds(keys);
    // Made before the first sample, because making one would train the processor's branch prediction.
    let tokens = kinds.map(|(name, first)| {
        let tokens = (first..first + TOKENS).map(|number| format!("Bearer {}", token(number)));
        (if name == ONE_MORE { &one } else { &none }, tokens.collect::<Vec<_>>())
    });
    let mut samples = kinds.map(|_| Vec::with_capacity(ROUNDS));
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    let mut headers = HeaderMap::from_iter([(AUTHORIZATION, header("Bearer"))]);
    for round in 0..WARM_UP + ROUNDS {
        fastrand::shuffle(&mut order);
        for &kind in &order {
            let (more, tokens) = &tokens[kind];
            *headers.get_mut(AUTHORIZATION).expect("it is there") = header(&tokens[fastrand::usize(..TOKENS)]);
            let begin = Instant::now();
            let token = BearerToken::from_headers(black_box(&headers)).expect("a token");
            let hash = token.hash();
            black_box(ring.authenticate(&hash, black_box(now)).is_some());
            black_box(more.authenticate(&hash, black_box(now)).is_some());
            let time = begin.elapsed();
            if round >= WARM_UP {
                samples[kind].push(time.as_secs_f64() * 1e9);
            }
        }
    }
    let mut all = samples.concat();
    all.sort_by(f64::total_cmp);
    let slowest = all[all.len() - all.len() / 10];
    let samples = samples.map(|times| Sample::of(times, slowest));
    println!("\n{keys} {name}, {ROUNDS} rounds");
    println!("{:<50} {:>10} {:>10} {:>8}", "token", "median ns", "more", "Welch t");
    for (kind, ((name, _), sample)) in kinds.iter().zip(&samples).enumerate() {
        let reference = &samples[if kind < VALID { 0 } else { VALID }];
        let (more, t) = (sample.median - reference.median, sample.welch(reference));
        let verdict = if t.abs() > LEAK { ", differs" } else { "" };
        println!("{name:<50} {:>10.0} {more:>+10.0} {t:>8.2}{verdict}", sample.median);
    }
}

struct Sample {
    median: f64,
    mean: f64,
    /// The variance of the mean.
    error: f64,
}

impl Sample {
    fn of(mut times: Vec<f64>, slowest: f64) -> Self {
        times.sort_by(f64::total_cmp);
        let fastest = &times[..times.partition_point(|time| *time < slowest)];
        let count = f64::from(u32::try_from(fastest.len()).expect("some thousand"));
        let mean = fastest.iter().sum::<f64>() / count;
        let variance = fastest.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { median: times[times.len() / 2], mean, error: variance / count }
    }

    fn welch(&self, other: &Self) -> f64 {
        (self.mean - other.mean) / (self.error + other.error).sqrt()
    }
}
