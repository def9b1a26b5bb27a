-- list-chat-sessions: materialized, deep page
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_totals WHERE user_id = $1)
           + (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND slot >= 0))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, widget_id
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, status
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_totals WHERE user_id = $1 AND status = 'active')
           + (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND status = 'active'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND status = 'active'
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, widget_id, status
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND status = 'active'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active'
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND month >= '2024-01-01'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, widget_id, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND month >= '2024-01-01'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND status = 'active' AND month >= '2024-01-01'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, widget_id, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND month >= '2024-01-01'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND month >= '2024-01-01')
           + (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND created_at >= $2 AND created_at < '2024-01-16T00:00Z'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, widget_id, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND month >= '2024-01-01')
           + (SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE user_id = $1 AND created_at >= $3 AND created_at < '2024-01-16T00:00Z' OFFSET 0) part WHERE true AND widget_id = $2))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE user_id = $1 AND created_at >= $2 AND created_at < '2024-01-16T00:00Z' OFFSET 0) part WHERE true AND status = 'active'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page, widget_id, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE user_id = $1 AND created_at >= $3 AND created_at < '2024-01-16T00:00Z' OFFSET 0) part WHERE true AND widget_id = $2 AND status = 'active'))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, computed total, deep page, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND created_at >= $2) AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, computed total, deep page, widget_id, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3) AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, computed total, deep page, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2) AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, computed total, deep page, widget_id, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN E'\x1A' ELSE s.last_message END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3) AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;

-- list-chat-sessions: materialized, deep page
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN substr(convert_to(left(w.name, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(w.name, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN substr(convert_to(left(s.visitor_id, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.visitor_id, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN substr(convert_to(left(s.visitor_name, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.visitor_name, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN substr(convert_to(left(s.visitor_email, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.visitor_email, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN substr(convert_to(left(s.status, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.status, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS status,
       CASE WHEN octet_length(s.last_message) > 320000 THEN substr(convert_to(left(s.last_message, 320001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 320001) ELSE convert_to(s.last_message, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS last_message,
       s.last_message_at,
       s.message_count::bigint AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN substr(convert_to(left(s.page_url, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.page_url, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS page_url,
       s.created_at,
       CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_totals WHERE user_id = $1)
           + (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND slot >= 0))::bigint END AS total
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 1000) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC;
