-- no-transaction
-- The way back: everything of the set goes, and the tables are as they were. The function notices it by itself and counts
-- again. May run again at any time, also on half of the set.

DROP INDEX CONCURRENTLY IF EXISTS chat_sessions_user_widget_active;
DROP INDEX CONCURRENTLY IF EXISTS chat_sessions_user_widget_closed;

BEGIN;

-- As in 1_columns.sql: it gives up rather than make writers wait.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE chat_messages IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER IF EXISTS kept_sessions_inserted ON chat_sessions;
DROP TRIGGER IF EXISTS kept_sessions_deleted ON chat_sessions;
DROP TRIGGER IF EXISTS kept_session_updated ON chat_sessions;
DROP TRIGGER IF EXISTS kept_sessions_truncated ON chat_sessions;
DROP TRIGGER IF EXISTS kept_new_session ON chat_sessions;
DROP TRIGGER IF EXISTS kept_message_inserted ON chat_messages;
DROP TRIGGER IF EXISTS kept_message_updated ON chat_messages;
DROP TRIGGER IF EXISTS kept_messages_deleted ON chat_messages;
DROP TRIGGER IF EXISTS kept_messages_truncated ON chat_messages;

DROP PROCEDURE IF EXISTS keep_chat_messages(integer, boolean);
DROP PROCEDURE IF EXISTS keep_chat_sessions();
DROP PROCEDURE IF EXISTS keep_chat_sessions_of(uuid);

DROP FUNCTION IF EXISTS kept_sessions_counted();
DROP FUNCTION IF EXISTS kept_session_updated();
DROP FUNCTION IF EXISTS kept_sessions_truncated();
DROP FUNCTION IF EXISTS kept_count(uuid, date, uuid, text, integer, integer);
-- kept_fold has a variable of the table's row type.
DROP FUNCTION IF EXISTS kept_fold(uuid, date);
DROP TABLE IF EXISTS chat_session_counts, chat_session_counted, chat_session_changes;
DROP FUNCTION IF EXISTS kept_changes_counted();
DROP FUNCTION IF EXISTS kept_sum(integer[], integer[]);
DROP FUNCTION IF EXISTS kept_days(integer[], integer[]);
DROP FUNCTION IF EXISTS kept_slot();
DROP FUNCTION IF EXISTS kept_day(timestamptz);
DROP FUNCTION IF EXISTS kept_month(timestamptz);

DROP FUNCTION IF EXISTS kept_new_session();
DROP FUNCTION IF EXISTS kept_message_inserted();
DROP FUNCTION IF EXISTS kept_message_updated();
DROP FUNCTION IF EXISTS kept_messages_deleted();
DROP FUNCTION IF EXISTS kept_messages_truncated();
ALTER TABLE chat_sessions RESET (fillfactor);
ALTER TABLE chat_sessions
  DROP COLUMN IF EXISTS message_count,
  DROP COLUMN IF EXISTS last_message,
  DROP COLUMN IF EXISTS last_message_created_at,
  DROP COLUMN IF EXISTS last_message_id;

COMMIT;
