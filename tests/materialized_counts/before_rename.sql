-- The earlier set with its earlier names: 2_counts.sql and 3_backfill.sql without their comments and checks, to run after
-- before_totals.sql.
CREATE OR REPLACE FUNCTION kept_check_row_security() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF row_security_active('chat_sessions') OR row_security_active('chat_messages') THEN
    RAISE EXCEPTION 'row level security hides chat sessions or messages from %, who keeps their counts', current_user
      USING HINT = 'Give that role BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or run migrations/kept/drop.sql.';
  END IF;
END
$$;
BEGIN;
SET LOCAL lock_timeout = '500ms';
SET LOCAL client_min_messages = warning;
LOCK TABLE users, chat_sessions IN SHARE ROW EXCLUSIVE MODE;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);
CREATE TABLE IF NOT EXISTS chat_session_counts (
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL, -- '' for NULL as well
  slot      smallint NOT NULL,
  n         bigint NOT NULL,
  days      integer[] NOT NULL,
  PRIMARY KEY (user_id, widget_id, month, status, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE IF NOT EXISTS chat_session_totals (
  user_id uuid NOT NULL,
  month   date NOT NULL,
  status  text NOT NULL,
  n       bigint NOT NULL,
  days    integer[] NOT NULL,
  PRIMARY KEY (user_id, month, status)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE IF NOT EXISTS chat_session_counted (user_id uuid PRIMARY KEY);
ALTER TABLE chat_session_counted ADD COLUMN IF NOT EXISTS has_totals boolean NOT NULL DEFAULT false;
DO $$
BEGIN
  IF (SELECT conkey[2] = 2 FROM pg_constraint WHERE conrelid = 'chat_session_counts'::regclass AND contype = 'p') THEN
    ALTER TABLE chat_session_counts DROP CONSTRAINT chat_session_counts_pkey,
      ADD PRIMARY KEY (user_id, widget_id, month, status, slot);
  END IF;
END
$$;
CREATE INDEX IF NOT EXISTS chat_session_counts_slots ON chat_session_counts (user_id, slot, month) WHERE slot >= 0;
DROP TABLE IF EXISTS chat_session_changes;
CREATE UNLOGGED TABLE chat_session_changes (
  xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id        bigint GENERATED ALWAYS AS IDENTITY,
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL,
  day       integer NOT NULL,
  n         integer NOT NULL,
  PRIMARY KEY (xid, id)
);
CREATE OR REPLACE VIEW chat_session_tasks AS SELECT NULL::text AS task, NULL::uuid AS account WHERE false;
CREATE OR REPLACE FUNCTION kept_month(at timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS
  $$ SELECT CASE WHEN at >= '4713-01-01 00:00:00+00 BC' THEN date_trunc('month', at AT TIME ZONE 'UTC')::date ELSE '-infinity' END $$;
CREATE OR REPLACE FUNCTION kept_day(at timestamptz) RETURNS integer IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_part('day', at AT TIME ZONE 'UTC')::integer, 1) $$;
CREATE OR REPLACE FUNCTION kept_slot() RETURNS smallint STABLE LANGUAGE sql AS
  $$ SELECT (pg_backend_pid() % 16)::smallint $$;
CREATE OR REPLACE FUNCTION kept_days(d integer[], k integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(coalesce(u.k, 0) ORDER BY i) FROM generate_series(1, 31) i LEFT JOIN unnest(d, k) u (d, k) ON u.d = i $$;
CREATE OR REPLACE FUNCTION kept_sum(a integer[], b integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS $$
  SELECT ARRAY[
    a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7], a[8] + b[8],
    a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12], a[13] + b[13], a[14] + b[14], a[15] + b[15],
    a[16] + b[16], a[17] + b[17], a[18] + b[18], a[19] + b[19], a[20] + b[20], a[21] + b[21], a[22] + b[22],
    a[23] + b[23], a[24] + b[24], a[25] + b[25], a[26] + b[26], a[27] + b[27], a[28] + b[28], a[29] + b[29],
    a[30] + b[30], a[31] + b[31]]
$$;
CREATE OR REPLACE FUNCTION kept_lock() RETURNS bigint IMMUTABLE LANGUAGE sql AS
  $$ SELECT hashtextextended('keep_chat_sessions', 0) $$;
CREATE OR REPLACE FUNCTION kept_fold_class() RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT hashtext('kept_fold') $$;
CREATE OR REPLACE FUNCTION kept_fold_key(account uuid) RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT uuid_hash(account) & 255 $$;
CREATE OR REPLACE FUNCTION kept_try_fold(account uuid) RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_try_advisory_xact_lock_shared(kept_lock())
         AND pg_try_advisory_xact_lock(kept_fold_class(), kept_fold_key(account))
$$;
CREATE OR REPLACE FUNCTION kept_fold_rows(rows tid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  empty tid[];
BEGIN
  WITH folded AS (
    DELETE FROM chat_session_counts WHERE ctid = ANY (rows) RETURNING *
  ), sums AS (
    SELECT user_id, month, status, widget_id, grouping(widget_id) AS is_total, sum(n) AS n, ARRAY[
      sum(days[1]), sum(days[2]), sum(days[3]), sum(days[4]), sum(days[5]), sum(days[6]), sum(days[7]), sum(days[8]),
      sum(days[9]), sum(days[10]), sum(days[11]), sum(days[12]), sum(days[13]), sum(days[14]), sum(days[15]),
      sum(days[16]), sum(days[17]), sum(days[18]), sum(days[19]), sum(days[20]), sum(days[21]), sum(days[22]),
      sum(days[23]), sum(days[24]), sum(days[25]), sum(days[26]), sum(days[27]), sum(days[28]), sum(days[29]),
      sum(days[30]), sum(days[31])]::integer[] AS days
    FROM folded GROUP BY GROUPING SETS ((1, 2, 3, 4), (1, 2, 3))
  ), widgets AS (
    INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
    SELECT user_id, month, widget_id, status, -1, n, days FROM sums WHERE is_total = 0
    ON CONFLICT (user_id, widget_id, month, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = kept_sum(c.days, excluded.days)
    RETURNING ctid, n, days
  ), totals AS (
    INSERT INTO chat_session_totals AS t (user_id, month, status, n, days)
    SELECT user_id, month, status, n, days FROM sums WHERE is_total = 1
    ON CONFLICT (user_id, month, status) DO UPDATE SET n = t.n + excluded.n, days = kept_sum(t.days, excluded.days)
  )
  SELECT array_agg(ctid) INTO empty FROM widgets WHERE n = 0 AND 0 = ALL (days);
  IF empty IS NOT NULL THEN
    DELETE FROM chat_session_counts WHERE ctid = ANY (empty);
  END IF;
END
$$;
CREATE OR REPLACE FUNCTION kept_fold(account uuid, before date, made integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  rows_max CONSTANT integer := 64;
  past_max CONSTANT integer := 4;
  fold_max CONSTANT integer := 14 + 2 * made;
  own CONSTANT smallint := kept_slot();
  other CONSTANT smallint := (random() * 15)::smallint;
  slots smallint[] := '{}';
  until date := 'infinity';
  rows tid[];
BEGIN
  IF EXISTS (SELECT FROM chat_session_counts WHERE user_id = account AND slot = own AND slot >= 0 OFFSET rows_max) THEN
    slots := ARRAY[own];
  ELSE
    until := before - 1;
    IF EXISTS (SELECT FROM chat_session_counts
               WHERE user_id = account AND slot = own AND slot >= 0 AND month <= until OFFSET past_max) THEN
      slots := ARRAY[own];
    END IF;
    IF EXISTS (SELECT FROM chat_session_counts
               WHERE user_id = account AND slot = other AND slot >= 0 AND month <= until OFFSET past_max) THEN
      slots := slots || other;
    END IF;
  END IF;
  IF slots <> '{}' AND current_setting('transaction_isolation') = 'read committed' AND kept_try_fold(account) THEN
    rows := ARRAY(SELECT ctid FROM chat_session_counts
                  WHERE user_id = account AND slot = ANY (slots) AND slot >= 0 AND month <= until
                  LIMIT fold_max FOR UPDATE SKIP LOCKED);
    PERFORM kept_fold_rows(rows);
  END IF;
END
$$;
DROP FUNCTION IF EXISTS kept_count(uuid, date, uuid, text, integer, integer), kept_fold(uuid, date);
CREATE FUNCTION kept_count(account uuid, first date, widget uuid, state text, d integer, k integer)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  month_days integer[];
BEGIN
  UPDATE chat_session_counts SET n = n + k, days[d] = days[d] + k
  WHERE user_id = account AND month = first AND widget_id = widget AND status = state AND slot = kept_slot();
  IF FOUND THEN
    RETURN false;
  END IF;
  month_days := array_fill(0, ARRAY[31]);
  month_days[d] := k;
  INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
  VALUES (account, first, widget, state, kept_slot(), k, month_days)
  ON CONFLICT (user_id, widget_id, month, status, slot) DO UPDATE SET n = c.n + excluded.n, days[d] = c.days[d] + k;
  RETURN true;
END
$$;
CREATE OR REPLACE FUNCTION kept_count_each(changes refcursor) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g record;
  accounts uuid[];
  months date[];
BEGIN
  LOOP
    FETCH changes INTO g;
    EXIT WHEN NOT FOUND;
    IF kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n) THEN
      accounts := accounts || g.user_id;
      months := months || g.month;
    END IF;
  END LOOP;
  CLOSE changes;
  PERFORM kept_fold(account, max(month), count(*)::integer)
  FROM unnest(accounts, months) made (account, month) GROUP BY account;
END
$$;
CREATE OR REPLACE FUNCTION kept_sessions_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  is_made boolean;
  many refcursor;
BEGIN
  SELECT kept_count(user_id, kept_month(created_at), widget_id, coalesce(status, ''), kept_day(created_at), 1)
  INTO is_made FROM changed WHERE NOT EXISTS (SELECT FROM changed OFFSET 1);
  IF NOT FOUND THEN
    OPEN many FOR
      SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
             kept_day(created_at) AS day, count(*)::integer AS n
      FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
    PERFORM kept_count_each(many);
  ELSIF is_made THEN
    PERFORM kept_fold(user_id, kept_month(created_at), 1) FROM changed;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_sessions_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  many refcursor;
BEGIN
  OPEN many FOR
    SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
           kept_day(created_at) AS day, -count(*)::integer AS n
    FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
  PERFORM kept_count_each(many);
  PERFORM kept_forget(ARRAY(SELECT DISTINCT user_id FROM changed));
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_session_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  setting CONSTANT text := current_setting('kept.changed', true);
  number CONSTANT integer := CASE WHEN setting ~ '^[0-9]{1,2}$' THEN setting ELSE '0' END;
  at_once_max CONSTANT integer := 16;
  g record;
  made record;
BEGIN
  IF number >= at_once_max THEN
    INSERT INTO chat_session_changes (user_id, month, widget_id, status, day, n) VALUES
      (OLD.user_id, kept_month(OLD.created_at), OLD.widget_id, coalesce(OLD.status, ''), kept_day(OLD.created_at), -1),
      (NEW.user_id, kept_month(NEW.created_at), NEW.widget_id, coalesce(NEW.status, ''), kept_day(NEW.created_at), 1);
    RETURN NULL;
  END IF;
  PERFORM set_config('kept.changed', (number + 1)::text, true);
  FOR g IN
    SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status, kept_day(created_at) AS day, n
    FROM (VALUES (OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at, -1),
                 (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at, 1)) v (user_id, widget_id, status, created_at, n)
    ORDER BY 1, 2, 3, 4, 5
  LOOP
    IF kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n) THEN
      made := g;
    END IF;
  END LOOP;
  IF made IS NOT NULL THEN
    PERFORM kept_fold(made.user_id, made.month, 1);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_count_changes(since bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  changes refcursor;
BEGIN
  OPEN changes FOR
    SELECT user_id, month, widget_id, status, day, sum(n)::integer AS n FROM chat_session_changes
    WHERE xid = pg_current_xact_id() AND id >= since
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5;
  PERFORM kept_count_each(changes);
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id() AND id >= since;
END
$$;
CREATE OR REPLACE FUNCTION kept_changes_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM chat_session_changes WHERE xid = NEW.xid AND id = NEW.id) THEN
    PERFORM kept_count_changes(NEW.id);
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_sessions_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  TRUNCATE chat_session_counts, chat_session_totals;
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id();
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_forget(accounts uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  accounts := ARRAY(SELECT id FROM unnest(accounts) a (id) WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = a.id));
  IF accounts = '{}' OR row_security_active('users') THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(kept_lock());
  PERFORM kept_count_changes(0);
  accounts := ARRAY(SELECT id FROM unnest(accounts) id
                    WHERE (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = id) = 0);
  LOOP
    DELETE FROM chat_session_counts WHERE user_id = ANY (accounts);
    EXIT WHEN NOT FOUND;
  END LOOP;
  DELETE FROM chat_session_totals WHERE user_id = ANY (accounts);
  DELETE FROM chat_session_counted WHERE user_id = ANY (accounts);
END
$$;
CREATE OR REPLACE FUNCTION kept_users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM kept_forget(ARRAY(SELECT id FROM gone));
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_not_loaded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER kept_not_loaded BEFORE INSERT ON chat_session_counts FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION kept_not_loaded();
CREATE OR REPLACE TRIGGER kept_not_loaded BEFORE INSERT ON chat_session_totals FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION kept_not_loaded();
CREATE OR REPLACE TRIGGER kept_not_loaded BEFORE INSERT ON chat_session_counted FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION kept_not_loaded();
CREATE OR REPLACE TRIGGER kept_sessions_inserted AFTER INSERT ON chat_sessions
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_counted();
CREATE OR REPLACE TRIGGER kept_sessions_deleted AFTER DELETE ON chat_sessions
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_deleted();
CREATE OR REPLACE TRIGGER kept_session_updated AFTER UPDATE ON chat_sessions FOR EACH ROW
  WHEN ((OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at)
        IS DISTINCT FROM (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at))
  EXECUTE FUNCTION kept_session_updated();
CREATE CONSTRAINT TRIGGER kept_changes_counted AFTER INSERT ON chat_session_changes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.n = -1) EXECUTE FUNCTION kept_changes_counted();
CREATE OR REPLACE TRIGGER kept_sessions_truncated AFTER TRUNCATE ON chat_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_truncated();
CREATE OR REPLACE TRIGGER kept_users_deleted AFTER DELETE ON users
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION kept_users_deleted();
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_class, aclexplode(relacl) a
    WHERE oid = ANY (ARRAY['chat_session_counts', 'chat_session_counted', 'chat_session_totals', 'chat_session_changes',
                           'chat_session_changes_id_seq', 'chat_session_tasks']::regclass[])
      AND a.grantee <> relowner
      AND NOT (relname = 'chat_session_totals' AND EXISTS (SELECT FROM chat_session_counted WHERE has_totals)
               OR relname IN ('chat_session_counts', 'chat_session_counted') AND EXISTS (SELECT FROM chat_session_counted))
  LOOP
    EXECUTE format('REVOKE ALL ON %I FROM %s', r.relname, r.grantee);
  END LOOP;
  FOR r IN
    SELECT DISTINCT quote_ident(a.grantee::regrole::text) AS grantee FROM pg_class, aclexplode(relacl) a
    WHERE oid = 'chat_session_counts'::regclass AND a.grantee NOT IN (0, relowner) AND a.privilege_type = 'SELECT'
  LOOP
    EXECUTE format('GRANT SELECT ON chat_session_totals TO %s', r.grantee);
  END LOOP;
END
$$;
COMMIT;
CREATE OR REPLACE PROCEDURE keep_chat_messages(batch integer DEFAULT 1000, again boolean DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
  batch_max CONSTANT integer := 10000;
  report_every CONSTANT interval := '5 s';
  todo bigint;
  done bigint := 0;
  last uuid := '00000000-0000-0000-0000-000000000000';
  ids uuid[];
  reported timestamptz := clock_timestamp();
BEGIN
  IF batch NOT BETWEEN 1 AND batch_max THEN
    RAISE EXCEPTION 'a batch is of 1 to % sessions', batch_max;
  END IF;
  PERFORM kept_check_row_security();
  SELECT count(*) INTO todo FROM chat_sessions WHERE again OR message_count IS NULL;
  RAISE NOTICE 'messages: % sessions to do', todo;
  COMMIT;
  LOOP
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'run this at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'));
    END IF;
    ids := ARRAY(SELECT id FROM chat_sessions WHERE id > last AND (again OR message_count IS NULL)
                 ORDER BY id LIMIT batch FOR NO KEY UPDATE);
    EXIT WHEN ids = '{}';
    UPDATE chat_sessions s SET
      message_count = (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id),
      (last_message, last_message_created_at, last_message_id) = (
        SELECT m.content, m.created_at, m.id FROM chat_messages m
        WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
    WHERE s.id = ANY (ids);
    COMMIT;
    done := done + cardinality(ids);
    last := ids[cardinality(ids)];
    IF clock_timestamp() > reported + report_every THEN
      RAISE NOTICE 'messages: % of % sessions, % %%', done, todo, least(100, round(100.0 * done / greatest(todo, 1)));
      reported := clock_timestamp();
    END IF;
  END LOOP;
  RAISE NOTICE 'messages: % sessions done', done;
END
$$;
CREATE OR REPLACE FUNCTION kept_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  everybody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  fold_max CONSTANT integer := 1000;
  accounts CONSTANT text := CASE WHEN NEW.account IS NULL
    THEN 'user_id NOT IN (SELECT user_id FROM chat_session_counted WHERE has_totals)'
    ELSE format('user_id = %L', NEW.account) END;
  rows tid[];
BEGIN
  IF NEW.task = 'fold' THEN
    rows := ARRAY(SELECT ctid FROM chat_session_counts WHERE user_id = NEW.account AND slot >= 0
                  LIMIT fold_max FOR UPDATE SKIP LOCKED);
    PERFORM kept_fold_rows(rows);
    RETURN CASE WHEN cardinality(rows) > 0 THEN NEW END;
  END IF;
  EXECUTE replace($sql$
    INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
    SELECT user_id, month, widget_id, status, -1, coalesce(sum(k) FILTER (WHERE d = 0), 0), kept_days(array_agg(d), array_agg(k::integer))
    FROM (
      SELECT user_id, month, widget_id, status, d, sum(k) AS k
      FROM (
        SELECT user_id, kept_month(created_at), widget_id, coalesce(status, ''), v.d, count(*)
        FROM chat_sessions, LATERAL (VALUES (0), (kept_day(created_at))) v (d) WHERE /* accounts */ GROUP BY 1, 2, 3, 4, 5
        UNION ALL
        SELECT user_id, month, widget_id, status, (place - 1)::integer, -kept
        FROM chat_session_counts, unnest(n || days::bigint[]) WITH ORDINALITY u (kept, place) WHERE /* accounts */
      ) actual_less_kept (user_id, month, widget_id, status, d, k)
      GROUP BY 1, 2, 3, 4, 5 HAVING sum(k) <> 0) lacking
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (user_id, widget_id, month, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = kept_sum(c.days, excluded.days)
    $sql$, '/* accounts */', accounts);
  EXECUTE replace($sql$
    INSERT INTO chat_session_totals AS t (user_id, month, status, n, days)
    SELECT user_id, month, status, coalesce(sum(k) FILTER (WHERE d = 0), 0), kept_days(array_agg(d), array_agg(k::integer))
    FROM (
      SELECT user_id, month, status, d, sum(k) AS k
      FROM (
        SELECT user_id, month, status, (place - 1)::integer, kept
        FROM chat_session_counts, unnest(n || days::bigint[]) WITH ORDINALITY u (kept, place) WHERE slot = -1 AND /* accounts */
        UNION ALL
        SELECT user_id, month, status, (place - 1)::integer, -kept
        FROM chat_session_totals, unnest(n || days::bigint[]) WITH ORDINALITY u (kept, place) WHERE /* accounts */
      ) folded_less_totals (user_id, month, status, d, k)
      GROUP BY 1, 2, 3, 4 HAVING sum(k) <> 0) lacking
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, month, status) DO UPDATE SET n = t.n + excluded.n, days = kept_sum(t.days, excluded.days)
    $sql$, '/* accounts */', accounts);
  INSERT INTO chat_session_counted VALUES (coalesce(NEW.account, everybody), true)
  ON CONFLICT (user_id) DO UPDATE SET has_totals = true;
  IF NEW.account IS NULL THEN
    DELETE FROM chat_session_counted WHERE user_id <> everybody;
  END IF;
  RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER kept_task INSTEAD OF INSERT ON chat_session_tasks FOR EACH ROW EXECUTE FUNCTION kept_task();
CREATE OR REPLACE PROCEDURE keep_chat_sessions_of(account uuid) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(kept_lock());
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'run this at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'));
  END IF;
  IF row_security_active('chat_sessions') THEN
    RAISE EXCEPTION 'row level security on chat_sessions hides rows from %', current_user
      USING HINT = 'Run this as the tables'' owner without FORCE ROW LEVEL SECURITY, or as a role with BYPASSRLS.';
  END IF;
  INSERT INTO chat_session_tasks VALUES ('count', account);
END
$$;
CREATE OR REPLACE PROCEDURE fold_chat_session_counts() LANGUAGE plpgsql AS $$
DECLARE
  account uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  LOOP
    account := (SELECT user_id FROM chat_session_counts WHERE user_id > account AND slot >= 0 ORDER BY user_id LIMIT 1);
    EXIT WHEN account IS NULL;
    LOOP
      PERFORM pg_advisory_xact_lock_shared(kept_lock());
      PERFORM pg_advisory_xact_lock(kept_fold_class(), kept_fold_key(account));
      IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'run this at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'));
      END IF;
      INSERT INTO chat_session_tasks VALUES ('fold', account);
      EXIT WHEN NOT FOUND;
      COMMIT;
    END LOOP;
    COMMIT;
  END LOOP;
END
$$;
CREATE OR REPLACE PROCEDURE keep_chat_sessions() LANGUAGE plpgsql AS $$
DECLARE
  report_every CONSTANT interval := '5 s';
  about CONSTANT bigint := (SELECT greatest(1, reltuples) FROM pg_class WHERE oid = 'chat_sessions'::regclass);
  accounts bigint := 0;
  done bigint := 0;
  account uuid := '00000000-0000-0000-0000-000000000000';
  reported timestamptz := clock_timestamp();
BEGIN
  LOOP
    account := (SELECT user_id FROM chat_sessions WHERE user_id > account ORDER BY user_id LIMIT 1);
    EXIT WHEN account IS NULL;
    CONTINUE WHEN EXISTS (SELECT FROM chat_session_counted WHERE user_id = account AND has_totals);
    CALL keep_chat_sessions_of(account);
    COMMIT;
    accounts := accounts + 1;
    done := done + coalesce((SELECT sum(n) FROM chat_session_counts WHERE user_id = account), 0);
    IF clock_timestamp() > reported + report_every THEN
      RAISE NOTICE 'counts: % accounts with % of about % sessions, % %%', accounts, done, about, least(100, 100 * done / about);
      reported := clock_timestamp();
    END IF;
  END LOOP;
  CALL keep_chat_sessions_of(NULL);
  DELETE FROM chat_session_counts WHERE slot = -1 AND n = 0 AND 0 = ALL (days);
  DELETE FROM chat_session_totals WHERE n = 0 AND 0 = ALL (days);
  IF NOT row_security_active('users') THEN
    DELETE FROM chat_session_counts c WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = c.user_id);
    DELETE FROM chat_session_totals t WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = t.user_id);
  END IF;
  COMMIT;
  RAISE NOTICE 'counts: % accounts with % sessions done', accounts, done;
END
$$;
CALL keep_chat_messages();
CALL keep_chat_sessions();
CALL fold_chat_session_counts();
