//! Tests whether the duration of authentication reveals anything about a token: `cargo bench --bench authentication`.
//!
//! Every sample is another token of its kind, and its header is built in the same place, so that neither the bytes of a
//! token nor their address are measured. The kinds alternate in a random order per round, so that other load affects
//! all equally. Rejected tokens are compared with unknown ones, and accepted tokens with those of the ring's first
//! keys: by the median, and by Welch's t over all samples except the slowest tenth, which is noise. Literature takes
//! |t| above 4.5 as a sign of a leak (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", 2017). Two
//! rows check the method itself: unknown tokens against others of their kind must not differ, and against others with
//! one more key to compare they must.

use std::{hint::black_box, time::Instant};

use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::auth::{BearerToken, KeyRing};
use serde_json::json;
use sha2::{Digest, Sha256};

/// About as many as fit in a secret.
const KEYS: usize = 350;
const ROUNDS: usize = 200_000;
/// First rounds, which warm up the caches.
const WARM_UP: usize = 1_000;

/// |t| above this means that two kinds take different times.
const LEAK: f64 = 4.5;

const TOKENS: usize = 40;

/// The first number of each kind. A token's number is the index of its key in the ring, if it has a key.
const UNKNOWN: usize = 1_000;
const REVOKED: usize = 60;
const EXPIRED: usize = 110;
/// Keys with the hashes of these tokens except for the last digits, because no token can be found whose hash resembles
/// a given one.
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
/// Index of the first kind that is accepted.
const VALID: usize = 6;

fn token(number: usize) -> String {
    format!("mgp_{number:040x}")
}

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
    // Made before the first sample, because making one would train the processor's branch prediction.
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
