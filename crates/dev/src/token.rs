//! `cargo dev new-token` and `hash-token`: tokens and their entries in the key ring.

use std::io::Read;

use anyhow::{Result, anyhow, ensure};
use testkit::{
    keys::{self, Entry},
    seed::DEMO_USER_ID,
    terminal::out,
};
use uuid::Uuid;

#[derive(clap::Args)]
#[group(skip)]
pub struct TokenOptions {
    /// Account of the token [default: the demo account]
    #[arg(long, value_name = "UUID")]
    user_id: Option<Uuid>,
    /// Name of the key
    #[arg(long, value_name = "NAME", default_value = "new")]
    name: String,
}

/// Prints a new token and its entry for the list `api_keys` of the key ring. The token is stored nowhere.
pub fn new(options: &TokenOptions) -> Result<()> {
    let token = random()?;
    let user_id = options.user_id.map_or_else(|| DEMO_USER_ID.to_owned(), |id| id.to_string());
    let entry = Entry::new(&token, user_id, options.name.as_str());
    out(format_args!("{token}\n{}", keys::json(&entry)?));
    Ok(())
}

/// Makes a token. It is a secret: its 160 bits come from the cryptographic generator.
pub fn random() -> Result<String> {
    let mut bits = [0; 20];
    let random = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bits).map_err(|_| anyhow!("the system provides no random bytes"))?;
    Ok(format!("mgp_{}", keys::hex(&bits)))
}

/// Prints the hash of the token on standard input.
pub fn hash() -> Result<()> {
    out(keys::hash(&read()?));
    Ok(())
}

/// Reads the token on standard input.
pub fn read() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let token = text.trim_end_matches(['\r', '\n']);
    ensure!(!token.is_empty(), "give the token on standard input: printf %s \"$TOKEN\" | cargo dev …");
    ensure!(!token.contains(char::is_whitespace), "give one token, without white space");
    Ok(token.to_owned())
}
