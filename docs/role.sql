-- The role that the function connects as. It reads three tables, and the kept counts if there are any, and can do nothing
-- else.
--
--   PASSWORD=… psql -v ON_ERROR_STOP=1 -v connection_limit=50 -f docs/role.sql "$ADMIN_URL"
--
-- May run again at any time, for another password or limit. The tests connect as the role that this file makes.

\getenv password PASSWORD

DO $$
BEGIN
  IF to_regrole('list_chat_sessions') IS NULL THEN
    CREATE ROLE list_chat_sessions;
  END IF;
END
$$;

ALTER ROLE list_chat_sessions LOGIN PASSWORD :'password' CONNECTION LIMIT :connection_limit;

-- Of the product's four tables the query reads three: `users`, which has your customers' e-mail addresses, is not one of
-- them.
GRANT USAGE ON SCHEMA public TO list_chat_sessions;
GRANT SELECT ON chat_widgets, chat_sessions, chat_messages TO list_chat_sessions;

-- And the kept counts, where migrations/kept is installed: run this file again after it. Without them the function counts.
DO $$
BEGIN
  IF to_regclass('chat_session_counts') IS NOT NULL AND to_regclass('chat_session_counted') IS NOT NULL THEN
    GRANT SELECT ON chat_session_counts, chat_session_counted TO list_chat_sessions;
  END IF;
  IF to_regclass('chat_session_totals') IS NOT NULL THEN
    GRANT SELECT ON chat_session_totals TO list_chat_sessions;
  END IF;
END
$$;

-- The grants above are what holds; this is for whoever grants more one day.
ALTER ROLE list_chat_sessions SET default_transaction_read_only = on;
-- Below QUERY_TIMEOUT_MS, so that the server ends a slow query itself, whatever became of the client.
ALTER ROLE list_chat_sessions SET statement_timeout = '4500ms';
-- A schema change that waits for a table makes everyone behind it wait as well; this function does not queue for long.
ALTER ROLE list_chat_sessions SET lock_timeout = '2s';
-- With kept counts PostgreSQL reckons with counting millions and does not do it; compiling for that took 118 ms of a query
-- that takes 1 ms.
ALTER ROLE list_chat_sessions SET jit = off;
-- Lambda freezes environments without telling the server. The function notices a closed connection and opens another.
-- Behind a pooler, which keeps connections open on purpose: ALTER ROLE list_chat_sessions RESET idle_session_timeout.
ALTER ROLE list_chat_sessions SET idle_session_timeout = '15min';
