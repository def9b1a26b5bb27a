-- no-transaction
-- The page of one widget in one status, in its order.
--
-- Without it PostgreSQL reads the widget's sessions, or those in that status, until it has found a page of both: 30,000 of
-- them where open sessions are the newest. Built as in 0002_indexes.sql, and may run again at any time.

SET statement_timeout = 0;

CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_widget_status
  ON chat_sessions (user_id, widget_id, status, last_message_at DESC, id DESC);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
             WHERE NOT indisvalid AND pg_table_is_visible(indexrelid) AND relname = 'chat_sessions_user_widget_status')
  THEN
    RAISE EXCEPTION 'the index is invalid: its build was interrupted. Run: DROP INDEX CONCURRENTLY chat_sessions_user_widget_status; Then run this file again.';
  END IF;
END
$$;

RESET statement_timeout;
