//! Whether the time that authentication takes tells anything about a token: `cargo bench --bench authentication`.
//!
//! Every sample is another token of its kind, and its header is built again in the place of the one before, so that neither a
//! token's bytes nor where they lie in memory is measured. The kinds take turns in an order that is random in every round, so
//! that whatever else the machine does falls on all of them alike. Tokens that are refused are compared with those that are
//! unknown, and tokens that are accepted with those of the ring's first keys: by the median, and by Welch's t of all samples
//! but the slowest tenth, which is the machine's own. |t| above 4.5 is what literature on timing leaks takes as a sign of one
//! (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", 2017). Two rows show what the measure is worth here:
//! unknown tokens against others of their kind must not differ, and against others with one key more to compare they must.

use std::{hint::black_box, time::Instant};

use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::auth::{BearerToken, KeyRing};
use serde_json::json;
use sha2::{Digest, Sha256};

/// About as many as fit in a secret.
const KEYS: usize = 350;
const ROUNDS: usize = 200_000;
/// The first rounds warm the caches up.
const WARM_UP: usize = 1_000;

/// Above this |t| says that two kinds take different times.
const LEAK: f64 = 4.5;

/// How many tokens a kind has.
const TOKENS: usize = 40;

/// A token's number is its key's place in the ring, if it has a key. These are the first of each kind.
const UNKNOWN: usize = 1_000;
const REVOKED: usize = 60;
const EXPIRED: usize = 110;
/// These places have hashes of no token: those of the tokens but for the last digits. Likeness cannot be had the other way
/// round.
const LIKE_A_KEYS: usize = 240;
const KINDS: [(&str, usize); 9] = [
    ("unknown", UNKNOWN),
    ("unknown, others", 2 * UNKNOWN),
    (ONE_MORE, 3 * UNKNOWN),
    ("unknown, 60 of 64 digits like a key's", LIKE_A_KEYS),
    ("revoked", REVOKED),
    ("expired", EXPIRED),
    ("valid, first of the ring", 0),
    ("valid, in the middle", 160),
    ("valid, last of the ring", KEYS - TOKENS),
];
const ONE_MORE: &str = "unknown, one key more";
/// The first of the kinds that are accepted.
const VALID: usize = 6;

fn token(number: usize) -> String {
    format!("mgp_{number:040x}")
}

/// Hex of the token's hash.
fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn is(kind: usize, number: usize) -> bool {
    (kind..kind + TOKENS).contains(&number)
}

fn ring(keys: usize) -> KeyRing {
    let keys = (0..keys).map(|number| {
        let mut hash = hash(&token(number));
        if is(LIKE_A_KEYS, number) {
            let other = self::hash(&token(number + KEYS));
            hash.replace_range(60.., &other[60..]);
        }
        json!({
            "key_hash": hash,
            "user_id": format!("11111111-1111-4111-8111-{number:012}"),
            "is_active": !is(REVOKED, number),
            "expires_at": is(EXPIRED, number).then_some("2020-01-01T00:00:00Z"),
        })
    });
    KeyRing::parse(&json!({ "api_keys": keys.collect::<Vec<_>>() }).to_string()).expect("a ring")
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a header")
}

fn main() {
    let (none, one, ring, now) = (ring(0), ring(1), ring(KEYS), Timestamp::now());
    // Before the first sample: what is done for one of them leaves its traces in the processor's predictions.
    let tokens = KINDS.map(|(name, first)| {
        let tokens = (first..first + TOKENS).map(|number| format!("Bearer {}", token(number)));
        (if name == ONE_MORE { &one } else { &none }, tokens.collect::<Vec<_>>())
    });
    let mut samples = KINDS.map(|_| Vec::with_capacity(ROUNDS));
    let mut order: Vec<usize> = (0..KINDS.len()).collect();
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
    println!("{KEYS} keys, {ROUNDS} rounds");
    println!("{:<40} {:>10} {:>10} {:>8}", "token", "median ns", "more", "Welch t");
    for (kind, ((name, _), sample)) in KINDS.iter().zip(&samples).enumerate() {
        let reference = &samples[if kind < VALID { 0 } else { VALID }];
        let (more, t) = (sample.median - reference.median, sample.welch(reference));
        let verdict = if t.abs() > LEAK { ", differs" } else { "" };
        println!("{name:<40} {:>10.0} {more:>+10.0} {t:>8.2}{verdict}", sample.median);
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
        let kept = &times[..times.partition_point(|time| *time < slowest)];
        let count = f64::from(u32::try_from(kept.len()).expect("some thousand"));
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { median: times[times.len() / 2], mean, error: variance / count }
    }

    fn welch(&self, other: &Self) -> f64 {
        (self.mean - other.mean) / (self.error + other.error).sqrt()
    }
}
