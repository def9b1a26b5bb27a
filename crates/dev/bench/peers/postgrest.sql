-- The statement that PostgREST sends for the edge function's request, written from its documentation of resource
-- embedding and of `Prefer: count=exact`:
--
--   select=*,chat_widgets(name),chat_messages(content,created_at)&user_id=eq.…&order=last_message_at.desc&limit=…&offset=…
--
-- An embedded resource is a lateral join below LIMIT and OFFSET, so it is also computed for every skipped row. It
-- returns all messages of a session; the edge function picks the last and counts them. Omitted: PostgREST's transaction
-- and settings around the statement, HTTP, and the edge function.
WITH source AS (
  SELECT chat_sessions.*,
         row_to_json(chat_widgets_1.*) AS chat_widgets,
         coalesce(chat_messages_1.chat_messages_1, '[]') AS chat_messages
  FROM chat_sessions
  LEFT JOIN LATERAL (
    SELECT w.name FROM chat_widgets w WHERE w.id = chat_sessions.widget_id
  ) chat_widgets_1 ON true
  LEFT JOIN LATERAL (
    SELECT json_agg(chat_messages_1) AS chat_messages_1
    FROM (SELECT m.content, m.created_at FROM chat_messages m WHERE m.session_id = chat_sessions.id) chat_messages_1
  ) chat_messages_1 ON true
  WHERE chat_sessions.user_id = $1 /* filters */
  ORDER BY chat_sessions.last_message_at DESC
  /* limit */
), source_count AS (
  SELECT 1 FROM chat_sessions WHERE chat_sessions.user_id = $1 /* filters */
)
SELECT (SELECT count(*) FROM source_count) AS total, count(page) AS page_total, coalesce(json_agg(page), '[]')::text AS body
FROM (SELECT * FROM source) page
