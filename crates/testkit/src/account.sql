-- An account of 1,000 sessions with values in every column and eight messages each.
SET session_replication_role = replica;

INSERT INTO chat_sessions
  (id, widget_id, user_id, visitor_id, visitor_name, visitor_email, page_url, status, last_message_at, created_at)
SELECT md5('session ' || n)::uuid, 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', '11111111-1111-4111-8111-111111111111',
       'v_' || left(md5('visitor ' || n), 12), 'Visitor Number ' || n, 'visitor' || n || '@example.com',
       'https://www.example.com/pricing?plan=' || n % 10, CASE WHEN n % 10 = 0 THEN 'closed' ELSE 'active' END,
       timestamptz '2024-06-01 12:00:00.123456Z' - n * interval '17 min', '2024-01-01Z'
FROM generate_series(1, 1000) n;

INSERT INTO chat_messages (id, session_id, role, content, created_at)
SELECT md5('message ' || n || '/' || m)::uuid, md5('session ' || n)::uuid,
       CASE WHEN m % 2 = 0 THEN 'visitor' ELSE 'agent' END,
       'Thanks, that helps! Where do I find the invoices of the last year, message ' || n || '/' || m || '?',
       timestamptz '2024-06-01 12:00:00.123456Z' - n * interval '17 min' - (8 - m) * interval '1 min'
FROM generate_series(1, 1000) n, generate_series(1, 8) m;
