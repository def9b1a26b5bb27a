-- list-chat-sessions: materialized, total
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_totals WHERE user_id = $1)
           + (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND slot >= 0))::bigint END AS total;

-- list-chat-sessions: materialized, total, widget_id
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2))::bigint END AS total;

-- list-chat-sessions: materialized, total, status
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_totals WHERE user_id = $1 AND status = 'active')
           + (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND status = 'active'))::bigint END AS total;

-- list-chat-sessions: materialized, total, widget_id, status
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND status = 'active'))::bigint END AS total;

-- list-chat-sessions: materialized, total, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND month >= '2024-01-01'))::bigint END AS total;

-- list-chat-sessions: materialized, total, widget_id, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND month >= '2024-01-01'))::bigint END AS total;

-- list-chat-sessions: materialized, total, status, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND status = 'active' AND month >= '2024-01-01'))::bigint END AS total;

-- list-chat-sessions: materialized, total, widget_id, status, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-15' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[15:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND month >= '2024-01-01'))::bigint END AS total;

-- list-chat-sessions: materialized, total, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND month >= '2024-01-01')
           + (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND created_at >= $2 AND created_at < '2024-01-16T00:00Z'))::bigint END AS total;

-- list-chat-sessions: materialized, total, widget_id, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND month >= '2024-01-01')
           + (SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE user_id = $1 AND created_at >= $3 AND created_at < '2024-01-16T00:00Z' OFFSET 0) part WHERE true AND widget_id = $2))::bigint END AS total;

-- list-chat-sessions: materialized, total, status, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_totals WHERE user_id = $1 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE user_id = $1 AND created_at >= $2 AND created_at < '2024-01-16T00:00Z' OFFSET 0) part WHERE true AND status = 'active'))::bigint END AS total;

-- list-chat-sessions: materialized, total, widget_id, status, from_date
SELECT CASE WHEN EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
            THEN ((SELECT coalesce(sum(CASE WHEN month > '2024-01-16' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[16:]) day) END), 0)
              FROM chat_session_counts WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND month >= '2024-01-01')
           + (SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE user_id = $1 AND created_at >= $3 AND created_at < '2024-01-16T00:00Z' OFFSET 0) part WHERE true AND widget_id = $2 AND status = 'active'))::bigint END AS total;

-- list-chat-sessions: materialized, computed total, total, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND created_at >= $2) AS total;

-- list-chat-sessions: materialized, computed total, total, widget_id, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3) AS total;

-- list-chat-sessions: materialized, computed total, total, status, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2) AS total;

-- list-chat-sessions: materialized, computed total, total, widget_id, status, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3) AS total;
