-- What is wrong with the database for list-chat-sessions: one row per finding, with the SQL that repairs it.
--
-- Run it as the owner of the tables, through psql (`psql -f docs/doctor.sql "$ADMIN_URL"`) or pasted into a SQL editor. It is
-- one statement, for PostgreSQL 15 or later. It changes nothing, blocks nothing, and needs no superuser.
--
-- Work from the top: run the statements of `what_to_run` one at a time, then run this file again. An `error` breaks the
-- function, makes it slow or exposes data; a `warning` will under load or later; an `info` is your decision. Indexes and
-- backfills of large tables take minutes: run those through psql, directly and not through a pooler in transaction mode.
--
-- The counts are compared with the tables in a sample, so the file takes seconds however large the tables are: the sessions of
-- 100 random pages, and the 20 accounts that are most frequent among them, each with at most 250,000 of its newest sessions.
-- migrations/materialized_counts/reconcile.sql compares all of them.

WITH settings AS (
  -- Change these to yours.
  SELECT 'list_chat_sessions' AS role,                 -- DatabaseUsername
         'public'             AS schema,               -- of the tables
         20                   AS reserved_concurrency, -- ReservedConcurrency
         5000                 AS query_timeout_ms,     -- QueryTimeoutMs
         false                AS pooler,               -- true behind PgBouncer, Supavisor or RDS Proxy
         false                AS counts_planned,       -- true before you install the materialized counts
         'sync_keys'          AS sync_role             -- of docs/sync-keys-role.sql; checked if it exists
),

-- What the findings are made of ---------------------------------------------------------------------------------------------

limits AS (
  SELECT 150000 AS version_min, 100 AS sampled_pages, 2000 AS sampled_sessions, 1000 AS messages_max, 20 AS accounts_max,
         250000 AS sessions_max, 0.05 AS scale_factor_max, 0.8 AS all_visible_min, 1000 AS pages_min, 0.05 AS dead_max
), me AS (
  SELECT s.*, l.*, r.oid AS role_oid, n.oid AS schema_oid, quote_ident(s.role) AS q, quote_ident(s.schema) AS qs,
         -- docs/deploy.md, "Connection budget".
         (2 * s.reserved_concurrency + 10)::integer AS budget,
         r.rolcanlogin, r.rolconnlimit, r.rolvaliduntil, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication,
         coalesce(r.rolsuper OR r.rolbypassrls, false) AS sees_all_rows,
         -- Procedures of the materialized counts use the search path of their caller.
         CASE WHEN s.schema <> 'public' THEN format(E'SET search_path = %I, pg_temp;\n', s.schema) ELSE '' END AS set_path,
         'psql -v ON_ERROR_STOP=1 -f migrations/' AS psql
  FROM settings s CROSS JOIN limits l
  LEFT JOIN pg_roles r ON r.rolname = s.role
  LEFT JOIN pg_namespace n ON n.nspname = s.schema
), relations AS (
  SELECT name, place, kind, format('%I.%I', schema, name) AS q, c.oid, c.relowner, c.relrowsecurity, c.relforcerowsecurity,
         c.relacl, c.relreplident, c.reloptions, c.relallvisible, c.reltuples, pg_relation_size(c.oid) / 8192 AS pages
  FROM me CROSS JOIN (VALUES
    ('chat_widgets', 1, 'table'), ('chat_sessions', 2, 'table'), ('chat_messages', 3, 'table'),
    ('chat_session_counts', 4, 'counts'), ('chat_session_counted', 5, 'counts'), ('chat_session_totals', 6, 'counts'),
    ('chat_session_changes', 7, 'internal'), ('chat_session_tasks', 8, 'internal'),
    ('chat_session_changes_id_seq', 9, 'internal'), ('users', 10, 'other'), ('api_keys', 11, 'other')) v (name, place, kind)
  LEFT JOIN pg_class c ON c.relname = name AND c.relnamespace = schema_oid
), columns AS (
  SELECT r.name AS relation, attname::text AS name, attnum, atthasdef
  FROM relations r JOIN pg_attribute ON attrelid = r.oid WHERE attnum > 0 AND NOT attisdropped
), counts AS (
  SELECT EXISTS (SELECT FROM columns WHERE (relation, name) = ('chat_sessions', 'message_count'))
           OR EXISTS (SELECT FROM relations WHERE kind = 'counts' AND oid IS NOT NULL) AS is_installed,
         ARRAY['message_count', 'last_message', 'last_message_created_at', 'last_message_id'] AS columns
),

-- The indexes that the statement needs: leading columns that it compares with =, then those that it orders by.
wanted AS (
  SELECT w.*, r.oid, r.q, cardinality(columns) AS n
  FROM (VALUES
    ('chat_sessions', 'chat_sessions_user_last', 1, '{user_id,last_message_at,id}'::text[], NULL, false),
    ('chat_sessions', 'chat_sessions_user_status', 2, '{user_id,status,last_message_at,id}', NULL, false),
    ('chat_sessions', 'chat_sessions_user_widget', 2, '{user_id,widget_id,last_message_at,id}', NULL, false),
    ('chat_sessions', 'chat_sessions_user_created', 1, '{user_id,created_at}', NULL, false),
    ('chat_messages', 'chat_messages_session_last', 1, '{session_id,created_at,id}', NULL, false),
    ('chat_sessions', 'chat_sessions_user_widget_active', 2, '{user_id,widget_id,last_message_at,id}', 'active', true),
    ('chat_sessions', 'chat_sessions_user_widget_closed', 2, '{user_id,widget_id,last_message_at,id}', 'closed', true)
  ) w (relation, name, compared, columns, status, is_for_counts)
  JOIN relations r ON r.name = w.relation
  WHERE r.oid IS NOT NULL AND (NOT is_for_counts OR (SELECT is_installed FROM counts))
), existing AS (
  SELECT i.indexrelid, i.indrelid, r.name AS relation, format('%I.%I', n.nspname, c.relname) AS q, c.relname::text AS name,
         i.indisvalid AND i.indisready AND i.indislive AS is_valid, keys.columns, keys.options,
         substring(pg_get_expr(i.indpred, i.indrelid) FROM '^\(status = ''(\w+)''::text\)$') AS status,
         i.indpred IS NOT NULL AS is_partial, am.amname = 'btree' AS is_btree,
         NOT i.indisunique AND i.indnatts = i.indnkeyatts AS is_plain
  FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = c.relam
  CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY k) AS columns, array_agg(i.indoption[k - 1] ORDER BY k) AS options
    FROM generate_series(1, i.indnkeyatts) k LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k - 1]
  ) keys
  WHERE r.name IN ('chat_sessions', 'chat_messages')
), matches AS (
  -- An index can be read in both directions: all of the columns that give the order are ascending, or all are DESC.
  SELECT w.name AS wanted, e.*
  FROM wanted w JOIN existing e ON e.indrelid = w.oid AND is_btree AND e.columns[1 : w.n] = w.columns
   AND e.options[w.compared + 1 : w.n] IN (array_fill(0::smallint, ARRAY[w.n - w.compared]),
         array_fill(3::smallint, ARRAY[w.n - w.compared]))
   AND CASE WHEN w.status IS NULL THEN NOT is_partial ELSE e.status = w.status END
), building AS (
  SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()) AS is_running
),

-- As the function checks it: a policy counts if it names the role or one that it is a member of.
row_security AS (
  SELECT r.*, hiding.policies AS hiding, named.is_named AS names_role,
         named.is_named AND named.shows_all AND hiding.policies IS NULL AND NOT named.is_restricted AS shows_all
  FROM me CROSS JOIN relations r
  CROSS JOIN LATERAL (
    SELECT array_agg(polname::text ORDER BY polname) AS policies
    FROM pg_policy WHERE polrelid = r.oid AND NOT polpermissive AND polcmd IN ('r', '*') AND 0 = ANY (polroles)) hiding
  CROSS JOIN LATERAL (
    SELECT coalesce(bool_or(polpermissive), false) AS is_named, coalesce(bool_or(NOT polpermissive), false) AS is_restricted,
           coalesce(bool_or(polpermissive AND pg_get_expr(polqual, polrelid) = 'true'), false) AS shows_all
    FROM pg_policy
    WHERE polrelid = r.oid AND polcmd IN ('r', '*')
      AND EXISTS (SELECT FROM unnest(polroles) named WHERE named <> 0 AND pg_has_role(role_oid, named, 'USAGE'))) named
  WHERE r.oid IS NOT NULL AND relrowsecurity AND NOT sees_all_rows
    AND (relforcerowsecurity OR NOT coalesce(pg_has_role(role_oid, relowner, 'USAGE'), false))
), policy_fixes AS (
  SELECT s.name, s.kind, concat_ws(E'\n',
    (SELECT string_agg(format('ALTER POLICY %I ON %s TO %s;', hidden_by, s.q, coalesce(
              (SELECT string_agg(DISTINCT quote_ident(o.rolname), ', ')
               FROM aclexplode(s.relacl) a JOIN pg_roles o ON o.oid = a.grantee
               WHERE a.grantee NOT IN (coalesce(role_oid, 0), s.relowner)), 'CURRENT_USER')), E'\n')
     FROM unnest(s.hiding) hidden_by),
    CASE WHEN NOT names_role THEN format('CREATE POLICY %I ON %s FOR SELECT TO %s USING (true);',
      CASE WHEN EXISTS (SELECT FROM pg_policy WHERE polrelid = s.oid AND polname = role) THEN left(role, 50) || '_select'
          ELSE role END,
      s.q, me.q) END) AS fix
  FROM me CROSS JOIN row_security s
),

-- The settings of the role as it connects to this database.
desired AS (
  SELECT d.*, a.value, a.in_database,
         CASE WHEN d.name LIKE '%timeout' THEN
           CASE WHEN a.value ~ '^[0-9.]+$' THEN a.value::numeric ELSE extract(epoch FROM a.value::interval) * 1000 END END AS ms
  FROM me CROSS JOIN LATERAL (VALUES
    ('search_path', qs || ', pg_temp', 'a temporary table or another schema can replace a table'),
    ('statement_timeout', quote_literal(query_timeout_ms - 500 || 'ms'), 'a slow query continues after its client is gone'),
    ('lock_timeout', quote_literal('2s'), 'queries wait for a schema change until they time out'),
    ('idle_session_timeout', quote_literal('15min'), 'the connections of frozen environments stay open'),
    ('jit', 'off', 'compiling can take longer than the query'),
    ('default_transaction_read_only', 'off', 'a rotation cannot change the password')) d (name, expected, consequence)
  LEFT JOIN LATERAL (
    SELECT substring(entry FROM '=(.*)') AS value, setrole <> 0 AND setdatabase <> 0 AS in_database
    FROM pg_db_role_setting, unnest(setconfig) entry
    WHERE setrole IN (role_oid, 0) AND split_part(entry, '=', 1) = d.name
      AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY setrole <> 0 DESC, setdatabase <> 0 DESC LIMIT 1) a ON true
),

-- Every privilege that was granted to a role, in any schema, and what the role needs.
roles AS (
  SELECT role, role_oid AS oid, q,
      '{chat_widgets,chat_sessions,chat_messages,chat_session_counts,chat_session_counted,chat_session_totals}'::text[] AS may_read
  FROM me
  UNION ALL
  SELECT rolname, pg_roles.oid, quote_ident(rolname), '{api_keys}' FROM settings JOIN pg_roles ON rolname = sync_role
), acls AS (
  SELECT 'pg_class'::regclass AS class, oid, relacl AS acl FROM pg_class
  UNION ALL SELECT 'pg_class'::regclass, attrelid, attacl FROM pg_attribute WHERE attacl IS NOT NULL
  UNION ALL SELECT 'pg_namespace'::regclass, oid, nspacl FROM pg_namespace
  UNION ALL SELECT 'pg_proc'::regclass, oid, proacl FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, typacl FROM pg_type
  UNION ALL SELECT 'pg_language'::regclass, oid, lanacl FROM pg_language
  UNION ALL SELECT 'pg_database'::regclass, oid, datacl FROM pg_database WHERE datname = current_database()
), granted AS (
  SELECT roles.role, roles.q, object.identity, string_agg(DISTINCT privilege_type, ', ') AS privileges,
         CASE WHEN object.type = 'sequence' THEN 'SEQUENCE' WHEN class = 'pg_class'::regclass THEN 'TABLE'
              WHEN class = 'pg_proc'::regclass THEN 'ROUTINE' ELSE upper(object.type) END AS kind
  FROM me CROSS JOIN roles CROSS JOIN acls CROSS JOIN LATERAL aclexplode(acl) CROSS JOIN LATERAL pg_identify_object(class,
        acls.oid, 0) object
  WHERE grantee = roles.oid
    AND NOT (class = 'pg_class'::regclass AND privilege_type = 'SELECT'
             AND EXISTS (SELECT FROM relations r WHERE r.oid = acls.oid AND r.name = ANY (may_read)))
    AND NOT (class = 'pg_namespace'::regclass AND privilege_type = 'USAGE' AND acls.oid = schema_oid)
    AND NOT (class = 'pg_database'::regclass AND privilege_type = 'CONNECT')
  GROUP BY roles.role, roles.q, object.identity, object.type, class
),

-- Of the materialized counts: each trigger calls the function of its name.
triggers AS (
  SELECT v.*, r.q, r.oid AS relation_oid, t.oid, t.tgenabled, p.oid AS function, p.proname, p.prosecdef, p.proconfig
  FROM (VALUES
    ('chat_sessions', 'counts_new_session', false), ('chat_messages', 'counts_message_inserted', true),
    ('chat_messages', 'counts_message_updated', true), ('chat_messages', 'counts_messages_deleted', true),
    ('chat_messages', 'counts_messages_truncated', true), ('chat_sessions', 'counts_sessions_inserted', true),
    ('chat_sessions', 'counts_sessions_deleted', true), ('chat_sessions', 'counts_session_updated', true),
    ('chat_sessions', 'counts_sessions_truncated', true), ('users', 'counts_users_deleted', true),
    ('chat_session_changes', 'counts_changes_deferred', true), ('chat_session_counts', 'counts_skip_loaded_row', false),
    ('chat_session_totals', 'counts_skip_loaded_row', false), ('chat_session_counted', 'counts_skip_loaded_row', false),
    ('chat_session_tasks', 'counts_run_task', false)) v (relation, name, is_definer)
  JOIN relations r ON r.name = v.relation
  LEFT JOIN pg_trigger t ON t.tgrelid = r.oid AND t.tgname = v.name AND NOT t.tgisinternal
  LEFT JOIN pg_proc p ON p.oid = t.tgfoid
  WHERE (SELECT is_installed FROM counts)
), routines AS (
  SELECT p.oid, p.proname::text AS name, p.proowner, p.proacl FROM me JOIN pg_proc p ON p.pronamespace = schema_oid
), missing AS (
  SELECT 'column ' || name AS what, false AS loses_writes FROM counts, unnest(columns) name
  WHERE name NOT IN (SELECT name FROM columns WHERE relation = 'chat_sessions')
  UNION ALL
  SELECT 'default of message_count', false
  WHERE EXISTS (SELECT FROM columns WHERE (relation, name, atthasdef) = ('chat_sessions', 'message_count', false))
  UNION ALL
  SELECT CASE name WHEN 'chat_session_tasks' THEN 'view ' ELSE 'table ' END || name, false FROM relations
  WHERE oid IS NULL AND (kind = 'counts' OR name IN ('chat_session_changes', 'chat_session_tasks'))
  UNION ALL
  SELECT format('trigger %s on %s', t.name, relation), relation IN ('chat_sessions', 'chat_messages') AND is_definer
         AND (relation = 'chat_messages' OR EXISTS (SELECT FROM relations WHERE name = 'chat_session_counts'
                 AND oid IS NOT NULL))
  FROM triggers t WHERE relation_oid IS NOT NULL AND (oid IS NULL OR proname <> t.name)
  UNION ALL
  SELECT 'function ' || name, false
  FROM unnest('{counts_check_row_security,counts_month,counts_day,counts_slot,counts_days,counts_add_days,counts_lock,
    counts_fold_lock_class,counts_fold_lock_key,counts_try_fold_lock,counts_fold_rows,counts_fold,counts_add,counts_add_each,
    counts_apply_changes,counts_remove_accounts,counts_revoke_execute,backfill_chat_messages,backfill_chat_sessions,
    backfill_chat_sessions_of,fold_chat_session_counts}'::text[]) name
  WHERE name NOT IN (SELECT name FROM routines)
), whole AS (
  SELECT is_installed AND NOT EXISTS (SELECT FROM missing) AS is_whole FROM counts
),

-- Dynamic SQL, because PostgreSQL rejects a statement that names a table that does not exist. It is read-only, and in the
-- snapshot of this statement.
readable AS (
  SELECT is_whole
         AND NOT EXISTS (SELECT FROM relations WHERE (kind = 'counts' OR name IN ('chat_sessions', 'chat_messages'))
                           AND (row_security_active(oid) OR NOT has_table_privilege(oid, 'SELECT'))) AS is_readable
  FROM whole
), backfilled AS (
  SELECT substring(query_to_xml(format(
           'SELECT count(*) AS n FROM %I.chat_session_counted WHERE user_id = ''00000000-0000-0000-0000-000000000000'' AND has_totals', schema),
           true, false, '')::text FROM '<n>(\d+)</n>') = '1' AS is_done
  FROM me WHERE (SELECT is_readable FROM readable)
), sample AS (
  SELECT query_to_xml(format($sql$
    WITH sample AS MATERIALIZED (
      SELECT id, user_id, message_count, last_message, last_message_id
      FROM %1$I.chat_sessions TABLESAMPLE SYSTEM (%2$s) LIMIT %3$s
    ), sessions AS (
      SELECT count(*) AS compared, count(*) FILTER (WHERE message_count IS NULL) AS todo,
             count(*) FILTER (WHERE is_wrong) AS wrong, min(s.id::text) FILTER (WHERE is_wrong) AS example
      FROM sample s
      CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM %1$I.chat_messages m
                          WHERE m.session_id = s.id LIMIT %4$s + 1) m) c
      LEFT JOIN LATERAL (SELECT m.id, m.content FROM %1$I.chat_messages m WHERE m.session_id = s.id
                         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) newest ON true
      CROSS JOIN LATERAL (SELECT message_count IS NOT NULL AND (least(message_count, %4$s + 1) <> c.n
        OR (last_message COLLATE "C", last_message_id) IS DISTINCT FROM (newest.content COLLATE "C", newest.id)) AS is_wrong) w
    ), months AS (
      SELECT user_id, month, sum(n) AS n, sum(sum(n)) OVER (PARTITION BY user_id ORDER BY month DESC) AS newer
      FROM %1$I.chat_session_counts
      JOIN (SELECT user_id FROM sample GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT %5$s) largest USING (user_id)
      GROUP BY user_id, month
    ), parts AS (
      SELECT user_id, max(month) FILTER (WHERE newer > %6$s) AS before, coalesce(sum(n) FILTER (WHERE newer <= %6$s), 0) AS n
      FROM months GROUP BY user_id
    ), accounts AS (
      SELECT count(*) AS compared, count(*) FILTER (WHERE is_wrong) AS wrong,
             min(user_id::text) FILTER (WHERE is_wrong) AS example
      FROM parts p
      CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM %1$I.chat_sessions s WHERE s.user_id = p.user_id
        AND s.created_at >= CASE WHEN before IS NULL THEN '-infinity'
              ELSE greatest((before + interval '1 month') AT TIME ZONE 'UTC', '4713-01-01 00:00:00+00 BC') END
        LIMIT %6$s + 1) s) dated
      CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM %1$I.chat_sessions s WHERE s.user_id = p.user_id
        AND s.created_at IS NULL AND before IS NULL LIMIT %6$s + 1) s) undated
      CROSS JOIN LATERAL (SELECT coalesce(sum(n), 0) AS n FROM (
        SELECT month, n FROM %1$I.chat_session_totals t WHERE t.user_id = p.user_id
        UNION ALL SELECT month, n FROM %1$I.chat_session_counts c WHERE c.user_id = p.user_id AND slot >= 0) t
        WHERE before IS NULL OR month > before) totals
      CROSS JOIN LATERAL (SELECT p.n <> dated.n + undated.n OR totals.n <> dated.n + undated.n AS is_wrong) w
    )
    SELECT s.compared AS sessions, s.todo, s.wrong AS wrong_sessions, s.example AS session,
           a.compared AS accounts, a.wrong AS wrong_accounts, a.example AS account
    FROM sessions s, accounts a
    $sql$, schema, least(100, greatest(0.0001, round(100.0 * sampled_pages / greatest(r.pages, 1), 4))), sampled_sessions,
    messages_max, accounts_max, sessions_max), true, false, '')::text AS xml
  FROM me CROSS JOIN relations r CROSS JOIN readable
  -- Without these indexes the sample would read the whole tables.
  WHERE r.name = 'chat_sessions' AND is_readable
    AND 2 = (SELECT count(DISTINCT wanted) FROM matches WHERE is_valid AND wanted IN ('chat_messages_session_last',
            'chat_sessions_user_created'))
), compared AS (
  SELECT substring(xml FROM '<sessions>(\d+)<')::bigint AS sessions, substring(xml FROM '<todo>(\d+)<')::bigint AS todo,
         substring(xml FROM '<wrong_sessions>(\d+)<')::bigint AS wrong_sessions,
         substring(xml FROM '<session>([^<]+)<') AS session,
         substring(xml FROM '<accounts>(\d+)<')::bigint AS accounts,
         substring(xml FROM '<wrong_accounts>(\d+)<')::bigint AS wrong_accounts,
         substring(xml FROM '<account>([^<]+)<') AS account
  FROM sample
),

-- Columns of catalogs that are newer than PostgreSQL 14 are read with to_jsonb, so that this file names it as too old instead of
-- failing.
publications AS (
  SELECT p.oid, p.pubname, p.puballtables, format('%I', p.pubname) AS q,
         concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
                   CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END) AS operations, pubviaroot,
         EXISTS (SELECT FROM pg_publication_rel WHERE prpubid = p.oid AND prrelid = s.oid) AS is_listed,
         ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')' AS filter,
         s.q AS sessions, s.oid AS sessions_oid, s.relreplident, listed.columns
  FROM me CROSS JOIN counts c CROSS JOIN pg_publication p
  JOIN pg_publication_tables t ON t.pubname = p.pubname AND t.schemaname = me.schema AND t.tablename = 'chat_sessions'
  JOIN relations s ON s.name = 'chat_sessions'
  CROSS JOIN LATERAL (SELECT string_agg(quote_ident(o.name), ', ' ORDER BY attnum) AS columns
    FROM columns o WHERE relation = 'chat_sessions' AND o.name <> ALL (c.columns)) listed
  WHERE (c.is_installed OR counts_planned)
    -- A replica that receives the counts as rows, as docs/materialized-counts.md describes.
    AND NOT (NOT p.puballtables AND 3 = (SELECT count(*) FROM pg_publication_rel JOIN relations r ON r.oid = prrelid
            AND r.kind = 'counts' WHERE prpubid = p.oid))
), sent AS (
  -- Through logical replication: the columns that the publication has.
  SELECT p.* FROM publications p CROSS JOIN counts c
  WHERE pubname <> 'supabase_realtime'
    AND CASE WHEN c.is_installed THEN EXISTS (SELECT FROM pg_publication_tables t
               WHERE t.pubname = p.pubname AND format('%I.%I', t.schemaname, t.tablename) = p.sessions
                 AND to_jsonb(t) -> 'attnames' @> '["message_count"]')
             -- A column list.
             ELSE NOT EXISTS (SELECT FROM pg_publication_rel l
                    WHERE prpubid = p.oid AND prrelid = sessions_oid AND to_jsonb(l) ->> 'prattrs' IS NOT NULL) END
), realtime AS (
  -- Through Supabase Realtime, which ignores column lists: the columns that the subscriber's role may read.
  SELECT p.*, readers.roles
  FROM publications p CROSS JOIN counts c
  CROSS JOIN LATERAL (
    SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname) AS roles FROM pg_roles r
    WHERE rolname IN ('anon', 'authenticated')
      AND CASE WHEN c.is_installed THEN EXISTS (SELECT FROM columns o WHERE relation = 'chat_sessions'
            AND o.name = ANY (c.columns)
                                                  AND has_column_privilege(r.oid, sessions_oid, attnum, 'SELECT'))
               ELSE has_table_privilege(r.oid, sessions_oid, 'SELECT') END) readers
  WHERE pubname = 'supabase_realtime' AND readers.roles IS NOT NULL
), others AS (
  SELECT count(*)::integer AS n FROM pg_stat_activity JOIN me ON usename <> role
),

-- The findings --------------------------------------------------------------------------------------------------------------

-- Of the role: if it does not exist, their SQL creates it.
role_findings (place, name, level, what_is_wrong, what_to_run) AS (
  SELECT 11, 'login', 'error', role || ' may not log in', format('ALTER ROLE %s LOGIN;', q) FROM me WHERE NOT rolcanlogin
  UNION ALL
  SELECT 11, 'login', 'error', format('the password of %s expired at %s', role, rolvaliduntil),
      format('ALTER ROLE %s VALID UNTIL ''infinity'';', q)
  FROM me WHERE rolvaliduntil <= now()
  UNION ALL
  SELECT 11, 'login', 'error', format('%s may not connect to this database', role),
      format('GRANT CONNECT ON DATABASE %I TO %s;', current_database(), q)
  FROM me WHERE NOT has_database_privilege(role_oid, current_database(), 'CONNECT')
  UNION ALL
  SELECT 12, 'grant', 'error', format('%s may not use the schema %s', role, schema), format('GRANT USAGE ON SCHEMA %s TO %s;',
        qs, q)
  FROM me WHERE schema_oid IS NOT NULL AND NOT coalesce(has_schema_privilege(role_oid, schema_oid, 'USAGE'), false)
  UNION ALL
  SELECT 12, 'grant', 'error', format('%s may not read %s', role, r.name), format('GRANT SELECT ON %s TO %s;', r.q, me.q)
  FROM me CROSS JOIN relations r
  WHERE r.kind = 'table' AND r.oid IS NOT NULL AND NOT coalesce(has_table_privilege(role_oid, r.oid, 'SELECT'), false)
    AND (role_oid IS NULL OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped
                                       AND NOT has_column_privilege(role_oid, r.oid, attnum, 'SELECT')))
  UNION ALL
  SELECT 13, 'row level security', 'error',
         format('row level security may hide rows from the function''s role: %s. Run docs/role.sql, which makes the policies that the role needs',
                string_agg(name || coalesce(' (restrictive policy ' || hiding[1] || ' is for PUBLIC)', ''), ', '
                      ORDER BY place)),
         E'SET lock_timeout = ''2s'';\n' || (SELECT string_agg(fix, E'\n') FROM policy_fixes f WHERE f.kind = 'table'
               AND fix <> '')
  FROM row_security WHERE kind = 'table' AND (hiding IS NOT NULL OR NOT names_role) HAVING count(*) > 0
  UNION ALL
  SELECT 14, 'setting', CASE WHEN d.name = 'search_path' AND schema <> 'public' THEN 'error' ELSE 'warning' END,
         format('%s of %s is %s, and should be %s: %s', d.name, role, coalesce(value, 'not set'), expected, consequence),
         format('ALTER ROLE %s%s SET %s = %s;', q, CASE WHEN in_database THEN format(' IN DATABASE %I', current_database()) END,
               d.name, expected)
  FROM me CROSS JOIN desired d
  WHERE CASE d.name WHEN 'search_path' THEN value IS DISTINCT FROM expected
                    WHEN 'jit' THEN coalesce(value, 'on') IN ('on', 'true', 'yes', '1')
                    WHEN 'default_transaction_read_only' THEN value IN ('on', 'true', 'yes', '1')
                    WHEN 'idle_session_timeout' THEN NOT pooler AND coalesce(ms, 0) = 0
                    ELSE coalesce(ms, 0) = 0 OR ms >= query_timeout_ms END
  UNION ALL
  SELECT 14, 'setting', 'warning',
      format('idle_session_timeout of %s is %s: it closes connections that the pooler keeps open on purpose', role, value),
         format('ALTER ROLE %s%s SET idle_session_timeout = 0;', q, CASE WHEN in_database THEN format(' IN DATABASE %I',
                 current_database()) END)
  FROM me CROSS JOIN desired d WHERE d.name = 'idle_session_timeout' AND pooler AND ms > 0
  UNION ALL
  SELECT 15, 'counts', 'warning', format('%s may not read %s, so the function computes the counts', role, r.name),
         format('GRANT SELECT ON %s TO %s;', r.q, me.q)
  FROM me CROSS JOIN relations r
  WHERE r.kind = 'counts' AND r.oid IS NOT NULL AND NOT coalesce(has_table_privilege(role_oid, r.oid, 'SELECT'), false)
  UNION ALL
  SELECT 15, 'counts', 'warning', format('row level security hides rows of %s from %s, so the function computes the counts',
        s.name, role), f.fix
  FROM me CROSS JOIN row_security s JOIN policy_fixes f USING (name)
  WHERE s.kind = 'counts' AND (hiding IS NOT NULL OR NOT names_role)
),

findings (place, name, level, what_is_wrong, what_to_run) AS (
  SELECT 0, 'version', 'error', format('PostgreSQL %s is older than %s', current_setting('server_version'),
        version_min / 10000),
         format('-- Upgrade PostgreSQL to %s or later.', version_min / 10000)
  FROM me WHERE current_setting('server_version_num')::integer < version_min
  UNION ALL
  SELECT 1, 'table', 'error', format('%s does not exist', r.q),
         '-- Set `schema` at the top of this file to the schema of the tables. For a database without them:' || E'\n-- ' || psql
             || '0001_tables.sql'
  FROM me CROSS JOIN relations r WHERE kind = 'table' AND r.oid IS NULL
  UNION ALL
  SELECT 1, 'column', 'error', format('%s has no column %s, which the function reads', r.q, needed),
         format('-- Add the column with its type: docs/contract.md, "Tables".')
  FROM relations r JOIN (VALUES
    ('chat_widgets', '{id,name}'::text[]), ('chat_messages', '{id,session_id,content,created_at}'),
    ('chat_sessions', '{id,user_id,widget_id,visitor_id,visitor_name,visitor_email,page_url,status,last_message_at,created_at}')
  ) v (name, needs) USING (name) CROSS JOIN LATERAL unnest(needs) needed
  WHERE r.oid IS NOT NULL AND needed NOT IN (SELECT columns.name FROM columns WHERE relation = r.name)

  -- Role: what it lacks, then what it has too much.
  UNION ALL
  SELECT 10, 'role', 'error', format('the role %s does not exist', role),
         format(E'-- Choose the password. docs/role.sql does all of this through psql, and does not show the password.\nCREATE ROLE %s LOGIN PASSWORD ''choose-a-password'' CONNECTION LIMIT %s;\n', q, budget)
           || (SELECT string_agg(what_to_run, E'\n' ORDER BY place) FROM role_findings)
  FROM me WHERE role_oid IS NULL
  UNION ALL
  SELECT f.* FROM role_findings f JOIN me ON role_oid IS NOT NULL
  UNION ALL
  SELECT 20, 'privileges', 'warning', format('%s has attributes that it does not need: %s', role, attributes),
      format('ALTER ROLE %s %s;', q, regexp_replace(attributes, '(\w+)', 'NO\1', 'g'))
  FROM me CROSS JOIN LATERAL (SELECT concat_ws(' ', CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreatedb
          THEN 'CREATEDB' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolreplication THEN 'REPLICATION' END) AS attributes) a
        WHERE attributes <> ''
  UNION ALL
  SELECT 20, 'privileges', 'warning', format('%s is a member of %s, and may do what that role may', roles.role, g.rolname),
         format('REVOKE %I FROM %s;', g.rolname, roles.q)
  FROM roles JOIN pg_auth_members m ON m.member = roles.oid JOIN pg_roles g ON g.oid = m.roleid
  -- rds_iam is how RDS enables IAM authentication; alternating rotation makes the role NAME_clone a member of NAME.
  WHERE g.rolname NOT IN ('rds_iam', regexp_replace(roles.role, '_clone$', ''))
  UNION ALL
  SELECT 20, 'privileges', CASE WHEN privileges ~ '^(SELECT|USAGE|EXECUTE)$' THEN 'warning' ELSE 'error' END,
         format('%s has %s on %s %s', role, privileges, lower(kind), identity), format('REVOKE %s ON %s %s FROM %s;',
               privileges, kind, identity, q)
  FROM granted
  UNION ALL
  SELECT 20, 'privileges', 'error', format('every role, and so %s, has %s on %s', role, string_agg(privilege_type, ', '),
        r.name),
         format('REVOKE %s ON %s FROM PUBLIC;', string_agg(privilege_type, ', '), r.q)
  FROM me CROSS JOIN relations r CROSS JOIN LATERAL aclexplode(r.relacl)
  WHERE grantee = 0 AND kind IN ('table', 'other') GROUP BY role, r.name, r.q
  UNION ALL
  SELECT 20, 'privileges', 'warning', format('every role, and so %s, may create tables and functions in the schema %s', role,
        schema),
         format('REVOKE CREATE ON SCHEMA %s FROM PUBLIC;', qs)
  FROM me JOIN pg_namespace n ON n.oid = schema_oid CROSS JOIN LATERAL aclexplode(nspacl) WHERE grantee = 0
      AND privilege_type = 'CREATE'
  UNION ALL
  SELECT 20, 'privileges', 'warning', format('%s owns %s', role, string_agg(pg_describe_object(classid, objid, objsubid),
          ', ')),
         format('REASSIGN OWNED BY %s TO CURRENT_USER;', q)
  FROM me JOIN pg_shdepend ON refclassid = 'pg_authid'::regclass AND refobjid = role_oid AND deptype = 'o'
   AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  GROUP BY role, q

  -- Connections.
  UNION ALL
  SELECT 30, 'connections', 'warning', format('%s may open %s connections, and %s environments need %s', role,
           CASE rolconnlimit WHEN -1 THEN 'any number of' ELSE rolconnlimit::text END, reserved_concurrency, budget),
         format('ALTER ROLE %s CONNECTION LIMIT %s;', q, budget)
  FROM me WHERE rolconnlimit < 2 * reserved_concurrency + 5 AND NOT pooler
  UNION ALL
  SELECT 30, 'connections', CASE WHEN free < budget THEN 'error' ELSE 'warning' END,
         format('the server allows %s connections, of which other roles use %s now, and %s environments need %s', free,
               others.n, reserved_concurrency, budget),
         format(E'-- Raise max_connections (on RDS in the parameter group; it needs a restart) to %s or more, lower ReservedConcurrency, or use a pooler.', max + budget + others.n - free)
  FROM me CROSS JOIN others CROSS JOIN LATERAL (SELECT current_setting('max_connections')::integer AS max) m
  CROSS JOIN LATERAL (SELECT max - current_setting('superuser_reserved_connections')::integer
                        - coalesce(current_setting('reserved_connections', true), '0')::integer AS free) f
  WHERE free < budget + others.n AND NOT pooler

  -- Indexes.
  UNION ALL
  SELECT 40, 'index', CASE WHEN is_running THEN 'info' WHEN is_for_counts THEN 'warning' ELSE 'error' END,
         format('%s has no %s index on (%s)%s%s', w.relation, CASE WHEN broken.q IS NULL THEN 'usable' ELSE 'valid' END,
               definition.keys, definition.predicate,
                CASE WHEN is_running THEN '; one is being built now' WHEN broken.q IS NOT NULL THEN ': the build of '
                    || broken.q || ' was interrupted' END),
         CASE WHEN is_running THEN '-- Wait until it is built: SELECT * FROM pg_stat_progress_create_index;'
              WHEN broken.q IS NOT NULL THEN format('REINDEX INDEX CONCURRENTLY %s;', broken.q)
              ELSE format('CREATE INDEX CONCURRENTLY %I ON %s (%s)%s;',
                CASE WHEN EXISTS (SELECT FROM pg_class WHERE relname = w.name AND relnamespace = schema_oid) THEN w.name || '_2'
                    ELSE w.name END,
                w.q, definition.keys, definition.predicate) END
  FROM me CROSS JOIN wanted w CROSS JOIN building
  CROSS JOIN LATERAL (SELECT string_agg(name || CASE WHEN place > compared AND w.relation = 'chat_sessions'
          AND name <> 'created_at' THEN ' DESC' ELSE '' END, ', ' ORDER BY place) AS keys,
                             coalesce(' WHERE status = ' || quote_literal(w.status), '') AS predicate
                        FROM unnest(w.columns) WITH ORDINALITY k (name, place)) definition
  LEFT JOIN LATERAL (SELECT m.q FROM matches m WHERE m.wanted = w.name AND m.name !~ '_ccnew\d*$' ORDER BY m.q LIMIT 1) broken
      ON true
  WHERE NOT EXISTS (SELECT FROM matches m WHERE m.wanted = w.name AND m.is_valid)
    AND (NOT is_for_counts OR (SELECT is_whole FROM whole))
  UNION ALL
  SELECT 41, 'index', 'warning', format('the index %s is invalid: it slows down writes and serves no query', e.q),
      format('DROP INDEX CONCURRENTLY %s;', e.q)
  FROM existing e CROSS JOIN building
  WHERE NOT is_valid AND NOT is_running
    AND (e.name ~ '_cc(new|old)\d*$' OR NOT EXISTS (SELECT FROM matches m WHERE m.indexrelid = e.indexrelid
           AND NOT EXISTS (SELECT FROM matches v WHERE v.wanted = m.wanted AND v.is_valid)))
  UNION ALL
  SELECT 42, 'index', 'info', format('the index %s slows down writes, and %s begins with the same columns', e.q, w.name),
      format('DROP INDEX CONCURRENTLY %s;', e.q)
  FROM existing e JOIN wanted w ON w.oid = e.indrelid AND w.name IN ('chat_sessions_user_last', 'chat_messages_session_last')
  WHERE e.is_valid AND e.is_plain AND NOT e.is_partial AND e.is_btree AND e.columns = w.columns[1 : w.n - 1]
    AND EXISTS (SELECT FROM matches m WHERE m.wanted = w.name AND m.is_valid AND m.indexrelid <> e.indexrelid)

  -- Vacuum.
  UNION ALL
  SELECT 50, 'vacuum', 'warning', 'autovacuum is off in this server',
      E'ALTER SYSTEM SET autovacuum = on;\nSELECT pg_reload_conf();'
  WHERE NOT current_setting('autovacuum')::boolean
  UNION ALL
  SELECT 50, 'vacuum', 'warning', format('autovacuum is off for %s', name), format('ALTER TABLE %s RESET (autovacuum_enabled);',
        q)
  FROM relations WHERE kind = 'table' AND EXISTS (SELECT FROM pg_options_to_table(reloptions)
        WHERE option_name = 'autovacuum_enabled' AND NOT option_value::boolean)
  UNION ALL
  SELECT 50, 'vacuum', 'warning',
      format('autovacuum waits until %s %% of chat_sessions are dead rows, and counting then takes three times as long',
           round(100 * factor::numeric)),
         format('ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0.01);', r.q)
  FROM me CROSS JOIN relations r CROSS JOIN LATERAL (SELECT coalesce(
    (SELECT option_value FROM pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_vacuum_scale_factor'),
    current_setting('autovacuum_vacuum_scale_factor')) AS factor) f
  WHERE r.name = 'chat_sessions' AND r.oid IS NOT NULL AND factor::numeric > scale_factor_max
  UNION ALL
  SELECT 51, 'vacuum', 'warning', format('%s needs a vacuum: %s', r.name, concat_ws(', ',
           CASE WHEN visible.share < all_visible_min
               THEN format('%s %% of its pages are marked all-visible, so counting reads the others',
                     round(100 * visible.share)) END,
           CASE WHEN dead.is_many THEN format('%s dead rows', dead.n) END)),
         format('VACUUM (ANALYZE) %s;', r.q)
  FROM me CROSS JOIN relations r
  CROSS JOIN LATERAL (SELECT CASE WHEN pages >= pages_min THEN relallvisible::numeric / pages END AS share) visible
  CROSS JOIN LATERAL (SELECT n, n > 10000 AND n > dead_max * greatest(reltuples, 0) AS is_many
        FROM pg_stat_get_dead_tuples(r.oid) n) dead
  WHERE r.name IN ('chat_sessions', 'chat_messages') AND (visible.share < all_visible_min OR dead.is_many)

  -- Materialized counts.
  UNION ALL
  SELECT 60, 'counts', 'error', 'the materialized counts are of an earlier version or incomplete; missing: '
      || string_agg(what, ', ' ORDER BY what),
         CASE WHEN bool_or(loses_writes)
             THEN E'-- Writes were not counted while a trigger was missing, so install the set again.\n-- ' || psql
                 || E'materialized_counts/drop.sql\n' ELSE '' END
           || concat('-- ', psql, E'materialized_counts/1_columns.sql\n-- ', psql, E'materialized_counts/2_counts.sql\n-- ',
                 psql, E'materialized_counts/3_backfill.sql\n-- ', psql, E'materialized_counts/4_index.sql\n',
                     '-- And docs/role.sql, for the tables that were created again.')
  FROM me CROSS JOIN counts CROSS JOIN missing WHERE is_installed GROUP BY psql
  UNION ALL
  SELECT 61, 'counts', CASE tgenabled WHEN 'A' THEN 'warning' ELSE 'error' END,
         format(CASE tgenabled WHEN 'A'
               THEN 'the trigger %s on %s is ENABLE ALWAYS: a subscriber of logical replication counts twice'
                               ELSE 'the trigger %s on %s is disabled, so counts become wrong' END, t.name, relation),
         format('ALTER TABLE %s ENABLE TRIGGER %I;', t.q, t.name)
           || CASE WHEN tgenabled <> 'A' THEN E'\n' || set_path
               || E'CALL backfill_chat_messages(again => true);\nCALL backfill_chat_sessions();' ELSE '' END
  FROM me CROSS JOIN triggers t WHERE t.oid IS NOT NULL AND tgenabled <> 'O'
  UNION ALL
  SELECT 61, 'counts', 'error', format('the function %s does not run as its owner with the search path %s, pg_temp', t.name,
        qs),
         format('ALTER FUNCTION %s.%I() SECURITY DEFINER SET search_path = %s, pg_temp;', qs, t.name, qs)
  FROM me CROSS JOIN triggers t
  WHERE is_definer AND proname = t.name AND NOT (prosecdef AND coalesce(proconfig @> ARRAY[format('search_path=%s, pg_temp',
            qs)], false))
  UNION ALL
  SELECT 61, 'counts', 'error', format('row level security hides rows of %s from %s, who owns the triggers, so writes fail',
        r.name, o.rolname),
         CASE WHEN relforcerowsecurity THEN format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', r.q)
              ELSE format('-- Install the set as the owner of the tables, or: ALTER ROLE %I BYPASSRLS;', o.rolname) END
  FROM me CROSS JOIN relations r JOIN routines f ON f.name = 'counts_message_inserted' JOIN pg_roles o ON o.oid = f.proowner
  WHERE r.name IN ('chat_sessions', 'chat_messages') AND relrowsecurity AND NOT (o.rolsuper OR o.rolbypassrls)
    AND (relforcerowsecurity OR NOT pg_has_role(o.oid, relowner, 'USAGE'))
  UNION ALL
  SELECT 62, 'counts', 'error', format('%s may use %s, which only its owner and %s need', grantees, r.name, role),
      format('REVOKE ALL ON %s FROM %s;', r.q, grantees)
  FROM me CROSS JOIN relations r
  CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
          ', ') AS grantees
    FROM aclexplode(r.relacl) WHERE grantee = 0 OR pg_get_userbyid(grantee) IN ('anon', 'authenticated')) g
  WHERE r.kind IN ('counts', 'internal') AND grantees IS NOT NULL
  UNION ALL
  SELECT 62, 'counts', 'error', format('%s may run functions of the set: %s', string_agg(DISTINCT CASE grantee WHEN 0
          THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END, ', '), string_agg(DISTINCT f.name, ', ')),
         set_path || 'CALL counts_revoke_execute();'
  FROM me CROSS JOIN routines f CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner)))
  WHERE f.name ~ '^(counts|backfill_chat|fold_chat)_' AND grantee <> f.proowner AND EXISTS (SELECT FROM routines
        WHERE name = 'counts_revoke_execute')
  GROUP BY set_path
  UNION ALL
  SELECT 63, 'counts', 'warning', 'the backfill is not finished, so each page takes a second statement'
      || coalesce(' (' || todo || ' of ' || sessions || ' sampled sessions)', ''),
         set_path || E'CALL backfill_chat_messages();\nCALL backfill_chat_sessions();\nCALL fold_chat_session_counts();\n'
             || format('VACUUM (ANALYZE) %I.chat_sessions;', schema)
  FROM me CROSS JOIN backfilled LEFT JOIN compared ON true WHERE NOT is_done OR todo > 0
  UNION ALL
  SELECT 64, 'counts', 'error', format('%s of %s sampled sessions have a wrong message_count or last_message, for example %s',
        wrong_sessions, sessions, session),
         set_path || 'CALL backfill_chat_messages(again => true);'
  FROM me CROSS JOIN compared WHERE wrong_sessions > 0
  UNION ALL
  SELECT 64, 'counts', 'error', format('%s of %s sampled accounts have wrong totals, for example %s', wrong_accounts, accounts,
        account),
         set_path || 'CALL backfill_chat_sessions();'
  FROM me CROSS JOIN compared CROSS JOIN backfilled WHERE wrong_accounts > 0 AND is_done
  UNION ALL
  SELECT 65, 'counts', 'info', format('the counts were not compared with the tables: %s may not read all rows of both',
        current_user),
         '-- Run this file as the owner of the tables.'
  FROM whole CROSS JOIN readable WHERE is_whole AND NOT is_readable
  UNION ALL
  SELECT 66, 'counts', 'info', format('a policy filters the rows of %s for %s, so the function computes the counts', s.name,
        role),
         format('-- Keep the policy and remove the counts (migrations/materialized_counts/drop.sql), or let it show every row: ALTER POLICY … ON %s USING (true);', s.q)
  FROM me CROSS JOIN row_security s CROSS JOIN counts WHERE is_installed AND names_role AND hiding IS NULL AND NOT s.shows_all
      AND s.kind IN ('table', 'counts')

  -- Publications.
  UNION ALL
  SELECT 70, 'publication', 'warning',
      format('the publication %s %s the columns of the materialized counts to its subscribers%s', pubname,
           CASE WHEN is_installed THEN 'sends' ELSE 'would send' END, CASE WHEN NOT is_listed THEN ', and their tables'
               ELSE '' END),
         CASE WHEN relreplident = 'f'
             THEN format('-- %s has REPLICA IDENTITY FULL, which allows no column list. Change it first, or accept this: ALTER TABLE %s REPLICA IDENTITY DEFAULT;', 'chat_sessions', sessions)
              WHEN is_listed
                  THEN format(E'BEGIN;\nALTER PUBLICATION %1$s DROP TABLE %2$s;\nALTER PUBLICATION %1$s ADD TABLE %2$s (%3$s)%4$s;\nCOMMIT;', p.q, sessions, p.columns, filter)
              ELSE format(E'BEGIN;\nDROP PUBLICATION %1$s;\nCREATE PUBLICATION %1$s FOR TABLE %2$s (%3$s)%4$s WITH (publish = %5$L, publish_via_partition_root = %6$s);\nCOMMIT;',
                p.q, sessions, p.columns, (SELECT string_agg(format(', %I.%I', schemaname, tablename), '' ORDER BY schemaname,
                        tablename)
                  FROM pg_publication_tables t WHERE t.pubname = p.pubname AND NOT (schemaname = schema
                        AND (tablename = 'chat_sessions' OR tablename IN (SELECT name FROM relations
                        WHERE kind IN ('counts', 'internal'))))),
                operations, pubviaroot::text) END
  FROM me CROSS JOIN counts CROSS JOIN sent p
  UNION ALL
  SELECT 71, 'publication', 'info',
      format('Supabase Realtime %s the columns of the materialized counts, and a second update for each message, to subscribers that may read the session',
           CASE WHEN is_installed THEN 'sends' ELSE 'would send' END),
         format(E'-- Or accept it. After this a web app must name its columns: PostgreSQL rejects SELECT * from these roles.\nREVOKE SELECT ON %1$s FROM %2$s;\nGRANT SELECT (%3$s) ON %1$s TO %2$s;', sessions, roles, p.columns)
  FROM counts CROSS JOIN realtime p

  -- The role that synchronises keys.
  UNION ALL
  SELECT 80, 'key synchronisation', 'error', format('%s may not read %s of api_keys', r.role,
        string_agg(c.name, ', ' ORDER BY c.name)),
         format(E'GRANT USAGE ON SCHEMA %s TO %s;\nGRANT SELECT (%s) ON %s TO %s;', qs, r.q,
               string_agg(c.name, ', ' ORDER BY c.name), k.q, r.q)
  FROM me JOIN roles r ON r.role = sync_role JOIN relations k ON k.name = 'api_keys' AND k.oid IS NOT NULL
  JOIN columns c ON c.relation = 'api_keys' AND c.name IN ('key_hash', 'user_id', 'name', 'is_active', 'expires_at')
  WHERE NOT (has_column_privilege(r.oid, k.oid, c.name, 'SELECT') AND has_schema_privilege(r.oid, schema_oid, 'USAGE'))
  GROUP BY r.role, r.q, qs, k.q
  UNION ALL
  SELECT 80, 'key synchronisation', 'error', format('row level security may hide rows of api_keys from %s', r.role),
         format('CREATE POLICY %I ON %s FOR SELECT TO %s USING (true);', r.role, k.q, r.q)
  FROM me JOIN roles r ON r.role = sync_role JOIN pg_roles o ON o.oid = r.oid JOIN relations k ON k.name = 'api_keys'
      AND k.relrowsecurity
  WHERE NOT (o.rolsuper OR o.rolbypassrls)
    AND NOT EXISTS (SELECT FROM pg_policy, unnest(polroles) named WHERE polrelid = k.oid AND polpermissive
          AND polcmd IN ('r', '*')
                      AND named <> 0 AND pg_has_role(r.oid, named, 'USAGE'))
)

SELECT name, level, what_is_wrong, what_to_run
FROM (
  SELECT place, name, level, what_is_wrong, what_to_run FROM findings
  UNION ALL
  SELECT 100, 'nothing found', 'info', format('%s can read what the function needs, and only that%s', role,
           (SELECT format('; the counts are right in %s sessions and %s accounts', sessions, accounts) FROM compared)), ''
  FROM me WHERE NOT EXISTS (SELECT FROM findings)
) report
ORDER BY CASE level WHEN 'error' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END, place, what_is_wrong;
