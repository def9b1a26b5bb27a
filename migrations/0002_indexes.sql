-- no-transaction
-- The indexes of list-chat-sessions, built beside live traffic.
--
-- CONCURRENTLY lets reads and writes go on while an index is built, and PostgreSQL allows it outside of a transaction
-- only. So each statement stands alone (the first line says so to our own runner; `psql -v ON_ERROR_STOP=1 -f` works as
-- it is), and the file has to be safe to run again after it was interrupted anywhere: every statement says IF (NOT)
-- EXISTS or sets a fixed value.

-- A build over many rows may take longer than the role's usual limit, and one that is cut off leaves an invalid index.
SET statement_timeout = 0;

-- The page in its order, for each way of filtering; `id` makes the order total, so that paging never repeats a row.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_last
  ON chat_sessions (user_id, last_message_at DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_status
  ON chat_sessions (user_id, status, last_message_at DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_widget
  ON chat_sessions (user_id, widget_id, last_message_at DESC, id DESC);

-- Sessions from a date on.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_created
  ON chat_sessions (user_id, created_at);

-- The newest message of a session is the last entry, and counting its messages needs the index alone.
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_messages_session_last
  ON chat_messages (session_id, created_at, id);

-- An interrupted build leaves an index that costs writes, serves no query and satisfies IF NOT EXISTS. It must be found
-- before the indexes that it was to replace are gone.
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

-- The same columns stand first in chat_sessions_user_last and chat_messages_session_last: two indexes less to write.
DROP INDEX CONCURRENTLY IF EXISTS idx_chat_sessions_user_id;
DROP INDEX CONCURRENTLY IF EXISTS idx_chat_messages_session_id;

-- `total` is counted from the index alone as long as vacuum keeps up, and every message updates its session. With the
-- usual 20 % of dead rows, counting took three times as long.
ALTER TABLE chat_sessions SET (autovacuum_vacuum_scale_factor = 0.01);

RESET statement_timeout;
