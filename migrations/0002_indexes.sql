-- no-transaction
-- Builds the indexes of list-chat-sessions alongside live traffic.
--
-- CONCURRENTLY does not block reads and writes, and PostgreSQL allows it only outside of a transaction. So each statement runs
-- by itself (the first line tells our own runner; `psql -v ON_ERROR_STOP=1 -f` needs nothing), and the file may run again after
-- an interruption anywhere: every statement has IF (NOT) EXISTS or sets a fixed value.

-- A build may take longer than the role's statement_timeout, and a cancelled one leaves an invalid index.
SET statement_timeout = 0;

-- For a page in its order, with each filter. `id` makes the order total, so that paging never repeats a row.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_last
  ON chat_sessions (user_id, last_message_at DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_status
  ON chat_sessions (user_id, status, last_message_at DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_widget
  ON chat_sessions (user_id, widget_id, last_message_at DESC, id DESC);

-- For counting sessions from a date on.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_created
  ON chat_sessions (user_id, created_at);

-- For the newest message of a session, its last entry, and for counting its messages with an index-only scan.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_messages_session_last
  ON chat_messages (session_id, created_at, id);

-- An interrupted build leaves an invalid index that slows down writes, serves no query and satisfies IF NOT EXISTS. This finds
-- it before the indexes that it replaces are dropped.
DO $$
DECLARE
  repair text;
BEGIN
  SELECT string_agg(format('DROP INDEX CONCURRENTLY %s;', indexrelid::regclass), ' ' ORDER BY relname) INTO repair
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
  WHERE NOT indisvalid AND pg_table_is_visible(indexrelid)
    AND relname IN ('chat_sessions_user_last', 'chat_sessions_user_status', 'chat_sessions_user_widget',
                    'chat_sessions_user_created', 'chat_messages_session_last');
  IF repair IS NOT NULL THEN
    RAISE EXCEPTION 'an index is invalid: its build was interrupted. Run: % Then run this file again.', repair;
  END IF;
END
$$;

-- chat_sessions_user_last and chat_messages_session_last begin with the same columns, so these two are redundant.
DROP INDEX CONCURRENTLY IF EXISTS idx_chat_sessions_user_id;
DROP INDEX CONCURRENTLY IF EXISTS idx_chat_messages_session_id;

-- `total` needs only an index as long as vacuum keeps up, and every message updates its session. With the dead rows that the
-- default of 20 % allows, counting took three times as long.
ALTER TABLE chat_sessions SET (autovacuum_vacuum_scale_factor = 0.01);

RESET statement_timeout;
