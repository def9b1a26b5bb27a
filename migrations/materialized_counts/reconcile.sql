-- Compares every materialized value with the tables it is computed from, in one snapshot and without blocking anything.
-- Returns a row for each value that differs; no row means that all are exact.

WITH sessions AS (
  SELECT s.id, s.message_count, s.last_message, s.last_message_created_at, s.last_message_id,
         coalesce(c.n, 0) AS n, m.content, m.created_at, m.id AS message_id
  FROM chat_sessions s
  LEFT JOIN (SELECT session_id, count(*) AS n FROM chat_messages GROUP BY session_id) c ON c.session_id = s.id
  LEFT JOIN (SELECT DISTINCT ON (session_id) session_id, content, created_at, id
             FROM chat_messages ORDER BY session_id, created_at DESC, id DESC) m ON m.session_id = s.id
  WHERE s.message_count IS NOT NULL
), accounts AS (
  SELECT EXISTS (SELECT FROM chat_session_counted
                 WHERE user_id = '00000000-0000-0000-0000-000000000000' AND has_totals) AS are_all
), actual AS (
  SELECT user_id, widget_id,
         CASE WHEN created_at >= '4713-01-01 00:00:00+00 BC'
              THEN date_trunc('month', created_at AT TIME ZONE 'UTC')::date ELSE '-infinity' END AS month,
         coalesce(status, '') AS status, d, count(*) AS n
  FROM chat_sessions, LATERAL (
    VALUES (0), (coalesce(date_part('day', created_at AT TIME ZONE 'UTC')::integer, 1))) v (d)
  GROUP BY 1, 2, 3, 4, 5
), counted AS (
  SELECT user_id, month, widget_id, status, place - 1 AS d, sum(k) AS n
  FROM chat_session_counts, unnest(n || days::bigint[]) WITH ORDINALITY u (k, place)
  GROUP BY 1, 2, 3, 4, 5
), folded AS (
  SELECT user_id, month, status, place - 1 AS d, sum(k) AS n
  FROM chat_session_counts, unnest(n || days::bigint[]) WITH ORDINALITY u (k, place) WHERE slot = -1
  GROUP BY 1, 2, 3, 4
), totals AS (
  SELECT user_id, month, status, place - 1 AS d, k AS n
  FROM chat_session_totals, unnest(n || days::bigint[]) WITH ORDINALITY u (k, place)
)
SELECT 'message_count' AS value, id::text AS "of", message_count::text AS materialized, n::text AS actual
FROM sessions WHERE message_count <> n
UNION ALL
-- Message texts are private, so this shows the ids.
SELECT 'last_message', id::text, last_message_id::text, message_id::text
FROM sessions
WHERE (last_message COLLATE "C", last_message_created_at, last_message_id)
  IS DISTINCT FROM (content COLLATE "C", created_at, message_id)
UNION ALL
SELECT CASE d WHEN 0 THEN 'n' ELSE 'day ' || d END,
       concat_ws(' ', 'account', user_id, 'widget', widget_id, 'status', quote_literal(status), 'month', month),
       coalesce(counted.n, 0)::text, coalesce(actual.n, 0)::text
FROM actual FULL JOIN counted USING (user_id, month, widget_id, status, d)
WHERE coalesce(actual.n, 0) <> coalesce(counted.n, 0)
  AND ((SELECT are_all FROM accounts) OR user_id IN (SELECT user_id FROM chat_session_counted WHERE has_totals))
UNION ALL
-- An account's totals are the sums of its folded rows.
SELECT CASE d WHEN 0 THEN 'total' ELSE 'total of day ' || d END,
       concat_ws(' ', 'account', user_id, 'status', quote_literal(status), 'month', month),
       coalesce(totals.n, 0)::text, coalesce(folded.n, 0)::text
FROM folded FULL JOIN totals USING (user_id, month, status, d)
WHERE coalesce(folded.n, 0) <> coalesce(totals.n, 0)
  AND ((SELECT are_all FROM accounts) OR user_id IN (SELECT user_id FROM chat_session_counted WHERE has_totals))
ORDER BY 1, 2;
