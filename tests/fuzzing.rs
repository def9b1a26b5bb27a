//! Every parser of external input, with inputs that proptest generates: raw bytes, words of the grammar in any order, and
//! mutated valid examples. `PROPTEST_CASES` is their number; .ci/extended-tests uses 100,000. fuzz/ has the same targets for
//! libFuzzer.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

/// Bytes that are shown as text when a claim about them fails.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The files of `fuzz/seeds/<target>`, which are libFuzzer's seeds too.
fn examples(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap().trim_ascii_end().to_vec()).collect()
}

/// One change to an input: a byte replaced, a word inserted, a range removed or doubled.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(u8),
    Word(&'static str),
    Cut(usize),
    Double(usize),
}

fn mutate(mut input: Vec<u8>, mutations: &[(usize, Mutation)]) -> Vec<u8> {
    for (place, mutation) in mutations {
        let at = place % (input.len() + 1);
        let range = |length: &usize| at..input.len().min(at + length);
        match mutation {
            Mutation::Byte(byte) if at < input.len() => input[at] = *byte,
            Mutation::Byte(byte) => input.push(*byte),
            Mutation::Word(word) => drop(input.splice(at..at, word.bytes())),
            Mutation::Cut(length) => drop(input.drain(range(length))),
            Mutation::Double(length) => {
                let again = input[range(length)].to_vec();
                input.splice(at..at, again);
            }
        }
    }
    input
}

/// Inputs for a target, of all three kinds.
fn inputs(target: &str, words: &'static [&'static str]) -> impl Strategy<Value = Input> + use<> {
    let mutation = prop_oneof![
        any::<u8>().prop_map(Mutation::Byte),
        select(words).prop_map(Mutation::Word),
        (1..20_usize).prop_map(Mutation::Cut),
        (1..20_usize).prop_map(Mutation::Double),
    ];
    prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        3 => vec(select(words), 0..24).prop_map(|words| words.concat().into_bytes()),
        6 => (select(examples(target)), vec((any::<usize>(), mutation), 0..5))
            .prop_map(|(input, mutations)| mutate(input, &mutations)),
    ]
    .prop_map(Input)
}

const JSON: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "0",
    "-1",
    "1e2",
    "1e999",
    "20.0",
    "\"\\ud800\"",
    "\"\"",
    " ",
    "\n",
    "\\",
    "\u{feff}",
    "\u{0}",
    "hunter2",
];

macro_rules! targets {
    ($($claim:ident: $target:ident, $words:expr;)*) => {
        proptest! {
            $(#[test]
            fn $claim(input in inputs(stringify!($target), const { &concat_words(&$words) })) {
                fuzzing::$target(&input.0);
            })*
        }
    };
}

/// The words of JSON and 18 more.
const fn concat_words(words: &[&'static str; 18]) -> [&'static str; 40] {
    let mut all = [""; 40];
    let mut at = 0;
    while at < 40 {
        all[at] = if at < 22 { JSON[at] } else { words[at - 22] };
        at += 1;
    }
    all
}

targets! {
    any_body_is_a_request_or_rejected_with_a_fixed_message: body, [
        "\"limit\":", "\"offset\":", "\"widget_id\":", "\"status\":", "\"from_date\":", "\"active\"", "\"closed\"",
        "9223372036854775807", "\"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa\"", "\"2024-02-29\"", "\"2024-01-15T10:30:00Z\"",
        "\"20240115T103000,5-0330\"", "100", "50", "T24", "+15:59", "[Europe/Berlin]", "\\u0073",
    ];
    any_authorization_header_gives_its_only_token: authorization, [
        "Bearer", "bearer", "BEARER", "Basic", "Bearer ", "bEaReR  ", fuzzing::TOKEN, "mgp_", "\t", "  ", ",", "Bearer,",
        "01234567", "=", "é", "\u{7f}", "\u{a0}", "\r\n",
    ];
    any_key_ring_accepts_its_valid_keys_or_is_rejected_with_a_fixed_message: key_ring, [
        "\"api_keys\":", "\"key_hash\":", "\"user_id\":", "\"is_active\":", "\"expires_at\":", "\"name\":", "false",
        "\"2025-12-31T23:59:59Z\"", "\"2026-01-01T00:00:00Z\"", "\"2026-01-01T00:00:00.000000001Z\"", "2027", "A",
        "\"241ea5b7a6a1ed1d4b2a7b2e1c7c1d9f0e8a7b6c5d4e3f2a1b0c9d8e7f6a147a\"", "{\"key_hash\":", "},{", "-01:00",
        "\"11111111-1111-4111-8111-111111111111\"", "\"22222222-2222-4222-8222-222222222222\"",
    ];
    any_session_token_is_accepted_exactly_if_it_is_signed_and_obeys_the_rules: session_token, [
        "{\"alg\":\"HS256\"}\n", "\"alg\":", "\"HS256\"", "\"none\"", "\"kid\":", "\"crit\":", "\"iss\":", "\"aud\":",
        "\"exp\":", "\"nbf\":", "\"sub\":", "\"https://project.supabase.co/auth/v1\"", "\"authenticated\"",
        "1767225600", "\"11111111-1111-4111-8111-111111111111\"", "\"keys\":", "eyJhbGciOiJIUzI1NiJ9.e30.", "},{",
    ];
    any_database_secret_gives_settings_or_is_rejected_with_a_fixed_message: login_secret, [
        "\"username\":", "\"password\":", "\"host\":", "\"port\":", "\"dbname\":", "\"sslmode\":", "\"sslrootcert\":",
        "\"channel_binding\":", "\"verify-full\"", "\"disable\"", "\"prefer\"", "\"require\"", "\"localhost\"", "65536",
        "\"127.0.0.1\"", "-----BEGIN CERTIFICATE-----\\n", "-----END CERTIFICATE-----\\n", "-----BEGIN hunter2",
    ];
    any_database_url_gives_settings_or_is_rejected_with_a_fixed_message: login_url, [
        "postgres://", "postgresql://", "hunter2:hunter2", "@", "/", "?", "&", "=", "sslmode=", "verify-full", "disable",
        "channel_binding=require", "hostaddr=", "127.0.0.1", "db.example.com", ":5432", "%ff", "keepalives=",
    ];
}
