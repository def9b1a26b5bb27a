-- The role that the function connects as. It may SELECT from three tables, and from three of the materialized counts.
--
--   PASSWORD=… psql -v ON_ERROR_STOP=1 -v connection_limit=50 -f docs/role.sql "$ADMIN_URL"
--
-- Run it as the owner of the tables, with `-v role=NAME` for a name other than list_chat_sessions and `-v schema=NAME` for
-- tables outside of public. It may run again at any time: for a new password or limit, after migrations/materialized_counts,
-- or when the log says so. The tests connect as the role that this file creates.
--
-- Every PostgreSQL role also has the privileges of PUBLIC. Revoking these affects all roles of the database, so this file
-- leaves it to you:
--
--   REVOKE TEMPORARY ON DATABASE app FROM PUBLIC;      -- creates temporary tables
--   REVOKE CREATE ON SCHEMA public FROM PUBLIC;        -- creates tables and functions, in databases from before version 15
--   REVOKE EXECUTE ON FUNCTION lo_creat, lo_create, lo_from_bytea FROM PUBLIC;      -- creates large objects
--
-- The role can always change its own password, which single-user rotation needs. It can also change the settings below: they
-- limit slow queries, but do not protect against the role itself.

\if :{?role} \else \set role list_chat_sessions
\endif
\if :{?schema} \else \set schema public
\endif
\getenv password PASSWORD

-- While CREATE POLICY waits for a table's lock, all later queries of the table wait too. So it fails early; run the file again.
SET lock_timeout = '2s';
SET search_path = :"schema", pg_temp;

SELECT format('CREATE ROLE %I', :'role') WHERE to_regrole(quote_ident(:'role')) IS NULL \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password' CONNECTION LIMIT :connection_limit;

-- The query reads three of the product's four tables. It does not read `users`, which has your customers' e-mail addresses.
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON chat_widgets, chat_sessions, chat_messages TO :"role";

-- The materialized counts, if they are installed. Without this grant the function computes the counts.
SELECT format('GRANT SELECT ON %s TO %I', counts, :'role')
FROM unnest('{chat_session_counts,chat_session_counted,chat_session_totals}'::text[]) name, to_regclass(name) counts
WHERE counts IS NOT NULL \gexec

-- With row level security, a role without a policy sees no rows and gets no error; the function then returns 503. This policy
-- shows every row, because the query itself filters by account. If a policy already names the role, none is added. Run
-- this file again after you enable row level security.
SELECT format('CREATE POLICY %I ON %s FOR SELECT TO %1$I USING (true)', :'role', oid::regclass)
FROM pg_class
WHERE relrowsecurity
  AND oid = ANY ('{chat_widgets,chat_sessions,chat_messages}'::regclass[] || ARRAY[to_regclass('chat_session_counts'),
                 to_regclass('chat_session_counted'), to_regclass('chat_session_totals')])
  AND NOT EXISTS (SELECT FROM pg_policy, unnest(polroles) named
                   WHERE polrelid = pg_class.oid AND polpermissive AND polcmd IN ('r', '*')
                     AND named <> 0 AND pg_has_role(:'role', named, 'USAGE')) \gexec

-- A restrictive policy for PUBLIC hides rows from every role. This file does not change it.
SELECT format('DO $body$ BEGIN RAISE WARNING USING MESSAGE = %L; END $body$', format(
         'policy %I on %s is restrictive and for PUBLIC: ALTER POLICY %1$I ON %2$s TO the roles that it is meant for',
         polname, polrelid::regclass))
FROM pg_policy
WHERE polrelid IN (to_regclass('chat_widgets'), to_regclass('chat_sessions'), to_regclass('chat_messages'))
  AND NOT polpermissive AND polcmd IN ('r', '*') AND 0 = ANY (polroles) \gexec

-- Only this schema is searched, so the database's search path and the role's own temporary tables cannot replace a table.
ALTER ROLE :"role" SET search_path = :"schema", pg_temp;
-- Earlier versions of this file set it to on, and PostgreSQL then rejects changes of the role's own password.
ALTER ROLE :"role" RESET default_transaction_read_only;
-- Below QUERY_TIMEOUT_MS, so that the server cancels a slow query even if the client is gone.
ALTER ROLE :"role" SET statement_timeout = '4500ms';
-- While a schema change waits for a table, later queries wait behind it. This limits how long the function waits.
ALTER ROLE :"role" SET lock_timeout = '2s';
-- With materialized counts PostgreSQL estimates that it counts millions of rows, which it then does not. JIT compilation for
-- that estimate took 118 ms for a query of 1 ms.
ALTER ROLE :"role" SET jit = off;
-- Lambda freezes environments, and the server is not notified. This closes their connections; the function reconnects.
-- Behind a pooler, which holds idle connections open on purpose: ALTER ROLE list_chat_sessions RESET idle_session_timeout.
ALTER ROLE :"role" SET idle_session_timeout = '15min';
