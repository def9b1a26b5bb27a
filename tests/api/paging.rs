//! For any data and any page size, the pages together are exactly the sorted list.

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;
use testkit::{ACCOUNT, TestApp, WIDGET};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The number of generated tables; each is listed page by page.
const CASES: u32 = 24;

/// The sort key of a session: its last message's time in seconds, if it has one, and its id.
type Key = (Option<i32>, Uuid);

fn sessions() -> impl Strategy<Value = Vec<Key>> {
    // Few distinct times, so that many sessions share one.
    let key = (proptest::option::weighted(0.8, 0..6_i32), any::<u128>().prop_map(Uuid::from_u128));
    proptest::collection::vec(key, 0..60)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_together_are_the_sorted_list() {
    let test = TestApp::start().await;
    let client = test.database.client().await.unwrap();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) });
    let outcome = runner.run(&(sessions(), 1..25_usize), |(sessions, size)| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                store(&client, &sessions).await;
                let pages = all_pages(&test, size, sessions.len()).await;
                prop_assert_eq!(pages, sorted(sessions));
                Ok(())
            })
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_deep_page_has_the_same_rows_as_a_shallow_one() {
    let test = TestApp::start().await;
    let sql = format!(
        "INSERT INTO chat_sessions (widget_id, user_id, visitor_id, last_message_at)
         SELECT '{WIDGET}', '{ACCOUNT}', 'v', timestamptz '2024-01-01' + (n % 7) * interval '1 h'
         FROM generate_series(1, 1100) n"
    );
    test.database.load(&sql).await.unwrap();
    let near = test.list(json!({ "limit": 100, "offset": 950 })).await;
    let deep = test.list(json!({ "limit": 100, "offset": 1_000 })).await;
    assert_eq!(near.sessions()[50..], deep.sessions()[..50]);
    assert_eq!((deep.ids().len(), deep.total()), (100, 1_100));
    assert_eq!(test.list(json!({ "limit": 100, "offset": 1_090 })).await.ids().len(), 10);
}

/// The ids of a deep page are found in order, but the join with their rows may return them in any order. The outer
/// `ORDER BY` restores it, also for sessions with the same time.
#[tokio::test]
async fn a_deep_page_is_in_order_with_every_join_method() {
    let test = TestApp::start().await;
    let sql = format!(
        "INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, last_message_at)
         SELECT md5(n::text)::uuid, '{WIDGET}', '{ACCOUNT}', 'v', '2024-01-01' FROM generate_series(1, 1100) n;
         ANALYZE chat_sessions;"
    );
    test.database.load(&sql).await.unwrap();
    let client = test.database.client().await.unwrap();
    let rows =
        client.query_typed("SELECT id::text FROM chat_sessions ORDER BY id DESC OFFSET 1000", &[]).await.unwrap();
    let sorted: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let methods = ["enable_nestloop", "enable_hashjoin", "enable_mergejoin"];
    for method in methods {
        let database: String = client.query_typed_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
        for other in methods {
            let value = if other == method { "on" } else { "off" };
            let set = format!("ALTER DATABASE {database} SET {other} = {value}");
            client.batch_execute(&set).await.unwrap();
        }
        // A new connection has the new settings.
        let secrets = testkit::app::secrets().await;
        let test = TestApp::start_on(test.database.clone(), secrets, |_| {}).await;
        assert_eq!(test.list(json!({ "limit": 100, "offset": 1_000 })).await.ids(), sorted, "{method}");
    }
}

async fn store(client: &tokio_postgres::Client, sessions: &[Key]) {
    client.batch_execute("TRUNCATE chat_sessions CASCADE").await.unwrap();
    let (times, ids): (Vec<_>, Vec<_>) = sessions.iter().copied().unzip();
    let sql = format!(
        "INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, last_message_at)
         SELECT v.id, '{WIDGET}', '{ACCOUNT}', 'v', timestamptz '2024-01-01' + v.seconds * interval '1 s'
         FROM unnest($1, $2) v (id, seconds)"
    );
    client.execute_typed(&sql, &[(&ids, Type::UUID_ARRAY), (&times, Type::INT4_ARRAY)]).await.unwrap();
}

async fn all_pages(test: &TestApp, size: usize, total: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    loop {
        let page = test.list(json!({ "limit": size, "offset": ids.len() })).await;
        assert_eq!(page.total(), i64::try_from(total).unwrap());
        let page = page.ids();
        ids.extend(page.iter().map(|id| id.parse::<Uuid>().unwrap()));
        if page.len() < size {
            return ids;
        }
    }
}

/// Sessions without a time first, then the latest; among equals, the largest id first.
fn sorted(mut sessions: Vec<Key>) -> Vec<Uuid> {
    sessions.sort_by_key(|(time, id)| std::cmp::Reverse((time.is_none(), *time, *id)));
    sessions.into_iter().map(|(_, id)| id).collect()
}
