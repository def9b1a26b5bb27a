//! Servers, databases and the rows in them.

use testkit::{
    Database, Server, ServerOptions, database, keys,
    postgres::home,
    seed::{self, Volume},
};

#[tokio::test]
async fn servers_run_side_by_side_and_restart_with_their_data() -> anyhow::Result<()> {
    let mut one = Server::start()?;
    let other =
        Server::start_with(ServerOptions { settings: vec!["max_connections=7".into()], ..ServerOptions::default() })?;
    assert_ne!(one.port(), other.port());
    let setting = database::connect(&other.url("postgres")).await?.query_one("SHOW max_connections", &[]).await?;
    assert_eq!(setting.get::<_, String>(0), "7");

    database::connect(&one.url("postgres")).await?.batch_execute("CREATE TABLE kept ()").await?;
    one.stop()?;
    assert!(database::connect(&one.url("postgres")).await.is_err());
    one.start_again()?;
    database::connect(&one.url("postgres")).await?.batch_execute("SELECT FROM kept").await?;
    let folder = one.folder().to_owned();
    drop(one);
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn a_kept_server_keeps_its_data_and_cannot_be_started_twice() -> anyhow::Result<()> {
    let name = format!("test-{:08x}", fastrand::u32(..));
    let start = || Server::start_with(ServerOptions { kept: Some(name.clone()), ..ServerOptions::default() });
    let one = start()?;
    database::connect(&one.url("postgres")).await?.batch_execute("CREATE TABLE kept ()").await?;
    let error = start().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.ends_with("is in use by another process"), "{error}");
    let folder = one.folder().to_owned();
    drop(one);

    let other = start()?;
    assert_eq!(other.folder(), folder);
    database::connect(&other.url("postgres")).await?.batch_execute("SELECT FROM kept").await?;
    drop(other);
    std::fs::remove_dir_all(&folder)?;
    std::fs::remove_file(format!("{}.lock", folder.display()))?;
    Ok(())
}

#[tokio::test]
async fn databases_can_be_created_concurrently_and_are_separate() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (one, other) = tokio::try_join!(Database::create(&server), Database::create(&server))?;
    one.load("INSERT INTO users (email) VALUES ('one@example.com')").await?;
    let count = other.client().await?.query_one("SELECT count(*) FROM users", &[]).await?;
    assert_eq!(count.get::<_, i64>(0), 0);
    let error = one.load("SELECT 1;\nSELECT nothing").await.err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("line 2: column \"nothing\" does not exist"));
    Ok(())
}

#[tokio::test]
async fn the_demo_account_has_the_contracts_session() -> anyhow::Result<()> {
    let database = Database::create(Server::shared()).await?;
    database.load(seed::DEMO_SQL).await?;
    let rows = database
        .client()
        .await?
        .query_typed(
            "SELECT id::text, last_message_at::text, (SELECT count(*) FROM chat_messages WHERE session_id = s.id)
               FROM chat_sessions s WHERE status = 'active' AND user_id::text = $1 ORDER BY last_message_at DESC, id DESC",
            &[(&seed::DEMO_USER_ID, tokio_postgres::types::Type::TEXT)],
        )
        .await?;
    assert_eq!(rows.len(), 24);
    assert_eq!(rows[0].get::<_, &str>(0), "e5f6a7b8-c9d0-1e2f-3a4b-567890cdef12");
    assert!(rows[0].get::<_, &str>(1).starts_with("2024-01-15 10:45:00"));
    assert_eq!(rows[0].get::<_, i64>(2), 8);
    assert_eq!(seed::demo_ring().api_keys[0].key_hash, keys::hash(seed::DEMO_TOKEN));
    Ok(())
}

#[tokio::test]
async fn seeding_creates_the_requested_rows_with_consistent_times() -> anyhow::Result<()> {
    let database = Database::create(Server::shared()).await?;
    let mut client = database.client().await?;
    let volume = Volume { accounts: 3, sessions: 110, messages: 5 };
    let seeded = seed::fill(&mut client, volume).await?;
    assert_eq!(seeded.largest.1, 60);
    let counts = client
        .query_one(
            "SELECT count(*), (SELECT count(*) FROM chat_messages), count(*) FILTER (WHERE last_message_at <> coalesce(
               (SELECT max(created_at) FROM chat_messages WHERE session_id = s.id), created_at)) FROM chat_sessions s",
            &[],
        )
        .await?;
    assert_eq!((counts.get::<_, i64>(0), counts.get::<_, i64>(2)), (110, 0));
    assert_eq!(u64::try_from(counts.get::<_, i64>(1))?, seeded.messages);
    assert_eq!(seeded.key_ring.api_keys[0].key_hash, keys::hash(&seeded.largest.0));
    assert!(seed::fill(&mut client, volume).await.is_err());
    Ok(())
}

#[test]
fn a_folder_of_another_user_is_an_error_that_says_how_to_repair_it() {
    // It belongs to root, which runs PostgreSQL as another user.
    let error = home::ensure_owned(std::path::Path::new("/usr")).err().map(|error| error.to_string());
    let error = error.unwrap_or_default();
    for part in ["/usr belongs to user 0 (root), and PostgreSQL would run as user ", "rm -rf '/usr'", "chown -R "] {
        assert!(error.contains(part), "{error}");
    }
}
