-- The rows of `cargo dev bench`: the same in every run. MIDDLE and LARGE are replaced by the sizes of two accounts;
-- another account has 1,000 sessions, and a hundred more share the tables. Values that look random are hashes of the
-- row's number.

CREATE FUNCTION pg_temp.account(a bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
  $$ SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(a), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.widget(a bigint, w bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
  $$ SELECT ('aaaaaaaa-aaaa-4aaa-8' || lpad(w::text, 3, '0') || '-' || lpad(to_hex(a), 12, '0'))::uuid $$;

CREATE TEMPORARY TABLE account AS
  SELECT * FROM (VALUES (1::bigint, 1000), (2, MIDDLE), (3, LARGE)) big (a, sessions)
  UNION ALL SELECT a, 300 FROM generate_series(4, 103) a;

INSERT INTO users SELECT pg_temp.account(a), 'account' || a || '@example.com' FROM account;
INSERT INTO chat_widgets SELECT pg_temp.widget(a, w), pg_temp.account(a), 'Widget ' || w FROM account, generate_series(0, 9) w;

-- Inserted in order of time, so that the accounts' rows are interleaved as in production. The rows span two years that
-- end on 2026-11-01. Most sessions of the last 25 days are active. The widgets' shares range from two fifths to a
-- thousandth. A session has 0 to 6 messages, 97 seconds apart.
INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, visitor_name, visitor_email, page_url, browser_info, status,
                           last_message_at, created_at)
SELECT id,
       pg_temp.widget(a, width_bucket((h >> 8 & 65535) / 65536.0::float8,
                                      ARRAY[0.40, 0.60, 0.72, 0.80, 0.86, 0.91, 0.95, 0.98, 0.999]::float8[])),
       pg_temp.account(a),
       'v_' || left(id::text, 8) || right(id::text, 4),
       CASE WHEN h & 7 < 5 THEN (ARRAY['Anna', 'Ben', 'Chloe', 'David', 'Elif', 'Farid', 'Grace', 'Hugo'])[1 + (h >> 3 & 7)] || ' ' || left(id::text, 5) END,
       CASE WHEN h & 3 < 2 THEN 'visitor-' || left(id::text, 8) || '@example.com' END,
       'https://example.com/' || (ARRAY['', 'pricing', 'docs/getting-started', 'contact', 'shop/cart?step=2', 'account/orders'])[1 + (h >> 5 & 3) + (h >> 7 & 1) * 2],
       '{"browser": "Firefox", "language": "en-GB", "mobile": false}',
       CASE WHEN h % 100 = 0 THEN NULL
            WHEN created_at > timestamptz '2026-11-01Z' - interval '25 days' AND h % 100 < 80 THEN 'active'
            ELSE 'closed' END,
       created_at + messages * interval '97 seconds',
       created_at
FROM (SELECT a, n, hash.h, md5('session ' || a || ' ' || n)::uuid AS id,
             timestamptz '2026-11-01Z' - interval '730 days'
               * ((hashint8extended(a * 10000000 + n, 1) & 4294967295) / 4294967296.0::float8) AS created_at,
             (hashint8extended(a * 10000000 + n, 2) & 65535) % 7 AS messages
      FROM account, generate_series(1, sessions) n,
           LATERAL (SELECT hashint8extended(a * 10000000 + n, 3) & 4611686018427387903 AS h) hash
      OFFSET 0) s
ORDER BY created_at;

INSERT INTO chat_messages (id, session_id, role, content, created_at)
SELECT md5(s.id::text || m)::uuid, s.id, CASE WHEN m % 2 = 1 THEN 'visitor' ELSE 'agent' END,
       left('Hello! ' || repeat('Where is my order, and can I still change the address? Thank you. ', 3),
            20 + (hashint8extended(m, ('x' || left(s.id::text, 8))::bit(32)::bigint) & 127)::integer),
       s.created_at + m * interval '97 seconds'
FROM chat_sessions s,
     generate_series(1, (extract(epoch FROM s.last_message_at - s.created_at) / 97)::integer) m;
