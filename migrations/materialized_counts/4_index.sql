-- no-transaction
-- Indexes for the page of one widget in one status, in its order.
--
-- Without them PostgreSQL reads the widget's sessions, or those in the status, until it has found a page that matches both:
-- 30,000 rows if the newest sessions all have the other status. Two partial indexes instead of one with status as a column:
-- where most sessions have the status, PostgreSQL estimates the same cost for that one as for chat_sessions_user_widget, and
-- chose the latter. Built as in 0002_indexes.sql. The file may run again at any time.

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
