-- The role that sync-keys connects as. It may SELECT four columns of api_keys, and expires_at if the table has it.
--
--   PASSWORD=… psql -v ON_ERROR_STOP=1 -f docs/sync-keys-role.sql "$ADMIN_URL"
--
-- Run it as the owner of the table, with `-v role=NAME` for a name other than sync_keys, `-v schema=NAME` for a table outside
-- of public, and `-v connection_limit=N` for more connections than 3. It may run again at any time: for a new password, after
-- api_keys got a column expires_at, or when the log says so. docs/role.sql says which privileges of PUBLIC every role has.
--
-- To remove the role:
--
--   DROP OWNED BY sync_keys; DROP ROLE sync_keys;

\if :{?role} \else \set role sync_keys
\endif
\if :{?schema} \else \set schema public
\endif
-- Two runs at the same time, and a connection that is being replaced.
\if :{?connection_limit} \else \set connection_limit 3
\endif
\getenv password PASSWORD

-- While CREATE POLICY waits for a table's lock, all later queries of the table wait too. So it fails early; run the file again.
SET lock_timeout = '2s';
SET search_path = :"schema", pg_temp;

SELECT format('CREATE ROLE %I', :'role') WHERE to_regrole(quote_ident(:'role')) IS NULL \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password' CONNECTION LIMIT :connection_limit;

GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT (key_hash, user_id, name, is_active) ON api_keys TO :"role";
SELECT format('GRANT SELECT (expires_at) ON api_keys TO %I', :'role')
FROM pg_attribute
WHERE attrelid = 'api_keys'::regclass AND attname = 'expires_at' AND NOT attisdropped \gexec

-- With row level security, a role without a policy sees no rows and gets no error; sync-keys then fails and writes nothing. If a
-- policy already names the role, none is added. Run this file again after you enable row level security.
SELECT format('CREATE POLICY %I ON %s FOR SELECT TO %1$I USING (true)', :'role', oid::regclass)
FROM pg_class
WHERE relrowsecurity
  AND oid = 'api_keys'::regclass
  AND NOT EXISTS (SELECT FROM pg_policy, unnest(polroles) named
                   WHERE polrelid = pg_class.oid AND polpermissive AND polcmd IN ('r', '*')
                     AND named <> 0 AND pg_has_role(:'role', named, 'USAGE')) \gexec

-- A restrictive policy for PUBLIC hides rows from every role. This file does not change it.
SELECT format('DO $body$ BEGIN RAISE WARNING USING MESSAGE = %L; END $body$', format(
         'policy %I on %s is restrictive and for PUBLIC: ALTER POLICY %1$I ON %2$s TO the roles that it is meant for',
         polname, polrelid::regclass))
FROM pg_policy
WHERE polrelid = 'api_keys'::regclass AND NOT polpermissive AND polcmd IN ('r', '*') AND 0 = ANY (polroles) \gexec

-- Only this schema is searched, so the database's search path and the role's own temporary tables cannot replace the table.
ALTER ROLE :"role" SET search_path = :"schema", pg_temp;
-- The server cancels a slow query even if the client is gone.
ALTER ROLE :"role" SET statement_timeout = '25s';
-- While a schema change waits for the table, later queries wait behind it. This limits how long sync-keys waits.
ALTER ROLE :"role" SET lock_timeout = '2s';
-- Lambda freezes environments, and the server is not notified. This closes their connections; sync-keys reconnects.
-- Behind a pooler, which holds idle connections open on purpose: ALTER ROLE sync_keys RESET idle_session_timeout.
ALTER ROLE :"role" SET idle_session_timeout = '15min';
