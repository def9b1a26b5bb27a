-- no-transaction
-- The page of one widget in one status, in its order.
--
-- Without them PostgreSQL reads the widget's sessions, or those in that status, until it has found a page of both: 30,000
-- where the newest are all open. Two partial indexes, and not one with status as a column: that one is no cheaper than
-- chat_sessions_user_widget by PostgreSQL's reckoning where most sessions have the status, so it took the other. Built as
-- in 0002_indexes.sql, and may run again at any time.

SET statement_timeout = 0;

CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_widget_active
  ON chat_sessions (user_id, widget_id, last_message_at DESC, id DESC) WHERE status = 'active';
CREATE INDEX CONCURRENTLY IF NOT EXISTS chat_sessions_user_widget_closed
  ON chat_sessions (user_id, widget_id, last_message_at DESC, id DESC) WHERE status = 'closed';

DO $$
DECLARE
  repair text;
BEGIN
  SELECT string_agg(format('DROP INDEX CONCURRENTLY %s;', indexrelid::regclass), ' ' ORDER BY relname) INTO repair
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
  WHERE NOT indisvalid AND pg_table_is_visible(indexrelid)
    AND relname IN ('chat_sessions_user_widget_active', 'chat_sessions_user_widget_closed');
  IF repair IS NOT NULL THEN
    RAISE EXCEPTION 'an index is invalid: its build was interrupted. Run: % Then run this file again.', repair;
  END IF;
END
$$;

RESET statement_timeout;
