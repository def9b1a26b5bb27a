-- Adds a session to the busiest account: one transaction of pgbench.
\set widget random(0, 9)
INSERT INTO chat_sessions (widget_id, user_id, visitor_id, page_url)
VALUES (('aaaaaaaa-aaaa-4aaa-8' || lpad(:widget::text, 3, '0') || '-000000000003')::uuid,
        '00000000-0000-4000-8000-000000000003', 'v_bench', 'https://example.com/pricing');
