//! Whether the time that authentication takes tells anything about a token: `cargo bench --bench authentication`.
//!
//! Tokens of every kind are looked up in one ring of 350 keys, in an order that is random anew in every round, so that
//! whatever else the machine does falls on all kinds alike. Compared with the tokens that are unknown is the median of each
//! kind, and Welch's t of the samples without their slowest tenth, which is the machine's own. |t| above 4.5 is what
//! literature on timing leaks takes as a sign of one; the same kind against itself shows what the measure is worth here.

use std::{hint::black_box, time::Instant};

use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::auth::{BearerToken, KeyRing};
use serde_json::json;
use sha2::{Digest, Sha256};

/// About as many as fit in a secret.
const KEYS: usize = 350;
const ROUNDS: usize = 20_000;
/// The first rounds warm the caches up.
const WARM_UP: usize = 1_000;

fn token(number: usize) -> String {
    format!("mgp_{number:040x}")
}

/// Hex of the token's hash.
fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A hash like the key's up to its last byte belongs to no token that anybody knows, so likeness is tried on the ring: in
/// it, some keys are like the unknown token's hash but for their last digit.
fn ring(unknown: &str) -> KeyRing {
    let keys = (0..KEYS).map(|number| {
        let mut hash = hash(&token(number));
        if number % 7 == 3 {
            let like = self::hash(unknown);
            hash = format!("{}{}", &like[..60], &hash[60..]);
        }
        json!({
            "key_hash": hash,
            "user_id": format!("11111111-1111-4111-8111-{number:012}"),
            "is_active": number != 100 && number != 101,
            "expires_at": (number == 200 || number == 201).then_some("2020-01-01T00:00:00Z"),
        })
    });
    KeyRing::parse(&json!({ "api_keys": keys.collect::<Vec<_>>() }).to_string()).expect("a ring")
}

fn main() {
    let like = token(KEYS + 1);
    let ring = ring(&like);
    let kinds = [
        ("unknown", token(KEYS)),
        ("unknown, again", token(KEYS + 2)),
        ("unknown, 60 of 64 digits like a key's", like),
        ("revoked", token(100)),
        ("expired", token(200)),
        ("valid, first of the ring", token(0)),
        ("valid, in the middle", token(174)),
        ("valid, last of the ring", token(KEYS - 1)),
    ];
    let requests = kinds.each_ref().map(|(_, token)| {
        let header = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        HeaderMap::from_iter([(AUTHORIZATION, header)])
    });
    let now = Timestamp::now();
    let mut samples = kinds.each_ref().map(|_| Vec::with_capacity(ROUNDS));
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    for round in 0..WARM_UP + ROUNDS {
        fastrand::shuffle(&mut order);
        for &kind in &order {
            let begin = Instant::now();
            let token = BearerToken::from_headers(black_box(&requests[kind])).expect("a token");
            black_box(ring.authenticate(&token.hash(), black_box(now)).is_some());
            let time = begin.elapsed();
            if round >= WARM_UP {
                samples[kind].push(time.as_secs_f64() * 1e9);
            }
        }
    }
    println!("{KEYS} keys, {ROUNDS} rounds");
    println!("{:<40} {:>10} {:>10} {:>8}", "token", "median ns", "less", "Welch t");
    let [unknown, ..] = &mut samples;
    let unknown = Sample::of(unknown);
    for ((name, _), times) in kinds.iter().zip(&mut samples) {
        let sample = Sample::of(times);
        let t = (sample.mean - unknown.mean) / (sample.error + unknown.error).sqrt();
        println!("{name:<40} {:>10.0} {:>+10.0} {t:>8.2}", sample.median, sample.median - unknown.median);
    }
}

struct Sample {
    median: f64,
    mean: f64,
    /// The variance of the mean.
    error: f64,
}

impl Sample {
    fn of(times: &mut [f64]) -> Self {
        times.sort_by(f64::total_cmp);
        let kept = &times[..times.len() - times.len() / 10];
        let count = f64::from(u32::try_from(kept.len()).expect("some thousand"));
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { median: times[times.len() / 2], mean, error: variance / count }
    }
}
