-- The role that the function connects as. Its grants are SELECT on three tables, and on the two of the kept counts.
--
--   PASSWORD=… psql -v ON_ERROR_STOP=1 -v connection_limit=50 -f docs/role.sql "$ADMIN_URL"
--
-- Run it as the owner of the tables, with `-v role=NAME` for another name than list_chat_sessions and `-v schema=NAME` for
-- tables outside of public. It may run again at any time: for another password or limit, after migrations/kept, or when the
-- log says so. The tests connect as the role that this file makes.
--
-- Every role in PostgreSQL can do more than it is granted, and so can this one, until PUBLIC may not. That concerns all
-- roles of the database, so the decision is its owner's:
--
--   REVOKE TEMPORARY ON DATABASE app FROM PUBLIC;      -- make temporary tables
--   REVOKE CREATE ON SCHEMA public FROM PUBLIC;        -- make tables and functions, in a database from before version 15
--   REVOKE EXECUTE ON FUNCTION lo_creat, lo_create, lo_from_bytea FROM PUBLIC;      -- make large objects
--
-- It can always change its own password, which rotation by a single user needs, and the settings below, which guard against
-- slow queries and not against the role.

\if :{?role} \else \set role list_chat_sessions
\endif
\if :{?schema} \else \set schema public
\endif
\getenv password PASSWORD

-- CREATE POLICY waits for each table's lock, and all queries that come after it wait too: rather fail, and run it again.
SET lock_timeout = '2s';
SET search_path = :"schema", pg_temp;

SELECT format('CREATE ROLE %I', :'role') WHERE to_regrole(quote_ident(:'role')) IS NULL \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password' CONNECTION LIMIT :connection_limit;

-- Of the product's four tables the query reads three: `users`, which has your customers' e-mail addresses, is not one of
-- them.
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON chat_widgets, chat_sessions, chat_messages TO :"role";

-- And the kept counts, where migrations/kept is installed: run this file again after it. Without them the function counts.
SELECT format('GRANT SELECT ON %s TO %I', counts, :'role')
FROM unnest('{chat_session_counts,chat_session_counted,chat_session_totals}'::text[]) name, to_regclass(name) counts
WHERE counts IS NOT NULL \gexec

-- Where row level security is on, a role that no policy names sees no rows and gets no error; the function answers 503
-- then. A policy means nothing where it is off, so each table has one, and switching it on later costs no request. The
-- query itself compares the account.
SELECT format('CREATE POLICY %I ON %s FOR SELECT TO %1$I USING (true)', :'role', read)
FROM unnest('{chat_widgets,chat_sessions,chat_messages,chat_session_counts,chat_session_counted,chat_session_totals}'::text[]) name,
     to_regclass(name) read
WHERE read IS NOT NULL AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = read AND polname = :'role') \gexec

-- What this file does not decide: such a policy hides rows from every role.
SELECT format('DO $body$ BEGIN RAISE WARNING USING MESSAGE = %L; END $body$', format(
         'policy %I on %s is restrictive and for PUBLIC: ALTER POLICY %1$I ON %2$s TO the roles that it is meant for',
         polname, polrelid::regclass))
FROM pg_policy
WHERE polrelid IN (to_regclass('chat_widgets'), to_regclass('chat_sessions'), to_regclass('chat_messages'))
  AND NOT polpermissive AND polcmd IN ('r', '*') AND 0 = ANY (polroles) \gexec

-- The tables are found here and nowhere else, whatever the database's or the role's own temporary tables are called.
ALTER ROLE :"role" SET search_path = :"schema", pg_temp;
-- Earlier versions of this file set it to on, and PostgreSQL then refuses to change the role's own password.
ALTER ROLE :"role" RESET default_transaction_read_only;
-- Below QUERY_TIMEOUT_MS, so that the server ends a slow query itself, whatever became of the client.
ALTER ROLE :"role" SET statement_timeout = '4500ms';
-- A schema change that waits for a table makes everyone behind it wait as well; this function does not queue for long.
ALTER ROLE :"role" SET lock_timeout = '2s';
-- With kept counts PostgreSQL reckons with counting millions and does not do it; compiling for that took 118 ms of a query
-- that takes 1 ms.
ALTER ROLE :"role" SET jit = off;
-- Lambda freezes environments without telling the server. The function notices a closed connection and opens another.
-- Behind a pooler, which keeps connections open on purpose: ALTER ROLE list_chat_sessions RESET idle_session_timeout.
ALTER ROLE :"role" SET idle_session_timeout = '15min';
