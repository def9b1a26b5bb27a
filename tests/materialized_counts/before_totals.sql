-- The set before it had totals: 1_columns.sql, 2_counts.sql and 3_backfill.sql without their comments.
BEGIN;
SET LOCAL lock_timeout = '500ms';
LOCK TABLE chat_messages IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);
DO $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND conrelid = 'chat_messages'::regclass AND confrelid = 'chat_sessions'::regclass
      AND convalidated AND NOT condeferrable AND confupdtype IN ('a', 'r'))
  THEN
    RAISE EXCEPTION 'chat_messages must have a valid reference to chat_sessions, not deferrable, without ON UPDATE CASCADE';
  END IF;
  IF EXISTS (SELECT FROM pg_attribute
             WHERE attrelid = 'chat_sessions'::regclass AND attname = 'message_count' AND atthasdef)
    AND (SELECT count(*) FROM pg_trigger
         WHERE tgrelid IN ('chat_sessions'::regclass, 'chat_messages'::regclass) AND tgname ~ '^kept_(new_s|message)'
           AND tgenabled = 'O') <> 5
  THEN
    RAISE EXCEPTION 'a trigger of the set is missing or disabled: run drop.sql and install the set anew';
  END IF;
END
$$;
ALTER TABLE chat_sessions
  ADD COLUMN IF NOT EXISTS message_count integer,
  ADD COLUMN IF NOT EXISTS last_message text,
  ADD COLUMN IF NOT EXISTS last_message_created_at timestamptz,
  ADD COLUMN IF NOT EXISTS last_message_id uuid;
ALTER TABLE chat_sessions SET (fillfactor = 80);
CREATE OR REPLACE FUNCTION kept_new_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.message_count := 0;
  NEW.last_message := NULL;
  NEW.last_message_created_at := NULL;
  NEW.last_message_id := NULL;
  RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION kept_message_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE chat_sessions s SET
    message_count = s.message_count + 1,
    last_message = NEW.content,
    last_message_created_at = NEW.created_at,
    last_message_id = NEW.id
  WHERE s.id = NEW.session_id AND (s.message_count = 0 OR s.last_message_created_at < NEW.created_at);
  IF NOT FOUND THEN
    PERFORM FROM chat_sessions WHERE id = NEW.session_id FOR NO KEY UPDATE;
    UPDATE chat_sessions s SET
      message_count = s.message_count + 1,
      (last_message, last_message_created_at, last_message_id) = (
        SELECT m.content, m.created_at, m.id FROM chat_messages m
        WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
    WHERE s.id = NEW.session_id;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_message_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM FROM chat_sessions WHERE id IN (OLD.session_id, NEW.session_id) ORDER BY id FOR NO KEY UPDATE;
  UPDATE chat_sessions s SET
    message_count = s.message_count + (s.id = NEW.session_id)::integer - (s.id = OLD.session_id)::integer,
    (last_message, last_message_created_at, last_message_id) = (
      SELECT m.content, m.created_at, m.id FROM chat_messages m
      WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
  WHERE s.id IN (OLD.session_id, NEW.session_id);
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_messages_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM FROM chat_sessions WHERE id IN (SELECT session_id FROM gone) ORDER BY id FOR NO KEY UPDATE;
  IF FOUND THEN
    UPDATE chat_sessions s SET
      message_count = s.message_count - g.n,
      (last_message, last_message_created_at, last_message_id) = (
        SELECT m.content, m.created_at, m.id FROM chat_messages m
        WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
    FROM (SELECT session_id, count(*)::integer AS n FROM gone GROUP BY session_id) g
    WHERE s.id = g.session_id;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_messages_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' AND pg_relation_size('chat_sessions') > 0 THEN
    RAISE EXCEPTION 'TRUNCATE chat_messages at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'feature_not_supported';
  END IF;
  UPDATE chat_sessions
  SET message_count = 0, last_message = NULL, last_message_created_at = NULL, last_message_id = NULL
  WHERE message_count <> 0;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER kept_new_session BEFORE INSERT ON chat_sessions FOR EACH ROW
  WHEN (NEW.message_count IS DISTINCT FROM 0 OR NEW.last_message IS NOT NULL
        OR NEW.last_message_created_at IS NOT NULL OR NEW.last_message_id IS NOT NULL)
  EXECUTE FUNCTION kept_new_session();
CREATE OR REPLACE TRIGGER kept_message_inserted AFTER INSERT ON chat_messages FOR EACH ROW
  EXECUTE FUNCTION kept_message_inserted();
CREATE OR REPLACE TRIGGER kept_message_updated AFTER UPDATE ON chat_messages FOR EACH ROW
  WHEN ((OLD.id, OLD.session_id, OLD.created_at, OLD.content COLLATE "C")
        IS DISTINCT FROM (NEW.id, NEW.session_id, NEW.created_at, NEW.content COLLATE "C"))
  EXECUTE FUNCTION kept_message_updated();
CREATE OR REPLACE TRIGGER kept_messages_deleted AFTER DELETE ON chat_messages
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION kept_messages_deleted();
CREATE OR REPLACE TRIGGER kept_messages_truncated AFTER TRUNCATE ON chat_messages
  FOR EACH STATEMENT EXECUTE FUNCTION kept_messages_truncated();
ALTER TABLE chat_sessions ALTER COLUMN message_count SET DEFAULT 0;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
LOCK TABLE chat_sessions IN SHARE ROW EXCLUSIVE MODE;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);
CREATE TABLE IF NOT EXISTS chat_session_counts (
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL, -- '' for NULL as well
  slot      smallint NOT NULL,
  n         bigint NOT NULL,
  days      integer[] NOT NULL,
  PRIMARY KEY (user_id, month, widget_id, status, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE IF NOT EXISTS chat_session_counted (user_id uuid PRIMARY KEY);
CREATE UNLOGGED TABLE IF NOT EXISTS chat_session_changes (
  xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL,
  day       integer NOT NULL,
  n         integer NOT NULL
);
CREATE INDEX IF NOT EXISTS chat_session_changes_xid ON chat_session_changes (xid);
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_class, aclexplode(relacl) a
    WHERE oid IN ('chat_session_counts'::regclass, 'chat_session_counted'::regclass, 'chat_session_changes'::regclass)
      AND a.grantee <> relowner
      AND NOT EXISTS (SELECT FROM chat_session_counted)
  LOOP
    EXECUTE format('REVOKE ALL ON %I FROM %s', r.relname, r.grantee);
  END LOOP;
END
$$;
DO $$
BEGIN
  IF EXISTS (SELECT FROM chat_session_counted)
    AND (SELECT count(*) FROM pg_trigger
         WHERE tgrelid = 'chat_sessions'::regclass AND tgname ~ '^kept_sessions?_' AND tgenabled = 'O') <> 4
  THEN
    RAISE EXCEPTION 'a trigger of the set is missing or disabled: run drop.sql and install the set anew';
  END IF;
END
$$;
CREATE OR REPLACE FUNCTION kept_month(at timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_trunc('month', at AT TIME ZONE 'UTC')::date, '-infinity') $$;
CREATE OR REPLACE FUNCTION kept_day(at timestamptz) RETURNS integer IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_part('day', at AT TIME ZONE 'UTC')::integer, 1) $$;
CREATE OR REPLACE FUNCTION kept_slot() RETURNS smallint STABLE LANGUAGE sql AS
  $$ SELECT (pg_backend_pid() % 16)::smallint $$;
CREATE OR REPLACE FUNCTION kept_days(d integer[], k integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(coalesce(u.k, 0) ORDER BY i) FROM generate_series(1, 31) i LEFT JOIN unnest(d, k) u (d, k) ON u.d = i $$;
CREATE OR REPLACE FUNCTION kept_sum(a integer[], b integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(u.a + u.b ORDER BY i) FROM unnest(a, b) WITH ORDINALITY u (a, b, i) $$;
CREATE OR REPLACE FUNCTION kept_fold(account uuid, before date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  r chat_session_counts;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed'
    OR NOT pg_try_advisory_xact_lock(hashtextextended('kept_fold ' || account, 0))
  THEN
    RETURN;
  END IF;
  FOR r IN
    WITH past AS (
      DELETE FROM chat_session_counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM chat_session_counts
        WHERE user_id = account AND month < before AND slot >= 0 FOR UPDATE SKIP LOCKED)) RETURNING *)
    SELECT * FROM past ORDER BY month, widget_id, status
  LOOP
    INSERT INTO chat_session_counts AS c VALUES (r.user_id, r.month, r.widget_id, r.status, -1, r.n, r.days)
    ON CONFLICT (user_id, month, widget_id, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = kept_sum(c.days, excluded.days);
  END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION kept_count(account uuid, first date, widget uuid, state text, d integer, k integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE chat_session_counts SET n = n + k, days[d] = days[d] + k
  WHERE user_id = account AND month = first AND widget_id = widget AND status = state AND slot = kept_slot();
  IF NOT FOUND THEN
    INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
    VALUES (account, first, widget, state, kept_slot(), k, kept_days(ARRAY[d], ARRAY[k]))
    ON CONFLICT (user_id, month, widget_id, status, slot) DO UPDATE SET n = c.n + excluded.n, days[d] = c.days[d] + k;
    PERFORM kept_fold(account, first);
  END IF;
END
$$;
CREATE OR REPLACE FUNCTION kept_sessions_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  k CONSTANT integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
  g record;
BEGIN
  PERFORM kept_count(user_id, kept_month(created_at), widget_id, coalesce(status, ''), kept_day(created_at), k)
  FROM changed WHERE NOT EXISTS (SELECT FROM changed OFFSET 1);
  IF NOT FOUND THEN
    FOR g IN
      SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
             kept_day(created_at) AS day, k * count(*)::integer AS n
      FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    LOOP
      PERFORM kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n);
    END LOOP;
  END IF;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_session_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  at_once_max CONSTANT integer := 16;
  before CONSTANT integer := coalesce(nullif(current_setting('kept.changed', true), ''), '0');
  g record;
BEGIN
  PERFORM set_config('kept.changed', (before + 1)::text, true);
  IF before >= at_once_max THEN
    PERFORM set_config('kept.counted', '', true);
    INSERT INTO chat_session_changes (user_id, month, widget_id, status, day, n) VALUES
      (OLD.user_id, kept_month(OLD.created_at), OLD.widget_id, coalesce(OLD.status, ''), kept_day(OLD.created_at), -1),
      (NEW.user_id, kept_month(NEW.created_at), NEW.widget_id, coalesce(NEW.status, ''), kept_day(NEW.created_at), 1);
    RETURN NULL;
  END IF;
  FOR g IN
    SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status, kept_day(created_at) AS day, n
    FROM (VALUES (OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at, -1),
                 (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at, 1)) v (user_id, widget_id, status, created_at, n)
    ORDER BY 1, 2, 3, 4, 5
  LOOP
    PERFORM kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n);
  END LOOP;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_changes_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  g record;
BEGIN
  IF current_setting('kept.counted', true) = '1' THEN
    RETURN NULL;
  END IF;
  PERFORM set_config('kept.counted', '1', true);
  FOR g IN
    WITH mine AS (DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id() RETURNING *)
    SELECT user_id, month, widget_id, status, day, sum(n)::integer AS n FROM mine
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5
  LOOP
    PERFORM kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n);
  END LOOP;
  RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION kept_sessions_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  TRUNCATE chat_session_counts;
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id();
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER kept_sessions_inserted AFTER INSERT ON chat_sessions
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_counted();
CREATE OR REPLACE TRIGGER kept_sessions_deleted AFTER DELETE ON chat_sessions
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_counted();
CREATE OR REPLACE TRIGGER kept_session_updated AFTER UPDATE ON chat_sessions FOR EACH ROW
  WHEN ((OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at)
        IS DISTINCT FROM (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at))
  EXECUTE FUNCTION kept_session_updated();
DROP TRIGGER IF EXISTS kept_changes_counted ON chat_session_changes;
CREATE CONSTRAINT TRIGGER kept_changes_counted AFTER INSERT ON chat_session_changes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.n = 1) EXECUTE FUNCTION kept_changes_counted();
CREATE OR REPLACE TRIGGER kept_sessions_truncated AFTER TRUNCATE ON chat_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_truncated();
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
CREATE OR REPLACE PROCEDURE keep_chat_sessions_of(account uuid) LANGUAGE plpgsql AS $$
DECLARE
  everybody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('keep_chat_sessions', 0));
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'run this at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'));
  END IF;
  EXECUTE replace($sql$
    INSERT INTO chat_session_counts AS c
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
    ON CONFLICT (user_id, month, widget_id, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = kept_sum(c.days, excluded.days)
    $sql$, '/* accounts */', CASE WHEN account IS NULL THEN 'user_id NOT IN (SELECT user_id FROM chat_session_counted)'
                                        ELSE format('user_id = %L', account) END);
  INSERT INTO chat_session_counted VALUES (coalesce(account, everybody)) ON CONFLICT DO NOTHING;
  IF account IS NULL THEN
    DELETE FROM chat_session_counted WHERE user_id <> everybody;
  END IF;
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
    CONTINUE WHEN EXISTS (SELECT FROM chat_session_counted WHERE user_id = account);
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
  COMMIT;
  RAISE NOTICE 'counts: % accounts with % sessions done', accounts, done;
END
$$;
CALL keep_chat_messages();
CALL keep_chat_sessions();
VACUUM (ANALYZE) chat_sessions;
ANALYZE chat_session_counts;
